/* check_engine.c - many sequences at once, each as if it were alone.
 *
 *   alone      random requests at random times: every token, probability and state is that of
 *              a session by itself, whatever the slots, the cache and the threads do
 *   drafts     the same with tokens guessed ahead, right or wrong, some with and some without
 *   prefix     what is found again, what is kept under a budget
 *   ends       stop strings, stop tokens, limits, cancelling, draining, refusing */
#include <pthread.h>
#include <time.h>

#include "base/mem_test.h"
#include "infer/engine.h"
#include "infer/session.h"
#include "model_case.h"

#define TINY "'model_type': 'krait', 'd_model': 16, 'n_layer': 2, 'vocab_size': 256, "
static const char *const models[] = {
    "{" TINY "'mixer': {'type': 'mamba2', 'd_state': 8, 'headdim': 8, 'chunk_size': 32}}",
    "{" TINY "'mixer': {'type': 'mamba1', 'd_state': 4}}",
    "{" TINY "'mixer': {'type': 'mamba2', 'd_state': 4, 'headdim': 4}, 'layers': ['mixer', 'attention+mlp'], 'mixers': {'attention': {'n_head': 2, 'cache_len': 100}}}",
    "{" TINY "'mixer': {'type': 's4d', 'd_state': 4}}",
    "{" TINY "'mixer': {'type': 'mamba2', 'd_state': 8, 'headdim': 8}, 'layers': ['mixer+mlp', 'mamba1+s4d'], 'mixers': {'s4d': {'d_state': 4}}}",
    "{" TINY "'mixer': {'type': 'mamba3', 'd_state': 8, 'headdim': 8}}",
    "{" TINY "'mixer': {'type': 'mamba3', 'd_state': 8, 'headdim': 8, 'mimo_rank': 2}, 'layers': ['mixer', 'attention+moe'],"
    " 'mixers': {'attention': {'n_head': 4, 'n_kv_head': 2, 'cache_len': 2000, 'rope_dims': -1, 'd_conv': 3}, 'moe': {'n_expert': 4, 'top_k': 2}}}",
    "{" TINY "'mixer': {'type': 'mamba2', 'd_state': 4, 'headdim': 4, 'learnable_init_states': true}, 'layers': ['mixer', 'lstm']}",
    "{" TINY "'mixer': {'type': 'mamba1', 'd_state': 4}, 'memory': {'type': 'dense'}}",
    "{" TINY "'mixer': {'type': 'mamba1', 'd_state': 4}, 'memory': {'type': 'suppress', 'alpha': 0.9}}",
};
enum { N_MODELS = sizeof models / sizeof *models, N_CUT = 5, GRAIN = 16, V = 256 }; /* the first are read in pieces of many lengths */

static kr_engine *engine_of(const kr_model *m, kr_engine_options o) {
    kr_engine *e;
    if (!o.grain) o.grain = GRAIN;
    if (!o.n_threads) o.n_threads = 1;
    if (kr_engine_new(&e, m, &o) != KR_OK) fail_msg("%s", kr_error());
    return e;
}
static kr_request *submit(kr_engine *e, kr_request_options o) {
    kr_request *r;
    if (kr_engine_submit(e, &o, &r) != KR_OK) fail_msg("%s", kr_error());
    return r;
}

typedef struct written { int32_t tok[512]; float logprob[512]; char text[4096]; int64_t n, n_text; kr_finish finish; } written;

static void collect(kr_request *r, written *w) {
    kr_event ev;
    *w = (written){0};
    while (kr_request_next(r, &ev, -1)) {
        memcpy(w->text + w->n_text, ev.text, (size_t)ev.n_bytes);
        w->n_text += ev.n_bytes;
        if (ev.finish != KR_GOES_ON) w->finish = ev.finish;
        else w->logprob[w->n] = ev.logprob, w->tok[w->n++] = ev.tok;
        if (ev.finish != KR_GOES_ON) break;
    }
    assert_false(kr_request_next(r, &ev, 0));
}

static void draw_text(int32_t *to, int64_t n, uint64_t seed) {
    kr_rng r = {seed, 5, 0};
    for (int64_t i = 0; i < n; i++) to[i] = (int32_t)kr_rng_below(&r, V);
}

/* --- alone -------------------------------------------------------------------------------------- */

typedef struct wish { int32_t prompt[2000]; int64_t n, max_tok, n_draft; kr_sampler_options how; } wish;

static void draw_wish(wish *w, uint64_t seed, int64_t grain) {
    kr_rng r = {seed, 6, 0};
    int64_t shared = kr_rng_below(&r, 4);
    w->n = 1 + kr_rng_below(&r, grain == 64 && shared == 2 ? 1900 : 300);
    draw_text(w->prompt, w->n, seed);
    int64_t n = shared == 0 ? 0 : 20 + 50 * shared; /* many begin alike */
    draw_text(w->prompt, n < w->n ? n : w->n, 1000 + (uint64_t)shared);
    w->max_tok = 1 + kr_rng_below(&r, 30);
    w->how = (kr_sampler_options){.temperature = kr_rng_below(&r, 3) ? 0.9f : 0, .top_p = 0.9f, .repetition_penalty = 1.1f, .frequency_penalty = 0.1f, .seed = seed};
}

/* Of drafts: texts that go round, and some that seem to; the likeliest token of a random model goes round too. */
static void draw_round(wish *w, uint64_t seed) {
    kr_rng r = {seed, 7, 0};
    int64_t round = 3 + kr_rng_below(&r, 20);
    for (int64_t i = round; i < w->n && seed % 4; i++) w->prompt[i] = w->prompt[i - round];
    w->max_tok = 1 + kr_rng_below(&r, 120);
    w->n_draft = seed % 5 == 4 ? -1 : seed % 5 == 3 ? 2 : 0;
    w->how = (kr_sampler_options){.temperature = kr_rng_below(&r, 3) ? 0 : 0.3f, .presence_penalty = seed % 7 == 6 ? 0.5f : 0, .seed = seed};
}

