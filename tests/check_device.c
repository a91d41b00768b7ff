/* check_device.c - a GPU does what a CPU does: training, resuming, sessions, saved states.
 *
 * Run on the fake device of fake_cuda.c (the same bits as the CPU, since its kernels are the
 * CPU's) and, where KRAIT_CUDA_LIB is not set, on a GPU (float32 to 1e-4). */
#include "graph/node.h"
#include "krait/engine.h"
#include "ops/ops.h"
#include "train_case.h"

static bool fake; /* the device computes as the CPU does */

/* 12 steps; `model`, `data` and `train` are more members, in single quotes. */
static void run(const char *out, const char *model, const char *data, const char *train, const char *device, bool resume, int64_t stop_at, watch *w) {
    char text[3000];
    snprintf(text, sizeof text,
             "{'model': {'model_type': 'krait', 'd_model': 16, 'n_layer': 2%s%s}, 'data': {%s%s%s},"
             " 'train': {'out': '%s', 'steps': 12, 'batch_size': 2, 'seq_len': 24, 'warmup_steps': 3, 'log_every': 1, 'eval_every': 5,"
             " 'eval_batches': 2, 'checkpoint_every': 4, 'lr': 0.01, 'threads': 1, 'device': '%s'%s%s}}",
             *model ? ", " : "", model, data, strstr(data, "kind") ? "" : *data ? ", 'kind': 'text', 'paths': '" : "'kind': 'text', 'paths': '",
             strstr(data, "kind") ? "" : text_file(), out, device, *train ? ", " : "", train);
    if (!strstr(data, "kind")) { /* close the quote that the path opened */
        char *at = strstr(text, text_file()) + strlen(text_file());
        memmove(at + 1, at, strlen(at) + 1);
        *at = '\'';
    }
    json_t *j = json_of(text);
    size_t n = json_dumpb(j, text, sizeof text - 1, 0);
    text[n] = 0;
    json_decref(j);
    w->stop_at = stop_at;
    if (watch_run(text, resume, w) != (stop_at ? KR_ERR_STOPPED : KR_OK)) fail_msg("%s: %s", model, kr_error());
}

#define M1 "'mixer': {'type': 'mamba1', 'd_state': 3}"
#define M2 "'mixer': {'type': 'mamba2', 'd_state': 16, 'headdim': 16}"
static const struct { const char *name, *model, *data, *train; } runs[] = {
    {"mamba1", M1, "", ""},
    {"mamba2", M2, "'mode': 'packed'", "'accumulate': 2"},
    {"carry", M1, "'mode': 'carry'", "'dropout': 0.2"},
    {"recompute", M2, "'mode': 'carry'", "'recompute': true"},
    {"s4d", "'mixer': {'type': 's4d', 'd_state': 4}", "", ""},
    {"both ways", M2 ", 'order': {'type': 'bidirectional'}", "'kind': 'selective_copying', 'n_tokens': 6", ""},
    {"numbers", M1 ", 'encoder': {'type': 'linear', 'width': 2}, 'head': {'type': 'regress'}", "'kind': 'adding', 'length': 24", ""},
};
enum { N_RUNS = sizeof runs / sizeof *runs };

static bool same_run_file(const char *a, const char *b, const char *name) {
    char x[200], y[200];
    snprintf(x, sizeof x, "%s/%s", a, name);
    snprintf(y, sizeof y, "%s/%s", b, name);
    return same_file(x, y);
}

static void same_result(const char *what, const char *a, const char *b) {
    static const char *const files[] = {"model.safetensors", "checkpoints/000000012/optimizer.safetensors"};
    for (int i = 0; i < 2; i++)
        if (!same_run_file(a, b, files[i])) fail_msg("%s: %s has other bytes", what, files[i]);
}

static void test_training_as_on_a_cpu(void **state) {
    (void)state;
    for (int i = 0; i < N_RUNS; i++) {
        watch cpu = {0}, gpu = {0};
        const char *a = new_folder(), *b = new_folder();
        run(a, runs[i].model, runs[i].data, runs[i].train, "cpu", false, 0, &cpu);
        run(b, runs[i].model, runs[i].data, runs[i].train, "cuda", false, 0, &gpu);
        for (int s = 1; s <= 12; s++)
            if (!(fabs(cpu.loss[s] - gpu.loss[s]) <= (fake ? 0 : 1e-4 * cpu.loss[s])))
                fail_msg("%s: the loss of step %d is %.9g, on a CPU %.9g", runs[i].name, s, gpu.loss[s], cpu.loss[s]);
        if (fake && !strstr(runs[i].train, "bfloat16")) same_result(runs[i].name, a, b);
        kr_dir_remove(a);
        kr_dir_remove(b);
    }
}

