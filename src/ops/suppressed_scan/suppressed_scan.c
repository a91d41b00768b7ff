/* suppressed_scan.c - Mamba-1's scan with hidden-state suppression (DGMamba, Long et al. 2024).
 *
 *   dt   = softplus(dt + dt_bias)
 *   a    = exp(dt A)                                what a number of the state keeps of itself in this step
 *   h[t] = a h[t-1] + dt B[t] u[t]
 *   y[t] = sum over n of C[t] w h[t] + D u[t]       w = 1 if a >= alpha, else a
 *
 * The state goes on as in selective_scan; what is being forgotten is read out less, number by number.  For one
 * decay a head there is `suppress`, behind ssd. */
#include "ops/suppressed_scan/suppressed_scan.h"

KR_REF_DECLARE(suppressed_scan_fwd);
KR_REF_DECLARE(suppressed_scan_bwd);
KR_VEC_DECLARE(suppressed_scan_fwd);
KR_VEC_DECLARE(suppressed_scan_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_REAL(suppressed_scan_attr, alpha, 0.5, "decays from here on count in full"),
    KR_ATTR_END,
};

static kr_status suppressed_scan_plan(kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), G = KR_SIZE(c, 'G'), N = KR_SIZE(c, 'N');
    if (S == 0 || L == 0 || D == 0 || N == 0 || G == 0)
        KR_FAIL(KR_ERR_SHAPE, "suppressed_scan: S=%lld, L=%lld, D=%lld, G=%lld, N=%lld, want none empty", (long long)S, (long long)L, (long long)D, (long long)G, (long long)N);
    if (D % G != 0) KR_FAIL(KR_ERR_SHAPE, "suppressed_scan: D=%lld channels do not split into G=%lld groups", (long long)D, (long long)G);
    size_t real = kr_dtype_bytes(c->in[SUPPRESSED_U].dtype), ref_fwd = (size_t)N * real, ref_bwd = (size_t)((L + 2) * N) * real;
    size_t fwd = (size_t)(c->n_threads * suppressed_own(c, false)) * sizeof(float);
    /* of each tile dB and dC, of each sequence dA, dD and ddt_bias */
    size_t shares = (size_t)(2 * S * G * suppressed_tiles(c) * L * N + S * D * (N + 2));
    size_t bwd = (shares + (size_t)(c->n_threads * suppressed_own(c, true))) * sizeof(float);
    c->fwd_scratch = fwd > ref_fwd ? fwd : ref_fwd;
    c->bwd_scratch = bwd > ref_bwd ? bwd : ref_bwd;
    return KR_OK;
}

const kr_op kr_op_suppressed_scan = {
    .name = "suppressed_scan",
    .sig = "u:SLD dt:SLD A:DN@f B:SLGN C:SLGN D?:D@f dt_bias?:D@f h0?:SDN@f seq_idx?:SL@i -> y:SLD h:SDN@f",
    .about = "Mamba-1's scan whose states are read out less where they are being forgotten",
    .attr_bytes = sizeof(suppressed_scan_attr),
    .attrs = attrs,
    .plan = suppressed_scan_plan,
    .fwd = {[KR_REF] = suppressed_scan_fwd_ref_f32, KR_VEC_IMPLS(suppressed_scan_fwd)},
    .bwd = {[KR_REF] = suppressed_scan_bwd_ref_f32, KR_VEC_IMPLS(suppressed_scan_bwd)},
    .fwd_f64 = suppressed_scan_fwd_ref_f64,
    .bwd_f64 = suppressed_scan_bwd_ref_f64,
    .bwd_in = (1 << (SUPPRESSED_SEQ_IDX + 1)) - 1,
    .no_grad = 1 << SUPPRESSED_SEQ_IDX,
    .state = {{SUPPRESSED_H0 + 1, SUPPRESSED_H + 1}},
    .may_alias = 1 << SUPPRESSED_H,
};
