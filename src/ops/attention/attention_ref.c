/* attention_ref.c - the definition of attention. */
#include "ops/attention/attention.h"
#include "ops/ref.h"

/* Row j of k (value 0) or v (1), or of their gradients: a step of this call, or of the cache. */
static real *row(const kr_call *c, const kr_tensor *slot, int value, int64_t s, int64_t g, int64_t j, int64_t n0) {
    int64_t L = KR_SIZE(c, 'L'), G = KR_SIZE(c, 'G'), P = KR_SIZE(c, 'P'), C = KR_SIZE(c, 'C');
    const kr_tensor *x = &slot[ATTENTION_K + value];
    if (j >= 0) return x->data ? (real *)x->data + (s * L + j) * x->pitch + g * P : NULL;
    real *cache = slot[ATTENTION_CACHE0].data;
    return cache ? cache + ((s * 2 * G + value * G + g) * C + (n0 + j) % C) * P : NULL;
}

static real dot(const real *a, const real *b, int64_t n) {
    real sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static const real *query(const kr_call *c, int64_t s, int64_t t, int64_t h) {
    const kr_tensor *q = &c->in[ATTENTION_Q];
    return (const real *)q->data + (s * KR_SIZE(c, 'L') + t) * q->pitch + h * KR_SIZE(c, 'P');
}

/* p[j - sees.first]: the softmax of what step t sees. */
static attention_span softmax(const kr_call *c, const attention_dims *d, int64_t s, int64_t t, int64_t h, real *p) {
    int64_t n0 = attention_before(c, d, s), g = h / d->R;
    attention_span a = attention_sees(d, attention_document(c, s, t, true), t, n0);
    real max = -INFINITY, sum = 0;
    for (int64_t j = a.first; j <= a.last; j++) {
        real x = p[j - a.first] = (real)d->scale * dot(query(c, s, t, h), row(c, c->in, 0, s, g, j, n0), d->P);
        max = x > max ? x : max;
    }
    for (int64_t j = a.first; j <= a.last; j++) sum += p[j - a.first] = exp(p[j - a.first] - max);
    for (int64_t j = a.first; j <= a.last; j++) p[j - a.first] /= sum;
    return a;
}

/* Runs after all of a sequence was read: the cache may lie where cache0 does. */
static void keep(const kr_call *c, const attention_dims *d, int64_t s) {
    int64_t T = 2 * d->G, n0 = attention_before(c, d, s), per = T * d->C * d->P;
    real *cache = c->out[ATTENTION_CACHE].data;
    const real *cache0 = c->in[ATTENTION_CACHE0].data;
    int32_t *n = c->out[ATTENTION_N].data;
    attention_rest rest = attention_remains(c, d, s, n0);
    for (int64_t i = 0; cache && i < per; i++) cache[s * per + i] = cache0 && rest.start >= 0 ? cache0[s * per + i] : 0;
    for (int64_t j = rest.from; cache && j < d->L; j++)
        for (int64_t r = 0; r < T; r++)
            for (int64_t p = 0; p < d->P; p++)
                cache[((s * T + r) * d->C + (rest.start + j) % d->C) * d->P + p] = row(c, c->in, r >= d->G, s, r % d->G, j, n0)[p];
    if (n) n[s] = (int32_t)rest.n;
}

void REF(attention_fwd)(const kr_call *c) {
    attention_dims d = attention_dims_of(c);
    real *p = c->scratch;
    for (int64_t s = 0; s < d.S; s++) {
        int64_t n0 = attention_before(c, &d, s);
        for (int64_t t = 0; t < d.L; t++)
            for (int64_t h = 0; h < d.H; h++) {
                real *y = (real *)c->out[ATTENTION_Y].data + ((s * d.L + t) * d.H + h) * d.P;
                attention_span a = softmax(c, &d, s, t, h, p);
                for (int64_t i = 0; i < d.P; i++) {
                    y[i] = 0;
                    for (int64_t j = a.first; j <= a.last; j++) y[i] += p[j - a.first] * row(c, c->in, 1, s, h / d.R, j, n0)[i];
                }
            }
        keep(c, &d, s);
    }
}

/* With dp = dy . v:  ds = p (dp - sum p dp),  dq = scale ds k,  dk = scale ds q,  dv = p dy. */
static void step_bwd(const kr_call *c, const attention_dims *d, int64_t s, int64_t t, int64_t h, real *p, real *dp) {
    const kr_tensor *q = &c->din[ATTENTION_Q];
    const real *dy = (const real *)c->dout[ATTENTION_Y].data + ((s * d->L + t) * d->H + h) * d->P;
    real *dq = q->data ? (real *)q->data + (s * d->L + t) * q->pitch + h * d->P : NULL, sum = 0;
    int64_t n0 = attention_before(c, d, s), g = h / d->R;
    attention_span a = softmax(c, d, s, t, h, p);
    for (int64_t j = a.first; j <= a.last; j++) {
        dp[j - a.first] = dot(dy, row(c, c->in, 1, s, g, j, n0), d->P);
        sum += p[j - a.first] * dp[j - a.first];
    }
    for (int64_t j = a.first; j <= a.last; j++) {
        real ds = (real)d->scale * p[j - a.first] * (dp[j - a.first] - sum);
        const real *k = row(c, c->in, 0, s, g, j, n0);
        real *dk = j < 0 ? NULL : row(c, c->din, 0, s, g, j, n0), *dv = j < 0 ? NULL : row(c, c->din, 1, s, g, j, n0);
        for (int64_t i = 0; i < d->P; i++) {
            if (dq) dq[i] += ds * k[i];
            if (dk) dk[i] += ds * query(c, s, t, h)[i];
            if (dv) dv[i] += p[j - a.first] * dy[i];
        }
    }
}

void REF(attention_bwd)(const kr_call *c) {
    attention_dims d = attention_dims_of(c);
    const real *dcache = c->dout[ATTENTION_CACHE].data;
    real *p = c->scratch, *dp = p + d.L + (d.cached ? d.C : 0);
    for (int64_t s = 0; s < d.S; s++) {
        int64_t n0 = attention_before(c, &d, s), T = 2 * d.G;
        for (int64_t t = 0; c->dout[ATTENTION_Y].data && t < d.L; t++)
            for (int64_t h = 0; h < d.H; h++) step_bwd(c, &d, s, t, h, p, dp);
        attention_rest rest = attention_remains(c, &d, s, n0);
        for (int64_t j = rest.from; dcache && j < d.L; j++)
            for (int64_t r = 0; r < T; r++) {
                real *dx = row(c, c->din, r >= d.G, s, r % d.G, j, n0);
                for (int64_t i = 0; dx && i < d.P; i++) dx[i] += dcache[((s * T + r) * d.C + (rest.start + j) % d.C) * d.P + i];
            }
    }
}