/* bfloat16 activations learn as float32 does, to about their precision. */
static void test_bfloat16(void **state) {
    (void)state;
    for (int i = 0; i < N_RUNS; i++) {
        char train[200];
        watch full = {0}, low = {0};
        const char *a = new_folder(), *b = new_folder();
        snprintf(train, sizeof train, "%s%s'dtype': 'bfloat16'", runs[i].train, *runs[i].train ? ", " : "");
        run(a, runs[i].model, runs[i].data, runs[i].train, "cuda", false, 0, &full);
        run(b, runs[i].model, runs[i].data, train, "cuda", false, 0, &low);
        double want = 0, got = 0; /* step by step they drift apart, as two seeds would */
        for (int s = 1; s <= 12; s++) want += full.loss[s] / 12, got += low.loss[s] / 12;
        if (!(fabs(got - want) <= 0.05 * want)) fail_msg("%s: the mean loss is %.6g in bfloat16, %.6g in float32", runs[i].name, got, want);
        kr_dir_remove(a);
        kr_dir_remove(b);
    }
}

static void test_resume(void **state) {
    static const char *const more[] = {"", "'dtype': 'bfloat16'"};
    (void)state;
    for (int i = 0; i < 2 * N_RUNS; i++) {
        char train[200];
        watch w = {0};
        const char *a = new_folder(), *b = new_folder(), *first = runs[i / 2].train, *then = more[i % 2];
        snprintf(train, sizeof train, "%s%s%s", first, *first && *then ? ", " : "", then);
        run(a, runs[i / 2].model, runs[i / 2].data, train, "cuda", false, 0, &w);
        run(b, runs[i / 2].model, runs[i / 2].data, train, "cuda", false, 5, &w);
        run(b, runs[i / 2].model, runs[i / 2].data, train, "cuda", true, 0, &w);
        same_result(runs[i / 2].name, a, b);
        kr_dir_remove(a);
        kr_dir_remove(b);
    }
}

/* Over bfloat16 matrices: what comes from parameters alone, and every state, stays float32. */
static void test_what_stays_float32(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++) {
        char text[300];
        kr_model *m;
        snprintf(text, sizeof text, "{'model_type': 'krait', 'd_model': 16, 'n_layer': 2, %s}", runs[i].model);
        json_t *j = json_of(text);
        if (kr_model_describe(&m, j, "test", KR_BF16, "cuda") != KR_OK) fail_msg("%s", kr_error());
        json_decref(j);
        assert_int_equal(kr_params_alloc(m->params, true), KR_OK);
        kr_graph *g = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_TRAIN, .S = 2, .L = 8, .stateful = true});
        int n_low = 0, n_from_params = 0;
        for (const kr_node *n = g->nodes; n; n = n->all_next) {
            if (n->kind == KR_NODE_ACT) n_low += n->dtype == KR_BF16, n_from_params += n->from_params;
            if ((n->from_params && n->kind == KR_NODE_ACT) || n->kind == KR_NODE_STATE) assert_int_equal(n->dtype, KR_F32);
            if (n->kind == KR_NODE_GRAD && n->param) assert_int_equal(n->dtype, KR_F32);
        }
        assert_true(n_low > 4);
        assert_true(n_from_params > 0 || strstr(runs[i].model, "s4d"));
        kr_graph_free(g);
        kr_model_release(m);
    }
}

