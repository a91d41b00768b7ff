/* source.c - opening a source by its kind, and the draws that all kinds share. */
#include "data/source.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "data/source_kind.h"

static const kr_source_kind *const kinds[] = {
    &kr_source_text,
    &kr_source_selective_copying,
    &kr_source_copying,
    &kr_source_induction_heads,
    &kr_source_mqar,
    &kr_source_associative_recall,
    &kr_source_adding,
    &kr_source_parity,
    &kr_source_image,
    &kr_source_series,
    &kr_source_audio,
    &kr_source_sequence,
    &kr_source_table,
    &kr_source_items,
    &kr_source_graph,
    &kr_source_points,
    &kr_source_clip,
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static kr_status find_kind(const kr_source_kind **out, const json_t *data) {
    const json_t *v = json_object_get(data, "kind");
    const char *name = v ? json_string_value(v) : "text";
    for (int i = 0; name && i < N_KINDS; i++)
        if (!strcmp(name, kinds[i]->name)) {
            *out = kinds[i];
            return KR_OK;
        }
    char known[400] = "";
    for (int i = 0; i < N_KINDS; i++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", kinds[i]->name);
    }
    KR_FAIL(KR_ERR_CONFIG, "data.kind is %s, want one of %s", name ? name : "not text", known);
}

kr_status kr_source_open(kr_source **out, const kr_source_options *opt) {
    const kr_source_kind *kind;
    if (opt->data && !json_is_object(opt->data)) KR_FAIL(KR_ERR_CONFIG, "data wants an object: {...}");
    KR_TRY(find_kind(&kind, opt->data));
    if (opt->S < 1 || opt->L < 0)
        KR_FAIL(KR_ERR_ARG, "data: a batch of %lld rows of %lld steps, want at least 1 row",
                (long long)opt->S, (long long)opt->L);
    kr_source *s = kr_mem_new(sizeof *s);
    if (!s) return KR_ERR_NOMEM;
    s->kind = kind;
    s->seed = opt->seed;
    s->predict = opt->predict, s->fitted = opt->fitted;
    s->info = (kr_source_info){.kind = kind->name, .S = opt->S, .L = opt->L, .metric = "accuracy", .end_id = -1};
    kr_status st = kind->open(s, opt->data);
    if (st != KR_OK) {
        kr_source_close(s);
        return st;
    }
    kr_source_info *i = &s->info;
    if (!i->n_targets && i->vocab_size && !i->y_width) i->n_targets = i->L;
    i->encoder = s->encoder, i->condition = s->condition, i->head = s->head;
    s->fitted = NULL;
    *out = s;
    return KR_OK;
}

const kr_source_info *kr_source_get_info(const kr_source *s) { return &s->info; }

kr_status kr_source_batch(const kr_source *s, kr_split split, int64_t step, kr_batch *out) {
    const kr_source_info *i = &s->info;
    if (out->S != i->S || out->L != i->L)
        KR_FAIL(KR_ERR_SHAPE, "data: batch is [%lld, %lld], want [S=%lld, L=%lld]", (long long)out->S,
                (long long)out->L, (long long)i->S, (long long)i->L);
    if ((i->vocab_size ? !out->ids : !out->x) || (i->n_targets ? !out->targets : !out->y))
        KR_FAIL(KR_ERR_ARG, "data: %s fills %s and %s, and the batch has no room for them", i->kind,
                i->vocab_size ? "ids" : "x", i->n_targets ? "targets" : "y");
    if (out->draw < 0 || (out->draw > 0 && out->draw >= i->n_draws))
        KR_FAIL(KR_ERR_ARG, "data: draw is %lld, want 0 to %lld", (long long)out->draw, (long long)(i->n_draws > 1 ? i->n_draws - 1 : 0));
    if (step < 0) KR_FAIL(KR_ERR_ARG, "data: step is %lld, want 0 or more", (long long)step);
    if (split == KR_SPLIT_EVAL && !i->eval_batches)
        KR_FAIL(KR_ERR_MISSING, "data: nothing is held out (eval_fraction is 0 and there are no eval_paths)");
    if (split == KR_SPLIT_TEST && !i->test_batches) KR_FAIL(KR_ERR_MISSING, "data: there is nothing to test on (no test_paths, and test_fraction is 0)");
    out->n_rows = out->S;
    s->kind->batch(s, split, step, out);
    return KR_OK;
}

bool kr_source_resets(const kr_source *s, kr_split split, int64_t step, int64_t row) {
    return !s->kind->resets || s->kind->resets(s, split, step, row);
}

const json_t *kr_source_learnt(const kr_source *s) { return s->learnt; }

bool kr_source_name(const kr_source *s, kr_split split, int64_t step, int64_t row, char *to, size_t size) {
    return s->kind->who && s->kind->who(s, split, step, row, to, size);
}

const char *kr_source_label(const kr_source *s, int64_t i) { return s->kind->label ? s->kind->label(s, i) : NULL; }

void kr_source_restore(const kr_source *s, kr_split split, int64_t step, int64_t row, float *y) {
    if (s->kind->restore) s->kind->restore(s, split, step, row, y);
}

int64_t kr_source_cells(const kr_source *s, kr_split split, int64_t step, int64_t row, const int32_t *said, int32_t *cells) {
    if (s->kind->cells) return s->kind->cells(s, split, step, row, said, cells);
    memcpy(cells, said, (size_t)s->info.n_targets * sizeof *cells);
    return s->info.n_targets;
}

void kr_source_close(kr_source *s) {
    if (!s) return;
    if (s->kind->close) s->kind->close(s);
    json_decref(s->learnt);
    json_decref(s->encoder);
    json_decref(s->condition);
    json_decref(s->head);
    kr_mem_free(s);
}

bool kr_source_describe(int i, const char **name, const char **about, const kr_key **keys) {
    if (i < 0 || i >= N_KINDS) return false;
    *name = kinds[i]->name, *about = kinds[i]->about, *keys = kinds[i]->keys;
    return true;
}

kr_rng kr_source_rng(const kr_source *s, kr_split split, const char *purpose, int64_t n) {
    uint32_t w[4];
    uint64_t seed = split == KR_SPLIT_TRAIN ? s->seed : 0;
    uint64_t stream = kr_rng_stream(purpose) + (split == KR_SPLIT_TRAIN ? 0 : 0x9E3779B97F4A7C15u);
    kr_philox(seed, stream, (uint64_t)n, w);
    return (kr_rng){(uint64_t)w[0] | (uint64_t)w[1] << 32, (uint64_t)w[2] | (uint64_t)w[3] << 32, 0};
}

kr_rng kr_source_row_rng(const kr_source *s, kr_split split, int64_t row) {
    return kr_source_rng(s, split, s->kind->name, row);
}

/* A Feistel network on the next even number of bits, walked until the result is below n:
 * at most four steps on average.  For small n not every order is reached. */
int64_t kr_permute(uint64_t key, int64_t n, int64_t i) {
    enum { ROUNDS = 6 };
    int half = 1;
    while (half < 31 && (int64_t)1 << (2 * half) < n) half++;
    uint32_t mask = (uint32_t)(((uint64_t)1 << half) - 1);
    do {
        uint32_t a = (uint32_t)(i >> half), b = (uint32_t)i & mask, w[4];
        for (int r = 0; r < ROUNDS; r++) {
            kr_philox(key, (uint64_t)r, b, w);
            uint32_t c = (a ^ w[0]) & mask;
            a = b, b = c;
        }
        i = (int64_t)a << half | b;
    } while (i >= n);
    return i;
}