/* A session by itself. */
static void write_alone(kr_model *m, const wish *w, int64_t piece, written *out, kr_snapshot **end) {
    kr_session *s;
    if (kr_session_new(&s, m, &(kr_session_options){.sampler = &w->how, .prefill_tok = piece, .n_threads = 1}) != KR_OK) fail_msg("%s", kr_error());
    assert_int_equal(kr_session_feed(s, w->prompt, w->n), KR_OK);
    *out = (written){0};
    for (; out->n < w->max_tok; out->n++) {
        int32_t t = kr_session_sample(s);
        out->tok[out->n] = t;
        out->logprob[out->n] = kr_logprob_of(kr_session_logits(s), V, t);
        assert_int_equal(kr_session_feed(s, &t, 1), KR_OK);
    }
    assert_int_equal(kr_session_snapshot(end, s), KR_OK);
    kr_session_free(s);
}

static void check_same(const char *what, kr_request *r, const written *want, const kr_snapshot *end) {
    written got;
    kr_snapshot *s;
    collect(r, &got);
    if (got.finish != KR_FINISH_LENGTH) fail_msg("%s: ended by %d: %s", what, got.finish, kr_request_error(r));
    assert_int_equal(got.n, want->n);
    for (int64_t i = 0; i < got.n; i++)
        if (got.tok[i] != want->tok[i] || got.logprob[i] != want->logprob[i])
            fail_msg("%s: token %d is %d (%.9g), alone %d (%.9g)", what, (int)i, got.tok[i], got.logprob[i], want->tok[i], want->logprob[i]);
    if (kr_request_state(r, &s) == KR_OK) {
        assert_int_equal(kr_snapshot_n_tok(s), kr_snapshot_n_tok(end));
        assert_memory_equal(s->states, end->states, end->layout->bytes);
        assert_memory_equal(s->memory, end->memory, kr_sampler_memory_bytes(V));
        kr_snapshot_free(s);
    }
}

static int64_t n_guessed, n_accepted; /* of all */

static void check_alone(int model, kr_engine_options o, int n_wishes, uint64_t seed) {
    enum { MAX = 24 };
    static wish w[MAX];
    static written want[MAX];
    kr_snapshot *end[MAX];
    kr_request *r[MAX];
    kr_model *m = model_of(models[model], 3);
    kr_rng rng = {seed, 1, 0};
    for (int i = 0; i < n_wishes; i++) {
        uint64_t own = seed * 100 + (uint64_t)kr_rng_below(&rng, n_wishes); /* some come twice */
        draw_wish(&w[i], own, o.grain);
        if (o.n_draft) draw_round(&w[i], own);
        write_alone(m, &w[i], o.grain == 64 ? 256 : GRAIN, &want[i], &end[i]);
    }
    kr_engine *e = engine_of(m, o);
    for (int i = 0; i < n_wishes; i++) {
        r[i] = submit(e, (kr_request_options){.prompt = w[i].prompt, .n_prompt = w[i].n, .max_tok = w[i].max_tok, .n_draft = w[i].n_draft, .sampler = w[i].how, .logprobs = true,
                                              .keep_state = i % 2, .client = i % 3, .no_cache = i % 7 == 6});
        if (kr_rng_below(&rng, 3) == 0) nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        if (kr_rng_below(&rng, 6) == 0) { /* somebody who leaves */
            kr_request *gone = submit(e, (kr_request_options){.prompt = w[i].prompt, .n_prompt = w[i].n, .max_tok = 100});
            if (i % 2) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
            kr_request_free(gone);
        }
    }
    for (int i = 0; i < n_wishes; i++) {
        char what[80];
        snprintf(what, sizeof what, "model %d, %d slots, request %d", model, (int)o.n_slots, i);
        check_same(what, r[i], &want[i], end[i]);
        kr_request_free(r[i]);
        kr_snapshot_free(end[i]);
    }
    kr_engine_stats st;
    assert_true(kr_engine_drain(e, 10));
    kr_engine_get_stats(e, &st);
    assert_int_equal(st.n_waiting + st.n_reading + st.n_writing, 0);
    assert_int_equal(st.n_failed, 0);
    assert_true(st.cache_misses >= 0 && st.cache_hits + st.cache_misses <= st.n_requests); /* each counts once, however often it looks */
    assert_true(st.cache_bytes <= (o.cache_bytes > 0 ? o.cache_bytes : (int64_t)512 << 20));
    if (o.cache_bytes == 0) assert_true(st.n_cached > 0);
    if (o.n_draft == 0) assert_int_equal(st.n_guessed, 0);
    assert_true(st.n_accepted <= st.n_guessed);
    n_guessed += st.n_guessed, n_accepted += st.n_accepted;
    kr_engine_free(e);
    kr_model_release(m);
}

/* Only looked at. */
static const kr_model *model_of_once(int i) {
    static kr_model *m[N_MODELS];
    if (!m[i]) m[i] = model_of(models[i], 3);
    return m[i];
}

static void test_alone(void **state) {
    (void)state;
    for (int i = 0; i < N_MODELS; i++) {
        check_alone(i, (kr_engine_options){.n_slots = 5}, 24, 1);
        check_alone(i, (kr_engine_options){.n_slots = 3, .stall_s = 1e-6, .n_threads = 2}, 16, 2);
    }
    for (int i = 1; i < N_CUT; i++) { /* pieces of many lengths */
        assert_true(i == 2 || kr_cuts_anywhere(model_of_once(i), 64));
        if (i != 2) check_alone(i, (kr_engine_options){.n_slots = 4, .grain = 64, .stall_s = 0.01}, 20, 7 + (uint64_t)i);
    }
    assert_false(kr_cuts_anywhere(model_of_once(0), 16) || kr_cuts_anywhere(model_of_once(2), 64));
    check_alone(0, (kr_engine_options){.n_slots = 1}, 10, 3);
    check_alone(0, (kr_engine_options){.n_slots = 8, .cache_bytes = 60000}, 24, 4); /* room for a few states */
    check_alone(0, (kr_engine_options){.n_slots = 8, .cache_bytes = -1}, 24, 5);
    check_alone(1, (kr_engine_options){.n_slots = 16, .cache_bytes = 30000}, 24, 6);
    for (int i = 0; i < N_MODELS; i++) kr_model_release((kr_model *)model_of_once(i));
}

