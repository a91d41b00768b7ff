/* check_infer.c - sessions that go back, fork and are saved; every sampler against its formula.
 *
 *   snapshot   what follows a restore is what followed the first time, bit for bit
 *   fork       two sessions from one place do not know of each other
 *   samplers   what may be drawn, how often, and from the same seed the same */
#include <time.h>

#include "infer/session.h"
#include "model_case.h"

#define TINY "'model_type': 'krait', 'd_model': 8, 'n_layer': 2, 'vocab_size': 50, "
static const char *const models[] = {
    "{" TINY "'mixer': {'type': 'mamba1', 'd_state': 3}}",
    "{" TINY "'mixer': {'type': 'mamba2', 'd_state': 4, 'headdim': 4, 'learnable_init_states': true}}",
    "{" TINY "'mixer': {'type': 'mamba2', 'd_state': 4, 'headdim': 4}, 'layers': ['mixer', 'attention+mlp'], 'mixers': {'attention': {'n_head': 2, 'cache_len': 24}}}",
};
enum { N_MODELS = sizeof models / sizeof *models, V = 50 };

static kr_session *session_of(kr_model *m, const kr_sampler_options *how) {
    kr_session *s;
    if (kr_session_new(&s, m, &(kr_session_options){.sampler = how, .prefill_tok = 16, .n_threads = 1}) != KR_OK) fail_msg("%s", kr_error());
    return s;
}

static const kr_sampler_options lively = {.temperature = 1.2f, .top_p = 0.95f, .repetition_penalty = 1.1f, .frequency_penalty = 0.2f, .presence_penalty = 0.1f,
                                          .dry_multiplier = 0.5f, .seed = 5};

static void feed(kr_session *s, int64_t n) {
    for (int32_t t = 3; n-- > 0; t = (t * 7 + 1) % V) assert_int_equal(kr_session_feed(s, &t, 1), KR_OK);
}
static void write_some(kr_session *s, int32_t *to, int n) {
    for (int i = 0; i < n; i++) {
        to[i] = kr_session_sample(s);
        assert_in_range(to[i], 0, V - 1);
        assert_int_equal(kr_session_feed(s, &to[i], 1), KR_OK);
    }
}

static void test_snapshot(void **state) {
    (void)state;
    for (int i = 0; i < N_MODELS; i++) {
        kr_model *m = model_of(models[i], 3);
        kr_session *s = session_of(m, &lively), *other = session_of(m, NULL), *f;
        kr_snapshot *start, *mark, *from_file;
        int32_t first[20], again[20];
        char path[200];
        assert_int_equal(kr_session_snapshot(&start, s), KR_OK); /* of nothing */
        feed(s, 29);
        assert_int_equal(kr_session_snapshot(&mark, s), KR_OK);
        assert_int_equal(kr_snapshot_n_tok(mark), 29);
        assert_true(kr_snapshot_bytes(mark) > kr_session_state_bytes(s) / 2);
        write_some(s, first, 20);
        assert_int_equal(kr_session_restore(s, mark), KR_OK); /* a rewind */
        assert_int_equal(kr_session_n_tok(s), 29);
        assert_int_equal(kr_session_fork(&f, s), KR_OK);
        write_some(s, again, 20);
        assert_memory_equal(first, again, sizeof first);
        feed(s, 3);
        write_some(f, again, 20); /* the fork is not moved by what the other reads */
        assert_memory_equal(first, again, sizeof first);
        feed(f, 3);
        assert_memory_equal(kr_session_logits(f), kr_session_logits(s), V * sizeof(float));
        snprintf(path, sizeof path, "%s/state", new_folder());
        assert_int_equal(kr_snapshot_save(mark, path), KR_OK);
        if (kr_snapshot_load(&from_file, other, path) != KR_OK) fail_msg("%s", kr_error());
        kr_snapshot_free(kr_snapshot_share(mark));
        kr_snapshot_free(mark);
        assert_int_equal(kr_session_restore(f, from_file), KR_OK);
        write_some(f, again, 20);
        assert_memory_equal(first, again, sizeof first);
        assert_int_equal(kr_session_restore(s, start), KR_OK);
        assert_null(kr_session_logits(s));
        feed(s, 29);
        write_some(s, again, 20);
        assert_memory_equal(first, again, sizeof first);
        kr_snapshot_free(start);
        kr_snapshot_free(from_file);
        kr_session_free(f);
        kr_session_free(s);
        kr_session_free(other);
        kr_model_release(m);
    }
}

