/* diffusion.c - see diffusion.h. */
#include "model/diffusion.h"

#include <math.h>
#include <stdio.h>

#include "base/rng.h"
#include "parts/condition.h"

/* --- the schedule ------------------------------------------------------------------------------- */

static double cosine(double t, double T) {
    double s = 0.008, c = cos((t / T + s) / (1 + s) * 1.5707963267948966);
    return c * c;
}

kr_status kr_diffusion_new(kr_diffusion **out, int64_t T, int64_t n_features) {
    kr_diffusion *d = kr_mem_new(sizeof *d);
    if (!d || !(d->left = kr_mem_array((size_t)T + 1, sizeof *d->left))) {
        kr_mem_free(d);
        return KR_ERR_NOMEM;
    }
    d->T = T, d->n_features = n_features;
    d->left[0] = 1;
    for (int64_t t = 1; t <= T; t++) {
        double beta = 1 - cosine((double)t, (double)T) / cosine((double)t - 1, (double)T);
        d->left[t] = d->left[t - 1] * (1 - fmin(beta, 0.999));
    }
    *out = d;
    return KR_OK;
}

kr_status kr_diffusion_of(kr_diffusion **out, const kr_config *c) {
    const kr_condition *o = c->condition_opt;
    *out = NULL;
    if (c->condition != &kr_part_condition_diffusion) return KR_OK;
    KR_TRY(kr_diffusion_new(out, o->noise_steps, o->time_features));
    (*out)->classes = o->classes, (*out)->class_drop = o->class_drop;
    return KR_OK;
}

void kr_diffusion_free(kr_diffusion *d) {
    if (d) kr_mem_free(d->left);
    kr_mem_free(d);
}

void kr_diffusion_features(const kr_diffusion *d, double t, float *to) {
    int64_t half = d->n_features / 2;
    for (int64_t i = 0; i < half; i++) {
        double w = exp(-log(10000) * (double)i / (double)half);
        to[i] = (float)cos(t * w), to[half + i] = (float)sin(t * w);
    }
}

/* --- noise for training ---------------------------------------------------------------------------- */

/* Two normal numbers a counter, by Box and Muller. */
static void fill_normal(uint64_t seed, uint64_t stream, int64_t n, float *to) {
    for (int64_t i = 0; i < n; i += 2) {
        uint32_t w[4];
        kr_philox(seed, stream, (uint64_t)i / 2, w);
        double u = ((double)w[0] + ((double)w[1] + 0.5) * 0x1p-32) * 0x1p-32, v = ((double)w[2] + (double)w[3] * 0x1p-32) * 0x1p-32;
        double r = sqrt(-2 * log(u)), a = 6.283185307179586 * v; /* u > 0 */
        to[i] = (float)(r * cos(a));
        if (i + 1 < n) to[i + 1] = (float)(r * sin(a));
    }
}

/* A key of its own for each row. */
static void key_of(uint64_t seed, const char *purpose, uint64_t row, uint64_t key[2]) {
    uint32_t w[4];
    kr_philox(seed, kr_rng_stream(purpose), row, w);
    key[0] = (uint64_t)w[0] | (uint64_t)w[1] << 32, key[1] = (uint64_t)w[2] | (uint64_t)w[3] << 32;
}

void kr_diffusion_normal(uint64_t seed, const char *purpose, uint64_t row, int64_t n, float *to) {
    uint64_t key[2];
    key_of(seed, purpose, row, key);
    fill_normal(key[0], key[1], n, to);
}

int64_t kr_diffusion_noise(const kr_diffusion *d, uint64_t seed, bool train, int64_t row, int64_t n, float *x, float *noise, float *features, int32_t *class) {
    uint64_t key[2];
    key_of(seed, train ? "noise step" : "noise step of a score", (uint64_t)row, key);
    kr_rng r = {key[0], key[1], 0};
    int64_t t = 1 + kr_rng_below(&r, d->T);
    if (train && kr_rng_uniform(&r) < d->class_drop && class) *class = -1;
    kr_diffusion_normal(seed, train ? "noise" : "noise of a score", (uint64_t)row, n, noise);
    float keep = (float)sqrt(d->left[t]), add = (float)sqrt(1 - d->left[t]);
    for (int64_t i = 0; i < n; i++) x[i] = keep * x[i] + add * noise[i];
    kr_diffusion_features(d, (double)t, features);
    return t;
}

/* --- the way back ------------------------------------------------------------------------------------ */

/* x_t and the noise told in it become x_s, in place. */
static void step_back(const kr_diffusion *d, const kr_diffusion_walk *w, int64_t t, int64_t s, float *x, const float *noise, const float *fresh) {
    double at = d->left[t], as = d->left[s], fresh_part = w->eta * w->eta * (1 - as) / (1 - at) * (1 - at / as);
    double add = sqrt(fmax(1 - as - fresh_part, 0)), z = sqrt(fresh_part);
    for (int64_t i = 0; i < w->width; i++) {
        double x0 = (x[i] - sqrt(1 - at) * noise[i]) / sqrt(at);
        x0 = x0 < w->low ? w->low : x0 > w->high ? w->high : x0; /* NaN stays */
        double e = (x[i] - sqrt(at) * x0) / sqrt(1 - at);
        x[i] = (float)(sqrt(as) * x0 + add * e + (z > 0 ? z * fresh[i] : 0));
    }
}

static void step_all_back(const kr_diffusion *d, const kr_diffusion_walk *w, int64_t t, int64_t s, float *x, const float *noise, float *fresh) {
    char purpose[40];
    snprintf(purpose, sizeof purpose, "sample %lld", (long long)t);
    for (int64_t i = 0; i < w->n; i++) {
        if (w->eta > 0 && s > 0) kr_diffusion_normal(w->seed, purpose, (uint64_t)(w->first + i), w->width, fresh);
        step_back(d, w, t, s, x + i * w->width, noise + i * w->width, fresh);
    }
}

kr_status kr_diffusion_sample(const kr_diffusion *d, const kr_diffusion_walk *w, kr_denoise *f, void *user, float *x) {
    if (w->steps < 1 || w->steps > d->T) KR_FAIL(KR_ERR_ARG, "%lld steps from noise to a picture, want 1 to the model's %lld", (long long)w->steps, (long long)d->T);
    if (!(w->eta >= 0 && w->eta <= 1)) KR_FAIL(KR_ERR_ARG, "eta is %g, want 0 to 1", w->eta);
    float *noise = kr_mem_array((size_t)(w->n * w->width), sizeof *noise), *fresh = kr_mem_array((size_t)w->width, sizeof *fresh);
    kr_status st = noise && fresh ? KR_OK : KR_ERR_NOMEM;
    for (int64_t i = 0; i < w->n; i++) kr_diffusion_normal(w->seed, "sample", (uint64_t)(w->first + i), w->width, x + i * w->width);
    for (int64_t k = w->steps; k > 0 && st == KR_OK; k--) {
        int64_t t = d->T * k / w->steps, s = d->T * (k - 1) / w->steps;
        st = f(user, t, x, noise);
        if (st == KR_OK) step_all_back(d, w, t, s, x, noise, fresh);
    }
    kr_mem_free(noise), kr_mem_free(fresh);
    return st;
}