static void test_drafts(void **state) {
    (void)state;
    for (int i = 0; i < N_MODELS; i++) {
        check_alone(i, (kr_engine_options){.n_slots = 5, .n_draft = 7}, 20, 20 + (uint64_t)i);
        check_alone(i, (kr_engine_options){.n_slots = 1, .n_draft = 15}, 8, 40 + (uint64_t)i);
    }
    check_alone(0, (kr_engine_options){.n_slots = 8, .n_draft = 15, .cache_bytes = -1, .n_threads = 2}, 24, 61);
    check_alone(1, (kr_engine_options){.n_slots = 11, .n_draft = 3, .grain = 64}, 24, 62);
    check_alone(2, (kr_engine_options){.n_slots = 60, .n_draft = 7, .reuse_replies = true}, 24, 63);
    if (n_accepted < 2000 || n_guessed - n_accepted < 500) fail_msg("%d guessed, %d right", (int)n_guessed, (int)n_accepted);
}

/* A model that guesses: the same one, which is right nearly always, and another, which is not. */
static void test_draft_model(void **state) {
    for (int helper = 0; helper < 2; helper++) {
        kr_model *m = (*state = NULL, n_guessed = n_accepted = 0, model_of(models[helper], helper ? 4 : 3));
        check_alone(0, (kr_engine_options){.n_slots = 4, .n_draft = 7, .draft = m}, 16, 70 + (uint64_t)helper);
        check_alone(0, (kr_engine_options){.n_slots = 9, .n_draft = 3, .draft = m, .cache_bytes = -1}, 16, 90 + (uint64_t)helper);
        kr_model_release(m);
        if (n_guessed < 50 || (helper == 0 && n_accepted < n_guessed / 4)) fail_msg("helper %d: %d guessed, %d right", helper, (int)n_guessed, (int)n_accepted);
    }
}

/* Whatever ends a text, and whatever bounds it, does so at the same token with drafts and without; and what
 * is kept of it is the same. */
static void test_draft_ends(void **state) {
    enum { N = 40 };
    static written want[N], got;
    int32_t prompt[60];
    kr_snapshot *kept[N] = {0}, *s;
    kr_grammar *g, *list;
    (void)state;
    kr_model *m = model_of(models[0], 3);
    assert_int_equal(kr_grammar_new(&g, m, "root ::= [a-d]+ \".\"", -1), KR_OK);
    assert_int_equal(kr_grammar_new(&list, m, "root ::= \"[\" ([0-9] \", \"){3,30} \"]\"", -1), KR_OK);
    for (int draft = 0; draft < 2; draft++) {
        kr_engine *e = engine_of(m, (kr_engine_options){.n_slots = 3, .n_draft = draft ? 9 : 0, .cache_bytes = -1});
        kr_request *r[N];
        for (int i = 0; i < N; i++) {
            kr_request_options o = {.prompt = prompt, .n_prompt = 60, .max_tok = 60 + i, .logprobs = true, .n_top = 4, .keep_state = i % 3 != 2, .sampler = {.seed = 3}};
            for (int k = 0; k < 60; k++) prompt[k] = (k % 6) * 40 + i;
            const int32_t *told = want[i / 2 * 2].tok; /* of the request before, which is alike but for its end */
            char text[3] = {(char)told[21 + i % 9], (char)told[22 + i % 9], 0};
            const char *stop[] = {text};
            if (i % 2) o.prompt = prompt, prompt[0]--;
            for (int k = 0; k < 60 && i % 2; k++) prompt[k] = (k % 6) * 40 + i - 1;
            if (i % 10 == 1 || i % 10 == 5) o.stop_tok = &told[20 + i], o.n_stop_tok = 1;
            if (i % 10 == 3 && text[0] && text[1]) o.stop = stop, o.n_stop = 1;
            if (i % 10 == 7) o.grammar = g;
            if (i % 10 == 9) o.grammar = list, o.sampler.temperature = 1;
            if (i % 4 == 3) o.sampler.dry_multiplier = 0.8f, o.sampler.mirostat_tau = i % 8 == 7 ? 3 : 0;
            r[i] = submit(e, o);
            if (draft == 0 || i % 5 == 4) { /* in the first round the next one wants to know its tokens */
                collect(r[i], draft ? &got : &want[i]);
                if (draft) assert_memory_equal(&got, &want[i], sizeof got);
            }
        }
        for (int i = 0; i < N; i++) {
            if (draft && i % 5 != 4) {
                collect(r[i], &got);
                if (memcmp(&got, &want[i], sizeof got) != 0)
                    fail_msg("request %d: %d tokens, end %d; without drafts %d tokens, end %d", i, (int)got.n, got.finish, (int)want[i].n, want[i].finish);
            }
            kr_status st = kr_request_state(r[i], draft ? &s : &kept[i]);
            assert_int_equal(st, i % 3 != 2 ? KR_OK : KR_ERR_MISSING);
            if (draft && st == KR_OK) {
                assert_int_equal(kr_snapshot_n_tok(s), kr_snapshot_n_tok(kept[i]));
                assert_memory_equal(s->states, kept[i]->states, s->layout->bytes);
                assert_memory_equal(s->logits, kept[i]->logits, V * sizeof(float));
                assert_memory_equal(s->memory, kept[i]->memory, kr_sampler_memory_bytes(V));
                kr_snapshot_free(s);
                kr_snapshot_free(kept[i]);
            }
            kr_request_free(r[i]);
        }
        kr_engine_free(e);
    }
    int ends[KR_FINISH_ERROR + 1] = {0};
    for (int i = 0; i < N; i++) ends[want[i].finish]++;
    if (!ends[KR_FINISH_END] || !ends[KR_FINISH_STOP] || !ends[KR_FINISH_LENGTH] || ends[KR_FINISH_ERROR])
        fail_msg("%d ends, %d stops, %d lengths, %d errors", ends[KR_FINISH_END], ends[KR_FINISH_STOP], ends[KR_FINISH_LENGTH], ends[KR_FINISH_ERROR]);
    kr_grammar_free(g);
    kr_grammar_free(list);
    kr_model_release(m);
}

