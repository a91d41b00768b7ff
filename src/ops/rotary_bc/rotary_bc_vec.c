/* rotary_bc_vec.c - rotary_bc for CPUs.
 *
 * Angles are sums along time: each block of steps sums its own, the blocks' sums are added up
 * in order, and then every block goes through its steps; backward likewise, from the end.
 * Threads share sequences and blocks. */
#include "ops/rotary_bc/rotary_bc.h"
#include "ops/rows.h"

enum { MOST = 512 }; /* of N */

typedef struct sizes { int64_t S, L, H, J, G, N, blocks, angles; } sizes;
static sizes sizes_of(const kr_call *c) {
    sizes d = {KR_SIZE(c, 'S'), KR_SIZE(c, 'L'), KR_SIZE(c, 'H'), KR_SIZE(c, 'J'), KR_SIZE(c, 'G'), KR_SIZE(c, 'N'), rotary_blocks(c)};
    d.angles = d.H * d.J;
    return d;
}
static int64_t block_end(const sizes *d, int64_t b) { return (b + 1) * ROTARY_BLOCK < d->L ? (b + 1) * ROTARY_BLOCK : d->L; }
static bool forgets(const kr_call *c, const sizes *d, int64_t s, int64_t b) {
    bool any = false;
    for (int64_t t = b * ROTARY_BLOCK; c->in[ROTARY_SEQ_IDX].data && t < block_end(d, b); t++) any |= rotary_begins(c, s, t);
    return any;
}

static vf wrapped(vf phi) {
    vf turns = phi * (float)(.5 / ROTARY_PI) + 12582912.f; /* 1.5 * 2^23: rounds to whole turns */
    turns -= 12582912.f;
    return phi - turns * 6.28125f - turns * 1.9353071795864769e-3f;
}

/* pi tanh(angle) of a row */
static void speeds(const kr_call *c, int64_t r, float *w) {
    const float *angle = row_at(&c->in[ROTARY_ANGLE], r);
    int64_t J = KR_SIZE(c, 'J');
    for (int64_t j = 0; j < J; j += KR_VL) v_put(w + j, (float)ROTARY_PI * v_tanh(v_get(angle + j, J - j)), J - j);
}
/* The angles [H][J] of the next step. */
static void turn_on(const kr_call *c, const sizes *d, int64_t s, int64_t t, float *phi) {
    float w[MOST];
    const float *dt = row_at(&c->in[ROTARY_DT], s * d->L + t);
    speeds(c, s * d->L + t, w);
    if (rotary_begins(c, s, t)) memset(phi, 0, (size_t)d->angles * sizeof *phi);
    for (int64_t h = 0; h < d->H; h++)
        for (int64_t j = 0; j < d->J; j += KR_VL) {
            float *p = phi + h * d->J + j;
            v_put(p, wrapped(v_get(p, d->J - j) + v_get(w + j, d->J - j) * dt[h]), d->J - j);
        }
}

/* starts[s][b]: the angles before block b. */
static void find_starts(const kr_call *c, const sizes *d, float *starts) {
    size_t bytes = (size_t)d->angles * sizeof(float);
#pragma omp parallel for num_threads(rows_threads(c, d->S * d->L * d->angles)) schedule(static)
    for (int64_t k = 0; k < d->S * (d->blocks - 1); k++) {
        int64_t s = k / (d->blocks - 1), b = k % (d->blocks - 1);
        float *sum = starts + (s * d->blocks + b + 1) * d->angles;
        memset(sum, 0, bytes);
        for (int64_t t = b * ROTARY_BLOCK; t < block_end(d, b); t++) turn_on(c, d, s, t, sum);
    }
    for (int64_t s = 0; s < d->S; s++) {
        float *first = starts + s * d->blocks * d->angles;
        const float *phi0 = c->in[ROTARY_PHI0].data;
        if (phi0) memcpy(first, phi0 + s * d->angles, bytes);
        else memset(first, 0, bytes);
        for (int64_t b = 1; b < d->blocks; b++) {
            const float *before = first + (b - 1) * d->angles;
            float *sum = first + b * d->angles;
            if (forgets(c, d, s, b - 1)) continue;
            for (int64_t i = 0; i < d->angles; i += KR_VL) v_put(sum + i, wrapped(v_get(before + i, d->angles - i) + v_get(sum + i, d->angles - i)), d->angles - i);
        }
    }
}

