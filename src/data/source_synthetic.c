/* source_synthetic.c - tasks with known answers, the ones papers measure models on.
 *
 * Every row is drawn afresh from its own number (kr_source_row_rng), so a task is one
 * function that fills one row.  Where no better default is known, the defaults are those
 * of the paper named at the task. */
#include <math.h>
#include <stdio.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "data/source_kind.h"

typedef struct task_keys {
    const char *kind;
    int64_t length, vocab_size, n_tokens, n_pairs, min_length, eval_batches;
    int score;
    double power;
    bool random_fill;
} task_keys;

enum { SCORE_EACH, SCORE_LAST };

typedef struct row { int32_t *ids, *targets; float *x, *y; } row; /* one row of the batch */

typedef struct task {
    task_keys k;
    void (*fill)(const struct task *t, int64_t L, kr_rng *r, row out);
    double *weights; /* mqar: how likely a query stands at each place */
} task;

#define EVAL_KEY KR_KEY_INT(task_keys, eval_batches, 16, 1, 1e9, "fixed batches to score on")
#define VOCAB_KEY(def, help) KR_KEY_INT(task_keys, vocab_size, def, 2, 1 << 24, help)

/* Called first by every open: the keys, and L. */
static kr_status open_task(kr_source *s, const json_t *data, task **out,
                           void (*fill)(const task *, int64_t, kr_rng *, row)) {
    task *t = s->own = kr_mem_new(sizeof *t);
    if (!t) return KR_ERR_NOMEM;
    KR_TRY(kr_keys_read(s->kind->keys, data, "data", &t->k));
    if (!s->info.L) s->info.L = t->k.length;
    t->fill = fill;
    s->info.vocab_size = t->k.vocab_size;
    s->info.eval_batches = t->k.eval_batches;
    snprintf(s->info.about, sizeof s->info.about, "%s (length %lld)", s->kind->about, (long long)s->info.L);
    *out = t;
    return KR_OK;
}

static void close_task(kr_source *s) {
    task *t = s->own;
    if (t) kr_mem_free(t->weights);
    kr_mem_free(t);
}

/* Rows know nothing of each other, so those of a large batch are drawn side by side: on a GPU
 * a step may take no longer than its draws. */
static void batch_task(const kr_source *s, kr_split split, int64_t step, kr_batch *b) {
    enum { MANY = 1 << 15 };
    const task *t = s->own;
    int64_t L = s->info.L;
    if (split == KR_SPLIT_EVAL) step %= s->info.eval_batches;
#pragma omp parallel for num_threads(kr_cpu_threads()) schedule(static) if (s->info.S * L > MANY)
    for (int64_t i = 0; i < s->info.S; i++) {
        kr_rng r = kr_source_row_rng(s, split, step * s->info.S + i);
        row out = {0};
        if (s->info.vocab_size) {
            out.ids = b->ids + i * L, out.targets = b->targets + i * L;
            for (int64_t l = 0; l < L; l++) out.targets[l] = -1;
        } else {
            out.x = b->x + i * L * s->info.x_width, out.y = b->y + i * s->info.y_width;
        }
        if (b->seq_idx)
            for (int64_t l = 0; l < L; l++) b->seq_idx[i * L + l] = 0;
        t->fill(t, L, &r, out);
    }
}

#define TASK(id, NAME, ABOUT)                                                         \
    const kr_source_kind kr_source_##id = {.name = NAME, .about = ABOUT, .keys = id##_keys, \
                                           .open = id##_open, .batch = batch_task, .close = close_task}

static int32_t below(kr_rng *r, int64_t n) { return (int32_t)kr_rng_below(r, n); }

/* --- copying: noise 0, data 1 .. V - 2, marker V - 1 (Mamba, arXiv 2312.00752, 4.1.1) ---
 *
 * n data tokens among the first L - n steps, then n markers, at which the tokens must be
 * given in order.  Selective: the tokens stand anywhere; else they come first. */