/* A file of somebody else's: a count of steps that is none would be a place outside of the attention's cache. */
static void test_hostile_count(void **state) {
    static const int32_t bad[] = {-1, INT32_MIN, INT32_MAX};
    (void)state;
    kr_model *m = model_of(models[2], 3);
    kr_session *s = session_of(m, NULL);
    kr_snapshot *x, *y;
    char path[200];
    int counts = 0;
    feed(s, 5);
    assert_int_equal(kr_session_snapshot(&x, s), KR_OK);
    snprintf(path, sizeof path, "%s/state", new_folder());
    for (int i = 0; i < x->layout->n; i++) {
        int32_t *n = (int32_t *)(void *)((char *)x->states + x->layout->state[i].at), was = *n;
        if (x->layout->state[i].dtype != KR_I32) continue;
        for (int k = 0; k < 3; k++) {
            *n = bad[k];
            assert_int_equal(kr_snapshot_save(x, path), KR_OK);
            assert_int_equal(kr_snapshot_load(&y, s, path), KR_ERR_FORMAT);
            assert_non_null(strstr(kr_error(), "count of steps"));
        }
        *n = was;
        counts++;
    }
    assert_true(counts > 0);
    kr_snapshot_free(x);
    kr_session_free(s);
    kr_model_release(m);
}

static void test_of_another_model(void **state) {
    (void)state;
    kr_model *a = model_of(models[0], 1), *b = model_of(models[1], 1);
    kr_session *s = session_of(a, NULL), *t = session_of(b, NULL);
    kr_snapshot *x;
    feed(s, 5);
    assert_int_equal(kr_session_snapshot(&x, s), KR_OK);
    assert_int_equal(kr_session_restore(t, x), KR_ERR_ARG);
    assert_non_null(strstr(kr_error(), "another model"));
    kr_session_free(s);
    kr_session_restore(t, x);
    kr_snapshot_free(x);
    kr_session_free(t);
    kr_model_release(a);
    kr_model_release(b);
}

/* Attention that sees all there is: the scores of a whole row at once. */
static void test_context(void **state) {
    enum { N = 60 };
    static const struct { int64_t context; bool all; } cases[] = {{0, false}, {30, false}, {N, true}, {4096, true}};
    (void)state;
    kr_model *plain = model_of(models[0], 3), *whole = model_of(models[2], 3);
    assert_int_equal(kr_model_context(plain), 0);
    assert_int_equal(kr_model_context(whole), 24);
    kr_graph *g = graph_of(whole, (kr_model_graph_options){.mode = KR_MODEL_ALL, .S = 1, .L = N, .n_threads = 1});
    int32_t *ids = kr_graph_data(g, "ids");
    for (int32_t i = 0, t = 3; i < N; i++, t = (t * 7 + 1) % V) ids[i] = t;
    kr_graph_run(g, KR_RUN_FORWARD);
    const float *want = (const float *)kr_graph_data(g, "logits") + (N - 1) * V;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kr_model *m = model_of(models[2], 3);
        if (cases[i].context) kr_model_set_context(m, cases[i].context);
        assert_int_equal(kr_model_context(m), cases[i].context ? cases[i].context : 24);
        kr_session *s = session_of(m, NULL);
        feed(s, N);
        float far = 0;
        for (int v = 0; v < V; v++) far = fmaxf(far, fabsf(kr_session_logits(s)[v] - want[v]));
        if (cases[i].all != (far < 1e-5f)) fail_msg("a context of %d: scores are %g away from those of the whole row", (int)cases[i].context, (double)far);
        kr_session_free(s);
        kr_model_release(m);
    }
    kr_graph_free(g);
    kr_model_release(plain);
    kr_model_release(whole);
    kr_model *m = model_of("{" TINY "'mixer': {'type': 'attention', 'n_head': 2, 'window': 50, 'cache_len': 20}}", 3);
    assert_int_equal(kr_model_context(m), 20);
    kr_model_set_context(m, 1000000);
    kr_session *s = session_of(m, NULL);
    assert_in_range(kr_session_state_bytes(s), 1, 20000); /* of two layers, no more than their windows see */
    kr_session_free(s);
    kr_model_release(m);
}

/* A million tokens: the memory does not grow, the time of a token neither, and a session that
 * was saved on the way and taken up by another ends in the same bits. */