/* A trained model reads and writes on both; its state goes through a file. */
static void test_session(void **state) {
    (void)state;
    watch w = {0};
    const char *dir = new_folder();
    char path[200];
    run(dir, M2, "", "", "cpu", false, 0, &w);
    snprintf(path, sizeof path, "%s/state", dir);
    for (int low = 0; low < 3; low++) {
        int32_t said[2][48], prompt[300];
        for (int i = 0; i < 300; i++) prompt[i] = "the quick brown fox "[i % 20];
        for (int k = 0; k < 2; k++) {
            kr_model *m;
            kr_session *s;
            kr_model_options o = {.dtype = low ? "bfloat16" : "float32", .device = k || low ? "cuda" : "cpu"};
            kr_session_options so = {.state_dtype = low == 2 ? "float16" : NULL};
            if (kr_model_open(&m, dir, &o) != KR_OK || kr_session_new(&s, m, &so) != KR_OK) fail_msg("%s", kr_error());
            assert_int_equal(kr_session_feed(s, prompt, 300), KR_OK);
            for (int i = 0; i < 48; i++) {
                if (k && i == 20) { /* another session goes on from a file */
                    assert_int_equal(kr_session_save(s, path), KR_OK);
                    kr_session_free(s);
                    assert_int_equal(kr_session_new(&s, m, &so), KR_OK);
                    assert_int_equal(kr_session_load(s, path), KR_OK);
                }
                said[k][i] = kr_session_sample(s);
                assert_int_equal(kr_session_feed(s, &said[k][i], 1), KR_OK);
            }
            kr_session_free(s);
            kr_model_free(m);
        }
        if (fake || low) assert_memory_equal(said[0], said[1], sizeof said[0]);
    }
    kr_dir_remove(dir);
}

typedef struct reply { int32_t tok[64]; int n; kr_finish how; } reply;
static reply collect(kr_request *r) {
    reply a = {0};
    kr_event ev;
    while (kr_request_next(r, &ev, -1) && ev.finish == KR_GOES_ON) a.tok[a.n++] = ev.tok;
    a.how = ev.finish;
    return a;
}
static void goes_on_as(const kr_model *m, const kr_snapshot *x, const int32_t *want, int n) {
    kr_session *s;
    assert_int_equal(kr_session_new(&s, m, &(kr_session_options){0}), KR_OK);
    assert_int_equal(kr_session_restore(s, x), KR_OK);
    for (int k = 0; k < n; k++) {
        assert_int_equal(kr_session_sample(s), want[k]);
        assert_int_equal(kr_session_feed(s, &want[k], 1), KR_OK);
    }
    kr_session_free(s);
}
/* The engine writes what sessions write, known prompts, drafts and kept states too. */
static void test_engine(void **state) {
    enum { N = 5, WRITTEN = 20, FURTHER = 8, ALL = WRITTEN + FURTHER, ROUNDS = 4 };
    static int32_t prompt[N][200], want[N][ALL];
    reply got[N];
    kr_snapshot *kept[ROUNDS][N];
    (void)state;
    watch w = {0};
    const char *dir = new_folder();
    kr_model *m;
    kr_engine *e;
    kr_request *r[N];
    run(dir, M2, "", "", "cpu", false, 0, &w);
    if (kr_model_open(&m, dir, &(kr_model_options){.device = "cuda"}) != KR_OK) fail_msg("%s", kr_error());
    for (int i = 0; i < N; i++) {
        kr_session *s;
        assert_int_equal(kr_session_new(&s, m, &(kr_session_options){.prefill_tok = 16}), KR_OK);
        if (i % 2) assert_int_equal(kr_session_set_draft(s, &(kr_draft_options){.model = i == 3 ? m : NULL}), KR_OK);
        for (int k = 0; k < 200; k++) prompt[i][k] = "the quick brown fox "[(k + (k > 100) * i) % 20];
        assert_int_equal(kr_session_feed(s, prompt[i], 200), KR_OK);
        for (int k = 0; k < ALL; k++) {
            want[i][k] = kr_session_sample(s);
            assert_int_equal(kr_session_feed(s, &want[i][k], 1), KR_OK);
        }
        kr_session_free(s);
    }
    for (int draft = 0; draft < 3; draft++) { /* none, from the text, by a model: this one */
        kr_engine_options eo = {.n_slots = 3, .grain = 16, .n_draft = draft ? 4 + 4 * draft : 0, .draft = draft == 2 ? m : NULL};
        if (kr_engine_new(&e, m, &eo) != KR_OK) fail_msg("%s", kr_error());
        for (int round = 0; round < ROUNDS; round++) {
            bool apart = round % 2 == 1, stops = round > 1; /* one after the other; at a token in their midst */
            for (int i = 0; i < N; i++) {
                kr_request_options o = {.prompt = prompt[i], .n_prompt = 200, .max_tok = WRITTEN, .keep_state = true, .stop_tok = &want[i][WRITTEN / 2], .n_stop_tok = stops};
                assert_int_equal(kr_engine_submit(e, &o, &r[i]), KR_OK);
                if (apart) got[i] = collect(r[i]);
            }
            for (int i = 0; i < N; i++) {
                if (!apart) got[i] = collect(r[i]);
                if (fake || !stops) assert_int_equal(got[i].how, stops ? KR_FINISH_END : KR_FINISH_LENGTH);
                if (fake) assert_memory_equal(got[i].tok, want[i], (size_t)got[i].n * sizeof *got[i].tok);
                if (!stops) assert_int_equal(got[i].n, WRITTEN);
                assert_int_equal(kr_request_state(r[i], &kept[round][i]), KR_OK);
                assert_int_equal(kr_snapshot_n_tok(kept[round][i]), 200 + got[i].n);
                kr_request_free(r[i]);
            }
        }
        kr_engine_stats st;
        kr_engine_get_stats(e, &st);
        assert_true(st.n_cached >= N * 200);
        if (draft) assert_true(st.n_guessed > 0 && st.n_accepted > 0 && st.n_accepted <= st.n_guessed);
        kr_engine_free(e); /* before sessions run: the device that is none serves one thread */
        for (int round = 0; round < ROUNDS; round++)
            for (int i = 0; i < N; i++) {
                const kr_snapshot *x = kept[round][i];
                if (fake) goes_on_as(m, x, want[i] + kr_snapshot_n_tok(x) - 200, FURTHER);
                kr_snapshot_free(kept[round][i]);
            }
    }
    kr_model_free(m);
    kr_dir_remove(dir);
}