static void copying_fill_at(const task *t, int64_t L, kr_rng *r, row out, bool selective) {
    int64_t n = t->k.n_tokens, room = L - n, done = 0;
    for (int64_t l = 0; l < room; l++) { /* selection sampling: every set of places is equally likely */
        bool here = selective ? kr_rng_below(r, room - l) < n - done : l < n;
        out.ids[l] = here ? 1 + below(r, t->k.vocab_size - 2) : 0;
        if (here) out.targets[room + done++] = out.ids[l];
    }
    for (int64_t l = room; l < L; l++) out.ids[l] = (int32_t)t->k.vocab_size - 1;
}
static void copying_fill(const task *t, int64_t L, kr_rng *r, row out) { copying_fill_at(t, L, r, out, false); }
static void selective_copying_fill(const task *t, int64_t L, kr_rng *r, row out) {
    copying_fill_at(t, L, r, out, true);
}

static kr_status copying_check(const kr_source *s, const task *t) {
    if (t->k.vocab_size < 3)
        KR_FAIL(KR_ERR_CONFIG, "data.vocab_size is %lld, want at least 3: noise, a token, the marker",
                (long long)t->k.vocab_size);
    if (s->info.L < 2 * t->k.n_tokens)
        KR_FAIL(KR_ERR_CONFIG, "data.length is %lld, want at least %lld: twice the %lld tokens to copy",
                (long long)s->info.L, (long long)(2 * t->k.n_tokens), (long long)t->k.n_tokens);
    return KR_OK;
}
static kr_status copying_open(kr_source *s, const json_t *data) {
    task *t;
    KR_TRY(open_task(s, data, &t, copying_fill));
    return copying_check(s, t);
}
static kr_status selective_copying_open(kr_source *s, const json_t *data) {
    task *t;
    KR_TRY(open_task(s, data, &t, selective_copying_fill));
    return copying_check(s, t);
}
#define COPYING_KEYS(kind)                                                            \
    KR_SOURCE_KEYS(task_keys, kind, 4096), VOCAB_KEY(16, "tokens, with noise (0) and marker (the last)"), \
    KR_KEY_INT(task_keys, n_tokens, 16, 1, 1e9, "tokens to copy, and markers at the end"), EVAL_KEY, KR_KEY_END
static const kr_key copying_keys[] = {COPYING_KEYS("copying")};
static const kr_key selective_copying_keys[] = {COPYING_KEYS("selective_copying")};
TASK(copying, "copying", "repeat the first tokens after a long wait");
TASK(selective_copying, "selective_copying", "repeat the tokens strewn among noise");

/* --- induction heads (Mamba, 4.1.2; Olsson et al. 2022) -------------------------------
 *
 * Random tokens 0 .. V - 2; the special token V - 1 stands once inside and once at the
 * end, where the token that followed it must be given. */
static void induction_heads_fill(const task *t, int64_t L, kr_rng *r, row out) {
    int64_t at = kr_rng_below(r, L - 2);
    for (int64_t l = 0; l < L; l++) out.ids[l] = below(r, t->k.vocab_size - 1);
    out.ids[at] = out.ids[L - 1] = (int32_t)t->k.vocab_size - 1;
    out.targets[L - 1] = out.ids[at + 1];
}
static kr_status induction_heads_open(kr_source *s, const json_t *data) {
    task *t;
    KR_TRY(open_task(s, data, &t, induction_heads_fill));
    if (s->info.L < 3)
        KR_FAIL(KR_ERR_CONFIG, "data.length is %lld, want at least 3: special, answer, special", (long long)s->info.L);
    return KR_OK;
}
static const kr_key induction_heads_keys[] = {
    KR_SOURCE_KEYS(task_keys, "induction_heads", 256), VOCAB_KEY(16, "tokens, with the special one (the last)"),
    EVAL_KEY, KR_KEY_END,
};
TASK(induction_heads, "induction_heads", "what followed the special token last time?");

/* --- multi-query associative recall (Zoology, Arora et al. 2023; Mamba-2, D.1) ---------
 *
 * First n pairs "key value", all different; then each key once more, at an even distance,
 * where its value must be given.  Keys are 1 .. V/2 - 1, values V/2 .. V - 1.  The place
 * of a query has probability ~ place^(power - 1), without replacement; the steps between
 * hold random tokens, or 0. */