/* y = x + bias */
static void biased(const float *x, const float *bias, int64_t n, float *y) {
    for (int64_t i = 0; i < n; i += KR_VL) v_put(y + i, v_get(x + i, n - i) + v_get(bias + i, n - i), n - i);
}
static void sines(const float *phi, int64_t J, float *x, float *y) {
    for (int64_t j = 0; j < J; j += KR_VL) {
        vf s, c;
        v_sincos(v_get(phi + j, J - j), &s, &c);
        v_put(x + j, c, J - j);
        v_put(y + j, s, J - j);
    }
}
static int64_t first_of(const kr_call *c, int64_t j) { return ((const rotary_bc_attr *)c->attr)->halves ? j : 2 * j; }
static int64_t between(const kr_call *c) { return ((const rotary_bc_attr *)c->attr)->halves ? KR_SIZE(c, 'N') / 2 : 1; }
/* by the angle, or back */
static void turn(const kr_call *c, float *v, const float *x, const float *y, float sign) {
    int64_t far = between(c), J = KR_SIZE(c, 'J');
    for (int64_t j = 0; j < J; j++) {
        float *a = v + first_of(c, j), p = a[0], q = a[far];
        a[0] = p * x[j] - sign * q * y[j];
        a[far] = sign * p * y[j] + q * x[j];
    }
}
static float dot(const float *a, const float *b, int64_t n) {
    vf sum = {0};
    for (int64_t i = 0; i < n; i += KR_VL) sum += v_get(a + i, n - i) * v_get(b + i, n - i);
    return v_sum(sum);
}

static void step_fwd(const kr_call *c, const sizes *d, int64_t r, const float *phi) {
    const float *B = row_at(&c->in[ROTARY_B], r), *C = row_at(&c->in[ROTARY_C], r), *bb = c->in[ROTARY_B_BIAS].data, *cb = c->in[ROTARY_C_BIAS].data;
    float x[MOST], y[MOST], spare[MOST], *kq = c->out[ROTARY_KQ].data;
    for (int64_t h = 0; h < d->H; h++) {
        int64_t g = h / (d->H / d->G) * d->N, at = (r * d->H + h) * d->N;
        float *k = (float *)c->out[ROTARY_K].data + at, *q = c->out[ROTARY_Q].data ? (float *)c->out[ROTARY_Q].data + at : spare;
        biased(B + g, bb + h * d->N, d->N, k);
        biased(C + g, cb + h * d->N, d->N, q);
        if (kq) kq[r * d->H + h] = dot(k, q, d->N);
        sines(phi + h * d->J, d->J, x, y);
        turn(c, k, x, y, 1);
        turn(c, q, x, y, 1);
    }
}

void KR_VEC(rotary_bc_fwd)(const kr_call *c) {
    sizes d = sizes_of(c);
    float *starts = c->scratch, *last = c->out[ROTARY_PHI].data;
    find_starts(c, &d, starts);
#pragma omp parallel for num_threads(rows_threads(c, d.S * d.L * d.H * d.N)) schedule(static)
    for (int64_t k = 0; k < d.S * d.blocks; k++) {
        int64_t s = k / d.blocks, b = k % d.blocks;
        float *phi = starts + k * d.angles; /* this task's own from here on */
        for (int64_t t = b * ROTARY_BLOCK; t < block_end(&d, b); t++) {
            turn_on(c, &d, s, t, phi);
            step_fwd(c, &d, s * d.L + t, phi);
        }
        if (last && b == d.blocks - 1) memcpy(last + s * d.angles, phi, (size_t)d.angles * sizeof *phi);
    }
}

/* --- backward ------------------------------------------------------------------------ */

static void add_to(float *to, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i += KR_VL) v_give(to + i, v_get(x + i, n - i), true, n - i);
}