/* --- decoding in few launches ----------------------------------------------------------- */

#define WIDE "'d_model': 64, 'n_layer': 3, 'vocab_size': 50, 'mixer': {'type': 'mamba2', 'd_state': 32, 'headdim': 64"
/* How many layers begin, and how many go on, as one op. */
static const struct { const char *name, *model; int n_in, n_ssd; } steps[] = {
    {"mamba2", WIDE "}", 3, 3},
    {"groups", WIDE ", 'ngroups': 2, 'dt_limit_min': 0.01, 'dt_limit_max': 0.05}", 3, 3},
    {"biases", WIDE ", 'ngroups': 2, 'group_norm': false, 'bias': true, 'conv_bias': false}", 3, 3},
    {"an odd head", "'d_model': 32, 'n_layer': 1, 'vocab_size': 50, 'mixer': {'type': 'mamba2', 'd_state': 7, 'headdim': 16}", 1, 1},
    {"other widths", "'d_model': 40, 'n_layer': 2, 'vocab_size': 50, 'mixer': {'type': 'mamba2', 'd_state': 16, 'headdim': 16}", 0, 0},
    {"a norm before the gate", WIDE ", 'norm_before_gate': true}", 3, 0},
    {"no norm", WIDE ", 'rmsnorm': false}", 3, 0},
    {"a D per channel", WIDE ", 'D_has_hdim': true}", 3, 0},
    {"not all channels", WIDE ", 'd_ssm': 64}", 3, 0},
    {"three taps", WIDE ", 'd_conv': 3}", 0, 0},
    {"mamba1", "'d_model': 64, 'n_layer': 2, 'vocab_size': 50, 'mixer': {'type': 'mamba1', 'd_state': 8}", 2, 0},
    {"falcon", "'d_model': 64, 'n_layer': 2, 'vocab_size': 50, 'mixer': {'type': 'mamba1', 'd_state': 16, 'rms_norm_dt_bc': true}", 2, 0},
    {"s4d", "'d_model': 32, 'n_layer': 2, 'vocab_size': 50, 'mixer': {'type': 's4d', 'd_state': 4}", 2, 0},
};
enum { N_STEPS = sizeof steps / sizeof *steps, ROWS = 3, V50 = 50 };

