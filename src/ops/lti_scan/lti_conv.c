/* lti_conv.c - lti_scan as a convolution: y = K * u with the causal kernel
 *
 *   K[l] = k Re(C . (a^l gain B)),   K[0] + D
 *
 * by FFT over at least 2 L points, so that nothing wraps around.  One channel at a time; its
 * kernel, made in double, serves all sequences. */
#include "base/fft.h"
#include "base/mem.h"
#include "ops/lti_scan/lti_scan.h"

/* What one thread works with. */
typedef struct worker {
    kr_fft *fft;
    double *kernel;               /* [L] */
    float *x, *X, *K;             /* [n], [n + 2], [n + 2] */
} worker;

static void worker_close(worker *w) {
    kr_fft_free(w->fft);
    kr_mem_free(w->kernel);
    kr_mem_free(w->x);
    kr_mem_free(w->X);
    kr_mem_free(w->K);
}
static kr_status worker_open(worker *w, int64_t L, int64_t n) {
    KR_TRY(kr_fft_new(&w->fft, n));
    w->kernel = kr_mem_array((size_t)L, sizeof *w->kernel);
    w->x = kr_mem_array((size_t)n, sizeof *w->x);
    w->X = kr_mem_array((size_t)n + 2, sizeof *w->X);
    w->K = kr_mem_array((size_t)n + 2, sizeof *w->K);
    return w->kernel && w->x && w->X && w->K ? KR_OK : KR_ERR_NOMEM;
}

static double at(const kr_call *c, int slot, int64_t i, double absent) {
    return c->in[slot].data ? ((const float *)c->in[slot].data)[i] : absent;
}

static void make_kernel(const kr_call *c, int64_t d, double *kernel) {
    int64_t L = KR_SIZE(c, 'L'), N = KR_SIZE(c, 'N');
    double twice = c->in[LTI_AIM].data ? 2 : 1;
    for (int64_t l = 0; l < L; l++) kernel[l] = 0;
    for (int64_t i = d * N; i < (d + 1) * N; i++) {
        lti_complex A = {at(c, LTI_ARE, i, 0), at(c, LTI_AIM, i, 0)}, B = {at(c, LTI_BRE, i, 1), at(c, LTI_BIM, i, 0)};
        lti_mode m = lti_discretise(((const lti_scan_attr *)c->attr)->disc, at(c, LTI_LOG_DT, d, 0), A);
        lti_complex p =
            lti_mul((lti_complex){twice * at(c, LTI_CRE, i, 0), twice * at(c, LTI_CIM, i, 0)}, lti_mul(m.gain, B));
        for (int64_t l = 0; l < L; l++, p = lti_mul(p, m.a)) kernel[l] += p.re;
    }
    kernel[0] += at(c, LTI_D, d, 0);
}

static void channel(const kr_call *c, int64_t d, int64_t n, const worker *w) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D');
    float *y = c->out[LTI_Y].data;
    make_kernel(c, d, w->kernel);
    for (int64_t l = 0; l < n; l++)
        w->x[l] = l < L ? (float)(w->kernel[l] / (double)n) : 0; /* the way back is n times too large */
    kr_fft_forward(w->fft, w->x, w->K);
    for (int64_t s = 0; s < S; s++) {
        for (int64_t l = 0; l < n; l++)
            w->x[l] = l < L ? ((const float *)c->in[LTI_U].data)[(s * L + l) * c->in[LTI_U].pitch + d] : 0;
        kr_fft_forward(w->fft, w->x, w->X);
        for (int64_t i = 0; i < n + 2; i += 2) {
            float re = w->X[i] * w->K[i] - w->X[i + 1] * w->K[i + 1];
            w->X[i + 1] = w->X[i] * w->K[i + 1] + w->X[i + 1] * w->K[i];
            w->X[i] = re;
        }
        kr_fft_back(w->fft, w->X, w->x);
        for (int64_t l = 0; l < L; l++) y[(s * L + l) * D + d] = w->x[l];
    }
}

kr_status kr_lti_conv(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), n = kr_fft_fast_size(2 * L);
    if (c->in[LTI_U].dtype != KR_F32)
        KR_FAIL(KR_ERR_DTYPE, "lti_conv: u is %s, want float32", kr_dtype_text(c->in[LTI_U].dtype));
    if (c->in[LTI_H0RE].data || c->in[LTI_H0IM].data || c->in[LTI_SEQ_IDX].data)
        KR_FAIL(KR_ERR_ARG, "lti_conv: h0 or seq_idx given, want neither: a convolution begins from zero, once");
    worker *w = kr_mem_array((size_t)c->n_threads, sizeof *w);
    kr_status st = w ? KR_OK : KR_ERR_NOMEM;
    for (int i = 0; st == KR_OK && i < c->n_threads; i++) st = worker_open(&w[i], L, n);
#pragma omp parallel for num_threads(c->n_threads) schedule(static, 1) if (st == KR_OK)
    for (int i = 0; i < c->n_threads; i++)
        for (int64_t d = i; st == KR_OK && d < D; d += c->n_threads) channel(c, d, n, &w[i]);
    for (int i = 0; w && i < c->n_threads; i++) worker_close(&w[i]);
    kr_mem_free(w);
    return st;
}
