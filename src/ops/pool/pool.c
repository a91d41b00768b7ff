/* pool.c - one vector for every sequence, of its first len steps (no len: of all).
 *
 *   0 mean, 1 max (the first of equals has the gradient), 2 last, 3 sum, 4 first
 *
 * A sequence of no steps gives zeros. */
#include "ops/pool/pool.h"

KR_REF_DECLARE(pool_fwd);
KR_REF_DECLARE(pool_bwd);
KR_VEC_DECLARE(pool_fwd);
KR_VEC_DECLARE(pool_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_INT(pool_attr, kind, 0, "0 mean, 1 max, 2 last, 3 sum, 4 first"),
    KR_ATTR_END,
};

static kr_status pool_plan(kr_call *c) {
    int64_t kind = ((const pool_attr *)c->attr)->kind;
    if (kind < 0 || kind >= KR_N_POOL) KR_FAIL(KR_ERR_ARG, "pool: kind is %lld, want 0 to %d", (long long)kind, KR_N_POOL - 1);
    return KR_OK;
}

const kr_op kr_op_pool = {
    .name = "pool",
    .sig = "x:SLD len?:S@i -> y:SD",
    .about = "mean, max, last, sum or first of a sequence's steps (kind)",
    .attr_bytes = sizeof(pool_attr),
    .attrs = attrs,
    .plan = pool_plan,
    .fwd = {[KR_REF] = pool_fwd_ref_f32, KR_VEC_IMPLS(pool_fwd)},
    .bwd = {[KR_REF] = pool_bwd_ref_f32, KR_VEC_IMPLS(pool_bwd)},
    .fwd_f64 = pool_fwd_ref_f64,
    .bwd_f64 = pool_bwd_ref_f64,
    .bwd_in = 1 << POOL_X | 1 << POOL_LEN, /* x for max, which finds its step again */
    .no_grad = 1 << POOL_LEN,
};
