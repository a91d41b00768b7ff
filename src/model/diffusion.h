/* diffusion.h - from pictures to noise and back (DDPM: Ho et al. 2020; DDIM: Song et al. 2021).
 *
 *   x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) e         e ~ N(0, 1), t = 1 .. T
 *
 * a_t, the share of the picture's variance that is left, falls by the cosine schedule of Nichol & Dhariwal
 * (2021): a_t = a_(t-1) (1 - b_t), b_t = min(0.999, 1 - f(t) / f(t-1)), f(t) = cos^2((t/T + s) / (1 + s) pi/2),
 * s = 0.008.  A model is trained to tell e from x_t and t; the way back from t to s < t is
 *
 *   x_0' = (x_t - sqrt(1 - a_t) e') / sqrt(a_t), put back between low and high;   e' anew from it
 *   x_s  = sqrt(a_s) x_0' + sqrt(1 - a_s - v) e' + sqrt(v) z,     v = eta^2 (1 - a_s) / (1 - a_t) (1 - a_t / a_s)
 *
 * which is DDIM for eta 0, and for eta 1 draws from q(x_s | x_t, x_0'): DDPM's ancestral sampling.
 *
 * All draws are functions of a seed and the number of a row, so they do not depend on batches, threads or
 * what was drawn before. */
#ifndef KR_MODEL_DIFFUSION_H
#define KR_MODEL_DIFFUSION_H
#include "model/model.h"

typedef struct kr_diffusion {
    int64_t T, n_features, classes;
    double class_drop;
    double *left;               /* [T + 1] a_t; a_0 = 1 */
} kr_diffusion;

/* Of a model with condition "diffusion"; *out NULL: it has none. */
kr_status kr_diffusion_of(kr_diffusion **out, const kr_config *c);
kr_status kr_diffusion_new(kr_diffusion **out, int64_t T, int64_t n_features);
void kr_diffusion_free(kr_diffusion *d);

/* What the model is told of step t: cos(t w_i), then sin(t w_i), w_i = 10000^(-i / (n/2)), i < n/2. */
void kr_diffusion_features(const kr_diffusion *d, double t, float *to);
/* n numbers from N(0, 1), the same for the same three numbers. */
void kr_diffusion_normal(uint64_t seed, const char *purpose, uint64_t row, int64_t n, float *to);

/* Row number `row` of a split as an example: x [n] becomes x_t, `noise` what is in it, `features` what is told
 * of t; *class (NULL: none) becomes -1 if it is not to be told.  Returns t.  With `train` classes are left
 * out; otherwise the seed should not be the run's. */
int64_t kr_diffusion_noise(const kr_diffusion *d, uint64_t seed, bool train, int64_t row, int64_t n, float *x, float *noise, float *features, int32_t *class);

/* e' [n, width] of x at step t. */
typedef kr_status kr_denoise(void *user, int64_t t, const float *x, float *noise);
typedef struct kr_diffusion_walk {
    int64_t first, n, width;    /* pictures number `first` on, of `width` numbers each */
    int64_t steps;              /* of the way back, at most T */
    double eta, low, high;
    uint64_t seed;
} kr_diffusion_walk;
/* From noise to x [n, width]. */
kr_status kr_diffusion_sample(const kr_diffusion *d, const kr_diffusion_walk *w, kr_denoise *f, void *user, float *x);
#endif