static kr_model *low_model(const char *members) {
    char text[400];
    kr_model *m;
    snprintf(text, sizeof text, "{'model_type': 'krait', %s}", members);
    json_t *j = json_of(text);
    if (kr_model_describe(&m, j, "test", KR_BF16, "cuda") != KR_OK || kr_params_alloc(m->params, false) != KR_OK) fail_msg("%s", kr_error());
    json_decref(j);
    kr_params_init(m->params, 3);
    assert_int_equal(kr_params_push(m->params), KR_OK);
    return m;
}

static int count_steps(const kr_graph *g, const kr_op *op) {
    int n = 0;
    for (int k = 0; k < g->n_steps; k++) n += g->steps[k].op == op && !g->steps[k].dead;
    return n;
}

/* Logits of ROWS sequences (or of the first alone) after n tokens, one at a time. */
static void decode(kr_model *m, bool plain, kr_dtype state_dtype, int64_t rows, int n, const bool *fresh, float *logits, int which) {
    kr_graph *g = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_LAST, .S = rows, .L = 1, .stateful = true, .plain = plain, .state_dtype = state_dtype});
    assert_int_equal(count_steps(g, &kr_op_step_in), plain ? 0 : steps[which].n_in);
    assert_int_equal(count_steps(g, &kr_op_step_ssd), plain ? 0 : steps[which].n_ssd);
    for (int k = 0; !plain && steps[which].n_ssd && k < g->n_steps; k++) /* nothing else is left, but for the first norm */
        if (!g->steps[k].dead && !g->steps[k].once && g->steps[k].op != &kr_op_embedding && strncmp(g->steps[k].op->name, "step_", 5) != 0)
            if (g->steps[k].op != &kr_op_add_rmsnorm || k != 1) fail_msg("%s: step %d is %s", steps[which].name, k, g->steps[k].op->name);
    for (int t = 0; t < n; t++) {
        int32_t *ids = kr_graph_data(g, "ids");
        for (int64_t s = 0; s < rows; s++) ids[s] = (int32_t)((7 * t + 11 * s + t * s) % V50);
        if (fresh && t == n / 2) kr_graph_reset_states(g, fresh);
        kr_graph_run(g, KR_RUN_FORWARD);
    }
    const float *got = kr_graph_data(g, "logits");
    if (kr_graph_wait(g) != KR_OK) fail_msg("%s", kr_error());
    memcpy(logits, got, (size_t)(rows * V50) * sizeof *got);
    kr_graph_free(g);
}

static double apart(const float *a, const float *b, int64_t n) {
    double d = 0, size = 0;
    for (int64_t i = 0; i < n; i++) d += pow((double)a[i] - b[i], 2), size += pow(b[i], 2);
    return sqrt(d / size);
}

static void test_few_launches(void **state) {
    (void)state;
    const bool fresh[ROWS] = {false, true, false};
    for (int i = 0; i < N_STEPS; i++) {
        kr_model *m = low_model(steps[i].model);
        float plain[ROWS * V50], few[ROWS * V50], alone[V50];
        decode(m, true, KR_F32, ROWS, 9, fresh, plain, i);
        decode(m, false, KR_F32, ROWS, 9, fresh, few, i);
        decode(m, false, KR_F32, 1, 9, NULL, alone, i);
        double e = apart(few, plain, ROWS * V50);
        if (!(e <= 0.02)) fail_msg("%s: logits are off by %g of their size", steps[i].name, e);
        if (steps[i].n_ssd && memcmp(few, alone, sizeof alone) != 0) fail_msg("%s: a row has other bits alone", steps[i].name);
        for (int low = 0; low < 2; low++) {
            float half[ROWS * V50];
            decode(m, false, low ? KR_BF16 : KR_F16, ROWS, 9, fresh, half, i);
            e = apart(half, few, ROWS * V50);
            if (!(e <= 0.02) || (steps[i].n_ssd && e == 0)) fail_msg("%s: logits over states in half are off by %g", steps[i].name, e);
            decode(m, true, low ? KR_BF16 : KR_F16, ROWS, 9, fresh, plain, i);
            e = apart(half, plain, ROWS * V50);
            if (!(e <= 0.02)) fail_msg("%s: the same op by op are off by %g", steps[i].name, e);
        }
        kr_model_release(m);
    }
}

/* --- weights in blocks -------------------------------------------------------------------- */

