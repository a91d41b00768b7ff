/* rank_mix_vec.c - rank_mix for CPUs: lanes over P and N, threads over steps. */
#include "ops/rank_mix/rank_mix.h"
#include "ops/rows.h"

typedef struct head { /* of one step: vector r of v at v + r * vs, ... */
    const float *v, *k, *q, *dy;
    float *y, *dv, *dk, *dq;
    int64_t R, P, N, vs, ks;
    float w[RANK_MIX_MOST][RANK_MIX_MOST], kq[RANK_MIX_MOST][RANK_MIX_MOST]; /* [j][r] */
} head;

static float *piece(const kr_tensor *x, int64_t t, int64_t offset) { return x->data ? row_at(x, t) + offset : NULL; }
static float dot(const float *a, const float *b, int64_t n) {
    vf sum = {0};
    for (int64_t i = 0; i < n; i += KR_VL) sum += v_get(a + i, n - i) * v_get(b + i, n - i);
    return v_sum(sum);
}

static head head_of(const kr_call *c, int64_t t, int64_t h) {
    int64_t H = KR_SIZE(c, 'H'), R = KR_SIZE(c, 'R'), P = KR_SIZE(c, 'P'), N = KR_SIZE(c, 'N');
    float all = *piece(&c->in[RANK_MIX_ALL], t, h), ahead = *piece(&c->in[RANK_MIX_AHEAD], t, h);
    head s = {.v = piece(&c->in[RANK_MIX_V], t, h * P), .k = piece(&c->in[RANK_MIX_K], t, h * N), .q = piece(&c->in[RANK_MIX_Q], t, h * N),
              .dv = piece(&c->din[RANK_MIX_V], t, h * P), .dk = piece(&c->din[RANK_MIX_K], t, h * N), .dq = piece(&c->din[RANK_MIX_Q], t, h * N),
              .R = R, .P = P, .N = N, .vs = H * P, .ks = H * N};
    s.y = c->out[RANK_MIX_Y].data ? (float *)c->out[RANK_MIX_Y].data + (t * R * H + h) * P : NULL;
    s.dy = c->dout[RANK_MIX_Y].data ? (const float *)c->dout[RANK_MIX_Y].data + (t * R * H + h) * P : NULL;
    for (int64_t j = 0; j < R; j++)
        for (int64_t r = 0; r < R; r++) {
            s.kq[j][r] = dot(s.k + r * s.ks, s.q + j * s.ks, N);
            s.w[j][r] = (r > j ? all : 0) - ahead;
        }
    return s;
}

void KR_VEC(rank_mix_fwd)(const kr_call *c) {
    int64_t H = KR_SIZE(c, 'H'), T = KR_SIZE(c, 'S') * KR_SIZE(c, 'L');
    const float *D = c->in[RANK_MIX_D].data;
#pragma omp parallel for num_threads(rows_threads(c, T * H * 64)) schedule(static)
    for (int64_t t = 0; t < T; t++)
        for (int64_t h = 0; h < H; h++) {
            head s = head_of(c, t, h);
            for (int64_t j = 0; j < s.R; j++)
                for (int64_t i = 0; i < s.P; i += KR_VL) {
                    vf y = D[h] * v_get(s.v + j * s.vs + i, s.P - i);
                    for (int64_t r = 0; r < s.R; r++) y += s.w[j][r] * s.kq[j][r] * v_get(s.v + r * s.vs + i, s.P - i);
                    v_put(s.y + j * s.vs + i, y, s.P - i);
                }
        }
}

static void head_bwd(const kr_call *c, int64_t t, int64_t h, float *dD) {
    head s = head_of(c, t, h);
    float g[RANK_MIX_MOST][RANK_MIX_MOST], D = ((const float *)c->in[RANK_MIX_D].data)[h], gall = 0, gahead = 0;
    float *dall = piece(&c->din[RANK_MIX_ALL], t, h), *dahead = piece(&c->din[RANK_MIX_AHEAD], t, h);
    for (int64_t j = 0; j < s.R; j++)
        for (int64_t r = 0; r < s.R; r++) {
            g[j][r] = dot(s.dy + j * s.vs, s.v + r * s.vs, s.P);
            gall += r > j ? g[j][r] * s.kq[j][r] : 0;
            gahead -= g[j][r] * s.kq[j][r];
            if (dD && j == r) dD[h] += g[j][r];
        }
    if (dall) *dall = gall + (c->acc[RANK_MIX_ALL] ? *dall : 0);
    if (dahead) *dahead = gahead + (c->acc[RANK_MIX_AHEAD] ? *dahead : 0);
    for (int64_t r = 0; r < s.R && s.dv; r++)
        for (int64_t i = 0; i < s.P; i += KR_VL) {
            vf sum = D * v_get(s.dy + r * s.vs + i, s.P - i);
            for (int64_t j = 0; j < s.R; j++) sum += s.w[j][r] * s.kq[j][r] * v_get(s.dy + j * s.vs + i, s.P - i);
            v_give(s.dv + r * s.vs + i, sum, c->acc[RANK_MIX_V], s.P - i);
        }
    for (int64_t a = 0; a < s.R; a++)
        for (int64_t n = 0; n < s.N; n += KR_VL) {
            vf k = {0}, q = {0};
            for (int64_t b = 0; b < s.R; b++) {
                k += g[b][a] * s.w[b][a] * v_get(s.q + b * s.ks + n, s.N - n);
                q += g[a][b] * s.w[a][b] * v_get(s.k + b * s.ks + n, s.N - n);
            }
            if (s.dk) v_give(s.dk + a * s.ks + n, k, c->acc[RANK_MIX_K], s.N - n);
            if (s.dq) v_give(s.dq + a * s.ks + n, q, c->acc[RANK_MIX_Q], s.N - n);
        }
}

void KR_VEC(rank_mix_bwd)(const kr_call *c) {
    int64_t H = KR_SIZE(c, 'H'), T = KR_SIZE(c, 'S') * KR_SIZE(c, 'L'), step = rows_step(T), n_blocks = rows_blocks(T);
    float *dD = c->din[RANK_MIX_D].data, *parts = dD ? c->scratch : NULL;
#pragma omp parallel for num_threads(rows_threads(c, T * H * 64)) schedule(static)
    for (int64_t b = 0; b < n_blocks; b++) {
        float *mine = parts ? parts + b * H : NULL;
        if (mine) memset(mine, 0, (size_t)H * sizeof *mine);
        for (int64_t t = b * step; t < T && t < (b + 1) * step; t++)
            for (int64_t h = 0; h < H; h++) head_bwd(c, t, h, mine);
    }
    for (int64_t h = 0; h < H && dD; h++) {
        float sum = c->acc[RANK_MIX_D] ? dD[h] : 0;
        for (int64_t b = 0; b < n_blocks; b++) sum += parts[b * H + h];
        dD[h] = sum;
    }
}