static void test_a_million_tokens(void **state) {
    enum { N = 1 << 20, PART = 1 << 16, PIECE = 1024 };
    static const char config[] = "{'model_type': 'krait', 'd_model': 4, 'n_layer': 1, 'vocab_size': 8, 'mixer': {'type': 'mamba2', 'd_state': 4, 'headdim': 4, 'chunk_size': 64}}";
    (void)state;
    kr_model *m = model_of(config, 3);
    kr_session *s, *half = NULL;
    kr_session_options o = {.prefill_tok = PIECE, .n_threads = 1};
    int32_t *tok = kr_mem_array(N, sizeof *tok);
    kr_rng r = {7, 7, 0};
    for (int i = 0; i < N; i++) tok[i] = (int32_t)kr_rng_below(&r, 8);
    assert_int_equal(kr_session_new(&s, m, &o), KR_OK);
    int64_t live = 0, allocs = 0;
    double first = 1e9, last = 1e9;
    for (int at = 0; at < N; at += PART) {
        struct timespec a, b;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
        assert_int_equal(kr_session_feed(s, tok + at, PART), KR_OK);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
        double t = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
        if (at < N / 2) first = fmin(first, t);
        else last = fmin(last, t);
        if (at == 0) live = kr_mem_get_stats().live_bytes, allocs = kr_mem_get_stats().n_allocs; /* all that reading needs is there */
        if (at + PART == N / 2) {
            assert_int_equal(kr_mem_get_stats().live_bytes, live);
            assert_int_equal(kr_mem_get_stats().n_allocs, allocs);
            assert_int_equal(kr_session_fork(&half, s), KR_OK);
            live = kr_mem_get_stats().live_bytes, allocs = kr_mem_get_stats().n_allocs;
        }
    }
    assert_int_equal(kr_mem_get_stats().live_bytes, live);
    assert_int_equal(kr_mem_get_stats().n_allocs, allocs);
    /* a neighbour on the core may slow a half down; if tokens cost by what stands before them it is eight times and more */
    if (!(last < 3 * first)) fail_msg("%d tokens take %.4g s at first, %.4g s after half a million", PART, first, last);
    assert_int_equal(kr_session_feed(half, tok + N / 2, N / 2), KR_OK);
    assert_int_equal(kr_session_n_tok(s), N);
    assert_memory_equal(kr_session_logits(half), kr_session_logits(s), 8 * sizeof(float));
    for (int i = 0; i < 8; i++) assert_true(isfinite(kr_session_logits(s)[i]));
    kr_session_free(half);
    kr_session_free(s);
    kr_mem_free(tok);
    kr_model_release(m);
}

/* --- drafts ----------------------------------------------------------------------------------- */

/* Text that repeats itself, so that guesses from it are often right. */
static int64_t repeating(int32_t *to, int64_t n, uint64_t seed) {
    kr_rng r = {seed, 8, 0};
    for (int64_t i = 0; i < n; i++) to[i] = i < 9 ? (int32_t)kr_rng_below(&r, V) : to[i - 9];
    return n;
}

static void write_with(kr_model *m, kr_sampler_options how, const kr_draft_options *draft, int32_t *to, int n, kr_draft_stats *stats) {
    int32_t prompt[40];
    kr_session *s = session_of(m, &how), *f;
    kr_snapshot *x = NULL;
    if (draft && kr_session_set_draft(s, draft) != KR_OK) fail_msg("%s", kr_error());
    assert_int_equal(kr_session_feed(s, prompt, repeating(prompt, 40, how.seed)), KR_OK);
    for (int i = 0; i < n; i++) {
        if (i == n / 3) assert_int_equal(kr_session_snapshot(&x, s), KR_OK); /* in the middle of guesses */
        if (i == n / 2) {
            assert_int_equal(kr_session_fork(&f, s), KR_OK);
            int32_t a = kr_session_sample(f);
            assert_in_range(a, 0, V - 1);
            kr_session_free(f);
        }
        to[i] = kr_session_sample(s);
        assert_int_equal(kr_session_feed(s, &to[i], 1), KR_OK);
        if (i % 17 == 11) assert_int_equal(kr_session_feed(s, prompt, 3), KR_OK); /* and somebody else speaks */
        assert_int_equal(kr_session_n_tok(s), 40 + i + 1 + (i + 6) / 17 * 3);
    }
    *stats = kr_session_draft_stats(s);
    assert_int_equal(kr_session_restore(s, x), KR_OK);
    for (int i = n / 3; i < n; i++) {
        int32_t t = kr_session_sample(s);
        if (t != to[i]) fail_msg("after going back, token %d is %d, want %d", i, t, to[i]);
        assert_int_equal(kr_session_feed(s, &t, 1), KR_OK);
        if (i % 17 == 11) assert_int_equal(kr_session_feed(s, prompt, 3), KR_OK);
    }
    kr_snapshot_free(x);
    kr_session_free(s);
}

