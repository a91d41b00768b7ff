/* rank_mix_ref.c - the definition of rank_mix. */
#include "ops/rank_mix/rank_mix.h"
#include "ops/ref.h"

/* Vector (r, h) of step t of width n; NULL where there is no tensor. */
static real *at(const kr_call *c, const kr_tensor *x, int64_t t, int64_t r, int64_t h, int64_t n) {
    return x->data ? (real *)x->data + t * x->pitch + (r * KR_SIZE(c, 'H') + h) * n : NULL;
}
static real dot(const real *a, const real *b, int64_t n) {
    real sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

void REF(rank_mix_fwd)(const kr_call *c) {
    int64_t H = KR_SIZE(c, 'H'), R = KR_SIZE(c, 'R'), P = KR_SIZE(c, 'P'), N = KR_SIZE(c, 'N');
    for (int64_t t = 0; t < KR_SIZE(c, 'S') * KR_SIZE(c, 'L'); t++)
        for (int64_t h = 0; h < H; h++) {
            real all = *at(c, &c->in[RANK_MIX_ALL], t, 0, h, 1), ahead = *at(c, &c->in[RANK_MIX_AHEAD], t, 0, h, 1);
            for (int64_t j = 0; j < R; j++) {
                real *y = (real *)c->out[RANK_MIX_Y].data + ((t * R + j) * H + h) * P;
                for (int64_t i = 0; i < P; i++) y[i] = ((const real *)c->in[RANK_MIX_D].data)[h] * at(c, &c->in[RANK_MIX_V], t, j, h, P)[i];
                for (int64_t r = 0; r < R; r++) {
                    real kq = dot(at(c, &c->in[RANK_MIX_K], t, r, h, N), at(c, &c->in[RANK_MIX_Q], t, j, h, N), N);
                    for (int64_t i = 0; i < P; i++) y[i] += ((r > j ? all : 0) - ahead) * kq * at(c, &c->in[RANK_MIX_V], t, r, h, P)[i];
                }
            }
        }
}

static void pair_bwd(const kr_call *c, int64_t t, int64_t h, int64_t j, int64_t r) {
    int64_t R = KR_SIZE(c, 'R'), H = KR_SIZE(c, 'H'), P = KR_SIZE(c, 'P'), N = KR_SIZE(c, 'N');
    const real *v = at(c, &c->in[RANK_MIX_V], t, r, h, P), *k = at(c, &c->in[RANK_MIX_K], t, r, h, N), *q = at(c, &c->in[RANK_MIX_Q], t, j, h, N);
    const real *dy = (const real *)c->dout[RANK_MIX_Y].data + ((t * R + j) * H + h) * P, D = ((const real *)c->in[RANK_MIX_D].data)[h];
    real *dv = at(c, &c->din[RANK_MIX_V], t, r, h, P), *dk = at(c, &c->din[RANK_MIX_K], t, r, h, N), *dq = at(c, &c->din[RANK_MIX_Q], t, j, h, N);
    real *dall = at(c, &c->din[RANK_MIX_ALL], t, 0, h, 1), *dahead = at(c, &c->din[RANK_MIX_AHEAD], t, 0, h, 1), *dD = c->din[RANK_MIX_D].data;
    real weight = (r > j ? *at(c, &c->in[RANK_MIX_ALL], t, 0, h, 1) : 0) - *at(c, &c->in[RANK_MIX_AHEAD], t, 0, h, 1);
    real kq = dot(k, q, N), g = dot(dy, v, P);
    for (int64_t i = 0; i < P && dv; i++) dv[i] += (weight * kq + (r == j ? D : 0)) * dy[i];
    for (int64_t n = 0; n < N; n++) {
        if (dk) dk[n] += g * weight * q[n];
        if (dq) dq[n] += g * weight * k[n];
    }
    if (dall && r > j) *dall += g * kq;
    if (dahead) *dahead -= g * kq;
    if (dD && r == j) dD[h] += g;
}

void REF(rank_mix_bwd)(const kr_call *c) {
    int64_t R = KR_SIZE(c, 'R');
    for (int64_t t = 0; t < KR_SIZE(c, 'S') * KR_SIZE(c, 'L'); t++)
        for (int64_t h = 0; h < KR_SIZE(c, 'H'); h++)
            for (int64_t j = 0; j < R; j++)
                for (int64_t r = 0; r < R; r++) pair_bwd(c, t, h, j, r);
}
