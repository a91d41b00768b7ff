/* grid.c - see grid.h. */
#include "parts/grid.h"

#include <math.h>

#include "ops/conv2d/conv2d.h"
#include "ops/groupnorm/groupnorm.h"
#include "ops/ops.h"
#include "ops/pool/pool.h"

static int64_t frames(const kr_build *b) { return b->L / (b->H * b->W); }

int kr_grid_axes(const kr_build *b, int64_t size[KR_ORDER_AXES]) {
    if (!b->H) return size[0] = b->L, 1;
    int n = frames(b) > 1;
    if (n) size[0] = frames(b);
    size[n] = b->H, size[n + 1] = b->W;
    return n + 2;
}

bool kr_grid_wanted(kr_build *b, const char *who) {
    if (b->H > 0 && b->W > 0 && b->L % (b->H * b->W) == 0) return true;
    kr_graph_fail(b->g, KR_ERR_CONFIG, "%s wants pictures, but the steps are a line; the encoder's \"size\" tells rows and columns", who);
    return false;
}

/* x[idx] for a list of n that the caller gives up; NULL: there was no memory. */
static kr_node *picked(kr_build *b, kr_node *x, int32_t *idx, int64_t n) {
    if (!idx) return kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    kr_node *y = kr_steps_at(b, x, idx, n);
    kr_mem_free(idx);
    return y;
}

/* Steps under windows of side x side, `stride` apart, the first `pad` before the corner: of each
 * window in turn, -1 outside, or (edge) the nearest inside. */
static int32_t *windows(const kr_build *b, int64_t side, int64_t stride, int64_t pad, bool edge, int64_t *n) {
    int64_t H = b->H, W = b->W, oH = (H + stride - 1) / stride, oW = (W + stride - 1) / stride, T = frames(b);
    int32_t *idx = kr_mem_array((size_t)(T * oH * oW * side * side), sizeof *idx), *to = idx;
    *n = T * oH * oW * side * side;
    for (int64_t q = 0; idx && q < *n; q++) {
        int64_t k = q % (side * side), w = q / (side * side), t = w / (oH * oW);
        int64_t i = w / oW % oH * stride + k / side - pad, j = w % oW * stride + k % side - pad;
        if (edge) i = i < H ? i : H - 1, j = j < W ? j : W - 1;
        *to++ = i < 0 || i >= H || j < 0 || j >= W ? -1 : (int32_t)((t * H + i) * W + j);
    }
    return idx;
}

/* b's pictures after a stride. */
static void shrink(kr_build *b, int64_t stride) {
    int64_t T = frames(b);
    b->H = (b->H + stride - 1) / stride, b->W = (b->W + stride - 1) / stride;
    b->L = T * b->H * b->W;
}

static kr_node *windowed(kr_build *b, kr_node *x, int64_t side, int64_t stride, int64_t pad) {
    int64_t n, D = kr_node_dim(x, -1);
    int32_t *idx = windows(b, side, stride, pad, false, &n);
    x = picked(b, x, idx, n);
    shrink(b, stride);
    return kr_reshape(b->g, x, 3, KR_DIMS(b->S, b->L, side * side * D));
}

kr_node *kr_conv2d(kr_build *b, kr_node *x, const char *name, int64_t n_out, int64_t side, int64_t stride, bool bias) {
    if (!kr_grid_wanted(b, name)) return NULL;
    if (side > 1 || stride > 1) x = windowed(b, x, side, stride, (side - 1) / 2);
    return kr_linear(b, x, name, n_out, bias);
}

kr_node *kr_conv2d_depthwise(kr_build *b, kr_node *x, const char *name, int64_t side, bool bias) {
    int64_t D = kr_node_dim(x, -1);
    double r = 1 / (double)side;
    conv2d_attr a = {.width = b->W, .stride = 1};
    if (!kr_grid_wanted(b, name)) return NULL;
    kr_scope_push(b->g, name);
    kr_node *w = kr_weight(b->g, "weight", 0, 2, KR_DIMS(D, side * side), (kr_init){KR_INIT_UNIFORM, -r, r, 0, NULL});
    kr_node *c = bias ? kr_weight(b->g, "bias", KR_NO_DECAY, 1, &D, (kr_init){KR_INIT_UNIFORM, -r, r, 0, NULL}) : NULL;
    kr_scope_pop(b->g);
    x = kr_reshape(b->g, x, 3, KR_DIMS(b->S * frames(b), b->H * b->W, D)); /* a frame below the other touches nothing */
    return kr_reshape(b->g, KR_APPLY(b->g, conv2d, &a, x, w, c), 3, KR_DIMS(b->S, b->L, D));
}

