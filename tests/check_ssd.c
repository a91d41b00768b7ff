/* check_ssd.c - what the generic op checker cannot say about ssd:
 *   - recurrence, quadratic form, linear attention and chunks are one function, to 1e-12 in
 *     double, for ragged lengths and any chunk; other masks give RetNet and convolution;
 *   - strong and weak decays stay exact in float, in long chunks and over long sequences;
 *   - states are never stored per step, and nothing is saved for backward;
 *   - what cannot be computed is refused with a sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "ops/ops.h"
#include "ops/ssd/ssd.h"
#include "ops/ssd/ssd_forms.h"

static const kr_op *const op = &kr_op_ssd;

/* --- calls: sizes by letter, data by name ------------------------------------------------ */

typedef struct sizes { int64_t S, L, H, P, G, N; } sizes;
/* the size of an axis letter */
static int64_t size_of(const sizes *z, char letter) {
    switch (letter) {
    case 'S': return z->S;
    case 'L': return z->L;
    case 'H': return z->H;
    case 'P': return z->P;
    case 'G': return z->G;
    default: return z->N;
    }
}
/* Shaped inputs without data: enough to bind. */
static kr_call shaped(kr_dtype real, const sizes *z, const ssd_attr *attr) {
    kr_call c = {.attr = attr, .n_threads = 2, .training = true};
    kr_sig_term t = {0};
    int i = 0;
    for (const char *s = op->sig; kr_sig_next(&s, &t) && !t.output; i++) {
        c.in[i].dtype = t.kind == KR_SLOT_INT ? KR_I32 : real;
        for (const char *a = t.axes; *a; a++) c.in[i].dim[c.in[i].n_dims++] = size_of(z, *a);
    }
    return c;
}
static void *fresh(const kr_tensor *t) {
    void *p = kr_mem_array((size_t)kr_count(t), kr_dtype_bytes(t->dtype));
    assert_non_null(p);
    memset(p, 0, (size_t)kr_count(t) * kr_dtype_bytes(t->dtype));
    return p;
}
static void fill(kr_tensor *x, double lo, double hi, uint64_t stream) {
    kr_rng r = {1, stream, 0};
    x->data = fresh(x);
    for (int64_t i = 0; i < kr_count(x); i++) {
        float v = (float)(lo + (hi - lo) * kr_rng_uniform(&r));
        if (x->dtype == KR_F64) ((double *)x->data)[i] = v;
        else ((float *)x->data)[i] = v;
    }
}

/* A bound call with data; dt and A from the given ranges, no seq_idx. */
static kr_call filled(kr_dtype real, const sizes *z, const ssd_attr *attr, const double dt[2], const double A[2]) {
    kr_call c = shaped(real, z, attr);
    c.in[SSD_SEQ_IDX] = (kr_tensor){0};
    assert_int_equal(kr_op_bind(op, &c), KR_OK);
    for (int i = 0; i < SSD_SEQ_IDX; i++) {
        double lim = i == SSD_DT_BIAS ? 0 : 1;
        const double *r = i == SSD_DT ? dt : i == SSD_A ? A : NULL;
        fill(&c.in[i], r ? r[0] : -lim, r ? r[1] : lim, (uint64_t)i);
        c.din[i] = c.in[i];
        c.din[i].data = fresh(&c.in[i]);
    }
    for (int o = 0; o < 2; o++) {
        c.out[o].data = fresh(&c.out[o]);
        c.dout[o] = c.out[o];
        fill(&c.dout[o], -1, 1, (uint64_t)(20 + o));
    }
    c.scratch = kr_mem_new(c.fwd_scratch > c.bwd_scratch ? c.fwd_scratch : c.bwd_scratch);
    c.saved = kr_mem_new(c.saved_bytes);
    assert_true(c.scratch && (c.saved || !c.saved_bytes));
    return c;
}
static void release(kr_call *c) {
    for (int i = 0; i < SSD_SEQ_IDX; i++) kr_mem_free(c->in[i].data), kr_mem_free(c->din[i].data);
    for (int o = 0; o < 2; o++) kr_mem_free(c->out[o].data), kr_mem_free(c->dout[o].data);
    kr_mem_free(c->scratch), kr_mem_free(c->saved);
}

/* --- the forms -------------------------------------------------------------------------- */

static double worst_of(const double *a, const double *b, int64_t n) {
    double worst = 0, scale = 1;
    for (int64_t i = 0; i < n; i++) scale = fmax(scale, fabs(b[i])), worst = fmax(worst, fabs(a[i] - b[i]));
    return worst / scale;
}

enum { N = 5, P = 3, LONG = 100 };
static double mask[LONG * LONG], log_a[LONG], X[LONG * P], Y[LONG * P], h[P * N], work[LONG * LONG];

