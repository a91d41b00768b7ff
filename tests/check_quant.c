/* check_quant.c - models whose matrices are held in 16 bits or in blocks: written, read, run. */
#include "model_case.h"
#include "krait.h"
#include "tensor/quant.h"
#include "tensor/weave.h"

static const char *const configs[] = {
    "{'model_type': 'krait', 'd_model': 256, 'n_layer': 2, 'vocab_size': 70, 'mixer': {'type': 'mamba2', 'headdim': 64, 'd_state': 16}}",
    "{'model_type': 'krait', 'd_model': 96, 'n_layer': 1, 'vocab_size': 33, 'tie_embeddings': false, 'mixer': {'type': 'mamba1', 'd_state': 5}}",
};
static const kr_dtype types[] = {KR_BF16, KR_F16, KR_Q8_0, KR_Q6_K, KR_Q4_K, KR_Q4_0};

static kr_model *load_ok(const char *dir, kr_dtype dtype, bool training) {
    kr_model *m;
    if (kr_model_load(&m, dir, training, dtype, NULL) != KR_OK) fail_msg("%s", kr_error());
    return m;
}

static float loss_of(kr_model *m) {
    kr_graph *g = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_LOSS, .S = 2, .L = 19, .n_threads = 2});
    fill_inputs(m, g, 2, 19, 5);
    kr_graph_run(g, KR_RUN_FORWARD);
    float loss = *(const float *)kr_graph_data(g, "loss");
    kr_graph_free(g);
    return loss;
}

/* The logits after n tokens. */
static void last_logits(kr_model *m, int n, float *to) {
    kr_graph *g = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_LAST, .S = 1, .L = 1, .stateful = true});
    for (int32_t id = 0; id < n; id++) {
        *(int32_t *)kr_graph_data(g, "ids") = 3 * id;
        kr_graph_run(g, KR_RUN_FORWARD);
    }
    memcpy(to, kr_graph_data(g, "logits"), (size_t)m->config.vocab_size * sizeof *to);
    kr_graph_free(g);
}

static void same_values(const kr_model *a, const kr_model *b) { /* b in float32 */
    for (const kr_param *p = a->params->first, *q = b->params->first; p; p = p->next, q = q->next) {
        int64_t n = kr_param_count(p);
        float *x = kr_mem_array((size_t)n, sizeof *x);
        kr_convert(x, KR_F32, p->data, p->dtype, n);
        assert_int_equal(q->dtype, KR_F32);
        assert_memory_equal(x, q->data, (size_t)n * sizeof *x);
        kr_mem_free(x);
    }
}

static double distance(const float *x, const float *y, int64_t n) {
    double e = 0, all = 0;
    for (int64_t i = 0; i < n; i++) e += pow(x[i] - y[i], 2), all += pow(y[i], 2);
    return sqrt(e / all);
}

static void holds_what_is_stored(void **state) {
    (void)state;
    for (int c = 0; c < 2; c++)
        for (int t = 0; t < 6; t++) {
            char dir[] = "/tmp/krait-quant.XXXXXX";
            float held[70], wide[70];
            assert_non_null(mkdtemp(dir));
            kr_model *m = model_of(configs[c], 3);
            if (kr_model_save(m, dir, types[t]) != KR_OK) fail_msg("%s", kr_error());
            kr_model *a = load_ok(dir, KR_AS_STORED, false), *b = load_ok(dir, KR_F32, false), *trained = load_ok(dir, KR_AS_STORED, true);
            for (kr_param *p = a->params->first; p; p = p->next) {
                assert_int_equal(p->dtype, kr_matrix_dtype(p, types[t]));
                if (!p->matrix) assert_int_equal(p->dtype, KR_F32);
            }
            same_values(a, b);
            same_values(trained, b);
            assert_true(c || kr_params_bytes(a->params) < kr_params_bytes(b->params));
            bool exact = kr_dtype_block(types[t]) == 1; /* widening loses nothing, rounding activations a little... */
            last_logits(a, exact ? 6 : 1, held), last_logits(b, exact ? 6 : 1, wide); /* ... that drawn weights blow up */
            assert_true(exact ? loss_of(a) == loss_of(b) : fabsf(loss_of(a) - loss_of(b)) < 0.02f * loss_of(b));
            if (exact) assert_memory_equal(held, wide, (size_t)a->config.vocab_size * sizeof *held);
            else assert_true(distance(held, wide, a->config.vocab_size) < 0.05);
            kr_model_release(a), kr_model_release(b), kr_model_release(trained), kr_model_release(m);
            kr_dir_remove(dir);
        }
}

