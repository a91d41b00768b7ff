/* lti_scan.c - the time-invariant diagonal state space layer, S4D (Gu et al. 2022).
 *
 *   h[t] = a h[t-1] + gain B u[t]         h[-1] = h0, h = h[L-1]
 *   y[t] = k Re(C . h[t]) + D u[t]        k = 2 if complex, else 1
 *
 * for each sequence S and channel D on its own.  With Aim, A, B, C and h are complex and
 * stand for N conjugate pairs; without it all is real, h0im is not read and him is zero.  No
 * Bre: B is one.  With dt = exp(log_dt) and w = dt A, `disc` gives
 *
 *   0  zero-order hold   a = exp w                   gain = (exp w - 1) / A
 *   1  Euler             a = 1 + w                   gain = dt
 *   2  bilinear          a = (1 + w/2) / (1 - w/2)   gain = dt / (1 - w/2)
 *   3  Mamba's           a = exp w                   gain = dt
 *
 * Where seq_idx changes, another sequence begins and h[t-1] is zero. */
#include "ops/lti_scan/lti_scan.h"

#include <math.h>

KR_REF_DECLARE(lti_scan_fwd);
KR_REF_DECLARE(lti_scan_bwd);
KR_VEC_DECLARE(lti_scan_fwd);
KR_VEC_DECLARE(lti_scan_bwd);

static lti_complex divide(lti_complex a, lti_complex b) {
    double s = 1 / (b.re * b.re + b.im * b.im);
    return (lti_complex){(a.re * b.re + a.im * b.im) * s, (a.im * b.re - a.re * b.im) * s};
}
static lti_complex conj_of(lti_complex a) { return (lti_complex){a.re, -a.im}; }
static lti_complex scale(double s, lti_complex a) { return (lti_complex){s * a.re, s * a.im}; }
static lti_complex add(lti_complex a, lti_complex b) { return (lti_complex){a.re + b.re, a.im + b.im}; }

static lti_complex exp_of(lti_complex w) {
    double r = exp(w.re);
    return (lti_complex){r * cos(w.im), r * sin(w.im)};
}
/* phi(w) = (exp w - 1) / w, or its derivative: by the series 1/1! + w/2! + w^2/3! ... near 0. */
static lti_complex phi(lti_complex w, bool derivative) {
    const lti_complex one = {1, 0};
    if (w.re * w.re + w.im * w.im > 0.04) {
        lti_complex e = exp_of(w), p = divide(add(e, scale(-1, one)), w);
        return derivative ? divide(add(e, scale(-1, p)), w) : p;
    }
    lti_complex sum = one; /* 1 + w r1 (1 + w r2 (1 + ...)), r the ratios of neighbouring coefficients */
    for (int k = 12; k > 0; k--)
        sum = add(one, scale(derivative ? (k + 1.) / (k * (k + 2.)) : 1 / (k + 1.), lti_mul(w, sum)));
    return scale(derivative ? .5 : 1, sum);
}

lti_mode lti_discretise(int64_t disc, double log_dt, lti_complex A) {
    double dt = exp(log_dt);
    lti_complex w = scale(dt, A), one = {1, 0};
    lti_complex q = disc == LTI_BILINEAR ? divide(one, (lti_complex){1 - w.re / 2, -w.im / 2}) : one;
    switch (disc) {
    case LTI_EULER: return (lti_mode){add(one, w), {dt, 0}};
    case LTI_BILINEAR: return (lti_mode){lti_mul((lti_complex){1 + w.re / 2, w.im / 2}, q), scale(dt, q)};
    case LTI_MAMBA: return (lti_mode){exp_of(w), {dt, 0}};
    default: return (lti_mode){exp_of(w), scale(dt, phi(w, false))};
    }
}

/* gain = dt f(w): f is 1, q = 1 / (1 - w/2) or phi(w).  For z = f(w): dw = dz conj(f'(w)). */
void lti_discretise_bwd(int64_t disc, double log_dt, lti_complex A, lti_complex da, lti_complex dgain, double *dlog_dt,
                        lti_complex *dA) {
    double dt = exp(log_dt);
    lti_complex w = scale(dt, A), one = {1, 0}, da_dw = one, f = one, df_dw = {0, 0};
    if (disc == LTI_ZOH || disc == LTI_MAMBA) da_dw = exp_of(w);
    if (disc == LTI_ZOH) f = phi(w, false), df_dw = phi(w, true);
    if (disc == LTI_BILINEAR) {
        f = divide(one, (lti_complex){1 - w.re / 2, -w.im / 2});
        da_dw = lti_mul(f, f);
        df_dw = scale(.5, da_dw);
    }
    lti_complex dw = add(lti_mul(da, conj_of(da_dw)), scale(dt, lti_mul(dgain, conj_of(df_dw))));
    double ddt = lti_mul(dgain, conj_of(f)).re + lti_mul(dw, conj_of(A)).re;
    *dlog_dt = ddt * dt;
    *dA = scale(dt, dw);
}

