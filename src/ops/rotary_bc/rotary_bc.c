/* rotary_bc.c - B and C of Mamba-3: a bias for each head, and a rotation by an angle that the
 * data adds up (Lahoti et al. 2026).
 *
 *   phi_t = phi_{t-1} + pi tanh(angle_t) dt_t      per head and pair, from phi0 (or 0); 0 again where seq_idx changes
 *   k_t   = R(phi_t) (B_t + B_bias)                likewise q from C; only the first J pairs turn
 *   kq_t  = k_t . q_t
 *   phi   = phi_L, in [-pi, pi]
 *
 * Pairs are elements 2i and 2i + 1, or with `halves` i and i + N/2. */
#include "ops/rotary_bc/rotary_bc.h"

KR_REF_DECLARE(rotary_bc_fwd);
KR_REF_DECLARE(rotary_bc_bwd);
KR_VEC_DECLARE(rotary_bc_fwd);
KR_VEC_DECLARE(rotary_bc_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_INT(rotary_bc_attr, halves, 0, "1: pairs are i and i + N/2; 0: 2i and 2i + 1"),
    KR_ATTR_END,
};

/* Scratch: angles at the start of each block; backward also what follows each block, gradients of
 * all angles, and sums of the biases' gradients. */
static kr_status rotary_bc_plan(kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), H = KR_SIZE(c, 'H'), J = KR_SIZE(c, 'J'), N = KR_SIZE(c, 'N'), G = KR_SIZE(c, 'G');
    if (N % 2 || 2 * J > N) KR_FAIL(KR_ERR_SHAPE, "rotary_bc: %lld pairs to turn in N = %lld; want N even and at most N/2 pairs", (long long)J, (long long)N);
    if (N > 512) KR_FAIL(KR_ERR_SHAPE, "rotary_bc: N is %lld, at most 512", (long long)N);
    if (G < 1 || H % G) KR_FAIL(KR_ERR_SHAPE, "rotary_bc: %lld heads do not split into %lld groups", (long long)H, (long long)G);
    size_t blocks = (size_t)(S * rotary_blocks(c)), angles = (size_t)(H * J);
    c->fwd_scratch = blocks * angles * sizeof(float);
    c->bwd_scratch = (2 * blocks * angles + (size_t)(S * L) * angles + blocks * (size_t)(2 * H * N)) * sizeof(float);
    return KR_OK;
}

const kr_op kr_op_rotary_bc = {
    .name = "rotary_bc",
    .sig = "B:SLGN C:SLGN B_bias:HN@f C_bias:HN@f angle:SLJ dt:SLH phi0?:SHJ@f seq_idx?:SL@i -> k:SLHN q:SLHN kq:SLH phi:SHJ@f",
    .about = "Mamba-3: k = R(phi)(B + B_bias), q = R(phi)(C + C_bias), kq = k . q; phi adds up pi tanh(angle) dt",
    .attr_bytes = sizeof(rotary_bc_attr),
    .attrs = attrs,
    .plan = rotary_bc_plan,
    .fwd = {[KR_REF] = rotary_bc_fwd_ref_f32, KR_VEC_IMPLS(rotary_bc_fwd)},
    .bwd = {[KR_REF] = rotary_bc_bwd_ref_f32, KR_VEC_IMPLS(rotary_bc_bwd)},
    .fwd_f64 = rotary_bc_fwd_ref_f64,
    .bwd_f64 = rotary_bc_bwd_ref_f64,
    .bwd_in = 1 << ROTARY_B | 1 << ROTARY_C | 1 << ROTARY_B_BIAS | 1 << ROTARY_C_BIAS | 1 << ROTARY_ANGLE | 1 << ROTARY_DT | 1 << ROTARY_PHI0 |
              1 << ROTARY_SEQ_IDX,
    .no_grad = 1 << ROTARY_SEQ_IDX,
    .state = {{ROTARY_PHI0 + 1, ROTARY_PHI + 1}},
};
