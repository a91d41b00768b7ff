/* tree_scan_ref.c - the definition of tree_scan: no two passes, but the way from each step to each other. */
#include "ops/ref.h"
#include "ops/tree_scan/tree_scan.h"

#define ROW(t, r) ((real *)(t).data + (r) * (t).pitch)

static int64_t parent_of(const kr_call *c, int64_t s, int64_t i) {
    const kr_tensor *t = &c->in[TREE_SCAN_PARENT];
    int32_t p = ((const int32_t *)t->data)[(s * KR_SIZE(c, 'L') + i) * t->pitch];
    return p >= 0 && p < i ? p : -1;
}
static real dt_of(const kr_call *c, int64_t r, int64_t d) { return ROW(c->in[TREE_SCAN_DT], r)[d]; }

/* The sum of dt over the edges between i and j of sequence s, whose product of w is exp(sum A); false: there is no way.
 * `each`, if not NULL, gets `add` for every edge of it, at its lower end. */
static bool way(const kr_call *c, int64_t s, int64_t i, int64_t j, int64_t d, real *sum, real *each, real add) {
    int64_t L = KR_SIZE(c, 'L');
    *sum = 0;
    while (i != j) { /* the later one is no ancestor of the earlier */
        int64_t low = i > j ? i : j, up = parent_of(c, s, low);
        if (up < 0) return false;
        *sum += dt_of(c, s * L + low, d);
        if (each) each[low] += add;
        if (i > j) i = up;
        else j = up;
    }
    return true;
}

void REF(tree_scan_fwd)(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), N = KR_SIZE(c, 'N');
    const real *A = c->in[TREE_SCAN_A].data, *skip = c->in[TREE_SCAN_D].data;
    real *y = c->out[TREE_SCAN_Y].data, sum;
    for (int64_t s = 0; s < S; s++)
        for (int64_t i = 0; i < L; i++)
            for (int64_t d = 0; d < D; d++) {
                real v = skip ? skip[d] * ROW(c->in[TREE_SCAN_U], s * L + i)[d] : 0;
                for (int64_t j = 0; j < L; j++) {
                    if (!way(c, s, i, j, d, &sum, NULL, 0)) continue;
                    real x = dt_of(c, s * L + j, d) * ROW(c->in[TREE_SCAN_U], s * L + j)[d];
                    for (int64_t n = 0; n < N; n++)
                        v += ROW(c->in[TREE_SCAN_C], s * L + i)[n] * ROW(c->in[TREE_SCAN_B], s * L + j)[n] * exp(sum * A[d * N + n]) * x;
                }
                y[(s * L + i) * D + d] = v;
            }
}

/* What y_i has from x_j, in one channel. */
static void pair_bwd(const kr_call *c, int64_t s, int64_t i, int64_t j, int64_t d) {
    int64_t L = KR_SIZE(c, 'L'), N = KR_SIZE(c, 'N'), ri = s * L + i, rj = s * L + j;
    const kr_tensor *in = c->in, *din = c->din;
    const real *A = (const real *)in[TREE_SCAN_A].data + d * N, *B = ROW(in[TREE_SCAN_B], rj), *C = ROW(in[TREE_SCAN_C], ri);
    real *dA = din[TREE_SCAN_A].data, g = ((const real *)c->dout[TREE_SCAN_Y].data)[ri * KR_SIZE(c, 'D') + d];
    real sum, u = ROW(in[TREE_SCAN_U], rj)[d], dt = dt_of(c, rj, d), d_sum = 0, d_x = 0;
    if (!way(c, s, i, j, d, &sum, NULL, 0)) return;
    for (int64_t n = 0; n < N; n++) {
        real w = exp(sum * A[n]), part = g * C[n] * B[n] * w;
        d_sum += part * dt * u * A[n];
        d_x += part;
        if (dA) dA[d * N + n] += part * dt * u * sum;
        if (din[TREE_SCAN_B].data) ROW(din[TREE_SCAN_B], rj)[n] += g * C[n] * w * dt * u;
        if (din[TREE_SCAN_C].data) ROW(din[TREE_SCAN_C], ri)[n] += g * B[n] * w * dt * u;
    }
    if (din[TREE_SCAN_U].data) ROW(din[TREE_SCAN_U], rj)[d] += d_x * dt;
    if (!din[TREE_SCAN_DT].data) return;
    ROW(din[TREE_SCAN_DT], rj)[d] += d_x * u;
    real *each = c->scratch;
    for (int64_t k = 0; k < L; k++) each[k] = 0;
    way(c, s, i, j, d, &sum, each, d_sum);
    for (int64_t k = 0; k < L; k++) ROW(din[TREE_SCAN_DT], s * L + k)[d] += each[k];
}

void REF(tree_scan_bwd)(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D');
    const real *skip = c->in[TREE_SCAN_D].data, *dy = c->dout[TREE_SCAN_Y].data;
    for (int64_t s = 0; dy && s < S; s++)
        for (int64_t i = 0; i < L; i++)
            for (int64_t d = 0; d < D; d++) {
                int64_t r = s * L + i;
                if (skip && c->din[TREE_SCAN_U].data) ROW(c->din[TREE_SCAN_U], r)[d] += dy[r * D + d] * skip[d];
                if (skip && c->din[TREE_SCAN_D].data) ((real *)c->din[TREE_SCAN_D].data)[d] += dy[r * D + d] * ROW(c->in[TREE_SCAN_U], r)[d];
                for (int64_t j = 0; j < L; j++) pair_bwd(c, s, i, j, d);
            }
}
