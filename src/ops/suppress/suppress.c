/* suppress.c - hidden-state suppression (DGMamba, Long et al. 2024) for a state space with one decay a head.
 *
 *   step = clamp(softplus(dt + dt_bias))       a = exp(step A), what the state keeps of itself in this step
 *   w    = 1 if a >= alpha, else a
 *   o    = w y + D x                           y = C h is what ssd reads of its state, without D
 *
 * The state is read out through w, and goes on as if it had not been: the paper's rule.  The code released
 * with it compares dt A before the softplus with alpha, and multiplies C. */
#include "ops/rows.h"
#include "ops/suppress/suppress.h"

#include <math.h>

KR_REF_DECLARE(suppress_fwd);
KR_REF_DECLARE(suppress_bwd);
KR_VEC_DECLARE(suppress_fwd);
KR_VEC_DECLARE(suppress_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_REAL(suppress_attr, alpha, 0.5, "decays from here on count in full"),
    KR_ATTR_REAL(suppress_attr, dt_min, 0, "step sizes below are raised to this"),
    KR_ATTR_REAL(suppress_attr, dt_max, INFINITY, "step sizes above are cut to this"),
    KR_ATTR_END,
};

static kr_status suppress_plan(kr_call *c) {
    c->bwd_scratch = rows_part_bytes(KR_SIZE(c, 'S') * KR_SIZE(c, 'L'), 3 * KR_SIZE(c, 'H')); /* dA, dD, ddt_bias */
    return KR_OK;
}

const kr_op kr_op_suppress = {
    .name = "suppress",
    .sig = "y:SLHP x:SLHP dt:SLH A:H@f D?:H@f dt_bias?:H@f -> o:SLHP",
    .about = "hidden-state suppression: o = w y + D x, w = a where a = exp(softplus(dt + dt_bias) A) is below alpha, else 1",
    .attr_bytes = sizeof(suppress_attr),
    .attrs = attrs,
    .plan = suppress_plan,
    .fwd = {[KR_REF] = suppress_fwd_ref_f32, KR_VEC_IMPLS(suppress_fwd)},
    .bwd = {[KR_REF] = suppress_bwd_ref_f32, KR_VEC_IMPLS(suppress_bwd)},
    .fwd_f64 = suppress_fwd_ref_f64,
    .bwd_f64 = suppress_bwd_ref_f64,
    .bwd_in = (1 << (SUPPRESS_DT_BIAS + 1)) - 1,
};
