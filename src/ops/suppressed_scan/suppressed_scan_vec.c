/* suppressed_scan_vec.c - suppressed_scan for CPUs: lanes over the channels of a group, threads over tiles of
 * them; sums over channels and sequences through shares that are added up in order. */
#include <omp.h>

#include "ops/rows.h"
#include "ops/suppressed_scan/suppressed_scan.h"

/* A vector of n channels from d on, of sequence s; a tile's shares of dB and dC [L, N]. */
typedef struct lanes { int64_t s, d, n, g; float *dB, *dC; } lanes;

static bool begins(const kr_call *c, int64_t s, int64_t t) {
    const kr_tensor *q = &c->in[SUPPRESSED_SEQ_IDX];
    const int32_t *id = q->data;
    int64_t row = s * KR_SIZE(c, 'L') + t;
    return id && t > 0 && id[row * q->pitch] != id[(row - 1) * q->pitch];
}

/* [n channels, N] as [N] vectors; NULL: zeros. */
static void turn(float *to, const float *from, int64_t n, int64_t N) {
    memset(to, 0, (size_t)(N * SUPPRESSED_LANES) * sizeof *to);
    for (int64_t i = 0; from && i < n; i++)
        for (int64_t k = 0; k < N; k++) to[k * SUPPRESSED_LANES + i] = from[i * N + k];
}
static void turn_back(float *to, const float *from, bool add, int64_t n, int64_t N) {
    for (int64_t i = 0; to && i < n; i++)
        for (int64_t k = 0; k < N; k++) to[i * N + k] = from[k * SUPPRESSED_LANES + i] + (add ? to[i * N + k] : 0);
}

static vf raw_step(const kr_call *c, const lanes *v, int64_t row) {
    const float *bias = c->in[SUPPRESSED_DT_BIAS].data;
    vf raw = v_get(row_at(&c->in[SUPPRESSED_DT], row) + v->d, v->n);
    return bias ? raw + v_get(bias + v->d, v->n) : raw;
}

/* One step of the states h [N] from `before`; without C nothing is read. */
static vf step(const kr_call *c, const lanes *v, int64_t t, const float *A, const float *before, float *h, const float *C) {
    int64_t N = KR_SIZE(c, 'N'), row = v->s * KR_SIZE(c, 'L') + t;
    const float *B = row_at(&c->in[SUPPRESSED_B], row) + v->g * N;
    vf dt = v_softplus(raw_step(c, v, row)), in = dt * v_get(row_at(&c->in[SUPPRESSED_U], row) + v->d, v->n), y = {0};
    vf alpha = v_set((float)((const suppressed_scan_attr *)c->attr)->alpha);
    bool fresh = begins(c, v->s, t);
    for (int64_t k = 0; k < N; k++) {
        vf a = v_exp(dt * v_load(A + k * SUPPRESSED_LANES)), x = in * B[k];
        if (!fresh) x = v_fma(a, v_load(before + k * SUPPRESSED_LANES), x);
        v_store(h + k * SUPPRESSED_LANES, x);
        if (C) y = v_fma(v_select(a >= alpha, v_set(1), a) * C[k], x, y);
    }
    return y;
}

static void lanes_fwd(const kr_call *c, const lanes *v, float *own) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), N = KR_SIZE(c, 'N'), at = (v->s * D + v->d) * N;
    const float *h0 = c->in[SUPPRESSED_H0].data, *skip = c->in[SUPPRESSED_D].data;
    float *A = own, *h = own + N * SUPPRESSED_LANES, *h1 = c->out[SUPPRESSED_H].data;
    turn(A, (const float *)c->in[SUPPRESSED_A].data + v->d * N, v->n, N);
    turn(h, h0 ? h0 + at : NULL, v->n, N);
    for (int64_t t = 0; t < L; t++) {
        int64_t row = v->s * L + t;
        vf y = step(c, v, t, A, h, h, row_at(&c->in[SUPPRESSED_C], row) + v->g * N);
        if (skip) y = v_fma(v_get(skip + v->d, v->n), v_get(row_at(&c->in[SUPPRESSED_U], row) + v->d, v->n), y);
        v_put(row_of(&c->out[SUPPRESSED_Y], row, D) + v->d, y, v->n);
    }
    if (h1) turn_back(h1 + at, h, false, v->n, N);
}

/* --- backward ------------------------------------------------------------------------------------- */

typedef struct sums { float *A, *dA, *dh; vf bias, skip; } sums;