/* y [rows, N] = x W^T + b of a graph on the device, and as doubles from the blocks that it was given; scale: of x's
 * eight bits, or 0. */
static double product_off(kr_dtype type, int64_t rows, int64_t K, int64_t N, double scale) {
    kr_device *d;
    kr_params *p;
    kr_graph *g;
    double e = 0, size = 0;
    assert_int_equal(kr_device_open(&d, "cuda"), KR_OK);
    assert_int_equal(kr_params_new(&p, KR_BF16, d), KR_OK);
    assert_int_equal(kr_graph_new(&g, p, &(kr_graph_options){.n_threads = 1}), KR_OK);
    kr_node *x = kr_input(g, "x", KR_F32, 3, KR_DIMS(rows, 1, K));
    kr_init normal = {KR_INIT_NORMAL, 0.05, 0, 0, NULL};
    for (int go = 0; go < 2; go++) { /* first only to make the parameter, whose type is chosen then */
        kr_node *W = kr_weight(g, "W", KR_MATRIX, 2, KR_DIMS(N, K), normal), *b = kr_weight(g, "b", 0, 1, KR_DIMS(N), normal);
        kr_node *by = scale ? kr_weight(g, "s", KR_NO_DECAY, 1, KR_DIMS(1), (kr_init){KR_INIT_CONST, scale, 0, 0, NULL}) : NULL;
        if (go) kr_graph_keep(g, KR_APPLY(g, linear, NULL, x, W, b, by), "y");
        else {
            kr_graph_free(g);
            p->first->dtype = type;
            if (kr_params_alloc(p, false) != KR_OK) fail_msg("%s", kr_error());
            kr_params_init(p, 7);
            if (kr_params_push(p) != KR_OK) fail_msg("%s", kr_error());
            assert_int_equal(kr_graph_new(&g, p, &(kr_graph_options){.n_threads = 1, .impl = KR_CUDA}), KR_OK);
            x = kr_input(g, "x", KR_F32, 3, KR_DIMS(rows, 1, K));
        }
    }
    if (kr_graph_plan(g) != KR_OK || kr_graph_alloc(g) != KR_OK) fail_msg("%s", kr_error());
    float *in = kr_graph_data(g, "x"), *w = kr_mem_array((size_t)(N * K), sizeof *w);
    kr_rng r = {5, 3, 0};
    for (int64_t i = 0; i < rows * K; i++) in[i] = kr_from_bf16(kr_to_bf16((float)kr_rng_normal(&r)));
    kr_convert(w, KR_F32, p->first->data, type, N * K);
    kr_graph_run(g, KR_RUN_FORWARD);
    const float *y = kr_graph_data(g, "y"), *bias = p->first->next->data;
    if (kr_graph_wait(g) != KR_OK) fail_msg("%s", kr_error());
    for (int64_t i = 0; scale && i < rows * K; i++) in[i] = (float)(scale * fmin(fmax(nearbyint(in[i] / (float)scale), -127), 127)); /* as the product sees it */
    for (int64_t i = 0; i < rows * N; i++) {
        double sum = bias[i % N];
        for (int64_t k = 0; k < K; k++) sum += (double)in[i / N * K + k] * w[i % N * K + k];
        e += (y[i] - sum) * (y[i] - sum), size += sum * sum;
    }
    kr_mem_free(w);
    kr_graph_free(g);
    kr_params_free(p);
    return sqrt(e / size);
}

/* Few rows, as many as one more product takes, more (those get numbers); sizes that fit no vector. */
static void test_products_of_blocks(void **state) {
    (void)state;
    static const kr_dtype types[] = {KR_Q8_0, KR_Q4_0, KR_Q4_K, KR_Q6_K};
    static const int64_t shape[][3] = {{1, 256, 48}, {3, 768, 37}, {9, 512, 40}, {17, 1024, 2100}, {32, 512, 16}, {33, 512, 24}, {70, 256, 9}, {1, 2560, 33},
                                       {2, 768, 8200}, {20, 256, 8200}, {4, 32, 7}, {5, 96, 20}};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
            if (shape[i][1] % kr_dtype_block(types[t])) continue;
            double e = product_off(types[t], shape[i][0], shape[i][1], shape[i][2], 0), most = fake ? 0.02 : types[t] == KR_Q6_K ? 8e-3 : shape[i][1] % 256 ? 4e-3 : 3e-3; /* a CPU rounds x; a GPU Q6_K once more, and rows of odd lengths to bfloat16 */
            if (!(e <= most)) fail_msg("%s, %lld rows of %lld, %lld columns: off by %g", kr_dtype_text(types[t]), (long long)shape[i][0], (long long)shape[i][1], (long long)shape[i][2], e);
            e = product_off(types[t], shape[i][0], shape[i][1], shape[i][2], 0.02);
            if (!(e <= fmax(most, 4e-3))) fail_msg("%s, rows with a scale, %lld of %lld, %lld columns: off by %g", kr_dtype_text(types[t]), (long long)shape[i][0], (long long)shape[i][1], (long long)shape[i][2], e);
        }
}

