/* pick.c - steps picked by a list of each sequence's own, or added up by one.
 *
 *   into 0   y[s, j] = x[s, idx[s, j]]                  zeros for an index outside
 *   into n   y[s, idx[s, j]] += x[s, j]                 y has n steps; an index outside is left out
 *
 * Each is the other's gradient.  Sums run in the order of j.  From nodes to edges and back, and to
 * any order that depends on the data; a list that all sequences share is gather's. */
#include "ops/pick/pick.h"

KR_REF_DECLARE(pick_fwd);
KR_REF_DECLARE(pick_bwd);
KR_VEC_DECLARE(pick_fwd);
KR_VEC_DECLARE(pick_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_INT(pick_attr, into, 0, "0: pick; n: add up into n steps"),
    KR_ATTR_END,
};

static kr_status pick_plan(kr_call *c) {
    int64_t into = ((const pick_attr *)c->attr)->into, J = KR_SIZE(c, 'J'), L = KR_SIZE(c, 'L');
    if (into < 0) KR_FAIL(KR_ERR_ARG, "pick: into is %lld steps", (long long)into);
    if (into && J != L) KR_FAIL(KR_ERR_SHAPE, "pick: %lld steps are added up by a list of %lld", (long long)L, (long long)J);
    KR_SIZE(c, 'K') = into ? into : J;
    return KR_OK;
}

const kr_op kr_op_pick = {
    .name = "pick",
    .sig = "x:SLD idx:SJ@i -> y:SKD",
    .about = "steps picked by a list of each sequence's own; or (into) added up by one",
    .attr_bytes = sizeof(pick_attr),
    .attrs = attrs,
    .plan = pick_plan,
    .fwd = {[KR_REF] = pick_fwd_ref_f32, KR_VEC_IMPLS(pick_fwd)},
    .bwd = {[KR_REF] = pick_bwd_ref_f32, KR_VEC_IMPLS(pick_bwd)},
    .fwd_f64 = pick_fwd_ref_f64,
    .bwd_f64 = pick_bwd_ref_f64,
    .bwd_in = 1 << PICK_IDX,
    .no_grad = 1 << PICK_IDX,
};
