/* ssd_forms_ref.c - structured masked attention and the block form of ssd, written plainly. */
#include "ops/ref.h"
#include "ops/ssd/ssd_forms.h"

void REF(kr_mask_causal)(int64_t n, real *mask) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) mask[i * n + j] = j <= i;
}

void REF(kr_mask_decay)(int64_t n, real gamma, real *mask) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) mask[i * n + j] = j <= i ? pow(gamma, (real)(i - j)) : 0;
}

void REF(kr_mask_toeplitz)(int64_t n, const real *taps, real *mask) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) mask[i * n + j] = j <= i ? taps[i - j] : 0;
}

/* Every sum over a segment is made from its own terms: no difference of longer sums. */
void REF(kr_mask_one_ss)(int64_t n, const real *log_a, real *mask) {
    memset(mask, 0, (size_t)(n * n) * sizeof *mask);
    for (int64_t j = 0; j < n; j++) {
        real sum = 0;
        for (int64_t i = j; i < n; i++) {
            if (i > j) sum += log_a[i];
            mask[i * n + j] = exp(sum);
        }
    }
}

void REF(kr_sma_quadratic)(int64_t n, int64_t N, int64_t P, const real *mask, const real *C, const real *B,
                           const real *X, real *Y) {
    memset(Y, 0, (size_t)(n * P) * sizeof *Y);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            real score = 0;
            for (int64_t k = 0; k < N; k++) score += C[i * N + k] * B[j * N + k];
            for (int64_t p = 0; p < P; p++) Y[i * P + p] += mask[i * n + j] * score * X[j * P + p];
        }
}

void REF(kr_sma_linear)(int64_t n, int64_t N, int64_t P, const real *mask, const real *C, const real *B,
                        const real *X, real *Y, real *state) {
    for (int64_t i = 0; i < n; i++) {
        memset(state, 0, (size_t)(P * N) * sizeof *state);
        for (int64_t j = 0; j <= i; j++)
            for (int64_t p = 0; p < P; p++)
                for (int64_t k = 0; k < N; k++) state[p * N + k] += mask[i * n + j] * X[j * P + p] * B[j * N + k];
        for (int64_t p = 0; p < P; p++) {
            Y[i * P + p] = 0;
            for (int64_t k = 0; k < N; k++) Y[i * P + p] += state[p * N + k] * C[i * N + k];
        }
    }
}

/* Four steps a chunk: its diagonal block; what the state before gives it (the left factor);
 * the state carried across (centre); what the chunk gives the state (right). */
void REF(kr_ssd_blocks)(int64_t n, int64_t N, int64_t P, int64_t Q, const real *log_a, const real *C, const real *B,
                        const real *X, real *Y, real *h, real *mask) {
    for (int64_t t = 0; t < n; t += Q) {
        int64_t q = n - t < Q ? n - t : Q;
        const real *c = C + t * N, *b = B + t * N, *x = X + t * P;
        real *y = Y + t * P, all = exp(log_a[t]);
        REF(kr_mask_one_ss)(q, log_a + t, mask);
        REF(kr_sma_quadratic)(q, N, P, mask, c, b, x, y);
        for (int64_t i = 0; i < q; i++) /* exp(log_a[t] + .. + log_a[t+i]) = mask[i][0] exp(log_a[t]) */
            for (int64_t p = 0; p < P; p++)
                for (int64_t k = 0; k < N; k++) y[i * P + p] += all * mask[i * q] * h[p * N + k] * c[i * N + k];
        for (int64_t p = 0; p < P; p++)
            for (int64_t k = 0; k < N; k++) {
                h[p * N + k] *= all * mask[(q - 1) * q];
                for (int64_t j = 0; j < q; j++) h[p * N + k] += mask[(q - 1) * q + j] * x[j * P + p] * b[j * N + k];
            }
    }
}