static const kr_attr attrs[] = {
    KR_ATTR_INT(lti_scan_attr, disc, 0, "0: zero-order hold, 1: Euler, 2: bilinear, 3: exp for A, dt for B"),
    KR_ATTR_END,
};

/* six arrays of modes (a - 1, gain B, k C), two of states; see the vec files */
int64_t lti_fwd_floats(int64_t N) { return ((6 + 2) * N + 2 * LTI_CHUNK) * LTI_LANES; }
int64_t lti_bwd_floats(int64_t N) { /* the modes and their sums; h, dh; u, dy, du, dskip; four modes' states */
    return ((2 * 6 + 2 * 2) * N + 3 * LTI_CHUNK + 1 + 4 * 2 * (LTI_CHUNK + 1)) * LTI_LANES;
}
int64_t lti_part_floats(int64_t N) { return (6 * N + 1) * LTI_LANES; }

static kr_status lti_scan_plan(kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), N = KR_SIZE(c, 'N');
    int64_t disc = ((const lti_scan_attr *)c->attr)->disc;
    if (S == 0 || L == 0 || D == 0 || N == 0)
        KR_FAIL(KR_ERR_SHAPE, "lti_scan: S=%lld, L=%lld, D=%lld, N=%lld, want none empty", (long long)S, (long long)L,
                (long long)D, (long long)N);
    if (disc < LTI_ZOH || disc > LTI_MAMBA) KR_FAIL(KR_ERR_ARG, "lti_scan: disc is %lld, want 0 to 3", (long long)disc);
    if (!c->in[LTI_AIM].n_dims && (c->in[LTI_BIM].n_dims || c->in[LTI_CIM].n_dims))
        KR_FAIL(KR_ERR_ARG, "lti_scan: Bim or Cim without Aim, want all real or Aim too");
    int64_t tiles = S * ((D + LTI_LANES - 1) / LTI_LANES);
    size_t ref = (size_t)(2 * (L + 1)) * kr_dtype_bytes(c->in[LTI_U].dtype); /* one mode's states */
    size_t bwd = (size_t)(tiles * lti_part_floats(N) + c->n_threads * lti_bwd_floats(N)) * sizeof(float);
    c->fwd_scratch = (size_t)(c->n_threads * lti_fwd_floats(N)) * sizeof(float);
    c->bwd_scratch = ref > bwd ? ref : bwd;
    if (c->training) c->saved_bytes = (size_t)(tiles * ((L - 1) / LTI_CHUNK) * 2 * N * LTI_LANES) * sizeof(float);
    return KR_OK;
}

/* A mode and step: complex, a h is 6, + gain u 4, C h 4; real 2, 2 and 2. */
static double lti_scan_flops(const kr_call *c) {
    double modes = (double)(KR_SIZE(c, 'S') * KR_SIZE(c, 'L') * KR_SIZE(c, 'D')) * (double)KR_SIZE(c, 'N');
    return (c->in[LTI_AIM].n_dims ? 14 : 6) * modes;
}

const kr_op kr_op_lti_scan = {
    .name = "lti_scan",
    .sig = "u:SLD log_dt:D@f Are:DN@f Aim?:DN@f Bre?:DN@f Bim?:DN@f Cre:DN@f Cim?:DN@f D?:D@f h0re?:SDN@f h0im?:SDN@f "
           "seq_idx?:SL@i -> y:SLD hre:SDN@f him:SDN@f",
    .about = "the diagonal time-invariant SSM of S4D, real or in conjugate pairs",
    .attr_bytes = sizeof(lti_scan_attr),
    .attrs = attrs,
    .plan = lti_scan_plan,
    .fwd = {[KR_REF] = lti_scan_fwd_ref_f32, KR_VEC_IMPLS(lti_scan_fwd)},
    .bwd = {[KR_REF] = lti_scan_bwd_ref_f32, KR_VEC_IMPLS(lti_scan_bwd)},
    .fwd_f64 = lti_scan_fwd_ref_f64,
    .bwd_f64 = lti_scan_bwd_ref_f64,
    .bwd_in = (1 << (LTI_SEQ_IDX + 1)) - 1,
    .no_grad = 1 << LTI_SEQ_IDX,
    .state = {{LTI_H0RE + 1, LTI_HRE + 1}, {LTI_H0IM + 1, LTI_HIM + 1}},
    .may_alias = 1 << LTI_HRE | 1 << LTI_HIM,
    .flops = lti_scan_flops,
};
