/* encoder_pointnet.c - a cloud of points as patches (PointMamba, Liang et al. 2024): the data bring `n_patch` patches of
 * `n_point` points each, once for each curve that they follow, and every patch becomes one step.
 *
 *   x [S, n_curve n_patch n_point, 3 + 3 + marks]     a point less its patch's centre; the centre; which curve
 *   p = W2 relu(norm(W1 point));   all = max of p over the patch
 *   p = W4 relu(norm(W3 [p, all]));   step = max of p over the patch + V2 gelu(V1 centre)
 *   step = step * scale[curve] + shift[curve]          if there are several curves
 *
 * so a step does not depend on the order of a patch's points.  The published norms are over a batch; here they are
 * over a point's channels. */
#include "ops/binary/binary.h"
#include "ops/ops.h"
#include "ops/pool/pool.h"
#include "ops/unary/unary.h"
#include "parts/part.h"

typedef struct pointnet { int64_t n_patch, n_point, n_curve, width; } pointnet;
static const kr_key keys[] = {
    KR_KEY_INT(pointnet, n_patch, 1, 1, 1 << 24, "patches of a cloud along a curve; the data say it"),
    KR_KEY_INT(pointnet, n_point, 1, 1, 1 << 20, "points of a patch; the data say it"),
    KR_KEY_INT(pointnet, n_curve, 1, 1, 1 << 10, "curves that the patches follow, one behind the other; the data say it"),
    KR_KEY_INT(pointnet, width, 0, 0, 1 << 20, "width of a point's vectors; 0: d_model"),
    KR_KEY_END};

static int64_t steps(const void *opt) {
    const pointnet *o = opt;
    int64_t n;
    return __builtin_mul_overflow(o->n_patch * o->n_curve, o->n_point, &n) || n > INT32_MAX ? 0 : n;
}

static kr_node *largest(kr_build *b, kr_node *x) {
    pool_attr a = {.kind = KR_POOL_MAX};
    return KR_APPLY(b->g, pool, &a, x, NULL);
}

/* [patches, D] beside every point of [patches, k, D]. */
static kr_node *beside_all(kr_build *b, kr_node *x, kr_node *all) {
    int64_t k = kr_node_dim(x, 1), D = kr_node_dim(all, 1), n = kr_node_dim(all, 0);
    int32_t *zeros = kr_mem_array((size_t)k, sizeof *zeros); /* as kr_mem_array leaves them */
    if (!zeros) return kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    kr_node *each = KR_APPLY(b->g, gather, NULL, kr_reshape(b->g, all, 3, KR_DIMS(n, 1, D)), kr_const_i32(b->g, zeros, k));
    kr_mem_free(zeros);
    return KR_APPLY(b->g, concat, NULL, x, each);
}

/* Two products with a norm and a relu between. */
static kr_node *twice(kr_build *b, kr_node *x, const char *first, const char *norm, const char *second, int64_t n_out) {
    x = kr_linear(b, x, first, n_out, true);
    return kr_linear(b, kr_act(b, kr_layernorm(b, x, norm, 1e-5), KR_UNARY_RELU), second, n_out, true);
}

/* A learnt vector for each curve, by its mark. */
static kr_node *of_curve(kr_build *b, kr_node *mark, const char *name, double start) {
    kr_scope_push(b->g, name);
    kr_node *w = kr_weight(b->g, "weight", KR_NO_DECAY, 2, KR_DIMS(b->d_model, kr_node_dim(mark, -1)), (kr_init){KR_INIT_CONST, start, 0, 0, NULL});
    kr_scope_pop(b->g);
    return KR_APPLY(b->g, linear, NULL, mark, w);
}

static kr_node *patches(kr_build *b, const pointnet *o, kr_node *x) {
    int64_t W = o->width ? o->width : b->d_model, n = kr_node_dim(x, 0);
    kr_node *p = twice(b, kr_columns(b->g, x, 0, 3), "fc1", "norm1", "fc2", W);
    p = twice(b, beside_all(b, p, largest(b, p)), "fc3", "norm2", "fc4", b->d_model);
    pool_attr first = {.kind = KR_POOL_FIRST};
    kr_node *about = KR_APPLY(b->g, pool, &first, kr_columns(b->g, x, 3, o->n_curve > 1 ? 3 + o->n_curve : 3), NULL);
    kr_node *place = kr_linear(b, kr_columns(b->g, about, 0, 3), "place1", W, true);
    p = kr_add(b, largest(b, p), kr_linear(b, kr_act(b, place, KR_UNARY_GELU), "place2", b->d_model, true));
    if (o->n_curve > 1) {
        binary_attr times = {.kind = KR_BINARY_MUL};
        kr_node *mark = kr_columns(b->g, about, 3, o->n_curve);
        p = kr_add(b, KR_APPLY(b->g, binary, &times, p, of_curve(b, mark, "scale", 1)), of_curve(b, mark, "shift", 0));
    }
    return kr_reshape(b->g, p, 3, KR_DIMS(b->S, n / b->S, b->d_model));
}

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const pointnet *o = opt;
    int64_t n = o->n_curve * o->n_patch, W = 6 + (o->n_curve > 1 ? o->n_curve : 0);
    if (steps(opt) != b->L)
        return kr_graph_fail(b->g, KR_ERR_CONFIG, "encoder: %lld patches of %lld points, but a row has %lld points", (long long)n, (long long)o->n_point, (long long)b->L);
    x = kr_reshape(b->g, kr_input(b->g, "x", KR_F32, 3, KR_DIMS(b->S, b->L, W)), 3, KR_DIMS(b->S * n, o->n_point, W));
    kr_scope_push(b->g, "encoder");
    x = patches(b, o, x);
    kr_scope_pop(b->g);
    b->L = n;
    return x;
}

const kr_part kr_part_encoder_pointnet = {.kind = "encoder", .name = "pointnet", .about = "a cloud's patches of points as steps, each through a small PointNet",
                                        .bytes = sizeof(pointnet), .keys = keys, .causal = true, .build = build, .steps = steps};
