/* tree_scan_vec.c - tree_scan for CPUs, in two passes: lanes over channels, threads over sequences and
 * blocks of channels.
 *
 * One state at a time goes up and down the tree.  Backward does so once with x, for a and h, and
 * once with the gradients g_i = C_i dy_i, for their sums over subtrees q and over all G; an edge's
 *
 *   dw_i = q_i (h_p - w_i a_i) + a_i (G_p - w_i q_i)
 *
 * is what crosses it in either direction.  dB and dC are summed block by block, dA and dD sequence
 * by sequence, each in order. */
#include <omp.h>

#include "ops/rows.h"
#include "ops/tree_scan/tree_scan.h"

enum { BLOCK = TREE_SCAN_BLOCK };

typedef struct tree {
    const kr_call *c;
    int64_t s, L, D, N, d0, n; /* channels d0 .. d0 + n */
    const int32_t *parent;
    int64_t parent_pitch;
} tree;

static tree tree_of(const kr_call *c, int64_t task) {
    int64_t D = KR_SIZE(c, 'D'), blocks = (D + BLOCK - 1) / BLOCK, L = KR_SIZE(c, 'L');
    tree t = {c, task / blocks, L, D, KR_SIZE(c, 'N'), task % blocks * BLOCK, 0, c->in[TREE_SCAN_PARENT].data, c->in[TREE_SCAN_PARENT].pitch};
    t.n = D - t.d0 < BLOCK ? D - t.d0 : BLOCK;
    t.parent += t.s * L * t.parent_pitch;
    return t;
}
static int64_t parent_of(const tree *t, int64_t i) {
    int32_t p = t->parent[i * t->parent_pitch];
    return p >= 0 && p < i ? p : -1;
}
/* Row i of an input or its gradient, from the block's first channel on. */
static float *row(const tree *t, const kr_tensor *x, int64_t i) { return row_at(x, t->s * t->L + i) + t->d0; }
static float number(const tree *t, const kr_tensor *x, int64_t i, int64_t n) { return row_at(x, t->s * t->L + i)[n]; }

/* w of state n for all steps, and x. */
static void start(const tree *t, int64_t n, float *w, float *x) {
    const float *A = t->c->in[TREE_SCAN_A].data;
    float a[BLOCK + 16] = {0};
    for (int64_t d = 0; d < t->n; d++) a[d] = A[(t->d0 + d) * t->N + n];
    for (int64_t i = 0; i < t->L; i++) {
        const float *dt = row(t, &t->c->in[TREE_SCAN_DT], i), *u = row(t, &t->c->in[TREE_SCAN_U], i);
        float B = number(t, &t->c->in[TREE_SCAN_B], i, n);
        for (int64_t d = 0; d < t->n; d += KR_VL) {
            vf v = v_get(dt + d, t->n - d);
            v_put(w + i * BLOCK + d, v_exp(v * v_load(a + d)), t->n - d);
            v_put(x + i * BLOCK + d, v * v_get(u + d, t->n - d) * B, t->n - d);
        }
    }
}
/* x becomes the sums over subtrees. */
static void up(const tree *t, const float *w, float *x) {
    for (int64_t i = t->L - 1; i > 0; i--) {
        int64_t p = parent_of(t, i);
        if (p < 0) continue;
        for (int64_t d = 0; d < t->n; d += KR_VL)
            v_give(x + p * BLOCK + d, v_get(w + i * BLOCK + d, t->n - d) * v_get(x + i * BLOCK + d, t->n - d), true, t->n - d);
    }
}
/* h, which may be a, from those. */
static void down(const tree *t, const float *w, const float *a, float *h) {
    for (int64_t i = 0; i < t->L; i++) {
        int64_t p = parent_of(t, i);
        for (int64_t d = 0; d < t->n; d += KR_VL) {
            vf v = v_get(a + i * BLOCK + d, t->n - d), e = v_get(w + i * BLOCK + d, t->n - d);
            if (p >= 0) v += e * (v_get(h + p * BLOCK + d, t->n - d) - e * v);
            v_put(h + i * BLOCK + d, v, t->n - d);
        }
    }
}