static void mqar_fill(const task *t, int64_t L, kr_rng *r, row out) {
    int64_t n = t->k.n_pairs, V = t->k.vocab_size, places = (L - 2 * n) / 2;
    uint64_t keys = kr_rng_u64(r), values = kr_rng_u64(r);
    double left = 0;
    for (int64_t l = 2 * n; l < L; l++) out.ids[l] = t->k.random_fill ? below(r, V) : 0;
    for (int64_t p = 0; p < places; p++) left += t->weights[p];
    for (int64_t i = 0; i < n; i++) {
        out.ids[2 * i] = 1 + (int32_t)kr_permute(keys, V / 2 - 1, i);
        out.ids[2 * i + 1] = (int32_t)(V / 2 + kr_permute(values, V - V / 2, i));
        double u = kr_rng_uniform(r) * left;
        int64_t at = -1;
        for (int64_t p = 0; p < places; p++) {
            if (out.targets[2 * n + 2 * p] >= 0) continue; /* taken */
            at = p;
            u -= t->weights[p];
            if (u < 0) break;
        }
        left -= t->weights[at];
        out.ids[2 * n + 2 * at] = out.ids[2 * i];
        out.targets[2 * n + 2 * at] = out.ids[2 * i + 1];
    }
}
static kr_status mqar_open(kr_source *s, const json_t *data) {
    task *t;
    KR_TRY(open_task(s, data, &t, mqar_fill));
    int64_t L = s->info.L;
    if (!t->k.n_pairs) t->k.n_pairs = L / 4;
    if (t->k.n_pairs < 1 || L < 4 * t->k.n_pairs)
        KR_FAIL(KR_ERR_CONFIG, "data.n_pairs is %lld, want 1 to %lld: a quarter of the length %lld",
                (long long)t->k.n_pairs, (long long)(L / 4), (long long)L);
    if (t->k.vocab_size / 2 - 1 < t->k.n_pairs)
        KR_FAIL(KR_ERR_CONFIG, "data.vocab_size is %lld, want at least %lld: different keys for %lld pairs",
                (long long)t->k.vocab_size, (long long)(2 * t->k.n_pairs + 2), (long long)t->k.n_pairs);
    int64_t places = (L - 2 * t->k.n_pairs) / 2;
    t->weights = kr_mem_array((size_t)places, sizeof *t->weights);
    if (!t->weights) return KR_ERR_NOMEM;
    for (int64_t p = 0; p < places; p++) t->weights[p] = pow((double)(p + 1), t->k.power - 1);
    return KR_OK;
}
static const kr_key mqar_keys[] = {
    KR_SOURCE_KEYS(task_keys, "mqar", 256), VOCAB_KEY(8192, "tokens: half keys, half values"),
    KR_KEY_INT(task_keys, n_pairs, 0, 0, 1e9, "pairs to keep in mind; 0: a quarter of the length"),
    KR_KEY_REAL(task_keys, power, 0.01, 0, 100, "queries come early (towards 0), anywhere (1) or late"),
    KR_KEY_BOOL(task_keys, random_fill, true, "random tokens between the queries, not 0"),
    EVAL_KEY, KR_KEY_END,
};
TASK(mqar, "mqar", "give the value of every key asked for");

/* --- associative recall (Ba et al. 2016; H3, Dao et al. 2022) --------------------------
 *
 * Pairs "key value" from a dictionary made anew for each row; keys come again, with the
 * same value; the last token is a key that was there, and its value must be given.  Keys
 * are 0 .. V/2 - 1, values V/2 .. V - 1. */