/* Gradients at one step; those of the biases add up in `bias` [2][H][N], those of the angles go to dphi [H][J]. */
static void step_bwd(const kr_call *c, const sizes *d, int64_t r, const float *phi, float *bias, float *dphi) {
    const float *B = row_at(&c->in[ROTARY_B], r), *C = row_at(&c->in[ROTARY_C], r), *bb = c->in[ROTARY_B_BIAS].data, *cb = c->in[ROTARY_C_BIAS].data;
    const float *dk = c->dout[ROTARY_K].data, *dq = c->dout[ROTARY_Q].data, *dkq = c->dout[ROTARY_KQ].data;
    float *dB = row_at(&c->din[ROTARY_B], r), *dC = row_at(&c->din[ROTARY_C], r);
    size_t bytes = (size_t)d->N * sizeof(float);
    float x[MOST], y[MOST], k[MOST], q[MOST], u[MOST], v[MOST];
    if (dB && !c->acc[ROTARY_B]) memset(dB, 0, bytes * (size_t)d->G);
    if (dC && !c->acc[ROTARY_C]) memset(dC, 0, bytes * (size_t)d->G);
    for (int64_t h = 0; h < d->H; h++) {
        int64_t g = h / (d->H / d->G) * d->N, at = (r * d->H + h) * d->N, far = between(c);
        float both = dkq ? dkq[r * d->H + h] : 0, *dp = dphi + h * d->J;
        biased(B + g, bb + h * d->N, d->N, k);
        biased(C + g, cb + h * d->N, d->N, q);
        if (dk) memcpy(u, dk + at, bytes);
        else memset(u, 0, bytes);
        if (dq) memcpy(v, dq + at, bytes);
        else memset(v, 0, bytes);
        sines(phi + h * d->J, d->J, x, y);
        turn(c, u, x, y, -1); /* from here on in the frame of k and q before they turned */
        turn(c, v, x, y, -1);
        for (int64_t j = 0; j < d->J; j++) {
            int64_t a = first_of(c, j), b = a + far;
            dp[j] = u[b] * k[a] - u[a] * k[b] + v[b] * q[a] - v[a] * q[b];
        }
        for (int64_t i = 0; i < d->N; i += KR_VL) {
            int64_t n = d->N - i;
            v_put(u + i, v_get(u + i, n) + both * v_get(q + i, n), n);
            v_put(v + i, v_get(v + i, n) + both * v_get(k + i, n), n);
        }
        if (dB) add_to(dB + g, u, d->N);
        if (dC) add_to(dC + g, v, d->N);
        add_to(bias + h * d->N, u, d->N);
        add_to(bias + (d->H + h) * d->N, v, d->N);
    }
}

/* dphi becomes, within its block, the sum from its step to the end of the document or block; the
 * sums at the block's first step go to `head`. */
static void sum_back(const kr_call *c, const sizes *d, int64_t s, int64_t b, float *dphi, float *head) {
    float *after = NULL;
    for (int64_t t = block_end(d, b) - 1; t >= b * ROTARY_BLOCK; t--) {
        float *now = dphi + (s * d->L + t) * d->angles;
        if (after) add_to(now, after, d->angles);
        after = rotary_begins(c, s, t) ? NULL : now;
    }
    if (after) memcpy(head, after, (size_t)d->angles * sizeof *head);
    else memset(head, 0, (size_t)d->angles * sizeof *head);
}

/* heads[s][b] becomes what comes from behind block b; dphi0. */
static void link_back(const kr_call *c, const sizes *d, float *heads) {
    float *dphi0 = c->din[ROTARY_PHI0].data;
    for (int64_t s = 0; s < d->S; s++) {
        float *head = heads + s * d->blocks * d->angles;
        const float *dlast = c->dout[ROTARY_PHI].data;
        for (int64_t i0 = 0; i0 < d->angles; i0 += MOST) {
            int64_t n = d->angles - i0 < MOST ? d->angles - i0 : MOST, at = s * d->angles + i0;
            float carry[MOST] = {0};
            if (dlast) memcpy(carry, dlast + at, (size_t)n * sizeof *carry);
            for (int64_t b = d->blocks - 1; b >= 0; b--) {
                bool keep = !forgets(c, d, s, b);
                for (int64_t i = 0; i < n; i++) {
                    float *h = head + b * d->angles + i0 + i, mine = *h;
                    *h = carry[i];
                    carry[i] = mine + (keep ? carry[i] : 0);
                }
            }
            for (int64_t i = 0; dphi0 && i < n; i++) dphi0[at + i] = (c->acc[ROTARY_PHI0] ? dphi0[at + i] : 0) + carry[i];
        }
    }
}