/* Whatever is guessed, what is written stays: the same tokens from the same seed. */
static void test_drafts(void **state) {
    enum { N = 120 };
    static int32_t want[N], got[N];
    (void)state;
    for (int i = 0; i < N_MODELS; i++)
        for (uint64_t seed = 0; seed < 4; seed++) {
            kr_model *m = model_of(models[i], 3), *other = model_of(models[(i + 1) % N_MODELS], 9);
            kr_sampler_options how = {.temperature = seed % 2 ? 0.8f : 0, .top_p = 0.95f, .frequency_penalty = seed == 3 ? 0.2f : 0, .seed = seed};
            const kr_draft_options drafts[] = {{0}, {.n_draft = 15, .n_gram = 2}, {.model = m, .n_draft = 4}, {.model = other, .n_draft = 3}};
            kr_draft_stats stats;
            write_with(m, how, NULL, want, N, &stats);
            for (int k = 0; k < 4; k++) {
                write_with(m, how, &drafts[k], got, N, &stats);
                if (memcmp(want, got, sizeof got) != 0) fail_msg("model %d, seed %d: draft %d changes the text", i, (int)seed, k);
                if (k == 2 && !(stats.n_accepted * 10 > 6 * stats.n_guessed && stats.n_guessed > N / 3))
                    fail_msg("its own guesses: %d of %d accepted", (int)stats.n_accepted, (int)stats.n_guessed);
            }
            kr_model_release(m);
            kr_model_release(other);
        }
}

/* --- samplers -------------------------------------------------------------------------------- */

enum { W = 8, DRAWS = 20000 };
static const float scores[W] = {1, 3, 2.5f, -1, 0, 2, -4, 1.5f};

static kr_sampler sampler_of(kr_sampler_options o, int64_t n) {
    kr_sampler s;
    assert_int_equal(kr_sampler_init(&s, n, 0), KR_OK);
    if (kr_sampler_start(&s, &o) != KR_OK) fail_msg("%s", kr_error());
    return s;
}

/* Draws many and wants the share of each token within what chance allows. */
static void expect(const char *what, kr_sampler_options o, const double want[W]) {
    o.seed = 11;
    kr_sampler s = sampler_of(o, W);
    double n[W] = {0}, sum = 0;
    for (int i = 0; i < DRAWS; i++) n[kr_sampler_draw(&s, scores, NULL)]++;
    for (int i = 0; i < W; i++) sum += want[i];
    for (int i = 0; i < W; i++) {
        double p = want[i] / sum, e = fabs(n[i] / DRAWS - p), bound = 5 * sqrt(p * (1 - p) / DRAWS);
        if (!(e <= bound)) fail_msg("%s: token %d is drawn %.4f of the time, want %.4f", what, i, n[i] / DRAWS, p);
    }
    kr_sampler_clear(&s);
}

