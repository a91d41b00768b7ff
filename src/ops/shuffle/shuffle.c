/* shuffle.c - with probability p a drawn order of n steps, else the order in which they stand.
 *
 *   order[k]   the k-th step                 place[i]   when step i comes
 *
 * Steps are sorted by a word of Philox each, a pure function of the key: {seed low, seed high, step, layer}, as
 * dropout has it. */
#include "ops/shuffle/shuffle.h"

KR_REF_DECLARE(shuffle_fwd);
KR_VEC_DECLARE(shuffle_fwd);

static const kr_attr attrs[] = {
    KR_ATTR_INT(shuffle_attr, n, 1, "steps J"),
    KR_ATTR_REAL(shuffle_attr, p, 1, "probability that they are shuffled"),
    KR_ATTR_END,
};

static kr_status shuffle_plan(kr_call *c) {
    const shuffle_attr *a = c->attr;
    if (a->n < 1 || a->n > INT32_MAX / 2) KR_FAIL(KR_ERR_ARG, "shuffle: %lld steps", (long long)a->n);
    if (!(a->p >= 0 && a->p <= 1)) KR_FAIL(KR_ERR_ARG, "shuffle: p is %g, want 0 to 1", a->p);
    if (KR_SIZE(c, 'K') != 4) KR_FAIL(KR_ERR_SHAPE, "shuffle: key is [%lld], want [4]: seed low, seed high, step, layer", (long long)KR_SIZE(c, 'K'));
    KR_SIZE(c, 'J') = a->n;
    c->fwd_scratch = (size_t)a->n * sizeof(uint64_t);
    return KR_OK;
}

const kr_op kr_op_shuffle = {
    .name = "shuffle",
    .sig = "key:K@i -> order:J@i place:J@i",
    .about = "with probability p a drawn order of n steps; key: seed low, seed high, step, layer",
    .attr_bytes = sizeof(shuffle_attr),
    .attrs = attrs,
    .plan = shuffle_plan,
    .fwd = {[KR_REF] = shuffle_fwd_ref_f32, KR_VEC_IMPLS(shuffle_fwd)},
    .fwd_f64 = shuffle_fwd_ref_f64,
};