/* A model in blocks says what the same numbers in bfloat16 say, steps as well as prompts, and the bits
 * of a row are its own. */
static void test_models_in_blocks(void **state) {
    (void)state;
    static const char *const config[] = {
        "'d_model': 256, 'n_layer': 2, 'vocab_size': 50, 'mixer': {'type': 'mamba2', 'd_state': 32, 'headdim': 64}",
        "'d_model': 96, 'n_layer': 2, 'vocab_size': 50, 'tie_embeddings': false, 'mixer': {'type': 'mamba1', 'd_state': 8}",
    };
    static const kr_dtype types[] = {KR_Q8_0, KR_Q4_K};
    for (int c = 0; c < 2; c++)
        for (int t = 0; t < 2; t++) {
            char dir[] = "/tmp/krait-blocks.XXXXXX", path[2][600];
            assert_non_null(mkdtemp(dir));
            kr_model *m = low_model(config[c]), *held;
            for (int k = 0; k < 2; k++) snprintf(path[k], sizeof path[k], "%s/%s", dir, k ? "wide" : "blocks");
            assert_int_equal(kr_model_save(m, path[0], types[t]), KR_OK);
            kr_model_release(m);
            assert_int_equal(kr_model_load(&m, path[0], false, KR_AS_STORED, NULL), KR_OK);
            assert_int_equal(kr_model_save(m, path[1], KR_F32), KR_OK);
            kr_model_release(m);
            assert_int_equal(kr_model_load(&m, path[1], false, KR_BF16, "cuda"), KR_OK);
            if (kr_model_load(&held, path[0], false, KR_AS_STORED, "cuda") != KR_OK) fail_msg("%s", kr_error());
            int n_blocks = 0;
            for (const kr_param *p = held->params->first; p; p = p->next) n_blocks += kr_dtype_block(p->dtype) > 1;
            assert_true(n_blocks >= 5);
            for (int64_t L = 1; L <= 9; L += 8) {
                float logits[3][ROWS * V50];
                for (int k = 0; k < 3; k++) {
                    int64_t rows = k < 2 ? ROWS : 1;
                    kr_graph *g = graph_of(k ? held : m, (kr_model_graph_options){.mode = KR_MODEL_LAST, .S = rows, .L = L, .stateful = true});
                    for (int step = 0; step < 3; step++) {
                        for (int64_t i = 0; i < rows * L; i++) ((int32_t *)kr_graph_data(g, "ids"))[i] = (int32_t)((7 * i + 3 * step) % V50);
                        kr_graph_run(g, KR_RUN_FORWARD);
                    }
                    const float *got = kr_graph_data(g, "logits");
                    if (kr_graph_wait(g) != KR_OK) fail_msg("%s", kr_error());
                    memcpy(logits[k], got, (size_t)(rows * V50) * sizeof *got);
                    kr_graph_free(g);
                }
                double e = apart(logits[1], logits[0], ROWS * V50);
                if (!(e <= 0.02)) fail_msg("%s, model %d, L %d: logits are off by %g", kr_dtype_text(types[t]), c, (int)L, e);
                if (c == 0 && L == 1 && memcmp(logits[1], logits[2], V50 * sizeof(float)) != 0) fail_msg("%s: a row has other bits alone", kr_dtype_text(types[t]));
            }
            kr_model_release(held);
            kr_model_release(m);
            assert_int_equal(kr_model_load(&m, path[1], false, KR_Q8_0, "cuda"), KR_OK); /* in blocks while it is read */
            assert_int_equal(m->params->first->dtype, KR_Q8_0);
            kr_model_release(m);
            assert_int_equal(kr_model_load(&m, path[1], true, KR_Q8_0, "cuda"), KR_ERR_ARG);
            kr_dir_remove(dir);
        }
}

