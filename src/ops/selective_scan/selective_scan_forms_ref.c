/* selective_scan_forms_ref.c - the same scan, two more ways.
 *
 * One step of a state is the pair (a, b): h -> a h + b.  Pairs compose,
 *
 *     first (a, b), then (c, d):   (c a, c b + d)
 *
 * associatively, but NOT commutatively: the order below is the point.  Every prefix of the
 * list (1, h0), (a_0, b_0), (a_1, b_1), ... composed is (., h_t).
 *
 *   Blelloch  a tree over all of L: up-sweep, then down-sweep; 2 log2 L steps deep
 *   chunked   chunks on their own, a scan of the chunks' pairs, then each chunk again
 *             from its true beginning: what selective_scan_vec.c does with its threads */
#include "ops/ref.h"
#include "ops/selective_scan/selective_scan.h"

typedef struct pair { real a, b; } pair;

static pair then(pair first, pair second) {
    return (pair){second.a * first.a, second.a * first.b + second.b};
}

/* x[0..n), n a power of two, becomes its exclusive prefixes; the composition of all is returned. */
static pair scan_blelloch(pair *x, int64_t n) {
    for (int64_t d = 1; d < n; d *= 2) /* up: x[i] becomes the composition of its subtree */
        for (int64_t i = 2 * d - 1; i < n; i += 2 * d) x[i] = then(x[i - d], x[i]);
    pair all = x[n - 1];
    x[n - 1] = (pair){1, 0};
    for (int64_t d = n / 2; d >= 1; d /= 2) /* down: x[i] becomes all that lies before its subtree */
        for (int64_t i = 2 * d - 1; i < n; i += 2 * d) {
            pair left = x[i - d], before = x[i];
            x[i - d] = before;
            x[i] = then(before, left);
        }
    return all;
}

#define ROW(tensor, row) ((const real *)(tensor).data + (row) * (tensor).pitch)

static real step_size(const kr_call *c, int64_t row, int64_t d) {
    const real *bias = c->in[SCAN_DT_BIAS].data;
    real raw = ROW(c->in[SCAN_DT], row)[d] + (bias ? bias[d] : 0);
    return ((const selective_scan_attr *)c->attr)->dt_softplus ? ref_softplus(raw) : raw;
}

/* What step t does to state n of channel d; where a sequence begins it forgets: a = 0. */
static pair step_pair(const kr_call *c, int64_t s, int64_t t, int64_t d, int64_t n) {
    int64_t at = s * KR_SIZE(c, 'L') + t, row = scan_row(c, s, t), N = KR_SIZE(c, 'N'), g = d / (KR_SIZE(c, 'D') / KR_SIZE(c, 'G'));
    const kr_tensor *q = &c->in[SCAN_SEQ_IDX];
    const int32_t *id = q->data;
    real dt = step_size(c, row, d);
    bool begins = id && t > 0 && id[at * q->pitch] != id[(at - 1) * q->pitch];
    return (pair){begins ? 0 : exp(dt * ((const real *)c->in[SCAN_A].data)[d * N + n]),
                  dt * ROW(c->in[SCAN_B], row)[g * N + n] * ROW(c->in[SCAN_U], row)[d]};
}

typedef void state_scan(const kr_call *c, int64_t s, int64_t d, int64_t n, real h0, real *h);

static void state_blelloch(const kr_call *c, int64_t s, int64_t d, int64_t n, real h0, real *h) {
    int64_t L = KR_SIZE(c, 'L'), P = 1;
    while (P < L + 1) P *= 2;
    pair *x = (pair *)(h + L);
    x[0] = (pair){1, h0};
    for (int64_t t = 0; t < P - 1; t++) x[t + 1] = t < L ? step_pair(c, s, t, d, n) : (pair){1, 0};
    pair all = scan_blelloch(x, P); /* x[t + 1] is now everything before step t; h_t lies one further */
    for (int64_t t = 0; t < L; t++) h[t] = t + 2 < P ? x[t + 2].b : all.b;
}

static void state_chunked(const kr_call *c, int64_t s, int64_t d, int64_t n, real h0, real *h) {
    int64_t L = KR_SIZE(c, 'L'), n_chunks = (L + SCAN_CHUNK - 1) / SCAN_CHUNK;
    pair *chunk = (pair *)(h + L);
    for (int64_t k = 0; k < n_chunks; k++) {
        chunk[k] = (pair){1, 0};
        for (int64_t t = k * SCAN_CHUNK; t < L && t < (k + 1) * SCAN_CHUNK; t++)
            chunk[k] = then(chunk[k], step_pair(c, s, t, d, n));
    }
    for (int64_t k = 0; k < n_chunks; k++) {
        real now = h0;
        h0 = then((pair){1, h0}, chunk[k]).b;
        for (int64_t t = k * SCAN_CHUNK; t < L && t < (k + 1) * SCAN_CHUNK; t++)
            h[t] = now = then((pair){1, now}, step_pair(c, s, t, d, n)).b;
    }
}

/* y and h from the states that `scan` finds, one state of one channel at a time. */
static void forward_by(const kr_call *c, state_scan *scan) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), G = KR_SIZE(c, 'G'), N = KR_SIZE(c, 'N');
    const real *skip = c->in[SCAN_D].data, *h0 = c->in[SCAN_H0].data;
    real *h1 = c->out[SCAN_H].data, *y = c->out[SCAN_Y].data, *h = c->scratch; /* [L], then the scan's pairs */
    for (int64_t s = 0; s < S; s++)
        for (int64_t d = 0; d < D; d++) {
            int64_t g = d / (D / G);
            for (int64_t row = s * L; row < (s + 1) * L; row++)
                y[row * D + d] = skip ? skip[d] * ROW(c->in[SCAN_U], row)[d] : 0;
            for (int64_t n = 0; n < N; n++) {
                scan(c, s, d, n, h0 ? h0[(s * D + d) * N + n] : 0, h);
                for (int64_t t = 0; t < L; t++) {
                    int64_t row = scan_row(c, s, t);
                    y[row * D + d] += ROW(c->in[SCAN_C], row)[g * N + n] * h[t];
                }
                if (h1) h1[(s * D + d) * N + n] = h[L - 1];
            }
            for (int64_t row = s * L; c->in[SCAN_Z].data && row < (s + 1) * L; row++) {
                real z = ROW(c->in[SCAN_Z], row)[d];
                y[row * D + d] *= z * ref_sigmoid(z);
            }
        }
}

void REF(selective_scan_fwd_blelloch)(const kr_call *c) { forward_by(c, state_blelloch); }
void REF(selective_scan_fwd_chunked)(const kr_call *c) { forward_by(c, state_chunked); }
