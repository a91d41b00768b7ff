/* inspect_states.c - what states hold: the recurrences once more, in double, looked at now and then. */
#include "model/inspect.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/attention/attention.h"
#include "ops/lti_scan/lti_scan.h"
#include "ops/ops.h"
#include "ops/selective_scan/selective_scan.h"
#include "ops/ssd/ssd.h"

/* The states of one unit (a head, or a channel): [rows][columns]. */
typedef struct unit { const kr_op *op; const kr_call *c; int64_t rows, columns; } unit;

static unit unit_of(const kr_op *op, const kr_call *c) {
    unit u = {op, c, 1, KR_SIZE(c, 'N')};
    if (op == &kr_op_ssd) u.rows = KR_SIZE(c, 'P');
    if (op == &kr_op_lti_scan && c->in[LTI_AIM].data) u.columns *= 2; /* re and im are numbers of their own */
    return u;
}

static lti_mode mode_of(const kr_call *c, int64_t d, int64_t n) {
    int64_t k = d * KR_SIZE(c, 'N') + n;
    return lti_discretise(((const lti_scan_attr *)c->attr)->disc, kr_inspect_at(c, LTI_LOG_DT, d), (lti_complex){kr_inspect_at(c, LTI_ARE, k), kr_inspect_at(c, LTI_AIM, k)});
}

/* h from before step t to behind it. */
static void advance(const unit *u, int64_t t, int64_t i, double *h) {
    const kr_call *c = u->c;
    int64_t N = KR_SIZE(c, 'N');
    if (u->op == &kr_op_lti_scan) {
        double x = kr_inspect_row(c, LTI_U, t)[i];
        for (int64_t n = 0; n < N; n++) {
            lti_mode m = mode_of(c, i, n);
            bool pair = u->columns > N;
            lti_complex s = lti_mul(m.a, (lti_complex){h[n], pair ? h[N + n] : 0});
            h[n] = s.re + m.gain.re * x;
            if (pair) h[N + n] = s.im + m.gain.im * x;
        }
        return;
    }
    double dt = kr_inspect_dt(u->op, c, t, i);
    if (u->op == &kr_op_ssd) {
        const float *x = kr_inspect_row(c, SSD_X, t) + i * u->rows, *B = kr_inspect_row(c, SSD_B, t) + i / (KR_SIZE(c, 'H') / KR_SIZE(c, 'G')) * N;
        double a = exp(dt * kr_inspect_at(c, SSD_A, i));
        for (int64_t e = 0; e < u->rows * N; e++) h[e] = a * h[e] + dt * x[e / N] * (double)B[e % N];
    } else {
        const float *B = kr_inspect_step(c, SCAN_B, t) + i / (KR_SIZE(c, 'D') / KR_SIZE(c, 'G')) * N;
        double x = kr_inspect_step(c, SCAN_U, t)[i];
        for (int64_t n = 0; n < N; n++) h[n] = exp(dt * kr_inspect_at(c, SCAN_A, i * N + n)) * h[n] + dt * B[n] * x;
    }
}

/* (sum s^2)^2 / sum s^4 of M [rows][columns], s its singular values: traces of M' M, or of M M' if that is smaller. */
static double effective_rank(const double *M, int64_t rows, int64_t columns) {
    int64_t n = rows < columns ? rows : columns, m = rows < columns ? columns : rows;
    double trace = 0, squares = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            double dot = 0;
            for (int64_t k = 0; k < m; k++) dot += rows < columns ? M[i * columns + k] * M[j * columns + k] : M[k * columns + i] * M[k * columns + j];
            if (i == j) trace += dot;
            squares += (i == j ? 1 : 2) * dot * dot;
        }
    return squares > 0 ? trace * trace / squares : 0;
}

/* Up to `cap` half-lives of units [from, to), evenly out of all. */
static int64_t half_lives(const unit *u, int64_t L, int64_t from, int64_t to, double *to_fill, int64_t cap) {
    int64_t N = KR_SIZE(u->c, 'N'), per = u->op == &kr_op_ssd ? 1 : N, steps = u->op == &kr_op_lti_scan ? 1 : L, all = (to - from) * per * steps, n = 0;
    for (int64_t k = 0; k < all && n < cap; k += all > cap ? (all + cap - 1) / cap : 1) {
        int64_t i = from + k / (per * steps), s = k % per, t = k / per % steps;
        double rate; /* what a step takes of the logarithm */
        if (u->op == &kr_op_lti_scan) {
            lti_mode m = mode_of(u->c, i, s);
            rate = -log(hypot(m.a.re, m.a.im));
        } else {
            rate = -kr_inspect_dt(u->op, u->c, t, i) * kr_inspect_at(u->c, u->op == &kr_op_ssd ? SSD_A : SCAN_A, i * per + s);
        }
        to_fill[n++] = log(2) / (rate > 1e-12 ? rate : 1e-12);
    }
    return n;
}

static int rising(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static void look(const unit *u, int64_t from, int64_t to, const double *h, kr_inspect_states *out, int k) {
    int64_t size = u->rows * u->columns, n = to - from;
    double sum = 0, rank = 0;
    for (int64_t e = 0; e < n * size; e++) sum += h[e] * h[e];
    if (u->rows == 1) rank = effective_rank(h, n, u->columns);
    for (int64_t i = 0; u->rows > 1 && i < n; i++) rank += effective_rank(h + i * size, u->rows, u->columns) / (double)n;
    out->norm[k] = sqrt(sum);
    out->rank[k] = rank;
}

kr_status kr_inspect_get_states(const kr_inspect *x, int i, int64_t from, int64_t to, kr_inspect_states *out) {
    enum { CAP = 1 << 16 };
    kr_inspect_scan s;
    const kr_op *op = NULL;
    const kr_call *c = NULL;
    int64_t L = x->L;
    KR_TRY(kr_inspect_want(x, i, from, to, &s, &c, &op));
    if (op == &kr_op_attention) KR_FAIL(KR_ERR_ARG, "scan %d is attention, which keeps keys and values, not a state", i);
    unit u = unit_of(op, c);
    int64_t size = u.rows * u.columns, n = to - from, other = u.rows > 1 ? u.rows : n;
    double *h = kr_mem_array((size_t)(n * size), sizeof *h), *lives = kr_mem_array(CAP, sizeof *lives), most = 0;
    *out = (kr_inspect_states){.n_times = L < KR_INSPECT_TIMES ? L : KR_INSPECT_TIMES, .most_rank = (double)(other < u.columns ? other : u.columns)};
    for (int64_t t = 0, k = 0; t < L && h && lives; t++) {
        for (int64_t e = 0; e < n; e++) advance(&u, t, from + e, h + e * size);
        if (t + 1 < (k + 1) * L / out->n_times) continue;
        out->time[k] = t;
        look(&u, from, to, h, out, (int)k++);
    }
    if (h && lives) {
        int64_t m = half_lives(&u, L, from, to, lives, CAP);
        qsort(lives, (size_t)m, sizeof *lives, rising);
        for (int k = 0; k < 3; k++) out->half_life[k] = lives[(int64_t)((k == 0 ? .1 : k == 1 ? .5 : .9) * (double)(m - 1))];
        for (int64_t k = 0; k < out->n_times; k++) most = fmax(most, out->norm[k]);
        for (int64_t k = out->n_times - 1; k >= 0; k--)
            if (out->norm[k] >= .9 * most) out->settled = out->time[k];
    }
    kr_status st = h && lives ? KR_OK : KR_ERR_NOMEM;
    kr_mem_free(h);
    kr_mem_free(lives);
    return st;
}