static void block_fwd(const tree *t, float *room) {
    const kr_call *c = t->c;
    const float *skip = c->in[TREE_SCAN_D].data;
    float *w = room, *x = room + t->L * BLOCK;
    for (int64_t n = 0; n < t->N; n++) {
        start(t, n, w, x);
        up(t, w, x);
        down(t, w, x, x);
        for (int64_t i = 0; i < t->L; i++) {
            float *y = row_of(&c->out[TREE_SCAN_Y], t->s * t->L + i, t->D) + t->d0, C = number(t, &c->in[TREE_SCAN_C], i, n);
            const float *u = row(t, &c->in[TREE_SCAN_U], i);
            for (int64_t d = 0; d < t->n; d += KR_VL) {
                vf v = C * v_get(x + i * BLOCK + d, t->n - d);
                if (n == 0 && skip) v += v_get(skip + t->d0 + d, t->n - d) * v_get(u + d, t->n - d);
                v_give(y + d, v, n > 0, t->n - d);
            }
        }
    }
}

void KR_VEC(tree_scan_fwd)(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), n_tasks = KR_SIZE(c, 'S') * ((D + BLOCK - 1) / BLOCK);
#pragma omp parallel for num_threads(rows_threads(c, KR_SIZE(c, 'S') * L * D)) schedule(static)
    for (int64_t k = 0; k < n_tasks; k++) {
        tree t = tree_of(c, k);
        block_fwd(&t, (float *)c->scratch + omp_get_thread_num() * 2 * L * BLOCK);
    }
}

/* Where a task puts its shares: dB, dC [2][L][N] of its own, dA, dD [D][N + 1] of its sequence. */
typedef struct shares { float *BC, *AD; } shares;

/* State n: what it gives to du and ddt, and its shares. */
static void state_bwd(const tree *t, int64_t n, float *room, float *du, float *ddt, shares to) {
    const kr_call *c = t->c;
    int64_t size = t->L * BLOCK;
    float *w = room, *a = w + size, *h = a + size, *q = h + size, *G = q + size, A_sum[BLOCK + 16] = {0}, A[BLOCK + 16] = {0};
    for (int64_t d = 0; d < t->n; d++) A[d] = ((const float *)c->in[TREE_SCAN_A].data)[(t->d0 + d) * t->N + n];
    start(t, n, w, a);
    up(t, w, a);
    down(t, w, a, h);
    for (int64_t i = 0; i < t->L; i++) {
        const float *dy = row_of(&c->dout[TREE_SCAN_Y], t->s * t->L + i, t->D) + t->d0;
        float C = number(t, &c->in[TREE_SCAN_C], i, n);
        vf sum = {0};
        for (int64_t d = 0; d < t->n; d += KR_VL) {
            vf g = v_get(dy + d, t->n - d);
            sum += v_keep(g * v_get(h + i * BLOCK + d, t->n - d), t->n - d);
            v_put(q + i * BLOCK + d, g * C, t->n - d);
        }
        to.BC[(t->L + i) * t->N + n] = v_sum(sum);
    }
    up(t, w, q);
    down(t, w, q, G);
    for (int64_t i = 0; i < t->L; i++) {
        int64_t p = parent_of(t, i);
        const float *dt = row(t, &c->in[TREE_SCAN_DT], i), *u = row(t, &c->in[TREE_SCAN_U], i);
        float B = number(t, &c->in[TREE_SCAN_B], i, n);
        vf sum = {0};
        for (int64_t d = 0; d < t->n; d += KR_VL) {
            int64_t at = i * BLOCK + d, m = t->n - d;
            vf g = v_get(G + at, m), v = v_get(dt + d, m), x = v_get(u + d, m), e = v_get(w + at, m), slope = {0};
            if (p >= 0) {
                vf ai = v_get(a + at, m), qi = v_get(q + at, m);
                slope = e * (qi * (v_get(h + p * BLOCK + d, m) - e * ai) + ai * (v_get(G + p * BLOCK + d, m) - e * qi));
            }
            sum += v_keep(g * v * x, m);
            v_give(du + at, g * v * B, n > 0, m);
            v_give(ddt + at, g * x * B + slope * v_get(A + d, m), n > 0, m);
            v_give(A_sum + d, slope * v, true, m);
        }
        to.BC[i * t->N + n] = v_sum(sum);
    }
    for (int64_t d = 0; d < t->n; d++) to.AD[(t->d0 + d) * (t->N + 1) + n] = A_sum[d];
}