/* Ends within right guesses (stop strings of one letter, over and over) and at wrong ones (of three tokens at
 * random one is the end): the state that is kept is the same. */
static void test_draft_kept(void **state) {
    enum { N = 60 };
    static written want, got;
    int32_t prompt[30], end = 98;
    kr_logit_bias bias[3] = {{97, 1e4f}, {98, 1e4f}, {99, 1e4f}};
    const char many[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", *stop;
    (void)state;
    kr_model *m = model_of(models[2], 3);
    kr_engine *e = engine_of(m, (kr_engine_options){.n_slots = 2, .n_draft = 15, .cache_bytes = -1});
    for (int i = 0; i < N; i++) {
        kr_snapshot *kept[2];
        kr_request_options o = {.prompt = prompt, .n_prompt = 30, .max_tok = 80, .keep_state = true, .logprobs = true, .n_draft = -1,
                                .sampler = {.seed = (uint64_t)i, .temperature = 1, .bias = bias, .n_bias = i % 2 ? 3 : 1}};
        for (int k = 0; k < 30; k++) prompt[k] = 97 + (i % 2 ? k % 3 : 0);
        stop = many + sizeof many - 1 - i;
        if (i % 2) o.stop_tok = &end, o.n_stop_tok = 1;
        else if (i) o.stop = &stop, o.n_stop = 1;
        for (int draft = 0; draft < 2; draft++) {
            if (draft) o.n_draft = 0;
            kr_request *r = submit(e, o);
            collect(r, draft ? &got : &want);
            assert_int_equal(kr_request_state(r, &kept[draft]), KR_OK);
            kr_request_free(r);
        }
        assert_memory_equal(&got, &want, sizeof got);
        assert_int_equal(got.finish, i % 2 ? KR_FINISH_END : i ? KR_FINISH_STOP : KR_FINISH_LENGTH);
        assert_memory_equal(kept[0]->states, kept[1]->states, kept[0]->layout->bytes);
        assert_memory_equal(kept[0]->logits, kept[1]->logits, V * sizeof(float));
        for (int draft = 0; draft < 2; draft++) kr_snapshot_free(kept[draft]);
    }
    kr_engine_free(e);
    kr_model_release(m);
}

/* Who leaves in the midst of right guesses gets no more of them; what is kept is of all that was told. */
static void test_draft_cancel(void **state) {
    int32_t prompt[60];
    (void)state;
    kr_model *m = model_of(models[1], 3);
    kr_engine *e = engine_of(m, (kr_engine_options){.n_slots = 2, .n_draft = 15});
    kr_logit_bias same = {7, 1e4f}; /* the text is this token */
    for (int k = 0; k < 60; k++) prompt[k] = 7;
    for (int i = 0; i < 20; i++) {
        kr_request *r = submit(e, (kr_request_options){.prompt = prompt, .n_prompt = 60, .max_tok = 1000000, .keep_state = true, .sampler = {.bias = &same, .n_bias = 1}});
        kr_event ev;
        kr_snapshot *s;
        int64_t n = 0;
        for (int k = 0; k < 1 + 5 * i; k++, n++) assert_true(kr_request_next(r, &ev, 20) && ev.finish == KR_GOES_ON && ev.tok == 7);
        kr_request_cancel(r);
        while (kr_request_next(r, &ev, 20) && ev.finish == KR_GOES_ON) n++;
        assert_int_equal(ev.finish, KR_FINISH_CANCEL);
        assert_int_equal(kr_request_state(r, &s), KR_OK);
        assert_int_equal(kr_snapshot_n_tok(s), 60 + n);
        kr_snapshot_free(s);
        kr_request_free(r);
    }
    kr_engine_stats st;
    kr_engine_get_stats(e, &st);
    if (st.n_accepted < st.n_written / 2) fail_msg("%d of %d written", (int)st.n_accepted, (int)st.n_written);
    kr_engine_free(e);
    assert_int_equal(kr_engine_new(&e, m, &(kr_engine_options){.n_draft = 16}), KR_ERR_ARG);
    kr_model_release(m);
}

/* What all that rests on, for weights of every type: rows have the bits of a row alone, and a text
 * those of its pieces of 64. */
static kr_graph *stateful(kr_model *m, int64_t S, int64_t n) {
    return graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_LAST, .S = S, .L = n, .stateful = true, .n_threads = 2});
}