/* The op in double on one head; dt and decays given as they are. */
static kr_call recurrence(int64_t L, double dt_lo, double dt_hi, double a_lo, double a_hi) {
    static const ssd_attr attr = {.dt_softplus = 0, .dt_min = -INFINITY, .dt_max = INFINITY};
    kr_call c = filled(KR_F64, &(sizes){1, L, 1, P, 1, N}, &attr, (double[]){dt_lo, dt_hi}, (double[]){a_lo, a_hi});
    ((double *)c.in[SSD_D].data)[0] = 0;
    memset(c.in[SSD_DHP].data, 0, P * sizeof(double));
    const double *dt = c.in[SSD_DT].data, *x = c.in[SSD_X].data;
    for (int64_t t = 0; t < L; t++) {
        log_a[t] = dt[t] * ((double *)c.in[SSD_A].data)[0];
        for (int64_t p = 0; p < P; p++) X[t * P + p] = dt[t] * x[t * P + p];
    }
    return c;
}

static void forms_agree(void **state) {
    (void)state;
    static const int64_t lengths[] = {1, 2, 5, 16, 33, LONG}, chunks[] = {1, 2, 3, 7, 16, 64, LONG, 2 * LONG};
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        int64_t L = lengths[k];
        kr_call c = recurrence(L, .01, 1, -4, -.1);
        const double *B = c.in[SSD_B].data, *C = c.in[SSD_C].data;
        kr_op_forward(op, &c, KR_REF); /* with a state before: only blocks know of it */
        for (size_t q = 0; q < sizeof chunks / sizeof *chunks; q++) {
            memcpy(h, c.in[SSD_H0].data, sizeof h);
            kr_ssd_blocks_ref_f64(L, N, P, chunks[q] < L ? chunks[q] : L, log_a, C, B, X, Y, h, work);
            assert_true(worst_of(Y, c.out[SSD_Y].data, L * P) <= 1e-12);
            assert_true(worst_of(h, c.out[SSD_H].data, P * N) <= 1e-12);
        }
        memset(c.in[SSD_H0].data, 0, sizeof h);
        kr_op_forward(op, &c, KR_REF);
        kr_mask_one_ss_ref_f64(L, log_a, mask);
        kr_sma_quadratic_ref_f64(L, N, P, mask, C, B, X, Y);
        assert_true(worst_of(Y, c.out[SSD_Y].data, L * P) <= 1e-12);
        kr_sma_linear_ref_f64(L, N, P, mask, C, B, X, Y, h);
        assert_true(worst_of(Y, c.out[SSD_Y].data, L * P) <= 1e-12);
        release(&c);
    }
}

static void other_masks(void **state) {
    (void)state;
    double taps[LONG], other[LONG * LONG];
    for (int causal = 0; causal < 2; causal++) { /* dt = 1: RetNet, and with A = 0 linear attention */
        double A = causal ? 0 : -.25;
        kr_call c = recurrence(LONG, 1, 1, A, A);
        memset(c.in[SSD_H0].data, 0, sizeof h);
        kr_op_forward(op, &c, KR_REF);
        kr_mask_decay_ref_f64(LONG, exp(A), mask);
        if (causal) kr_mask_causal_ref_f64(LONG, mask);
        kr_sma_quadratic_ref_f64(LONG, N, P, mask, c.in[SSD_C].data, c.in[SSD_B].data, X, Y);
        assert_true(worst_of(Y, c.out[SSD_Y].data, LONG * P) <= 1e-12);
        for (int i = 0; i < LONG; i++) taps[i] = exp(A * i);
        kr_mask_toeplitz_ref_f64(LONG, taps, other);
        assert_true(worst_of(other, mask, LONG * LONG) <= 1e-14);
        release(&c);
    }
    double one[LONG], u[LONG], v[LONG]; /* C = B = 1 and any taps: a causal convolution */
    for (int i = 0; i < LONG; i++) one[i] = 1, u[i] = sin(i * .7), taps[i] = cos(i * 1.3) / (1 + i);
    kr_mask_toeplitz_ref_f64(LONG, taps, mask);
    kr_sma_quadratic_ref_f64(LONG, 1, 1, mask, one, one, u, v);
    for (int i = 0; i < LONG; i++) {
        double sum = 0;
        for (int j = 0; j <= i; j++) sum += taps[j] * u[i - j];
        assert_true(fabs(sum - v[i]) <= 1e-13);
    }
}

/* --- numerics --------------------------------------------------------------------------- */