/* Rounded as it is read: as if it had been rounded when written. */
static void rounds_while_reading(void **state) {
    (void)state;
    char plain[] = "/tmp/krait-quant.XXXXXX", rounded[] = "/tmp/krait-quant.XXXXXX";
    assert_true(mkdtemp(plain) && mkdtemp(rounded));
    kr_model *m = model_of(configs[0], 4), *no;
    if (kr_model_save(m, plain, KR_F32) != KR_OK || kr_model_save(m, rounded, KR_Q4_K) != KR_OK) fail_msg("%s", kr_error());
    kr_model *a = load_ok(plain, KR_Q4_K, false), *b = load_ok(rounded, KR_AS_STORED, false);
    for (const kr_param *p = a->params->first, *q = b->params->first; p; p = p->next, q = q->next) {
        assert_int_equal(p->dtype, q->dtype);
        assert_memory_equal(p->data, q->data, kr_dtype_row_bytes(p->dtype, kr_param_count(p)));
    }
    assert_int_equal(kr_model_load(&no, plain, true, KR_Q4_K, NULL), KR_ERR_ARG);
    kr_model_release(a), kr_model_release(b), kr_model_release(m);
    kr_dir_remove(plain), kr_dir_remove(rounded);
}

/* Woven or where the file has them: the same bits, and the same model by its sign. */
static void weaving_changes_nothing(void **state) {
    (void)state;
    for (int c = 0; c < 2; c++)
        for (int t = 0; t < 6; t++) {
            char dir[] = "/tmp/krait-quant.XXXXXX", sign[3][KR_MODEL_SIGN + 1];
            float logits[3][70], loss[3];
            assert_non_null(mkdtemp(dir));
            kr_model *m = model_of(configs[c], 3), *at[3], *m2;
            if (kr_model_save(m, dir, types[t]) != KR_OK) fail_msg("%s", kr_error());
            for (int way = 0; way < 3; way++) { /* mapped, as it comes, woven */
                if (kr_model_open(&at[way], dir, &(kr_model_options){.mapped = way == 0, .woven = way == 2}) != KR_OK) fail_msg("%s", kr_error());
                for (const kr_param *p = at[way]->params->first; p; p = p->next) {
                    bool blocks = kr_dtype_block(p->dtype) > 1, weaves = p->matrix && p->n_dims == 2 && way > 0 && (way == 2 || blocks);
                    assert_int_equal(kr_is_woven(p->dtype), weaves);
                }
                kr_model_sign(sign[way], at[way]);
                last_logits(at[way], 7, logits[way]);
                loss[way] = loss_of(at[way]);
                assert_string_equal(sign[0], sign[way]);
                assert_true(loss[0] == loss[way]);
                assert_memory_equal(logits[0], logits[way], (size_t)m->config.vocab_size * sizeof(float));
            }
            assert_int_equal(kr_model_open(&m2, dir, &(kr_model_options){.mapped = true, .woven = true}), KR_ERR_ARG);
            for (int way = 0; way < 3; way++) kr_model_release(at[way]);
            kr_model_release(m);
            kr_dir_remove(dir);
        }
}

/* What blocks do not divide is held in something else. */
static void falls_back(void **state) {
    (void)state;
    kr_param p = {.name = "backbone.layers.0.mixer.dt_proj.weight", .n_dims = 2, .dim = {64, 48}, .matrix = true};
    assert_int_equal(kr_matrix_dtype(&p, KR_Q8_0), KR_F16);
    p.dim[1] = 96;
    assert_int_equal(kr_matrix_dtype(&p, KR_Q4_K), KR_Q4_0);
    assert_int_equal(kr_matrix_dtype(&p, KR_Q6_K), KR_Q8_0);
    p.dim[1] = 512;
    assert_int_equal(kr_matrix_dtype(&p, KR_Q4_K), KR_Q4_K);
    p.name = "backbone.embeddings.weight";
    assert_int_equal(kr_matrix_dtype(&p, KR_Q4_K), KR_Q6_K);
    p.name = "lm_head.weight";
    assert_int_equal(kr_matrix_dtype(&p, KR_Q4_0), KR_Q6_K);
    p.matrix = false;
    assert_int_equal(kr_matrix_dtype(&p, KR_BF16), KR_F32);
}