static void check_weights(const char *config, kr_dtype type) {
    enum { ROWS = 5, N = 256, W = 96 };
    json_t *j = json_of(config);
    kr_model *m;
    if (kr_model_describe(&m, j, "test", type, NULL) != KR_OK) fail_msg("%s", kr_error());
    json_decref(j);
    assert_int_equal(kr_params_alloc(m->params, false), KR_OK);
    kr_params_init(m->params, 3);
    kr_graph *one = stateful(m, 1, 1), *all = stateful(m, ROWS, 1), *piece = stateful(m, 1, 64), *whole = stateful(m, 1, N);
    for (int32_t i = 0; i < 6; i++) {
        for (int32_t s = 0; s < ROWS; s++) ((int32_t *)kr_graph_data(all, "ids"))[s] = (s * 31 + i * 7) % W;
        *(int32_t *)kr_graph_data(one, "ids") = (3 * 31 + i * 7) % W;
        kr_graph_run(all, KR_RUN_FORWARD);
        kr_graph_run(one, KR_RUN_FORWARD);
        if (memcmp((float *)kr_graph_data(all, "logits") + 3 * W, kr_graph_data(one, "logits"), W * sizeof(float)) != 0)
            fail_msg("%s: a row beside others has other bits than alone, step %d", kr_dtype_text(type), i);
    }
    for (int32_t i = 0; i < N; i++) ((int32_t *)kr_graph_data(whole, "ids"))[i] = (i * i + 5 * i) % W;
    kr_graph_run(whole, KR_RUN_FORWARD);
    for (int at = 0; at < N; at += 64) {
        memcpy(kr_graph_data(piece, "ids"), (int32_t *)kr_graph_data(whole, "ids") + at, 64 * sizeof(int32_t));
        kr_graph_run(piece, KR_RUN_FORWARD);
    }
    if (memcmp(kr_graph_data(piece, "logits"), kr_graph_data(whole, "logits"), W * sizeof(float)) != 0) fail_msg("%s: pieces have other bits than the whole", kr_dtype_text(type));
    kr_graph *const graphs[] = {one, all, piece, whole};
    for (int i = 0; i < 4; i++) kr_graph_free(graphs[i]);
    kr_model_release(m);
}

static void test_weights(void **state) {
    static const kr_dtype types[] = {KR_F32, KR_BF16, KR_F16, KR_Q8_0, KR_Q4_0, KR_Q4_K};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        check_weights("{'model_type': 'krait', 'd_model': 256, 'n_layer': 2, 'vocab_size': 96, 'mixer': {'type': 'mamba2', 'd_state': 32, 'headdim': 32}}", types[i]);
    for (size_t i = 0; i < 3; i++)
        check_weights("{'model_type': 'krait', 'd_model': 256, 'n_layer': 2, 'vocab_size': 96, 'layers': ['mamba1+mlp', 's4d']}", types[i]);
}

/* --- the prefix cache --------------------------------------------------------------------------------- */

static int64_t cached_of(kr_engine *e, const int32_t *tok, int64_t n) {
    kr_request *r = submit(e, (kr_request_options){.prompt = tok, .n_prompt = n, .max_tok = 1});
    kr_request_usage u;
    written w;
    collect(r, &w);
    assert_int_equal(w.finish, KR_FINISH_LENGTH);
    kr_request_get_usage(r, &u);
    assert_int_equal(u.n_prompt, n);
    kr_request_free(r);
    return u.n_cached;
}

static void test_shared_prompts(void **state) {
    int32_t a[400], b[400];
    (void)state;
    kr_model *m = model_of(models[0], 3);
    kr_engine *e = engine_of(m, (kr_engine_options){.n_slots = 2});
    draw_text(a, 400, 1);
    draw_text(b, 400, 2);
    assert_int_equal(cached_of(e, a, 333), 0);
    assert_int_equal(cached_of(e, a, 333), 333);       /* the same: all of it */
    assert_int_equal(cached_of(e, a, 400), 320);       /* longer: up to the grain */
    assert_int_equal(cached_of(e, a, 300), 288);       /* shorter */
    memcpy(b, a, 199 * sizeof *a);
    assert_int_equal(cached_of(e, b, 400), 192);       /* shares 199 */
    assert_int_equal(cached_of(e, b, 15), 0);
    assert_int_equal(cached_of(e, b, 15), 15);
    assert_int_equal(cached_of(e, b, 16), 16);
    kr_engine_free(e);
    e = engine_of(m, (kr_engine_options){.n_slots = 2, .cache_bytes = -1});
    assert_int_equal(cached_of(e, a, 100), 0);
    assert_int_equal(cached_of(e, a, 100), 0);
    kr_engine_free(e);
    kr_model_release(m);
}

/* Several of one prompt at once: it is read once. */
static void test_at_once(void **state) {
    enum { N = 6, LONG = 300 };
    int32_t a[LONG], b[LONG];
    kr_request *r[N];
    (void)state;
    kr_model *m = model_of(models[0], 3);
    draw_text(a, LONG, 1);
    draw_text(b, LONG, 2);
    memcpy(b, a, 200 * sizeof *a);
    for (int other = 0; other < 2; other++) {
        kr_engine *e = engine_of(m, (kr_engine_options){.n_slots = N});
        int64_t read = 0;
        for (int i = 0; i < N; i++) r[i] = submit(e, (kr_request_options){.prompt = other && i % 2 ? b : a, .n_prompt = LONG, .max_tok = 3});
        for (int i = 0; i < N; i++) {
            kr_request_usage u;
            written w;
            collect(r[i], &w);
            assert_int_equal(w.finish, KR_FINISH_LENGTH);
            kr_request_get_usage(r[i], &u);
            read += LONG - u.n_cached;
            kr_request_free(r[i]);
        }
        if (read != LONG + other * (LONG - 192)) fail_msg("%d tokens were read", (int)read);
        kr_engine_free(e);
    }
    kr_model_release(m);
}

/* A conversation: with reuse_replies nothing of what was written is read again. */
static void test_replies(void **state) {
    int32_t talk[400];
    (void)state;
    kr_model *m = model_of(models[0], 3);
    for (int reuse = 0; reuse < 2; reuse++) {
        kr_engine *e = engine_of(m, (kr_engine_options){.n_slots = 2, .reuse_replies = reuse});
        int64_t n = 50;
        draw_text(talk, 400, 9);
        for (int turn = 0; turn < 4; turn++) {
            kr_request *r = submit(e, (kr_request_options){.prompt = talk, .n_prompt = n, .max_tok = 21, .sampler = {.temperature = 1, .seed = 4}});
            kr_request_usage u;
            written w;
            collect(r, &w);
            kr_request_get_usage(r, &u);
            if (reuse && turn) assert_int_equal(u.n_cached, n - 10);
            if (!reuse && turn) assert_true(u.n_cached <= n - 10 && u.n_cached % GRAIN == 0);
            memcpy(talk + n, w.tok, (size_t)w.n * sizeof *talk);
            n += w.n + 10;
            kr_request_free(r);
        }
        kr_engine_free(e);
    }
    kr_model_release(m);
}