static double rms_error(const kr_tensor *want, const kr_tensor *got) {
    double num = 0, den = 1e-30;
    for (int64_t i = 0; i < kr_count(want); i++) {
        double a = ((double *)want->data)[i], b = ((float *)got->data)[i];
        num += (a - b) * (a - b), den += a * a;
    }
    return sqrt(num / den);
}

/* Every implementation against double.  Chunks of 256 bring cum to -3000: two floats of that
 * size would differ by 1e-4 too much. */
static void decays_stay_exact(void **state) {
    (void)state;
    static const double dt[][2] = {{-4, -1}, {0, 2}, {-9, -7}, {-6, 2}};
    static const double A[][2] = {{-16, -1}, {-8, -4}, {-1, -.1}, {-.01, -.001}};
    static const int64_t chunks[] = {0, 256};
    sizes z = {1, 600, 3, 8, 1, 16};
    for (int k = 0; k < 4 * 2; k++) {
        ssd_attr attr = {1, 0, INFINITY, chunks[k % 2]};
        kr_call want = filled(KR_F64, &z, &attr, dt[k / 2], A[k / 2]);
        kr_op_forward(op, &want, KR_REF);
        kr_op_backward(op, &want, KR_REF);
        for (int impl = KR_BASELINE; impl < KR_CUDA; impl++) {
            if (!kr_cpu_has((kr_impl)impl)) continue;
            kr_call got = filled(KR_F32, &z, &attr, dt[k / 2], A[k / 2]);
            kr_op_forward(op, &got, (kr_impl)impl);
            kr_op_backward(op, &got, (kr_impl)impl);
            for (int o = 0; o < 2; o++) assert_true(rms_error(&want.out[o], &got.out[o]) <= 2e-6);
            for (int i = 0; i < SSD_SEQ_IDX; i++) assert_true(rms_error(&want.din[i], &got.din[i]) <= 5e-6);
            release(&got);
        }
        release(&want);
    }
}

/* --- memory and refusals ---------------------------------------------------------------- */

static kr_call bound(int64_t S, int64_t L, int64_t H, int64_t chunk) {
    ssd_attr attr = {1, 0, INFINITY, chunk};
    kr_call c = shaped(KR_F32, &(sizes){S, L, H, 64, 1, 128}, &attr);
    assert_int_equal(kr_op_bind(op, &c), KR_OK);
    return c;
}

static void few_states_are_stored(void **state) {
    (void)state;
    static const int64_t shape[][3] = {{1, 24, 0}, {8, 8, 0}, {8, 24, 128}, {2, 80, 256}}; /* S, H, chunk */
    for (size_t k = 0; k < sizeof shape / sizeof *shape; k++) {
        int64_t S = shape[k][0], H = shape[k][1];
        size_t forward = bound(S, 1024, H, shape[k][2]).fwd_scratch;
        for (int64_t L = 1024; L <= 1 << 20; L *= 4) {
            kr_call c = bound(S, L, H, shape[k][2]);
            double x = (double)(S * L * H * 64) * 4, states = x * 128;
            assert_int_equal(c.fwd_scratch, forward); /* whatever L is */
            assert_true((double)c.saved_bytes <= states / 512); /* a quarter of x */
            assert_true((double)c.bwd_scratch <= states / 16);
            if (L >= 1 << 16) assert_true((double)c.bwd_scratch <= x / 2);
        }
    }
}

static void refuses(sizes z, ssd_attr attr, const char *why) {
    kr_call c = shaped(KR_F32, &z, &attr);
    assert_int_not_equal(kr_op_bind(op, &c), KR_OK);
    if (!strstr(kr_error(), why)) fail_msg("\"%s\" does not say \"%s\"", kr_error(), why);
}
static void refusals(void **state) {
    (void)state;
    ssd_attr plain = {1, 0, INFINITY, 0}, chunk = plain, clamp = plain;
    chunk.chunk_size = -1, clamp.dt_min = 2, clamp.dt_max = 1;
    refuses((sizes){0, 4, 2, 3, 1, 5}, plain, "S is 0");
    refuses((sizes){1, 0, 2, 3, 1, 5}, plain, "L is 0");
    refuses((sizes){1, 4, 2, 3, 0, 5}, plain, "G is 0");
    refuses((sizes){1, 4, 2, 3, 1, 0}, plain, "N is 0");
    refuses((sizes){1, 4, 3, 3, 2, 5}, plain, "H = 3 heads do not split into G = 2 groups");
    refuses((sizes){1, 4, 2, 3, 1, 5}, chunk, "chunk_size is -1");
    refuses((sizes){1, 4, 2, 3, 1, 5}, clamp, "dt_min = 2 is above dt_max = 1");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_agree),             cmocka_unit_test(other_masks), cmocka_unit_test(decays_stay_exact),
        cmocka_unit_test(few_states_are_stored), cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