/* Step t in reverse: `before` and h are the states around it. */
static void step_bwd(const kr_call *c, const lanes *v, int64_t t, const float *before, const float *h, sums *z) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), N = KR_SIZE(c, 'N'), row = v->s * L + t;
    const float *B = row_at(&c->in[SUPPRESSED_B], row) + v->g * N, *C = row_at(&c->in[SUPPRESSED_C], row) + v->g * N, *skip = c->in[SUPPRESSED_D].data;
    const float *given = row_of(&c->dout[SUPPRESSED_Y], row, D);
    float *du_row = row_at(&c->din[SUPPRESSED_U], row), *ddt_row = row_at(&c->din[SUPPRESSED_DT], row), *dB = v->dB + t * N, *dC = v->dC + t * N;
    vf raw = raw_step(c, v, row), dt = v_softplus(raw), u = v_get(row_at(&c->in[SUPPRESSED_U], row) + v->d, v->n), dy = given ? v_get(given + v->d, v->n) : (vf){0};
    vf du = skip ? dy * v_get(skip + v->d, v->n) : (vf){0}, ddt = {0}, in = dt * u, none = {0}, alpha = v_set((float)((const suppressed_scan_attr *)c->attr)->alpha);
    bool fresh = begins(c, v->s, t);
    for (int64_t k = 0; k < N; k++) {
        vf A = v_load(z->A + k * SUPPRESSED_LANES), a = v_exp(dt * A), was = fresh ? none : v_load(before + k * SUPPRESSED_LANES), x = v_load(h + k * SUPPRESSED_LANES);
        vf read = dy * x, w = v_select(a >= alpha, v_set(1), a), dh = v_fma(dy * C[k], w, v_load(z->dh + k * SUPPRESSED_LANES));
        vf da = v_fma(dh, was, v_select(a >= alpha, none, read * C[k])) * a;
        dC[k] += v_sum(v_keep(read * w, v->n));
        dB[k] += v_sum(v_keep(dh * in, v->n));
        v_store(z->dA + k * SUPPRESSED_LANES, v_fma(da, dt, v_load(z->dA + k * SUPPRESSED_LANES)));
        ddt += da * A + dh * u * B[k];
        du = v_fma(dh * B[k], dt, du);
        v_store(z->dh + k * SUPPRESSED_LANES, fresh ? none : dh * a);
    }
    ddt *= v_sigmoid(raw);
    if (du_row) v_give(du_row + v->d, du, c->acc[SUPPRESSED_U], v->n);
    if (ddt_row) v_give(ddt_row + v->d, ddt, c->acc[SUPPRESSED_DT], v->n);
    z->bias += ddt;
    z->skip += dy * u;
}

/* Forward once more for the first states of chunks, then chunk by chunk from the last.  share: of this sequence dA
 * [D, N], ddt_bias [D] and dD [D]. */
static void lanes_bwd(const kr_call *c, const lanes *v, float *own, float *share) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), N = KR_SIZE(c, 'N'), at = (v->s * D + v->d) * N, states = N * SUPPRESSED_LANES;
    int64_t chunks = (L + SUPPRESSED_CHUNK - 1) / SUPPRESSED_CHUNK;
    const float *h0 = c->in[SUPPRESSED_H0].data, *dh1 = c->dout[SUPPRESSED_H].data;
    float *first = own + 3 * states, *h = first + chunks * states, *dh0 = c->din[SUPPRESSED_H0].data;
    sums z = {.A = own, .dA = own + states, .dh = own + 2 * states};
    turn(z.A, (const float *)c->in[SUPPRESSED_A].data + v->d * N, v->n, N);
    turn(z.dA, NULL, v->n, N);
    turn(z.dh, dh1 ? dh1 + at : NULL, v->n, N);
    turn(first, h0 ? h0 + at : NULL, v->n, N);
    memcpy(h, first, (size_t)states * sizeof *h);
    for (int64_t t = 0; t < (chunks - 1) * SUPPRESSED_CHUNK; t++) {
        step(c, v, t, z.A, h, h, NULL);
        if ((t + 1) % SUPPRESSED_CHUNK == 0) memcpy(first + (t + 1) / SUPPRESSED_CHUNK * states, h, (size_t)states * sizeof *h);
    }
    for (int64_t q = chunks - 1; q >= 0; q--) {
        int64_t from = q * SUPPRESSED_CHUNK, to = from + SUPPRESSED_CHUNK < L ? from + SUPPRESSED_CHUNK : L;
        memcpy(h, first + q * states, (size_t)states * sizeof *h);
        for (int64_t t = from; t < to; t++) step(c, v, t, z.A, h + (t - from) * states, h + (t - from + 1) * states, NULL);
        for (int64_t t = to - 1; t >= from; t--) step_bwd(c, v, t, h + (t - from) * states, h + (t - from + 1) * states, &z);
    }
    turn_back(share + v->d * N, z.dA, false, v->n, N);
    v_put(share + D * N + v->d, z.bias, v->n);
    v_put(share + D * (N + 1) + v->d, z.skip, v->n);
    if (dh0) turn_back(dh0 + at, z.dh, c->acc[SUPPRESSED_H0], v->n, N);
}

