/* trapezoid.c - Mamba-3's discretisation, as what an ordinary scan can do (Lahoti et al. 2026).
 *
 *   step  = softplus(dt + dt_bias)      a = max(f(A), A_floor), f(x) = 1 + x above 0, 1 / (1 - x) below
 *   lam   = sigmoid(trap)               decay = a step
 *
 * The recurrence  S_t = e^-decay_t S_{t-1} + (1 - lam_t) step_t e^-decay_t v_{t-1} k_{t-1}' + lam_t step_t v_t k_t'
 * gives what came in at step j, once step j + 1 is there, the weight lam_j step_j + ahead_j:
 *
 *   ahead_t = (1 - lam_{t+1}) step_{t+1}, 0 at the last step of a document
 *   ratio_t = (lam_t step_t + ahead_t) / decay_t
 *
 * so ssd with steps `decay`, decay rate -1 and inputs ratio v is the same but for ahead_t v_t k_t', which
 * step t itself must not see yet. */
#include "ops/rows.h"
#include "ops/trapezoid/trapezoid.h"

KR_REF_DECLARE(trapezoid_fwd);
KR_REF_DECLARE(trapezoid_bwd);
KR_VEC_DECLARE(trapezoid_fwd);
KR_VEC_DECLARE(trapezoid_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_REAL(trapezoid_attr, A_floor, 1e-4, "least decay rate"),
    KR_ATTR_END,
};

static kr_status trapezoid_plan(kr_call *c) {
    if (!(((const trapezoid_attr *)c->attr)->A_floor > 0)) KR_FAIL(KR_ERR_ARG, "trapezoid: A_floor must be above 0");
    c->bwd_scratch = rows_part_bytes(KR_SIZE(c, 'S') * KR_SIZE(c, 'L'), KR_SIZE(c, 'H')); /* ddt_bias */
    return KR_OK;
}

const kr_op kr_op_trapezoid = {
    .name = "trapezoid",
    .sig = "dt:SLH A:SLH trap:SLH dt_bias:H@f seq_idx?:SL@i -> decay:SLH ratio:SLH ahead:SLH step:SLH",
    .about = "Mamba-3: step = softplus(dt + dt_bias), decay = step max(f(A), A_floor), ahead = (1 - lam) step of the next step, "
             "ratio = (lam step + ahead) / decay, lam = sigmoid(trap)",
    .attr_bytes = sizeof(trapezoid_attr),
    .attrs = attrs,
    .plan = trapezoid_plan,
    .fwd = {[KR_REF] = trapezoid_fwd_ref_f32, KR_VEC_IMPLS(trapezoid_fwd)},
    .bwd = {[KR_REF] = trapezoid_bwd_ref_f32, KR_VEC_IMPLS(trapezoid_bwd)},
    .fwd_f64 = trapezoid_fwd_ref_f64,
    .bwd_f64 = trapezoid_bwd_ref_f64,
    .bwd_in = 1 << TRAPEZOID_DT | 1 << TRAPEZOID_A | 1 << TRAPEZOID_TRAP | 1 << TRAPEZOID_DT_BIAS | 1 << TRAPEZOID_SEQ_IDX,
    .no_grad = 1 << TRAPEZOID_SEQ_IDX,
};
