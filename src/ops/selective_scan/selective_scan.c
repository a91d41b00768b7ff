/* selective_scan.c - the selective scan of Mamba-1, S6 (Gu & Dao 2023, algorithm 2).
 *
 *   dt[t] = softplus(dt[t] + dt_bias)
 *   h[t]  = exp(dt[t] A) h[t-1] + dt[t] B[t] u[t]          h[-1] = h0, h = h[L-1]
 *   y[t]  = (C[t] . h[t] + D u[t]) silu(z[t])
 *
 * for each sequence S and channel D on its own, with N states.  The D/G channels of a group
 * share B and C; G = D gives each its own.  Where seq_idx changes, another sequence begins
 * and h[t-1] is zero. */
#include "ops/selective_scan/selective_scan.h"

KR_REF_DECLARE(selective_scan_fwd);
KR_REF_DECLARE(selective_scan_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_INT(selective_scan_attr, dt_softplus, 1, "1: dt goes through softplus first"),
    KR_ATTR_INT(selective_scan_attr, form, 0, "0: fast, 1: sequential, 2: Blelloch's tree, 3: chunked"),
    KR_ATTR_END,
};

static kr_status selective_scan_plan(kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), G = KR_SIZE(c, 'G'), N = KR_SIZE(c, 'N');
    int64_t form = ((const selective_scan_attr *)c->attr)->form;
    if (S == 0 || L == 0 || D == 0 || N == 0 || G == 0)
        KR_FAIL(KR_ERR_SHAPE, "selective_scan: S=%lld, L=%lld, D=%lld, G=%lld, N=%lld, want none empty", (long long)S,
                (long long)L, (long long)D, (long long)G, (long long)N);
    if (D % G != 0)
        KR_FAIL(KR_ERR_SHAPE, "selective_scan: D=%lld channels do not split into G=%lld groups", (long long)D, (long long)G);
    if (form < SCAN_FAST || form > SCAN_CHUNKED)
        KR_FAIL(KR_ERR_ARG, "selective_scan: form is %lld, want 0 to 3", (long long)form);
    size_t real = kr_dtype_bytes(c->in[SCAN_U].dtype);
    c->fwd_scratch = (size_t)(form > SCAN_SEQUENTIAL ? 5 * L + 16 : N) * real; /* h[L] and at most 2 L + 1 pairs */
    c->bwd_scratch = (size_t)((L + 2) * N) * real;
    return KR_OK;
}

const kr_op kr_op_selective_scan = {
    .name = "selective_scan",
    .sig = "u:SLD dt:SLD A:DN B:SLGN C:SLGN D?:D z?:SLD dt_bias?:D h0?:SDN seq_idx?:SL@i -> y:SLD h:SDN",
    .about = "the selective scan of Mamba-1: a diagonal SSM whose dt, B and C depend on time",
    .attr_bytes = sizeof(selective_scan_attr),
    .attrs = attrs,
    .plan = selective_scan_plan,
    .fwd = {[KR_REF] = selective_scan_fwd_ref_f32},
    .bwd = {[KR_REF] = selective_scan_bwd_ref_f32},
    .fwd_f64 = selective_scan_fwd_ref_f64,
    .bwd_f64 = selective_scan_bwd_ref_f64,
    .bwd_in = (1 << (SCAN_SEQ_IDX + 1)) - 1,
    .no_grad = 1 << SCAN_SEQ_IDX,
    .state = {{SCAN_H0 + 1, SCAN_H + 1}},
    .may_alias = 1 << SCAN_H,
};
