/* step_ssd.c - the second half of a Mamba-2 mixer, for one step of decoding.
 *
 *   h = exp(dt A) h0 + dt x B,  v = (h C + D x) silu(z)      dt as in ssd
 *   y = v w                     what the next product takes: times a norm's weight, not yet scaled
 *   q = sum of v^2 over a head
 *
 * What ssd and gated_rmsnorm give, but for the scale of the norm, which the next product
 * (step_out) applies to its own sums. */
#include "ops/step_ssd/step_ssd.h"

#include <math.h>

KR_REF_DECLARE(step_ssd_fwd);

static const kr_attr attrs[] = {
    KR_ATTR_INT(step_ssd_attr, dt_softplus, 1, "dt goes through softplus before the clamp"),
    KR_ATTR_REAL(step_ssd_attr, dt_min, 0, "smallest dt after softplus"),
    KR_ATTR_REAL(step_ssd_attr, dt_max, INFINITY, "largest dt after softplus"),
    KR_ATTR_END,
};

static kr_status step_ssd_plan(kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), H = KR_SIZE(c, 'H'), G = KR_SIZE(c, 'G');
    if (L != 1) KR_FAIL(KR_ERR_SHAPE, "step_ssd: x has L = %lld steps, want 1", (long long)L);
    if (G < 1 || H % G) KR_FAIL(KR_ERR_SHAPE, "step_ssd: H = %lld heads do not split into G = %lld groups", (long long)H, (long long)G);
    return KR_OK;
}

static double step_ssd_flops(const kr_call *c) {
    return 5.0 * (double)(KR_SIZE(c, 'S') * KR_SIZE(c, 'H')) * (double)(KR_SIZE(c, 'P') * KR_SIZE(c, 'N'));
}

const kr_op kr_op_step_ssd = {
    .name = "step_ssd",
    .sig = "x:SLHP dt:SLH A:H@f B:SLGN C:SLGN D?:H@f dt_bias?:H@f h0:SHPN@s z:SLHP w?:HP@f -> y:SLHP h:SHPN@s q:SLH@f",
    .about = "one step of ssd, gated and times a norm's weight",
    .attr_bytes = sizeof(step_ssd_attr),
    .attrs = attrs,
    .plan = step_ssd_plan,
    .fwd = {[KR_REF] = step_ssd_fwd_ref_f32},
    .fwd_f64 = step_ssd_fwd_ref_f64,
    .state = {{STEP_SSD_H0 + 1, STEP_SSD_H + 1}},
    .may_alias = 1 << STEP_SSD_H,
    .flops = step_ssd_flops,
};