kr_node *kr_groupnorm(kr_build *b, kr_node *x, const char *name, int64_t groups) {
    int64_t D = kr_node_dim(x, -1);
    groupnorm_attr a = {.groups = groups, .eps = 1e-5};
    kr_scope_push(b->g, name);
    kr_node *w = kr_weight(b->g, "weight", KR_NO_DECAY, 1, &D, (kr_init){KR_INIT_CONST, 1, 0, 0, NULL});
    kr_node *c = kr_weight(b->g, "bias", KR_NO_DECAY, 1, &D, (kr_init){0});
    kr_scope_pop(b->g);
    return KR_APPLY(b->g, groupnorm, &a, x, w, c);
}

kr_node *kr_patches(kr_build *b, kr_node *x, int64_t side) { return windowed(b, x, side, side, 0); }

kr_node *kr_pool2d(kr_build *b, kr_node *x, int64_t side, int pool) {
    int64_t n, D = kr_node_dim(x, -1);
    int32_t *idx = windows(b, side, side, 0, true, &n);
    pool_attr a = {.kind = pool};
    x = picked(b, x, idx, n);
    shrink(b, side);
    x = KR_APPLY(b->g, pool, &a, kr_reshape(b->g, x, 3, KR_DIMS(b->S * b->L, side * side, D)));
    return kr_reshape(b->g, x, 3, KR_DIMS(b->S, b->L, D));
}

/* For each cell of pictures of H x W the step that has it: of patches in pieces, or of whole patches. */
static kr_node *spread(kr_build *b, kr_node *x, int64_t side, int64_t H, int64_t W, bool pieces) {
    int64_t T = frames(b), n = T * H * W;
    int32_t *idx = kr_mem_array((size_t)n, sizeof *idx);
    for (int64_t q = 0; idx && q < n; q++) {
        int64_t j = q % W, i = q / W % H, t = q / (H * W), step = (t * b->H + i / side) * b->W + j / side;
        idx[q] = (int32_t)(pieces ? step * side * side + i % side * side + j % side : step);
    }
    x = picked(b, x, idx, n);
    b->H = H, b->W = W, b->L = n;
    return x;
}

kr_node *kr_unpatch(kr_build *b, kr_node *x, int64_t side, int64_t H, int64_t W) {
    int64_t D = kr_node_dim(x, -1) / (side * side);
    return spread(b, kr_reshape(b->g, x, 3, KR_DIMS(b->S, b->L * side * side, D)), side, H, W, true);
}
kr_node *kr_enlarge(kr_build *b, kr_node *x, int64_t side, int64_t H, int64_t W) { return spread(b, x, side, H, W, false); }

int64_t kr_patch_cells(kr_build *b, const char *who) {
    const kr_cut *c = &b->cut;
    int64_t each = 1, steps = 1;
    bool covered = true;
    for (int i = 0; i < c->n_axes; i++) {
        each *= c->patch[i], steps *= c->n[i];
        covered = covered && c->stride[i] == c->patch[i] && c->n[i] * c->patch[i] == c->size[i];
    }
    if (!covered) return kr_graph_fail(b->g, KR_ERR_CONFIG, "a %s head wants patches that cover the input once", who), 0;
    if (each > 1 && steps != b->L)
        return kr_graph_fail(b->g, KR_ERR_CONFIG, "a %s head wants a step for each of the %lld patches, and there are %lld steps", who, (long long)steps, (long long)b->L), 0;
    return each;
}

/* Where each cell's vector lies behind the product: its patch, and its place there. */
static int32_t *cells_of_patches(const kr_cut *c, int64_t *n_cells) {
    int64_t size[3] = {1, 1, 1}, side[3] = {1, 1, 1}, n[3] = {1, 1, 1};
    for (int i = 0; i < c->n_axes; i++) {
        int to = 3 - c->n_axes + i;
        size[to] = c->size[i], side[to] = c->patch[i], n[to] = c->n[i];
    }
    *n_cells = size[0] * size[1] * size[2];
    int32_t *idx = kr_mem_array((size_t)*n_cells, sizeof *idx), *to = idx;
    for (int64_t t = 0; idx && t < size[0]; t++)
        for (int64_t h = 0; h < size[1]; h++)
            for (int64_t w = 0; w < size[2]; w++) {
                int64_t step = (t / side[0] * n[1] + h / side[1]) * n[2] + w / side[2];
                int64_t in = (t % side[0] * side[1] + h % side[1]) * side[2] + w % side[2];
                *to++ = (int32_t)(step * side[0] * side[1] * side[2] + in);
            }
    return idx;
}

kr_node *kr_uncut(kr_build *b, kr_node *x, int64_t width) {
    int64_t each = kr_node_dim(x, -1) / width, n;
    if (!x || each <= 1) return x;
    int32_t *idx = cells_of_patches(&b->cut, &n);
    return picked(b, kr_reshape(b->g, x, 3, KR_DIMS(b->S, kr_node_dim(x, 1) * each, width)), idx, n);
}
