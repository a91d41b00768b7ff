/* ssd.c - the scan of Mamba-2 (Dao & Gu 2024), called state-space dual for its two forms.
 *
 *   dt[t] = clamp(softplus(dt[t] + dt_bias), dt_min, dt_max)
 *   h[t]  = exp(dt[t] A) h[t-1] + dt[t] x[t] (outer) B[t]      h[-1]  = h0
 *   y[t]  = h[t] C[t] + D x[t]                                 h[L-1] = h
 *
 * for each sequence S and head H on its own; the H/G heads of a group share B and C.  D is
 * one number a head; Dhp one a channel instead, or added to it.  Where seq_idx[t] differs
 * from seq_idx[t-1], h[t-1] counts as zero: another text begins in the same row.  h0
 * belongs to the first. */
#include <math.h>

#include "ops/ssd/ssd.h"

KR_REF_DECLARE(ssd_fwd);
KR_REF_DECLARE(ssd_bwd);
KR_VEC_DECLARE(ssd_fwd);
KR_VEC_DECLARE(ssd_bwd);

static const kr_attr attrs[] = {
    KR_ATTR_INT(ssd_attr, dt_softplus, 1, "dt goes through softplus before the clamp"),
    KR_ATTR_REAL(ssd_attr, dt_min, 0, "smallest dt after softplus"),
    KR_ATTR_REAL(ssd_attr, dt_max, INFINITY, "largest dt after softplus"),
    KR_ATTR_INT(ssd_attr, chunk_size, 0, "steps worked on at once; changes speed only; 0: choose"),
    KR_ATTR_END,
};

static kr_status ssd_plan(kr_call *c) {
    const ssd_attr *attr = c->attr;
    int64_t L = KR_SIZE(c, 'L'), H = KR_SIZE(c, 'H'), P = KR_SIZE(c, 'P'), G = KR_SIZE(c, 'G'), N = KR_SIZE(c, 'N');
    for (const char *a = "SLHPGN"; *a; a++)
        if (KR_SIZE(c, *a) == 0) KR_FAIL(KR_ERR_SHAPE, "ssd: %c is 0, want at least 1", *a);
    if (H % G != 0)
        KR_FAIL(KR_ERR_SHAPE, "ssd: H = %lld heads do not split into G = %lld groups", (long long)H, (long long)G);
    if (attr->chunk_size < 0)
        KR_FAIL(KR_ERR_ARG, "ssd: chunk_size is %lld, want 1 or more, or 0 to choose", (long long)attr->chunk_size);
    if (!(attr->dt_min <= attr->dt_max))
        KR_FAIL(KR_ERR_ARG, "ssd: dt_min = %g is above dt_max = %g", attr->dt_min, attr->dt_max);
    /* enough for whichever kernel will run */
    ssd_dims d = ssd_dims_of(c);
    int64_t stride = ssd_stride(L), ref_states = (L + stride - 1) / stride + stride + 2;
    size_t state = (size_t)(P * N) * kr_dtype_bytes(c->in[SSD_X].dtype);
    size_t fwd = (size_t)(c->n_threads * ssd_fwd_floats(&d)) * sizeof(float);
    size_t bwd = (size_t)(ssd_bwd_grads(&d) + ssd_bwd_sums(&d) + ssd_bwd_parts(&d)) * sizeof(float);
    bwd += (size_t)(c->n_threads * ssd_bwd_floats(&d)) * sizeof(float);
    c->fwd_scratch = fwd > state ? fwd : state;
    c->bwd_scratch = bwd > ref_states * state ? bwd : (size_t)ref_states * state;
    if (c->training) c->saved_bytes = (size_t)ssd_saved(&d) * sizeof(float);
    return KR_OK;
}

/* A head's products in a chunk of Q (the diagonal block's upper half is not made), and its
 * share of C B'. */
static double ssd_flops(const kr_call *c) {
    ssd_dims d = ssd_dims_of(c);
    double Q = (double)d.Q, N = (double)d.N, P = (double)d.P;
    return (double)(d.S * d.L * d.H) * (4 * N * P + Q * P + Q * N / (double)d.R);
}

const kr_op kr_op_ssd = {
    .name = "ssd",
    .sig = "x:SLHP dt:SLH A:H@f B:SLGN C:SLGN D?:H@f Dhp?:HP@f dt_bias?:H@f h0?:SHPN@s seq_idx?:SL@i "
           "-> y:SLHP h:SHPN@s",
    .about = "the selective scan of Mamba-2: h = exp(dt A) h + dt x B, y = h C + D x",
    .attr_bytes = sizeof(ssd_attr),
    .attrs = attrs,
    .plan = ssd_plan,
    .fwd = {[KR_REF] = ssd_fwd_ref_f32, KR_VEC_IMPLS(ssd_fwd)},
    .bwd = {[KR_REF] = ssd_bwd_ref_f32, KR_VEC_IMPLS(ssd_bwd)},
    .fwd_f64 = ssd_fwd_ref_f64,
    .bwd_f64 = ssd_bwd_ref_f64,
    .bwd_in = (1 << (SSD_SEQ_IDX + 1)) - 1,
    .no_grad = 1 << SSD_SEQ_IDX,
    .state = {{SSD_H0 + 1, SSD_H + 1}},
    .may_alias = 1 << SSD_H,
    .flops = ssd_flops,
};