static void block_bwd(const tree *t, float *room, shares to) {
    const kr_call *c = t->c;
    const float *skip = c->in[TREE_SCAN_D].data;
    float *du = room + 5 * t->L * BLOCK, *ddt = du + t->L * BLOCK, D_sum[BLOCK + 16] = {0};
    for (int64_t n = 0; n < t->N; n++) state_bwd(t, n, room, du, ddt, to);
    for (int64_t i = 0; i < t->L; i++) {
        const float *dy = row_of(&c->dout[TREE_SCAN_Y], t->s * t->L + i, t->D) + t->d0, *u = row(t, &c->in[TREE_SCAN_U], i);
        float *to_u = c->din[TREE_SCAN_U].data ? row(t, &c->din[TREE_SCAN_U], i) : NULL, *to_dt = c->din[TREE_SCAN_DT].data ? row(t, &c->din[TREE_SCAN_DT], i) : NULL;
        for (int64_t d = 0; d < t->n; d += KR_VL) {
            vf g = v_get(dy + d, t->n - d), v = v_get(du + i * BLOCK + d, t->n - d);
            if (skip) v += g * v_get(skip + t->d0 + d, t->n - d);
            if (to_u) v_give(to_u + d, v, c->acc[TREE_SCAN_U], t->n - d);
            if (to_dt) v_give(to_dt + d, v_get(ddt + i * BLOCK + d, t->n - d), c->acc[TREE_SCAN_DT], t->n - d);
        }
        /* in a loop of its own: what else is wanted must not change how it is rounded */
        for (int64_t d = 0; d < t->n; d += KR_VL) v_give(D_sum + d, v_get(dy + d, t->n - d) * v_get(u + d, t->n - d), true, t->n - d);
    }
    for (int64_t d = 0; d < t->n; d++) to.AD[(t->d0 + d) * (t->N + 1) + t->N] = D_sum[d];
}

/* Rows of dB (which 0) or dC (1): the blocks of a sequence in order. */
static void give_BC(const kr_call *c, int slot, int64_t which, const float *BC) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), N = KR_SIZE(c, 'N'), blocks = (KR_SIZE(c, 'D') + BLOCK - 1) / BLOCK;
    for (int64_t r = 0; c->din[slot].data && r < S * L; r++)
        for (int64_t n = 0; n < N; n++) {
            float sum = 0, *to = row_at(&c->din[slot], r) + n;
            for (int64_t b = 0; b < blocks; b++) sum += BC[(((r / L * blocks + b) * 2 + which) * L + r % L) * N + n];
            *to = c->acc[slot] ? *to + sum : sum;
        }
}

static void give_AD(const kr_call *c, const float *AD) {
    int64_t S = KR_SIZE(c, 'S'), D = KR_SIZE(c, 'D'), N = KR_SIZE(c, 'N');
    float *dA = c->din[TREE_SCAN_A].data, *dD = c->din[TREE_SCAN_D].data;
    for (int64_t d = 0; d < D; d++)
        for (int64_t n = 0; n <= N; n++) {
            float sum = 0, *to = n < N ? dA ? dA + d * N + n : NULL : dD ? dD + d : NULL;
            for (int64_t s = 0; s < S; s++) sum += AD[(s * D + d) * (N + 1) + n];
            if (to) *to = c->acc[n < N ? TREE_SCAN_A : TREE_SCAN_D] ? *to + sum : sum;
        }
}

void KR_VEC(tree_scan_bwd)(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), N = KR_SIZE(c, 'N'), blocks = (D + BLOCK - 1) / BLOCK;
    float *BC = c->scratch, *AD = BC + S * blocks * 2 * L * N, *rooms = AD + S * D * (N + 1);
#pragma omp parallel for num_threads(rows_threads(c, S * L * D)) schedule(static)
    for (int64_t k = 0; k < S * blocks; k++) {
        tree t = tree_of(c, k);
        block_bwd(&t, rooms + omp_get_thread_num() * 7 * L * BLOCK, (shares){BC + k * 2 * L * N, AD + t.s * D * (N + 1)});
    }
    give_BC(c, TREE_SCAN_B, 0, BC);
    give_BC(c, TREE_SCAN_C, 1, BC);
    give_AD(c, AD);
}
