/* encoder_patch.c - pictures, volumes and signals cut into patches, each a vector by one product.
 *
 *   x [S, cells, channels]  ->  gather the cells patch by patch  ->  [S, patches, cells of a patch
 *   times channels]  ->  one product  (+ a learnt vector for each place)
 *
 * Patches stand in raster order and say what grid they are, for scan orders.  With a stride below
 * the patch they overlap; what is left over at the far sides is not seen. */
#include <string.h>

#include "krait/order.h"
#include "parts/part.h"

typedef struct patch {
    const char *size, *patch, *stride;
    int64_t channels;
    bool positions;
} patch;
static const kr_key keys[] = {
    KR_KEY_TEXT(patch, size, "1", "the grid that comes in: L, HxW or TxHxW; the data say it"),
    KR_KEY_INT(patch, channels, 1, 1, 1 << 20, "numbers in each of its cells; the data say it"),
    KR_KEY_TEXT(patch, patch, "", "cells of a patch: L, HxW or TxHxW; none: 1, a step for each cell"),
    KR_KEY_TEXT(patch, stride, "", "from one patch to the next; none: the patch itself, so that they do not overlap"),
    KR_KEY_BOOL(patch, positions, true, "a learnt vector for each place"),
    KR_KEY_END};

typedef struct cuts { kr_cut c; int64_t n_patches, n_cells; } cuts;

static bool read_sides(const char *text, int n_axes, int64_t side[3]) { return kr_order_size(text, side) == n_axes; }

/* NULL, or what is wrong. */
static const char *cut(const patch *o, cuts *k) {
    kr_cut *c = &k->c;
    *k = (cuts){.n_patches = 1, .n_cells = 1};
    if (!(c->n_axes = kr_order_size(o->size, c->size))) return "encoder.size is no grid: want L, HxW or TxHxW";
    for (int i = 0; i < c->n_axes; i++) c->patch[i] = 1;
    if (*o->patch && !read_sides(o->patch, c->n_axes, c->patch)) return "encoder.patch wants as many sides as encoder.size";
    memcpy(c->stride, c->patch, sizeof c->stride);
    if (*o->stride && !read_sides(o->stride, c->n_axes, c->stride)) return "encoder.stride wants as many sides as encoder.size";
    for (int i = 0; i < c->n_axes; i++) {
        if (c->patch[i] > c->size[i]) return "encoder.patch is larger than encoder.size";
        c->n[i] = (c->size[i] - c->patch[i]) / c->stride[i] + 1;
        k->n_patches *= c->n[i];
        if (__builtin_mul_overflow(k->n_cells, c->size[i], &k->n_cells) || k->n_cells > INT32_MAX) return "encoder.size has too many cells";
    }
    return NULL;
}

static int64_t steps(const void *opt) {
    cuts c;
    return cut(opt, &c) ? 0 : c.n_cells;
}

/* The cells of each patch, raster order in both. */
static int64_t list_cells(const kr_cut *c, int64_t n_patches, int32_t *idx) {
    int64_t n[3] = {1, 1, 1}, size[3] = {1, 1, 1}, side[3] = {1, 1, 1}, stride[3] = {1, 1, 1}, k = 0;
    for (int i = 0; i < c->n_axes; i++) { /* as three axes, the first ones of length 1 */
        int to = 3 - c->n_axes + i;
        n[to] = c->n[i], size[to] = c->size[i], side[to] = c->patch[i], stride[to] = c->stride[i];
    }
    for (int64_t p = 0; p < n_patches; p++) {
        int64_t corner[3] = {p / (n[1] * n[2]) * stride[0], p / n[2] % n[1] * stride[1], p % n[2] * stride[2]};
        for (int64_t i = 0; i < side[0] * side[1] * side[2]; i++) {
            int64_t t = corner[0] + i / (side[1] * side[2]), h = corner[1] + i / side[2] % side[1], w = corner[2] + i % side[2];
            idx[k++] = (int32_t)((t * size[1] + h) * size[2] + w);
        }
    }
    return k;
}

static kr_node *pick_patches(kr_build *b, const cuts *k, int64_t channels, kr_node *x) {
    const kr_cut *c = &k->c;
    int64_t cells = 1;
    for (int i = 0; i < c->n_axes; i++) cells *= c->patch[i];
    bool in_order = k->n_patches * cells == k->n_cells; /* pieces of lines: they lie there already */
    for (int i = 0; i < c->n_axes; i++) in_order = in_order && c->stride[i] == c->patch[i] && (i == c->n_axes - 1 || c->patch[i] == 1);
    if (in_order) return kr_reshape(b->g, x, 3, KR_DIMS(b->S, k->n_patches, cells * channels));
    int32_t *idx = kr_mem_array((size_t)(k->n_patches * cells), sizeof *idx);
    if (!idx) return kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    int64_t n = list_cells(c, k->n_patches, idx);
    x = kr_steps_at(b, x, idx, n);
    kr_mem_free(idx);
    return kr_reshape(b->g, x, 3, KR_DIMS(b->S, k->n_patches, cells * channels));
}

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const patch *o = opt;
    cuts k;
    const char *wrong = cut(o, &k);
    if (wrong) return kr_graph_fail(b->g, KR_ERR_CONFIG, "%s (size \"%s\", patch \"%s\", stride \"%s\")", wrong, o->size, o->patch, o->stride);
    if (k.n_cells != b->L) return kr_graph_fail(b->g, KR_ERR_CONFIG, "encoder.size is \"%s\", %lld cells, but a row has %lld", o->size, (long long)k.n_cells, (long long)b->L);
    x = kr_input(b->g, "x", KR_F32, 3, KR_DIMS(b->S, b->L, o->channels));
    x = kr_linear(b, pick_patches(b, &k, o->channels, x), "encoder", b->d_model, true);
    b->cut = k.c;
    if (k.c.n_axes >= 2) b->H = k.c.n[k.c.n_axes - 2], b->W = k.c.n[k.c.n_axes - 1];
    return o->positions ? kr_positions(b, x, "positions") : x;
}

const kr_part kr_part_encoder_patch = {.kind = "encoder", .name = "patch", .about = "pictures, volumes, signals [S, cells, channels] in patches, each through one product",
                                       .bytes = sizeof(patch), .keys = keys, .causal = true, .build = build, .steps = steps};