static void test_cuts(void **state) {
    double p[W], q[W], all = 0;
    (void)state;
    for (int i = 0; i < W; i++) all += p[i] = exp(scores[i]);
    for (int i = 0; i < W; i++) p[i] /= all;
    expect("temperature", (kr_sampler_options){.temperature = 1}, p);
    for (int i = 0; i < W; i++) q[i] = exp(scores[i] / 0.5);
    expect("temperature 0.5", (kr_sampler_options){.temperature = 0.5f}, q);
    expect("temperature 0", (kr_sampler_options){.temperature = 0}, (double[W]){0, 1});
    expect("top_k", (kr_sampler_options){.temperature = 1, .top_k = 3}, (double[W]){0, p[1], p[2], 0, 0, p[5]});
    expect("top_p", (kr_sampler_options){.temperature = 1, .top_p = 0.6f}, (double[W]){0, p[1], p[2]});
    expect("min_p", (kr_sampler_options){.temperature = 1, .min_p = 0.3f}, (double[W]){0, p[1], p[2], 0, 0, p[5]});
    expect("bias", (kr_sampler_options){.temperature = 1, .top_k = 2, .n_bias = 2, .bias = (kr_logit_bias[]){{3, 3}, {1, -INFINITY}}},
           (double[W]){0, 0, exp(2.5), exp(2)}); /* a tie of 3 and 5 goes to the first */
    /* expected surprise 1.5 nats or so: tokens 2, 5 and 7 are closer to it than 1 */
    double entropy = 0;
    for (int i = 0; i < W; i++) entropy -= p[i] * log(p[i]);
    memcpy(q, p, sizeof q);
    int order[W], n = 0;
    for (int i = 0; i < W; i++) { /* by distance */
        int k = n++;
        for (; k > 0 && fabs(-log(p[order[k - 1]]) - entropy) > fabs(-log(p[i]) - entropy); k--) order[k] = order[k - 1];
        order[k] = i;
    }
    double sum = 0;
    for (int k = 0; k < W; k++) {
        if (sum >= 0.5) q[order[k]] = 0;
        sum += p[order[k]];
    }
    expect("typical_p", (kr_sampler_options){.temperature = 1, .typical_p = 0.5f}, q);
    double mean = 0, var = 0;
    for (int i = 0; i < W; i++) mean += scores[i] / W;
    for (int i = 0; i < W; i++) var += (scores[i] - mean) * (scores[i] - mean) / W;
    for (int i = 0; i < W; i++) q[i] = scores[i] >= 3 - 0.6 * sqrt(var) ? exp(scores[i] / 3) : 0;
    expect("top_n_sigma", (kr_sampler_options){.temperature = 3, .top_n_sigma = 0.6f}, q);
    expect("XTC", (kr_sampler_options){.temperature = 1, .xtc_probability = 1, .xtc_threshold = p[2] * 0.99}, (double[W]){p[0], 0, p[2], p[3], p[4], p[5], p[6], p[7]});
    for (int i = 0; i < W; i++) q[i] = 0.5 * p[i] + 0.5 * (i == 1 ? 0 : p[i] / (1 - p[1]));
    expect("XTC half the time", (kr_sampler_options){.temperature = 1, .xtc_probability = 0.5f, .xtc_threshold = p[2] * 0.99}, q);
}

static int32_t greedy_after(kr_sampler_options o, const int32_t *text, int n, int n_written) {
    kr_sampler s = sampler_of(o, W);
    for (int i = 0; i < n; i++) kr_sampler_see(&s, text[i], i >= n - n_written);
    int32_t t = kr_sampler_draw(&s, scores, NULL);
    kr_sampler_clear(&s);
    return t;
}

static void test_penalties(void **state) {
    (void)state;
    assert_int_equal(greedy_after((kr_sampler_options){.repetition_penalty = 2}, (int32_t[]){1}, 1, 0), 2);       /* 3 - log 2 < 2.5 */
    assert_int_equal(greedy_after((kr_sampler_options){.frequency_penalty = 0.3f}, (int32_t[]){1, 1, 1}, 3, 0), 1); /* was only read */
    assert_int_equal(greedy_after((kr_sampler_options){.frequency_penalty = 0.3f}, (int32_t[]){1, 1, 1}, 3, 1), 1);
    assert_int_equal(greedy_after((kr_sampler_options){.frequency_penalty = 0.3f}, (int32_t[]){1, 1, 1}, 3, 2), 2);
    assert_int_equal(greedy_after((kr_sampler_options){.presence_penalty = 0.4f}, (int32_t[]){1, 1, 1}, 3, 3), 1);
    assert_int_equal(greedy_after((kr_sampler_options){.presence_penalty = 0.6f}, (int32_t[]){1}, 1, 1), 2);
    /* 4 6 1 ... 4 6: token 1 would repeat a stretch of two */
    kr_sampler_options dry = {.dry_multiplier = 0.6f};
    assert_int_equal(greedy_after(dry, (int32_t[]){4, 6, 1, 0, 4, 6}, 6, 0), 2);
    assert_int_equal(greedy_after(dry, (int32_t[]){4, 6, 1, 0, 3, 6}, 6, 0), 1); /* of one only */
    dry.dry_allowed = 3;
    assert_int_equal(greedy_after(dry, (int32_t[]){4, 6, 1, 0, 4, 6}, 6, 0), 1);
    dry = (kr_sampler_options){.dry_multiplier = 0.6f, .dry_breaker = (int32_t[]){6}, .n_dry_breaker = 1};
    assert_int_equal(greedy_after(dry, (int32_t[]){4, 6, 1, 0, 4, 6}, 6, 0), 1);
    dry = (kr_sampler_options){.dry_multiplier = 0.6f, .dry_range = 5};
    assert_int_equal(greedy_after(dry, (int32_t[]){4, 6, 1, 0, 4, 6}, 6, 0), 1); /* too far back */
    /* the end (token 0) not before two were written */
    kr_sampler_options end = {.min_tok = 2, .n_bias = 1, .bias = (kr_logit_bias[]){{0, 50}}};
    assert_int_equal(greedy_after(end, (int32_t[]){4, 4}, 2, 1), 1);
    assert_int_equal(greedy_after(end, (int32_t[]){4, 4}, 2, 2), 0);
}