/* --- tiles ------------------------------------------------------------------------------------------ */

/* Tile k of all: its sequence, its channels in turn. */
static void tile(const kr_call *c, int64_t k, float *own, float *shares, float *by_sequence) {
    int64_t D = KR_SIZE(c, 'D'), G = KR_SIZE(c, 'G'), in_group = suppressed_tiles(c), LN = KR_SIZE(c, 'L') * KR_SIZE(c, 'N');
    int64_t g = k / in_group % G, from = g * (D / G) + k % in_group * SUPPRESSED_TILE, end = (g + 1) * (D / G);
    lanes v = {.s = k / (in_group * G), .g = g};
    if (end > from + SUPPRESSED_TILE) end = from + SUPPRESSED_TILE;
    if (shares) v.dB = shares + 2 * k * LN, v.dC = v.dB + LN, memset(v.dB, 0, (size_t)(2 * LN) * sizeof *v.dB);
    for (v.d = from; v.d < end; v.d += KR_VL) {
        v.n = end - v.d < KR_VL ? end - v.d : KR_VL;
        if (shares) lanes_bwd(c, &v, own, by_sequence + v.s * D * (KR_SIZE(c, 'N') + 2));
        else lanes_fwd(c, &v, own);
    }
}

static int threads_for(const kr_call *c) { return rows_threads(c, KR_SIZE(c, 'S') * KR_SIZE(c, 'L') * KR_SIZE(c, 'D')); }

void KR_VEC(suppressed_scan_fwd)(const kr_call *c) {
    int64_t n = KR_SIZE(c, 'S') * KR_SIZE(c, 'G') * suppressed_tiles(c), own = suppressed_own(c, false);
#pragma omp parallel for num_threads(threads_for(c)) schedule(static)
    for (int64_t k = 0; k < n; k++) tile(c, k, (float *)c->scratch + omp_get_thread_num() * own, NULL, NULL);
}

/* dB or dC: the tiles of a group, in order. */
static void add_tiles(const kr_call *c, const kr_tensor *to, bool add, const float *shares) {
    int64_t L = KR_SIZE(c, 'L'), G = KR_SIZE(c, 'G'), N = KR_SIZE(c, 'N'), in_group = suppressed_tiles(c);
#pragma omp parallel for num_threads(threads_for(c)) schedule(static)
    for (int64_t row = 0; row < KR_SIZE(c, 'S') * L; row++) {
        float *d = row_at(to, row);
        for (int64_t i = 0; d && i < G * N; i++) {
            float sum = add ? d[i] : 0;
            for (int64_t k = 0; k < in_group; k++) sum += shares[2 * ((row / L * G + i / N) * in_group + k) * L * N + row % L * N + i % N];
            d[i] = sum;
        }
    }
}

static void add_sequences(const kr_call *c, int slot, const float *shares, int64_t n) {
    int64_t stride = KR_SIZE(c, 'D') * (KR_SIZE(c, 'N') + 2);
    float *to = c->din[slot].data;
    for (int64_t i = 0; to && i < n; i++) {
        float sum = c->acc[slot] ? to[i] : 0;
        for (int64_t s = 0; s < KR_SIZE(c, 'S'); s++) sum += shares[s * stride + i];
        to[i] = sum;
    }
}

void KR_VEC(suppressed_scan_bwd)(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), D = KR_SIZE(c, 'D'), N = KR_SIZE(c, 'N'), LN = KR_SIZE(c, 'L') * N;
    int64_t n = S * KR_SIZE(c, 'G') * suppressed_tiles(c), own = suppressed_own(c, true);
    float *rooms = c->scratch, *shares = rooms + c->n_threads * own, *by_sequence = shares + 2 * n * LN;
#pragma omp parallel for num_threads(threads_for(c)) schedule(static)
    for (int64_t k = 0; k < n; k++) tile(c, k, rooms + omp_get_thread_num() * own, shares, by_sequence);
    add_tiles(c, &c->din[SUPPRESSED_B], c->acc[SUPPRESSED_B], shares);
    add_tiles(c, &c->din[SUPPRESSED_C], c->acc[SUPPRESSED_C], shares + LN);
    add_sequences(c, SUPPRESSED_A, by_sequence, D * N);
    add_sequences(c, SUPPRESSED_DT_BIAS, by_sequence + D * N, D);
    add_sequences(c, SUPPRESSED_D, by_sequence + D * (N + 1), D);
}
