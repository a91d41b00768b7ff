/* cross_entropy_vec.c - cross_entropy for CPUs: logits come and go a slab at a time.
 *
 * The vocabulary is walked slab by slab, and for each all tokens, so its part of W (and of
 * dW) stays near while the tokens stream past.  Forward keeps the running maximum and sum
 * of every token; backward makes each slab again, turns it into dlogits in place, and
 * spends it at once on dx and dW. */
#include <math.h>

#include "base/vec.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/gemm.h"

enum { MANY = 16384 }; /* logits that pay for a team of threads */

typedef struct slab { /* tokens [r, r + m) by columns [v, v + n) */
    float *l;
    int64_t ld, r, m, v, n;
    void *gemm;
} slab;

static slab first_slab(const kr_call *c, float **per_token) {
    cross_entropy_slab s = cross_entropy_slabs(c);
    int64_t rows = c->rows < s.rows ? c->rows : s.rows;
    *per_token = (float *)c->scratch + rows * s.ld;
    return (slab){.l = c->scratch, .ld = s.ld, .gemm = (float *)c->scratch + cross_entropy_floats(c)};
}

/* The part of x or dx, and of W or dW, that a slab is about. */
static float *rows_of(const kr_tensor *x, const slab *s) { return (float *)x->data + s->r * x->pitch; }
static void *weights_of(const kr_call *c, const kr_tensor *w, const slab *s) {
    return (char *)w->data + kr_dtype_row_bytes(w->dtype, s->v * KR_SIZE(c, 'K'));
}

static void make_logits(const kr_call *c, const slab *s) {
    const kr_tensor *x = &c->in[CROSS_ENTROPY_X], *w = &c->in[CROSS_ENTROPY_W];
    kr_gemm g = {.m = s->m, .n = s->n, .k = KR_SIZE(c, 'K'), .a = rows_of(x, s), .b = weights_of(c, w, s), .c = s->l,
                 .lda = x->pitch, .ldb = KR_SIZE(c, 'K'), .ldc = s->ld, .b_trans = true, .b_type = w->dtype};
    KR_VEC(kr_gemm_all)(&g, s->gemm, c->n_threads);
}

/* Fills a row of logits up to whole vectors with what softmax does not see; returns its length then. */
static int64_t pad_row(float *l, int64_t n) {
    for (; n % KR_VL; n++) l[n] = -INFINITY;
    return n;
}

/* --- forward ------------------------------------------------------------------------ */

typedef struct running { float max, sum, target; } running;

static void row_fwd(const kr_call *c, const slab *s, int64_t i, running *t) {
    float *l = s->l + i * s->ld;
    int64_t n = pad_row(l, s->n), target = cross_entropy_target(c, s->r + i) - s->v;
    vf top = v_load(l), sum = {0};
    if (target >= 0 && target < s->n) t->target = l[target];
    for (int64_t j = KR_VL; j < n; j += KR_VL) top = v_max(top, v_load(l + j));
    float max = s->v ? t->max : -INFINITY;
    for (int j = 0; j < KR_VL; j++) max = top[j] > max ? top[j] : max;
    for (int64_t j = 0; j < n; j += KR_VL) sum += v_exp(v_load(l + j) - max);
    t->sum = v_sum(sum) + (s->v ? t->sum * expf(t->max - max) : 0);
    t->max = max;
}

static void finish_fwd(const kr_call *c, const running *t) {
    double z_loss = ((const cross_entropy_attr *)c->attr)->z_loss, loss = 0;
    float *nlls = c->out[CROSS_ENTROPY_NLL].data, *lses = c->out[CROSS_ENTROPY_LSE].data, *saved = c->saved;
    int64_t n = 0;
    for (int64_t r = 0; r < c->rows; r++) {
        bool scored = cross_entropy_target(c, r) >= 0;
        float lse = t[r].max + logf(t[r].sum), nll = scored ? lse - t[r].target : 0;
        if (scored) loss += nll + z_loss * lse * lse, n++;
        if (nlls) nlls[r] = nll;
        if (lses) lses[r] = lse;
        if (saved) saved[r] = lse;
    }
    *(float *)c->out[CROSS_ENTROPY_LOSS].data = n ? (float)(loss / (double)n) : 0;
}

void KR_VEC(cross_entropy_fwd)(const kr_call *c) {
    int64_t V = cross_entropy_columns(c), rows = c->rows;
    cross_entropy_slab size = cross_entropy_slabs(c);
    float *per_token;
    slab s = first_slab(c, &per_token);
    running *t = (running *)per_token;
    for (s.v = 0; s.v < V; s.v += size.columns)
        for (s.r = 0; s.r < rows; s.r += size.rows) {
            s.n = V - s.v < size.columns ? V - s.v : size.columns;
            s.m = rows - s.r < size.rows ? rows - s.r : size.rows;
            make_logits(c, &s);
#pragma omp parallel for num_threads(c->n_threads) schedule(static) if (s.m * s.n > MANY)
            for (int64_t i = 0; i < s.m; i++) row_fwd(c, &s, i, &t[s.r + i]);
        }
    finish_fwd(c, t);
}