/* Mirostat 2 keeps the mean surprise near tau whatever the scores are. */
static void test_mirostat(void **state) {
    enum { N = 1000 };
    static float x[N];
    (void)state;
    for (int i = 0; i < N; i++) x[i] = -1.3f * logf((float)i + 1);
    for (double tau = 2; tau <= 5; tau += 1.5) {
        kr_sampler s = sampler_of((kr_sampler_options){.mirostat_tau = (float)tau, .temperature = 1, .seed = 3}, N);
        double surprise = 0;
        for (int i = 0; i < 4000; i++) {
            int32_t t = kr_sampler_draw(&s, x, NULL);
            double sum = 0;
            for (int k = 0; k < N; k++) sum += exp(x[k]);
            surprise -= log2(exp(x[t]) / sum) / 4000;
        }
        if (!(surprise > tau - 0.8 && surprise < tau + 1.2)) fail_msg("tau %g: the mean surprise is %g bits", tau, surprise);
        kr_sampler_clear(&s);
    }
}

/* Large vocabularies go by bands of two octaves: the same cuts as sorting everything, and within a whole band ids in order. */
static int by_p(const void *a, const void *b) {
    const kr_choice *x = a, *y = b;
    return x->p != y->p ? (x->p < y->p ? 1 : -1) : x->id < y->id ? -1 : 1;
}
static int band_of(float p) {
    int e;
    frexpf(p, &e);
    return -e / 2;
}
static int by_band_and_id(const void *a, const void *b) {
    const kr_choice *x = a, *y = b;
    int i = band_of(x->p), k = band_of(y->p);
    return i != k ? (i < k ? -1 : 1) : x->id < y->id ? -1 : 1;
}
static void test_large_vocabulary(void **state) {
    enum { N = 3000 };
    static float x[N];
    static kr_choice c[N];
    kr_rng r = {3, 3, 0};
    (void)state;
    for (int round = 0; round < 20; round++) {
        kr_sampler s = sampler_of((kr_sampler_options){.temperature = 0.7f, .top_k = round % 2 ? 40 : 0, .top_p = round % 3 ? 0.9f : 0, .seed = 9}, N);
        kr_rng mine = {9, kr_rng_stream("sample"), 0};
        double total = 0, sum = 0, seen = 0;
        float max = -INFINITY;
        int64_t n = round % 2 ? 40 : N;
        bool cut = false;
        for (int i = 0; i < N; i++) max = fmaxf(max, x[i] = (float)(kr_rng_normal(&r) * (1 + round)));
        for (int i = 0; i < N; i++) total += (c[i] = (kr_choice){expf(-(max - x[i]) * (float)(1 / 0.7f)), i}).p;
        qsort(c, N, sizeof *c, by_p);
        if (round % 3)
            for (int i = 0; i < n; i++)
                if ((seen += c[i].p) >= 0.9f * total) n = i + 1, cut = true;
        for (int i = 0; i < n; i++) sum += c[i].p;
        int64_t whole = n; /* a band that a cut goes through, or looks into, is in order */
        bool through = cut || (n < N && band_of(c[n - 1].p) == band_of(c[n].p));
        while (through && whole > 0 && band_of(c[whole - 1].p) == band_of(c[n - 1].p)) whole--;
        qsort(c, (size_t)whole, sizeof *c, by_band_and_id);
        for (int k = 0; k < 50; k++) {
            double left = kr_rng_uniform(&mine) * sum;
            int64_t i = 0;
            while (i < n - 1 && (left -= c[i].p) >= 0) i++;
            int32_t got = kr_sampler_draw(&s, x, NULL);
            if (got != c[i].id && fabs(left) > 1e-6 * sum && fabs(left + c[i].p) > 1e-6 * sum) fail_msg("round %d: drew %d, want %d", round, got, c[i].id);
        }
        kr_sampler_clear(&s);
    }
}

