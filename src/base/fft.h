/* fft.h - Fourier transforms of real signals; the one door to kissfft. */
#ifndef KR_BASE_FFT_H
#define KR_BASE_FFT_H
#include <stdint.h>

#include "base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Transforms of one length.  It holds working space: one per thread. */
typedef struct kr_fft kr_fft;
kr_status kr_fft_new(kr_fft **f, int64_t n); /* n even, at most 2^30; fast if kr_fft_fast_size gave it */
void kr_fft_free(kr_fft *f);                 /* NULL is fine */

/* The least even length >= n of factors 2, 3 and 5. */
int64_t kr_fft_fast_size(int64_t n);

/* x[n] to X[n/2 + 1] pairs (re, im), and back: back(forward(x)) = n x.  x may not overlap X. */
void kr_fft_forward(kr_fft *f, const float *x, float *X);
void kr_fft_back(kr_fft *f, const float *X, float *x);

#ifdef __cplusplus
}
#endif
#endif
