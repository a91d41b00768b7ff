/* ssd_forms.h - structured masked attention, the other side of the duality, over real.
 *
 * Dao & Gu 2024: y = M x with M = L o (C B'), for any lower triangular mask L [n, n].  With
 * L from the decays of a scan this is ssd (their theorem 5.2 and corollary); with other
 * masks it is linear attention, RetNet, a Toeplitz convolution.  Nothing here is fast: it
 * is written so that tests can show that the forms are one function.
 *
 * For one head: C, B [n, N]; X [n, P], the dt already in it; Y [n, P]. */
#ifndef KR_OPS_SSD_FORMS_H
#define KR_OPS_SSD_FORMS_H
#include <stdint.h>

#define SSD_FORMS_DECLARE(real, suffix)                                                                        \
    /* Masks.  one_ss: L_ij = exp(log_a[j+1] + .. + log_a[i]); -INFINITY starts a new sequence. */             \
    void kr_mask_causal_##suffix(int64_t n, real *mask);                                                       \
    void kr_mask_decay_##suffix(int64_t n, real gamma, real *mask);         /* gamma^(i-j): RetNet */          \
    void kr_mask_one_ss_##suffix(int64_t n, const real *log_a, real *mask); /* 1-semiseparable: ssd */         \
    void kr_mask_toeplitz_##suffix(int64_t n, const real *taps, real *mask); /* taps[i-j] */                   \
    /* The quadratic form: (L o C B') X. */                                                                    \
    void kr_sma_quadratic_##suffix(int64_t n, int64_t N, int64_t P, const real *mask, const real *C,           \
                                   const real *B, const real *X, real *Y);                                     \
    /* The linear one: H = L (B outer X) step by step, Y = C H.  state: P N reals to work in. */               \
    void kr_sma_linear_##suffix(int64_t n, int64_t N, int64_t P, const real *mask, const real *C,              \
                                const real *B, const real *X, real *Y, real *state);                           \
    /* The block decomposition of a 1-semiseparable mask, chunks of Q steps; h [P, N] goes from the state     \
     * before to the state after.  mask: Q Q reals to work in. */                                              \
    void kr_ssd_blocks_##suffix(int64_t n, int64_t N, int64_t P, int64_t Q, const real *log_a, const real *C,  \
                                const real *B, const real *X, real *Y, real *h, real *mask);
SSD_FORMS_DECLARE(float, ref_f32)
SSD_FORMS_DECLARE(double, ref_f64)
#endif