/* The cache by itself: found is what was added, never more than the budget is held, the last
 * prompt keeps its end, distances grow away from it. */
static void test_budget(void **state) {
    enum { ENTRY = 5000, N = 512 };
    int32_t tok[N];
    kr_prefix p;
    (void)state;
    kr_layout *l = kr_mem_new(sizeof *l);
    l->n_owners = 1;
    l->bytes = ENTRY - sizeof(kr_snapshot) - 100;
    l->V = 4;
    assert_int_equal(kr_prefix_open(&p, 8, 300000), KR_OK);
    for (uint64_t prompt = 0; prompt < 30; prompt++) {
        draw_text(tok, N, prompt % 10);
        kr_prefix_hit hit = kr_prefix_find(&p, tok, N, false, -1);
        if (hit.state) assert_int_equal(hit.state->n_tok, hit.n_tok);
        kr_snapshot_free(hit.state);
        bool known = hit.n_tok > 0;
        for (int64_t n = hit.n_tok + 8; n <= N; n += 8) {
            kr_snapshot *s;
            assert_int_equal(kr_snapshot_new(&s, l, true, false), KR_OK);
            s->n_tok = n;
            if (kr_prefix_wants(&p, tok, n, N, false, s->bytes)) assert_int_equal(kr_prefix_add(&p, tok, n, N, false, s), KR_OK);
            else kr_snapshot_free(s);
            assert_true(p.bytes <= p.budget);
        }
        hit = kr_prefix_find(&p, tok, N, false, -1);
        assert_int_equal(hit.n_tok, N);
        kr_snapshot_free(hit.state);
        int64_t last = 0, early = 0, late = 0;
        for (int64_t n = 8; n <= N; n += 8) { /* a prompt that shares n tokens */
            hit = kr_prefix_find(&p, tok, n, false, -1);
            p.now--;
            assert_true(hit.n_tok >= last);
            if (hit.n_tok == n) ++*(n <= N / 2 ? &early : &late);
            last = hit.n_tok;
            kr_snapshot_free(hit.state);
        }
        if (!known && (late < early || late < 3)) fail_msg("prompt %d has %d checkpoints in its first half, %d in its second", (int)prompt, (int)early, (int)late);
    }
    assert_true(p.n_evicted > 0);
    kr_prefix_close(&p);
    kr_layout_free(l);
}

/* --- ends --------------------------------------------------------------------------------------------- */