static void test_allowed(void **state) {
    (void)state;
    kr_sampler s = sampler_of((kr_sampler_options){.temperature = 1, .seed = 2}, W);
    for (int i = 0; i < 500; i++) {
        int32_t t = kr_sampler_draw(&s, scores, (uint64_t[]){0x48}); /* 3 and 6 */
        assert_true(t == 3 || t == 6);
    }
    assert_int_equal(kr_sampler_draw(&s, scores, (uint64_t[]){0}), -1);
    kr_sampler_clear(&s);
}

static void test_refused(void **state) {
    const kr_sampler_options bad[] = {{.temperature = -1}, {.top_p = 1.5f}, {.min_p = NAN}, {.top_k = -1}, {.dry_range = 1 << 20},
                                             {.n_bias = 1, .bias = (kr_logit_bias[]){{W, 1}}}, {.n_bias = 1, .bias = (kr_logit_bias[]){{1, NAN}}},
                                             {.frequency_penalty = INFINITY}, {.mirostat_tau = -2}, {.xtc_probability = 2}};
    kr_sampler s;
    (void)state;
    assert_int_equal(kr_sampler_init(&s, W, -1), KR_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(kr_sampler_start(&s, &bad[i]), KR_ERR_ARG);
    kr_sampler_clear(&s);
}

/* What broken weights give, and an end that a config names beyond the vocabulary. */
static void test_no_scores(void **state) {
    kr_sampler_options how[] = {{.temperature = 1, .min_tok = 5}, {.temperature = 1, .top_n_sigma = 1, .min_tok = 5}, {.mirostat_tau = 3, .min_tok = 5}, {.min_tok = 5}};
    (void)state;
    for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
        float x[W];
        kr_sampler s;
        for (int k = 0; k < W; k++) x[k] = NAN;
        assert_int_equal(kr_sampler_init(&s, W, W + 1000), KR_OK);
        assert_int_equal(kr_sampler_start(&s, &how[i]), KR_OK);
        assert_int_equal(kr_sampler_draw(&s, x, NULL), -1);
        x[2] = 1;
        assert_int_equal(kr_sampler_draw(&s, x, NULL), 2);
        how[i].temperature = 1e-42f;
        x[5] = 0.5f;
        assert_int_equal(kr_sampler_start(&s, &how[i]), KR_OK);
        if (how[i].mirostat_tau == 0) assert_int_equal(kr_sampler_draw(&s, x, NULL), 2);
        x[1] = INFINITY;
        assert_int_equal(kr_sampler_draw(&s, x, NULL), 1);
        kr_sampler_clear(&s);
    }
}

static void test_logprobs(void **state) {
    double all = 0;
    kr_logprob top[W + 2];
    (void)state;
    for (int i = 0; i < W; i++) all += exp(scores[i]);
    assert_true(fabs(kr_logprob_of(scores, W, 5) - (2 - log(all))) < 1e-6);
    assert_int_equal(kr_logprobs_top(scores, W, top, 3), 3);
    assert_int_equal(top[0].tok, 1);
    assert_int_equal(top[1].tok, 2);
    assert_int_equal(top[2].tok, 5);
    assert_true(fabs(top[2].logprob - (2 - log(all))) < 1e-6);
    assert_int_equal(kr_logprobs_top(scores, W, top, W + 2), W);
    assert_int_equal(top[W - 1].tok, 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshot), cmocka_unit_test(test_hostile_count), cmocka_unit_test(test_of_another_model), cmocka_unit_test(test_context), cmocka_unit_test(test_a_million_tokens), cmocka_unit_test(test_drafts),
        cmocka_unit_test(test_cuts), cmocka_unit_test(test_penalties), cmocka_unit_test(test_mirostat), cmocka_unit_test(test_large_vocabulary),
        cmocka_unit_test(test_allowed), cmocka_unit_test(test_refused), cmocka_unit_test(test_no_scores), cmocka_unit_test(test_logprobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