/* Gradients of angle and dt at the steps of a block, whose tail gets `carry` too. */
static void speeds_bwd(const kr_call *c, const sizes *d, int64_t s, int64_t b, const float *dphi, float *carry) {
    for (int64_t t = block_end(d, b) - 1; t >= b * ROTARY_BLOCK; t--) {
        int64_t r = s * d->L + t, J = d->J;
        const float *dt = row_at(&c->in[ROTARY_DT], r), *now = dphi + r * d->angles;
        float w[MOST], sum[MOST], *da = row_at(&c->din[ROTARY_ANGLE], r), *ddt = row_at(&c->din[ROTARY_DT], r);
        speeds(c, r, w);
        memset(sum, 0, (size_t)J * sizeof *sum);
        for (int64_t h = 0; h < d->H; h++) {
            vf dot_w = {0};
            for (int64_t j = 0; j < J; j += KR_VL) {
                vf g = v_get(now + h * J + j, J - j) + v_get(carry + h * J + j, J - j);
                v_give(sum + j, g * dt[h], true, J - j);
                dot_w += g * v_get(w + j, J - j);
            }
            if (ddt) ddt[h] = v_sum(dot_w) + (c->acc[ROTARY_DT] ? ddt[h] : 0);
        }
        for (int64_t j = 0; da && j < J; j += KR_VL) {
            vf tanh = v_get(w + j, J - j) * (float)(1 / ROTARY_PI);
            v_give(da + j, (float)ROTARY_PI * (1.f - tanh * tanh) * v_get(sum + j, J - j), c->acc[ROTARY_ANGLE], J - j);
        }
        if (rotary_begins(c, s, t)) memset(carry, 0, (size_t)d->angles * sizeof *carry);
    }
}

/* d = or += the sum over blocks, in their order. */
static void add_blocks(const kr_call *c, const sizes *d, int slot, const float *parts) {
    float *to = c->din[slot].data;
    for (int64_t i = 0; to && i < d->H * d->N; i += KR_VL) {
        int64_t n = d->H * d->N - i;
        vf sum = {0};
        for (int64_t k = 0; k < d->S * d->blocks; k++) sum += v_get(parts + k * 2 * d->H * d->N + i, n);
        v_give(to + i, sum, c->acc[slot], n);
    }
}

void KR_VEC(rotary_bc_bwd)(const kr_call *c) {
    sizes d = sizes_of(c);
    int64_t n = d.S * d.blocks, threads = rows_threads(c, d.S * d.L * d.H * d.N);
    float *starts = c->scratch, *heads = starts + n * d.angles, *dphi = heads + n * d.angles, *bias = dphi + d.S * d.L * d.angles;
    find_starts(c, &d, starts);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t k = 0; k < n; k++) {
        int64_t s = k / d.blocks, b = k % d.blocks;
        float *phi = starts + k * d.angles, *mine = bias + k * 2 * d.H * d.N;
        memset(mine, 0, (size_t)(2 * d.H * d.N) * sizeof *mine);
        for (int64_t t = b * ROTARY_BLOCK; t < block_end(&d, b); t++) {
            turn_on(c, &d, s, t, phi);
            step_bwd(c, &d, s * d.L + t, phi, mine, dphi + (s * d.L + t) * d.angles);
        }
        sum_back(c, &d, s, b, dphi, heads + k * d.angles);
    }
    link_back(c, &d, heads);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t k = 0; k < n; k++) speeds_bwd(c, &d, k / d.blocks, k % d.blocks, dphi, heads + k * d.angles);
    add_blocks(c, &d, ROTARY_B_BIAS, bias);
    add_blocks(c, &d, ROTARY_C_BIAS, bias + d.H * d.N);
}