static void test_stops(void **state) {
    static const struct { const char *stop[3], *in[6], *want; bool found; } cases[] = {
        {{"stop"}, {"a st", "o", "p b"}, "a ", true},
        {{"stop"}, {"a st", "x"}, "a stx", false},
        {{"stop"}, {"a sto"}, "a sto", false},
        {{"bc", "abcd"}, {"xa", "b", "c", "d"}, "xa", true},
        {{"b", "ab"}, {"xab"}, "x", true},
        {{"aab"}, {"aa", "a", "ab"}, "aa", true},
        {{"\xc3\xa9"}, {"caf\xc3", "\xa9!"}, "caf", true},
        {{NULL}, {"\xf0\x9f", "\x98", "\x80!"}, "\xf0\x9f\x98\x80!", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kr_stops s;
        kr_str out = {0};
        int64_t n = 0;
        bool found = false;
        while (n < 3 && cases[i].stop[n]) n++;
        assert_int_equal(kr_stops_open(&s, cases[i].stop, n), KR_OK);
        for (int k = 0; k < 6 && cases[i].in[k] && !found; k++) {
            size_t before = out.n;
            found = kr_stops_put(&s, cases[i].in[k], strlen(cases[i].in[k]), &out);
            assert_int_equal(kr_utf8_whole(kr_str_text(&out) + before, (int64_t)(out.n - before)), (int64_t)(out.n - before));
        }
        if (!found) kr_stops_flush(&s, &out);
        assert_int_equal(found, cases[i].found);
        assert_string_equal(kr_str_text(&out), cases[i].want);
        kr_str_free(&out);
        kr_stops_close(&s);
    }
    kr_stops s;
    kr_str out = {0};
    assert_int_equal(kr_stops_open(&s, (const char *[]){"stop"}, 1), KR_OK);
    kr_mem_fail_at(1); /* text that is lost is not passed over in silence */
    kr_stops_put(&s, "st", 2, &out);
    kr_mem_fail_at(0);
    assert_int_equal(kr_str_status(&out), KR_ERR_NOMEM);
    kr_stops_close(&s);
    assert_int_equal(kr_stops_open(&s, (const char *[]){""}, 1), KR_ERR_ARG);
}

static void test_ends(void **state) {
    written all, w;
    int32_t prompt[20];
    (void)state;
    kr_model *m = model_of(models[1], 3);
    kr_engine *e = engine_of(m, (kr_engine_options){.n_slots = 2, .max_waiting = 3});
    draw_text(prompt, 20, 4);
    kr_request_options o = {.prompt = prompt, .n_prompt = 20, .max_tok = 40, .sampler = {.temperature = 1.5f, .seed = 8}};
    kr_request *r = submit(e, o), *more[8];
    collect(r, &all);
    kr_request_free(r);
    assert_int_equal(all.n, 40);
    o.stop_tok = &all.tok[17], o.n_stop_tok = 1; /* as the end of the text: it is not told */
    int64_t first = 0;
    while (all.tok[first] != all.tok[17]) first++;
    r = submit(e, o);
    collect(r, &w);
    assert_int_equal(w.finish, KR_FINISH_END);
    assert_int_equal(w.n, first);
    kr_request_free(r);
    o.n_stop_tok = 0;
    char text[4] = {(char)all.tok[20], (char)all.tok[21], (char)all.tok[22], 0};
    if (text[0] && text[1] && text[2]) { /* bytes: a stop string over three tokens */
        o.stop = (const char *[]){text}, o.n_stop = 1;
        r = submit(e, o);
        collect(r, &w);
        assert_int_equal(w.finish, KR_FINISH_STOP);
        assert_true(w.n <= 23);
        assert_null(memmem(w.text, (size_t)w.n_text, text, 3));
        kr_request_free(r);
        o.n_stop = 0;
    }
    o.max_tok = 1000000; /* runs until it is cancelled */
    for (int i = 0; i < 2; i++) more[i] = submit(e, o);
    kr_event ev;
    for (int i = 0; i < 2; i++) assert_true(kr_request_next(more[i], &ev, 20));
    for (int i = 2; i < 5; i++) more[i] = submit(e, o);
    assert_int_equal(kr_engine_submit(e, &o, &r), KR_ERR_BUSY);
    assert_false(kr_request_next(more[4], &ev, 0.01));
    kr_request_cancel(more[3]); /* all slots are taken: its place in the row is another's */
    assert_true(kr_request_next(more[3], &ev, 20));
    assert_int_equal(ev.finish, KR_FINISH_CANCEL);
    kr_request_free(more[3]);
    more[3] = submit(e, o);
    kr_request_cancel(more[0]);
    while (kr_request_next(more[0], &ev, 20) && ev.finish == KR_GOES_ON) {}
    assert_int_equal(ev.finish, KR_FINISH_CANCEL);
    kr_request_cancel(more[4]); /* while it waits, or just begun */
    assert_true(kr_request_next(more[2], &ev, 20)); /* the next in the row */
    assert_false(kr_engine_drain(e, 0));
    assert_int_equal(kr_engine_submit(e, &o, &r), KR_ERR_STOPPED);
    kr_request_free(more[1]);
    kr_engine_free(e); /* with requests alive */
    for (int i = 2; i < 5; i++) {
        while (kr_request_next(more[i], &ev, 20) && ev.finish == KR_GOES_ON) {}
        assert_int_equal(ev.finish, KR_FINISH_CANCEL);
        kr_request_free(more[i]);
    }
    kr_request_free(more[0]);
    kr_model_release(m);
}

static void test_refused(void **state) {
    int32_t tok = 3, bad = V;
    kr_request *r;
    (void)state;
    kr_model *m = model_of(models[1], 3), *other = model_of(models[0], 3);
    kr_engine *e = engine_of(m, (kr_engine_options){0}), *none;
    kr_session *s;
    kr_snapshot *x;
    const kr_request_options wrong[] = {{.n_prompt = 0}, {.prompt = &bad, .n_prompt = 1}, {.prompt = &tok, .n_prompt = 1, .max_tok = -1},
                                        {.prompt = &tok, .n_prompt = 1, .n_top = 1000}, {.prompt = &tok, .n_prompt = 1, .stop = (const char *[]){""}, .n_stop = 1},
                                        {.prompt = &tok, .n_prompt = 1, .stop_tok = &bad, .n_stop_tok = 1}, {.prompt = &tok, .n_prompt = 1, .sampler = {.temperature = -1}},
                                        {.prompt = &tok, .n_prompt = 1, .sampler = {.bias = &(kr_logit_bias){V, 1}, .n_bias = 1}}, {.only_read = true}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) assert_int_equal(kr_engine_submit(e, &wrong[i], &r), KR_ERR_ARG);
    assert_int_equal(kr_engine_new(&none, m, &(kr_engine_options){.n_slots = 100000}), KR_ERR_ARG);
    assert_int_equal(kr_session_new(&s, other, &(kr_session_options){.n_threads = 1}), KR_OK);
    assert_int_equal(kr_session_feed(s, &tok, 1), KR_OK);
    assert_int_equal(kr_session_snapshot(&x, s), KR_OK);
    assert_int_equal(kr_engine_submit(e, &(kr_request_options){.prompt = &tok, .n_prompt = 1, .from = x}, &r), KR_ERR_ARG);
    assert_non_null(strstr(kr_error(), "another model"));
    kr_snapshot_free(x);
    kr_session_free(s);
    kr_engine_free(e);
    kr_model_release(m);
    kr_model_release(other);
}

/* A request goes on from the state that another one left, as if it had been one. */
static void test_states(void **state) {
    written whole, first, rest;
    int32_t prompt[70];
    char path[200];
    (void)state;
    kr_model *m = model_of(models[2], 3);
    kr_engine *e = engine_of(m, (kr_engine_options){.n_slots = 2});
    kr_snapshot *s, *from_file;
    draw_text(prompt, 70, 4);
    kr_request *r = submit(e, (kr_request_options){.prompt = prompt, .n_prompt = 70, .max_tok = 30});
    collect(r, &whole);
    kr_request_free(r);
    r = submit(e, (kr_request_options){.prompt = prompt, .n_prompt = 70, .max_tok = 12, .keep_state = true});
    collect(r, &first);
    assert_int_equal(kr_request_state(r, &s), KR_OK);
    kr_request_free(r);
    assert_int_equal(kr_snapshot_n_tok(s), 82);
    snprintf(path, sizeof path, "%s/state", new_folder());
    assert_int_equal(kr_snapshot_save(s, path), KR_OK);
    if (kr_engine_load_state(e, &from_file, path) != KR_OK) fail_msg("%s", kr_error());
    for (int i = 0; i < 2; i++) { /* as often as one likes */
        r = submit(e, (kr_request_options){.from = i ? from_file : s, .max_tok = 18});
        collect(r, &rest);
        kr_request_free(r);
        assert_int_equal(rest.n, 18);
        assert_memory_equal(rest.tok, whole.tok + 12, 18 * sizeof *rest.tok);
    }
    r = submit(e, (kr_request_options){.from = s, .prompt = whole.tok + 12, .n_prompt = 1, .max_tok = 17});
    collect(r, &rest);
    kr_request_free(r);
    assert_memory_equal(rest.tok, whole.tok + 13, 17 * sizeof *rest.tok);
    kr_snapshot_free(s);
    for (int i = 0; i < 3; i++) { /* reading alone leaves the state behind the prompt: new, known, in two halves */
        kr_snapshot *half = NULL;
        if (i == 2) {
            r = submit(e, (kr_request_options){.prompt = prompt, .n_prompt = 48, .only_read = true, .keep_state = true});
            collect(r, &rest);
            assert_int_equal(kr_request_state(r, &half), KR_OK);
            kr_request_free(r);
        }
        r = submit(e, (kr_request_options){.prompt = prompt + (half ? 48 : 0), .n_prompt = half ? 22 : 70, .from = half, .only_read = true, .keep_state = true});
        collect(r, &rest);
        assert_true(rest.finish == KR_FINISH_LENGTH && rest.n == 0);
        assert_int_equal(kr_request_state(r, &s), KR_OK);
        assert_int_equal(kr_snapshot_n_tok(s), 70);
        kr_request_free(r);
        r = submit(e, (kr_request_options){.from = s, .max_tok = 30});
        collect(r, &rest);
        assert_memory_equal(rest.tok, whole.tok, 30 * sizeof *rest.tok);
        kr_request_free(r);
        kr_snapshot_free(s);
        kr_snapshot_free(half);
    }
    kr_snapshot_free(from_file);
    kr_engine_free(e);
    kr_model_release(m);
}

/* Many owners in many threads. */
typedef struct owner { pthread_t thread; kr_engine *e; uint64_t seed; int ended; } owner;
static void *own(void *arg) {
    owner *o = arg;
    for (uint64_t i = 0; i < 12; i++) {
        int32_t prompt[80];
        kr_request *r;
        kr_event ev;
        draw_text(prompt, 80, (o->seed * 7 + i) % 5);
        kr_request_options ro = {.prompt = prompt, .n_prompt = 20 + (int64_t)(i * 13 % 60), .max_tok = 10, .client = (int64_t)o->seed, .keep_state = i % 3 == 0};
        if (kr_engine_submit(o->e, &ro, &r) != KR_OK) continue;
        int n = 0;
        while (kr_request_next(r, &ev, 30) && ev.finish == KR_GOES_ON && !(i % 4 == 3 && ++n > 3)) {}
        o->ended++;
        kr_request_free(r);
    }
    return NULL;
}

static void test_many_owners(void **state) {
    enum { OWNERS = 6 };
    owner o[OWNERS];
    (void)state;
    kr_model *m = model_of(models[0], 3);
    int64_t live = 0;
    for (int round = 0; round < 2; round++) {
        kr_engine *e = engine_of(m, (kr_engine_options){.n_slots = 4, .cache_bytes = 100000});
        for (int i = 0; i < OWNERS; i++) {
            o[i] = (owner){.e = e, .seed = (uint64_t)i};
            assert_int_equal(pthread_create(&o[i].thread, NULL, own, &o[i]), 0);
        }
        for (int i = 0; i < OWNERS; i++) {
            pthread_join(o[i].thread, NULL);
            assert_int_equal(o[i].ended, 12);
        }
        kr_engine_free(e);
        if (round == 0) live = kr_mem_get_stats().n_live;
        else assert_int_equal(kr_mem_get_stats().n_live, live); /* nothing is left behind */
    }
    kr_model_release(m);
}

/* Memory ends anywhere: a status or an event says so, nothing is lost and nobody waits for ever. */
static kr_status write_a_little(void *user) {
    static const char *const stop[] = {"never"};
    int32_t prompt[40];
    kr_engine *e;
    kr_request *r;
    kr_snapshot *s;
    kr_event ev = {.finish = KR_GOES_ON};
    draw_text(prompt, 40, 3);
    KR_TRY(kr_engine_new(&e, user, &(kr_engine_options){.n_slots = 2, .n_threads = 1, .grain = 4}));
    kr_request_options o = {.prompt = prompt, .n_prompt = 40, .max_tok = 5, .logprobs = true, .n_top = 3, .keep_state = true, .stop = stop, .n_stop = 1};
    kr_status st = kr_engine_submit(e, &o, &r);
    if (st == KR_OK) {
        while (kr_request_next(r, &ev, 60) && ev.finish == KR_GOES_ON) {}
        if (ev.finish == KR_FINISH_ERROR) st = kr_fail(KR_ERR_NOMEM, "%s", *kr_request_error(r) ? kr_request_error(r) : "an event was lost: no memory");
        else if (ev.finish != KR_FINISH_LENGTH) fail_msg("ended by %d", ev.finish);
        if (st == KR_OK && (st = kr_request_state(r, &s)) == KR_OK) kr_snapshot_free(s);
        else if (st == KR_ERR_MISSING) st = kr_fail(KR_ERR_NOMEM, "no memory to keep the state");
        kr_request_free(r);
    }
    kr_engine_free(e);
    return st;
}

static void test_memory_ends(void **state) {
    (void)state;
    kr_model *m = model_of(models[1], 3);
    assert_true(until_it_works(write_a_little, m) > 50);
    kr_model_release(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alone), cmocka_unit_test(test_draft_model), cmocka_unit_test(test_drafts), cmocka_unit_test(test_draft_ends), cmocka_unit_test(test_draft_kept), cmocka_unit_test(test_draft_cancel), cmocka_unit_test(test_weights), cmocka_unit_test(test_shared_prompts), cmocka_unit_test(test_at_once), cmocka_unit_test(test_replies), cmocka_unit_test(test_budget),
        cmocka_unit_test(test_stops), cmocka_unit_test(test_ends), cmocka_unit_test(test_refused), cmocka_unit_test(test_states), cmocka_unit_test(test_many_owners), cmocka_unit_test(test_memory_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