static void associative_recall_fill(const task *t, int64_t L, kr_rng *r, row out) {
    int64_t n = L / 2, keys = t->k.vocab_size / 2, values = t->k.vocab_size - keys;
    uint64_t book = kr_rng_u64(r);
    for (int64_t i = 0; i < n; i++) {
        int32_t key = below(r, keys);
        kr_rng entry = {book, 0, (uint64_t)key};
        out.ids[2 * i] = key;
        out.ids[2 * i + 1] = (int32_t)keys + below(&entry, values);
    }
    int64_t asked = kr_rng_below(r, n);
    out.ids[L - 1] = out.ids[2 * asked];
    out.targets[L - 1] = out.ids[2 * asked + 1];
}
static kr_status associative_recall_open(kr_source *s, const json_t *data) {
    task *t;
    KR_TRY(open_task(s, data, &t, associative_recall_fill));
    if (s->info.L < 3 || s->info.L % 2 == 0)
        KR_FAIL(KR_ERR_CONFIG, "data.length is %lld, want an odd number from 3: pairs and one query",
                (long long)s->info.L);
    return KR_OK;
}
static const kr_key associative_recall_keys[] = {
    KR_SOURCE_KEYS(task_keys, "associative_recall", 41), VOCAB_KEY(20, "tokens: half keys, half values"),
    EVAL_KEY, KR_KEY_END,
};
TASK(associative_recall, "associative_recall", "give the value of the last key");

/* --- adding problem (Hochreiter & Schmidhuber 1997) ------------------------------------
 *
 * x[l] = (a number in [0, 1), a mark); one mark in each half of the row; y is the sum of
 * the two marked numbers.  Answering 1 always has a mean square error of 1/6. */
static void adding_fill(const task *t, int64_t L, kr_rng *r, row out) {
    (void)t;
    int64_t a = kr_rng_below(r, L / 2), b = L / 2 + kr_rng_below(r, L - L / 2);
    for (int64_t l = 0; l < L; l++) {
        out.x[2 * l] = (float)(kr_rng_u64(r) >> 40) * 0x1p-24f; /* below 1 also as a float */
        out.x[2 * l + 1] = l == a || l == b;
    }
    out.y[0] = out.x[2 * a] + out.x[2 * b];
}
static kr_status adding_open(kr_source *s, const json_t *data) {
    task *t;
    KR_TRY(open_task(s, data, &t, adding_fill));
    if (s->info.L < 2)
        KR_FAIL(KR_ERR_CONFIG, "data.length is %lld, want at least 2: one mark in each half", (long long)s->info.L);
    s->info.vocab_size = 0, s->info.x_width = 2, s->info.y_width = 1, s->info.metric = "mse";
    return KR_OK;
}
static const kr_key adding_keys[] = {KR_SOURCE_KEYS(task_keys, "adding", 100), EVAL_KEY, KR_KEY_END};
TASK(adding, "adding", "add the two marked numbers");

/* --- parity: the simplest state to track -----------------------------------------------
 *
 * Random bits; the answer is whether the number of ones so far is odd, at each step or
 * only at the last.  With min_length a row ends at a random length from there on; the
 * steps after it are 0 and not scored. */
static void parity_fill(const task *t, int64_t L, kr_rng *r, row out) {
    int64_t end = t->k.min_length ? t->k.min_length + kr_rng_below(r, L - t->k.min_length + 1) : L;
    int32_t odd = 0;
    for (int64_t l = 0; l < end; l++) {
        out.ids[l] = below(r, 2);
        odd ^= out.ids[l];
        if (t->k.score == SCORE_EACH || l == end - 1) out.targets[l] = odd;
    }
    for (int64_t l = end; l < L; l++) out.ids[l] = 0;
}
static kr_status parity_open(kr_source *s, const json_t *data) {
    task *t;
    KR_TRY(open_task(s, data, &t, parity_fill));
    if (t->k.min_length > s->info.L)
        KR_FAIL(KR_ERR_CONFIG, "data.min_length is %lld, want at most the length %lld", (long long)t->k.min_length,
                (long long)s->info.L);
    s->info.vocab_size = 2;
    return KR_OK;
}
static const kr_key parity_keys[] = {
    KR_SOURCE_KEYS(task_keys, "parity", 64),
    KR_KEY_CHOICE(task_keys, score, "each|last", "answer at each step or at the last"),
    KR_KEY_INT(task_keys, min_length, 0, 0, 1e9, "shortest row; 0: all rows have the full length"),
    EVAL_KEY, KR_KEY_END,
};
TASK(parity, "parity", "is the number of ones odd?");