/* A model quantized with w8a8, its scales found on a CPU, says on the device what it says there. */
static void test_fixed_scales(void **state) {
    (void)state;
    static const char *const config[] = {
        "'d_model': 96, 'n_layer': 2, 'vocab_size': 256, 'mixer': {'type': 'mamba2', 'headdim': 32, 'd_state': 16}",
        "'d_model': 64, 'n_layer': 2, 'vocab_size': 256, 'mixer': {'type': 'mamba1', 'd_state': 5, 'dt_rank': 32}",
    };
    enum { L = 40, V = 256 };
    static float logits[2][V];
    for (int c = 0; c < 2; c++) {
        char dir[] = "/tmp/krait-w8a8.XXXXXX", path[2][600], text[1500];
        assert_non_null(mkdtemp(dir));
        for (int k = 0; k < 2; k++) snprintf(path[k], sizeof path[k], "%s/%d", dir, k);
        for (size_t i = 0; i < sizeof text; i++) text[i] = (char)(i * 7);
        kr_model *m = low_model(config[c]);
        assert_int_equal(kr_model_save(m, path[0], KR_F32), KR_OK);
        kr_model_release(m);
        kr_w8a8_options o = {.text = text, .n_bytes = sizeof text, .percentile = 100};
        if (kr_model_quantize_w8a8(path[0], path[1], &o) != KR_OK) fail_msg("%s", kr_error());
        for (int k = 0; k < 2; k++) {
            if (kr_model_load(&m, path[1], false, KR_AS_STORED, k ? "cuda" : NULL) != KR_OK) fail_msg("%s", kr_error());
            kr_graph *g = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_LAST, .S = 1, .L = 1, .stateful = true, .n_threads = 1});
            for (int t = 0; t < L; t++) {
                *(int32_t *)kr_graph_data(g, "ids") = t * 7 % V;
                kr_graph_run(g, KR_RUN_FORWARD);
            }
            const float *got = kr_graph_data(g, "logits");
            if (kr_graph_wait(g) != KR_OK) fail_msg("%s", kr_error());
            memcpy(logits[k], got, sizeof logits[k]);
            kr_graph_free(g);
            kr_model_release(m);
        }
        double e = apart(logits[1], logits[0], V);
        if (!(e <= 0.08)) fail_msg("model %d: logits are off by %g", c, e); /* what bfloat16 moves may be rounded to the next of 255 numbers */
        kr_dir_remove(dir);
    }
}

static void test_what_is_not_there(void **state) {
    (void)state;
    static const struct { const char *device, *says; } bad[] = {{"tpu", "want cpu, cuda or cuda:N"}, {"cuda:", "want cpu"}, {"cuda:x", "want cpu"},
                                                                {"cuda:77", "no device cuda:77"}, {"cuda:-1", "want cpu"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        kr_device *d;
        assert_int_not_equal(kr_device_open(&d, bad[i].device), KR_OK);
        if (!strstr(kr_error(), bad[i].says)) fail_msg("%s: %s", bad[i].device, kr_error());
    }
}

int main(void) {
    kr_device *d;
    kr_device_info info;
    if (kr_device_open(&d, "cuda") != KR_OK) return printf("check_device: skipped: %s\n", kr_error()), 77;
    assert_int_equal(kr_cuda()->info(d, &info), KR_OK);
    fake = strcmp(info.name, "fake") == 0;
    printf("check_device: %s, compute capability %d.%d\n", info.name, info.major, info.minor);
    kr_device_close(d);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_training_as_on_a_cpu), cmocka_unit_test(test_bfloat16), cmocka_unit_test(test_resume),
                                       cmocka_unit_test(test_session), cmocka_unit_test(test_engine), cmocka_unit_test(test_few_launches), cmocka_unit_test(test_what_stays_float32),
                                       cmocka_unit_test(test_products_of_blocks), cmocka_unit_test(test_models_in_blocks), cmocka_unit_test(test_fixed_scales),
                                       cmocka_unit_test(test_what_is_not_there)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
