/* step_in.c - the first half of a mixer, for one step of decoding.
 *
 *   t  = a W^T / sqrt(sum q / K + eps) + b     a: a row times a norm's weight; q: shares of the
 *   y  = t, but in columns conv_at to conv_at + D           sum of its squares before that
 *        silu(cb + cw . (x0, t)),  x1 = (x0, t) without its oldest
 *
 * What add_rmsnorm, linear and conv1d give; no q: a is normalised already.  Graphs put it in
 * their place (graph/fuse.c). */
#include "ops/step_in/step_in.h"

KR_REF_DECLARE(step_in_fwd);

static const kr_attr attrs[] = {
    KR_ATTR_REAL(step_in_attr, eps, 1e-5, "added to the mean square"),
    KR_ATTR_INT(step_in_attr, conv_at, 0, "first of the columns that are convolved"),
    KR_ATTR_END,
};

static kr_status step_in_plan(kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), N = KR_SIZE(c, 'N'), D = KR_SIZE(c, 'D'), at = ((const step_in_attr *)c->attr)->conv_at;
    if (L != 1) KR_FAIL(KR_ERR_SHAPE, "step_in: a has L = %lld steps, want 1", (long long)L);
    if (KR_SIZE(c, 'T') != KR_SIZE(c, 'U') + 1)
        KR_FAIL(KR_ERR_SHAPE, "step_in: x0 holds %lld steps, want one less than cw's taps", (long long)KR_SIZE(c, 'U'));
    if (at < 0 || at > N - D) KR_FAIL(KR_ERR_ARG, "step_in: columns %lld and on do not hold D = %lld of cw in N = %lld", (long long)at, (long long)D, (long long)N);
    return KR_OK;
}

static double step_in_flops(const kr_call *c) { return 2.0 * (double)KR_SIZE(c, 'S') * (double)KR_SIZE(c, 'N') * (double)KR_SIZE(c, 'K'); }

const kr_op kr_op_step_in = {
    .name = "step_in",
    .sig = "a:SLK q?:SLJ@f W:NK@w b?:N@f cw:DT@f cb?:D@f x0:SUD@f -> y:SLN x1:SUD@f",
    .about = "one step of rmsnorm's scale, linear, and conv1d of some columns",
    .attr_bytes = sizeof(step_in_attr),
    .attrs = attrs,
    .plan = step_in_plan,
    .fwd = {[KR_REF] = step_in_fwd_ref_f32},
    .fwd_f64 = step_in_fwd_ref_f64,
    .state = {{STEP_IN_X0 + 1, STEP_IN_X1 + 1}},
    .may_alias = 1 << STEP_IN_X1,
    .flops = step_in_flops,
};