/* Fixed scales: near the model itself, and near each other with and without the rotation. */
static void fixed_scales(void **state) {
    static const char *const bytes[] = {
        "{'model_type': 'krait', 'd_model': 96, 'n_layer': 2, 'vocab_size': 256, 'mixer': {'type': 'mamba2', 'headdim': 32, 'd_state': 16}}",
        "{'model_type': 'krait', 'd_model': 64, 'n_layer': 3, 'vocab_size': 256, 'layers': ['mixer', 'mlp', 'small'],"
        " 'mixer': {'type': 'mamba1', 'd_state': 5, 'dt_rank': 32}, 'mixers': {'small': {'type': 'mamba1', 'd_state': 3, 'expand': 3}}}",
        "{'model_type': 'krait', 'd_model': 64, 'n_layer': 1, 'vocab_size': 256, 'mixer': {'type': 's4d'}}"};
    char text[1500];
    (void)state;
    for (int i = 0; i < 1500; i++) text[i] = (char)(i * 7);
    for (int c = 0; c < 3; c++) {
        char dir[] = "/tmp/krait-quant.XXXXXX", from[64], to[2][64], gguf[80];
        float had[2][256];
        assert_non_null(mkdtemp(dir));
        snprintf(from, sizeof from, "%s/from", dir);
        kr_model *m = model_of(bytes[c], 3), *q;
        assert_int_equal(kr_model_save(m, from, KR_F32), KR_OK);
        float loss = loss_of(m);
        for (int k = 0; k < 2; k++) {
            kr_w8a8_options o = {.text = text, .n_bytes = sizeof text, .percentile = 100, .no_hadamard = k};
            snprintf(to[k], sizeof to[k], "%s/to%d", dir, k);
            kr_status st = kr_model_quantize_w8a8(from, to[k], &o);
            assert_int_equal(st, c == 2 ? KR_ERR_CONFIG : KR_OK);
            if (c == 2) continue;
            assert_int_equal(kr_model_quantize_w8a8(from, to[k], &o), KR_ERR_CONFIG); /* there already */
            o.percentile = 0;
            assert_int_equal(kr_model_quantize_w8a8(from, from, &o), KR_ERR_ARG);
            q = load_ok(to[k], KR_AS_STORED, false);
            for (kr_param *p = q->params->first; p; p = p->next) {
                if (p->matrix) assert_int_equal(p->dtype, kr_matrix_dtype(p, KR_Q8_0));
                if (strstr(p->name, "_scale") && !(*(float *)p->data > 0 && *(float *)p->data != 1)) fail_msg("%s: %g", p->name, *(float *)p->data);
            }
            if (!(fabsf(loss_of(q) - loss) < 0.02f * loss)) fail_msg("%d %d: %g, want %g", c, k, loss_of(q), loss);
            snprintf(gguf, sizeof gguf, "%s/a.gguf", dir);
            assert_non_null(kr_model_gguf_obstacle(q));
            assert_int_not_equal(kr_model_convert(to[k], gguf, "q8_0"), KR_OK);
            kr_model_release(q);
            q = load_ok(to[k], KR_F32, false); /* weights that have been rounded, turned and not: what is left is that rounding */
            last_logits(q, 1, had[k]);
            kr_model_release(q);
        }
        if (c < 2) assert_true(distance(had[0], had[1], 256) < 0.02);
        kr_model_release(m);
        kr_dir_remove(dir);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(holds_what_is_stored), cmocka_unit_test(rounds_while_reading), cmocka_unit_test(weaving_changes_nothing),
                                       cmocka_unit_test(falls_back), cmocka_unit_test(fixed_scales)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
