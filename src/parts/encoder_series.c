/* encoder_series.c - windows of several variables [S, variables * history, 1] as steps:
 *
 *   variables   a step is one variable with all its history (iTransformer, S-Mamba)
 *   patches     each variable is a sequence by itself, its steps pieces of its history (PatchTST)
 *   steps       a step is a moment, with all variables */
#include "parts/part.h"

enum { VARIABLES, PATCHES, STEPS };
typedef struct series { int64_t variables, history, patch_length, patch_stride; int tokens; } series;
static const kr_key keys[] = {
    KR_KEY_INT(series, variables, 1, 1, 1 << 20, "variables; the data say it"),
    KR_KEY_INT(series, history, 96, 1, 1 << 24, "moments of a window; the data say it"),
    KR_KEY_CHOICE(series, tokens, "variables|patches|steps", "what a step is: a variable, a piece of one, or a moment"),
    KR_KEY_INT(series, patch_length, 16, 1, 1 << 24, "patches: moments of a piece"),
    KR_KEY_INT(series, patch_stride, 8, 1, 1 << 24, "patches: from one piece to the next"),
    KR_KEY_END};

static int64_t steps(const void *opt) {
    const series *o = opt;
    return o->variables * o->history;
}

/* Number i of the new row is number from(i) of the old one. */
static kr_node *reorder(kr_build *b, kr_node *x, int64_t n, int64_t n_outer, int64_t outer, int64_t inner, int64_t n_inner) {
    int32_t *idx = kr_mem_array((size_t)n, sizeof *idx);
    if (!idx) return kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    for (int64_t i = 0; i < n_outer; i++)
        for (int64_t k = 0; k < n_inner; k++) idx[i * n_inner + k] = (int32_t)(i * outer + k * inner);
    x = kr_steps_at(b, x, idx, n);
    kr_mem_free(idx);
    return x;
}

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const series *o = opt;
    int64_t M = o->variables, T = o->history, P = o->patch_length, n = P <= T ? (T - P) / o->patch_stride + 1 : 0;
    if (steps(opt) != b->L) return kr_graph_fail(b->g, KR_ERR_CONFIG, "encoder: %lld variables of %lld moments, but a row has %lld numbers", (long long)M, (long long)T, (long long)b->L);
    x = kr_input(b->g, "x", KR_F32, 3, KR_DIMS(b->S, b->L, 1));
    if (o->tokens == VARIABLES) x = kr_reshape(b->g, x, 3, KR_DIMS(b->S, M, T));
    if (o->tokens == STEPS) x = kr_reshape(b->g, reorder(b, x, M * T, T, 1, T, M), 3, KR_DIMS(b->S, T, M));
    if (o->tokens == PATCHES) {
        if (n < 1) return kr_graph_fail(b->g, KR_ERR_CONFIG, "encoder.patch_length is %lld, more than the %lld moments of a window", (long long)P, (long long)T);
        x = reorder(b, kr_reshape(b->g, x, 3, KR_DIMS(b->S * M, T, 1)), n * P, n, o->patch_stride, 1, P);
        x = kr_reshape(b->g, x, 3, KR_DIMS(b->S * M, n, P));
    }
    b->steps_are = o->tokens == VARIABLES ? KR_STEPS_VARIABLES : o->tokens == PATCHES ? KR_STEPS_PIECES : KR_STEPS_MOMENTS;
    x = kr_linear(b, x, "encoder", b->d_model, true);
    return o->tokens == PATCHES ? kr_positions(b, x, "positions") : x;
}

const kr_part kr_part_encoder_series = {.kind = "encoder", .name = "series", .about = "windows of several variables as steps: variables, pieces, or moments",
                                        .bytes = sizeof(series), .keys = keys, .causal = true, .build = build, .steps = steps};
