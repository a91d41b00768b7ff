/* order_swap.c - two streams that change channels, then each through a mixer (Pan-Mamba: He et al. 2024;
 * Fusion-Mamba's SSCS: Dong et al. 2024).
 *
 *   a, b   = halves of the steps                           two pictures of one place, frames of a clip of two
 *   a', b' = a, b with every second group of channels of the other's
 *   y      = [mixer.0(a'), mixer.1(b')]                    or one mixer for both; `back`: the groups change places again
 *
 * Pan-Mamba changes the first of two groups; Fusion-Mamba the second and the fourth of four. */
#include "parts/route.h"

typedef struct swap { int64_t groups; int first; bool share, back; } swap;
static const kr_key keys[] = {
    KR_KEY_INT(swap, groups, 2, 2, 1 << 20, "of channels; every second changes places"),
    KR_KEY_CHOICE(swap, first, "first|second", "of the groups that change places"),
    KR_KEY_BOOL(swap, share, false, "both streams use the same parameters"),
    KR_KEY_BOOL(swap, back, false, "what comes out goes back to the stream that it was of"),
    KR_KEY_END};

/* Pieces of a step's channels, [S, 2 n groups, M / groups], those of two streams in turn. */
static kr_node *exchange(kr_build *b, const swap *o, kr_node *x) {
    int64_t G = o->groups, n = b->L / 2, M = kr_node_dim(x, -1), all = 2 * n * G;
    int32_t *idx = kr_mem_array((size_t)all, sizeof *idx);
    if (!idx) return kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    for (int64_t i = 0; i < all; i++) {
        bool goes = i % G % 2 == o->first;
        idx[i] = (int32_t)(!goes ? i : i < n * G ? i + n * G : i - n * G);
    }
    x = kr_steps_at(b, kr_reshape(b->g, x, 3, KR_DIMS(b->S, all, M / G)), idx, all);
    kr_mem_free(idx);
    return kr_reshape(b->g, x, 3, KR_DIMS(b->S, 2 * n, M));
}

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const swap *o = opt;
    int64_t n = b->L / 2;
    if (b->stateful || b->seq_idx) return kr_graph_fail(b->g, KR_ERR_CONFIG, "order swap sees all of a row at once: it takes no packed documents and goes not step by step");
    if (b->L % 2 || b->d_model % o->groups)
        return kr_graph_fail(b->g, KR_ERR_CONFIG, "order swap: %lld steps of %lld channels in two streams and %lld groups; want an even number of steps, and groups that divide the channels",
                             (long long)b->L, (long long)b->d_model, (long long)o->groups);
    struct kr_order_path half = {.n = n, .n_pieces = 1}, both = {.n = 2 * n, .n_pieces = 2};
    kr_node *y = exchange(b, o, x);
    int32_t *idx = kr_mem_array((size_t)(2 * n), sizeof *idx);
    if (!idx) return kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    for (int64_t i = 0; i < 2 * n; i++) idx[i] = (int32_t)i;
    if (o->share) {
        both.piece = idx;
        for (int64_t i = 0; i < 2 * n; i++) idx[i] = (int32_t)(i / n);
        y = kr_mix_walks(b, "mixer", &both, 1, y);
    } else {
        kr_node *first = kr_mix_walks(b, "mixer.0", &half, 1, kr_steps_at(b, y, idx, n));
        kr_node *second = kr_mix_walks(b, "mixer.1", &half, 1, kr_steps_at(b, y, idx + n, n));
        y = kr_join_steps(b, first, second);
    }
    kr_mem_free(idx);
    return o->back ? exchange(b, o, y) : y;
}

const kr_part kr_part_order_swap = {.kind = "order", .name = "swap", .about = "two streams that exchange channels, then each by itself (Pan-Mamba)",
                                    .bytes = sizeof(swap), .keys = keys, .build = build};