/* --- backward ----------------------------------------------------------------------- */

/* dl = p softmax(l) - t [the target] */
typedef struct slope { float p, t; } slope;

static void find_slopes(const kr_call *c, slope *d) {
    double z_loss = ((const cross_entropy_attr *)c->attr)->z_loss, share = 0;
    const float *dloss = c->dout[CROSS_ENTROPY_LOSS].data, *dnlls = c->dout[CROSS_ENTROPY_NLL].data;
    const float *dlses = c->dout[CROSS_ENTROPY_LSE].data, *lse = c->saved;
    int64_t n = 0;
    for (int64_t r = 0; r < c->rows; r++) n += cross_entropy_target(c, r) >= 0;
    if (dloss && n) share = *dloss / (double)n;
    for (int64_t r = 0; r < c->rows; r++) {
        bool scored = cross_entropy_target(c, r) >= 0;
        double dnll = scored ? share + (dnlls ? dnlls[r] : 0) : 0, dlse = dlses ? dlses[r] : 0;
        if (scored) dlse += share * 2 * z_loss * lse[r];
        d[r] = (slope){.p = (float)(dnll + dlse), .t = (float)dnll};
    }
}

static void row_bwd(const kr_call *c, const slab *s, int64_t i, slope d) {
    float *l = s->l + i * s->ld, lse = ((const float *)c->saved)[s->r + i];
    int64_t n = pad_row(l, s->n), target = cross_entropy_target(c, s->r + i) - s->v;
    for (int64_t j = 0; j < n; j += KR_VL) v_store(l + j, d.p * v_exp(v_load(l + j) - lse));
    if (target >= 0 && target < s->n) l[target] -= d.t;
}

static void add_dx(const kr_call *c, const slab *s) {
    const kr_tensor *dx = &c->din[CROSS_ENTROPY_X], *w = &c->in[CROSS_ENTROPY_W];
    kr_gemm g = {.m = s->m, .n = KR_SIZE(c, 'K'), .k = s->n, .a = s->l, .b = weights_of(c, w, s), .c = rows_of(dx, s),
                 .lda = s->ld, .ldb = KR_SIZE(c, 'K'), .ldc = dx->pitch, .b_type = w->dtype,
                 .acc = s->v || c->acc[CROSS_ENTROPY_X]};
    KR_VEC(kr_gemm_all)(&g, s->gemm, c->n_threads);
}

static void add_dw(const kr_call *c, const slab *s) {
    const kr_tensor *x = &c->in[CROSS_ENTROPY_X], *dw = &c->din[CROSS_ENTROPY_W];
    kr_gemm g = {.m = s->n, .n = KR_SIZE(c, 'K'), .k = s->m, .a = s->l, .b = rows_of(x, s), .c = weights_of(c, dw, s),
                 .lda = s->ld, .ldb = x->pitch, .ldc = KR_SIZE(c, 'K'), .a_trans = true,
                 .acc = s->r || c->acc[CROSS_ENTROPY_W]};
    KR_VEC(kr_gemm_all)(&g, s->gemm, c->n_threads);
}

void KR_VEC(cross_entropy_bwd)(const kr_call *c) {
    int64_t V = cross_entropy_columns(c), K = KR_SIZE(c, 'K'), rows = c->rows;
    cross_entropy_slab size = cross_entropy_slabs(c);
    float *per_token, *dw = c->din[CROSS_ENTROPY_W].data;
    slab s = first_slab(c, &per_token);
    slope *d = (slope *)per_token;
    if (!dw && !c->din[CROSS_ENTROPY_X].data) return;
    find_slopes(c, d);
    for (s.v = 0; s.v < V; s.v += size.columns)
        for (s.r = 0; s.r < rows; s.r += size.rows) {
            s.n = V - s.v < size.columns ? V - s.v : size.columns;
            s.m = rows - s.r < size.rows ? rows - s.r : size.rows;
            make_logits(c, &s);
#pragma omp parallel for num_threads(c->n_threads) schedule(static) if (s.m * s.n > MANY)
            for (int64_t i = 0; i < s.m; i++) row_bwd(c, &s, i, d[s.r + i]);
            if (c->din[CROSS_ENTROPY_X].data) add_dx(c, &s);
            if (dw) add_dw(c, &s);
        }
    if (dw && !c->acc[CROSS_ENTROPY_W]) { /* what no slab has set: padding, or all of it without tokens */
        int64_t from = rows ? V : 0;
        memset(dw + from * K, 0, (size_t)((KR_SIZE(c, 'V') - from) * K) * sizeof *dw);
    }
}
