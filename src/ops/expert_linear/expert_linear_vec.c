/* expert_linear_vec.c - expert_linear for CPUs: pairs (row, k) sorted by expert by counting, then
 * for each expert products of at most EXPERT_ROWS gathered rows.
 *
 * dx has one order of its sums, that of the experts: threads share columns, not rows. */
#include "ops/expert_linear/expert_linear.h"
#include "ops/rows.h"

typedef struct work {
    int64_t X, N, D, K, n;     /* n: pairs */
    int64_t *pair, *begin;     /* by expert; expert e has pairs [begin[e], begin[e + 1]) */
    float *x, *y;              /* gathered rows */
    void *gemm;
} work;

static void *take(char **at, size_t bytes) {
    void *p = *at;
    *at += (bytes + 63) / 64 * 64;
    return p;
}

static work work_of(const kr_call *c) {
    work w = {.X = KR_SIZE(c, 'X'), .N = KR_SIZE(c, 'N'), .D = KR_SIZE(c, 'D'), .K = KR_SIZE(c, 'K')};
    w.n = c->rows * w.K;
    int64_t m = w.n < EXPERT_ROWS ? w.n : EXPERT_ROWS;
    char *at = c->scratch;
    w.pair = take(&at, (size_t)w.n * sizeof *w.pair);
    w.begin = take(&at, (size_t)(w.X + 2) * sizeof *w.begin);
    w.x = take(&at, (size_t)(m * w.D) * sizeof *w.x);
    w.y = take(&at, (size_t)(m * w.N) * sizeof *w.y);
    w.gemm = at;
    return w;
}

static int64_t expert(const kr_call *c, const work *w, int64_t pair) {
    int64_t e = ((const int32_t *)c->in[EXPERT_LINEAR_IDX].data + pair / w->K * c->in[EXPERT_LINEAR_IDX].pitch)[pair % w->K];
    return e >= 0 && e < w->X ? e : w->X; /* those of none come last */
}

static void sort_pairs(const kr_call *c, work *w) {
    memset(w->begin, 0, (size_t)(w->X + 2) * sizeof *w->begin);
    for (int64_t i = 0; i < w->n; i++) w->begin[expert(c, w, i) + 1]++;
    for (int64_t e = 0; e <= w->X; e++) w->begin[e + 1] += w->begin[e];
    for (int64_t i = 0; i < w->n; i++) w->pair[w->begin[expert(c, w, i)]++] = i;
    for (int64_t e = w->X; e > 0; e--) w->begin[e] = w->begin[e - 1];
    w->begin[0] = 0;
}

static void gather_x(const kr_call *c, const work *w, int64_t from, int64_t m) {
#pragma omp parallel for num_threads(rows_threads(c, m * w->D)) schedule(static)
    for (int64_t i = 0; i < m; i++) memcpy(w->x + i * w->D, row_at(&c->in[EXPERT_LINEAR_X], w->pair[from + i] / w->K), (size_t)w->D * sizeof(float));
}
static void gather_dy(const kr_call *c, const work *w, int64_t from, int64_t m) {
#pragma omp parallel for num_threads(rows_threads(c, m * w->N)) schedule(static)
    for (int64_t i = 0; i < m; i++) memcpy(w->y + i * w->N, row_of(&c->dout[EXPERT_LINEAR_Y], w->pair[from + i], w->N), (size_t)w->N * sizeof(float));
}

static const void *weight(const kr_call *c, const work *w, int64_t e) {
    const kr_tensor *W = &c->in[EXPERT_LINEAR_W];
    return (const char *)W->data + kr_dtype_row_bytes(W->dtype, e * w->N * w->D);
}

void KR_VEC(expert_linear_fwd)(const kr_call *c) {
    work w = work_of(c);
    float *y = c->out[EXPERT_LINEAR_Y].data;
    sort_pairs(c, &w);
    for (int64_t e = 0; e < w.X; e++)
        for (int64_t from = w.begin[e], m; from < w.begin[e + 1]; from += m) {
            m = w.begin[e + 1] - from < EXPERT_ROWS ? w.begin[e + 1] - from : EXPERT_ROWS;
            gather_x(c, &w, from, m);
            kr_gemm g = {.m = m, .n = w.N, .k = w.D, .a = w.x, .lda = w.D, .b = weight(c, &w, e), .ldb = w.D, .b_trans = true,
                         .b_type = c->in[EXPERT_LINEAR_W].dtype, .c = w.y, .ldc = w.N};
            KR_VEC(kr_gemm_all)(&g, w.gemm, c->n_threads);
#pragma omp parallel for num_threads(rows_threads(c, m * w.N)) schedule(static)
            for (int64_t i = 0; i < m; i++) memcpy(y + w.pair[from + i] * w.N, w.y + i * w.N, (size_t)w.N * sizeof(float));
        }
    for (int64_t i = w.begin[w.X]; i < w.n; i++) memset(y + w.pair[i] * w.N, 0, (size_t)w.N * sizeof(float));
}

/* dx of these pairs' rows += the block; a row may be there several times. */
static void scatter_dx(const kr_call *c, const work *w, int64_t from, int64_t m) {
    enum { WIDTH = 64 };
    int64_t pieces = (w->D + WIDTH - 1) / WIDTH;
#pragma omp parallel for num_threads(rows_threads(c, m * w->D)) schedule(static)
    for (int64_t p = 0; p < pieces; p++) {
        int64_t to = p * WIDTH + WIDTH < w->D ? p * WIDTH + WIDTH : w->D;
        for (int64_t i = 0; i < m; i++) {
            float *dx = row_at(&c->din[EXPERT_LINEAR_X], w->pair[from + i] / w->K);
            for (int64_t d = p * WIDTH; d < to; d += KR_VL) v_give(dx + d, v_get(w->x + i * w->D + d, to - d), true, to - d);
        }
    }
}

/* dW first, from x; then x's place takes dx. */
static void block_bwd(const kr_call *c, const work *w, int64_t e, int64_t from, int64_t m) {
    float *dW = c->din[EXPERT_LINEAR_W].data;
    gather_dy(c, w, from, m);
    if (dW) {
        gather_x(c, w, from, m);
        kr_gemm g = {.m = w->N, .n = w->D, .k = m, .a = w->y, .lda = w->N, .a_trans = true, .b = w->x, .ldb = w->D, .c = dW + e * w->N * w->D,
                     .ldc = w->D, .acc = c->acc[EXPERT_LINEAR_W] || from > w->begin[e]};
        KR_VEC(kr_gemm_all)(&g, w->gemm, c->n_threads);
    }
    if (!c->din[EXPERT_LINEAR_X].data) return;
    kr_gemm g = {.m = m, .n = w->D, .k = w->N, .a = w->y, .lda = w->N, .b = weight(c, w, e), .ldb = w->D,
                 .b_type = c->in[EXPERT_LINEAR_W].dtype, .c = w->x, .ldc = w->D};
    KR_VEC(kr_gemm_all)(&g, w->gemm, c->n_threads);
    scatter_dx(c, w, from, m);
}

void KR_VEC(expert_linear_bwd)(const kr_call *c) {
    work w = work_of(c);
    float *dW = c->din[EXPERT_LINEAR_W].data;
    if (c->din[EXPERT_LINEAR_X].data && !c->acc[EXPERT_LINEAR_X])
        for (int64_t r = 0; r < c->rows; r++) memset(row_at(&c->din[EXPERT_LINEAR_X], r), 0, (size_t)w.D * sizeof(float));
    sort_pairs(c, &w);
    for (int64_t e = 0; e < w.X; e++) {
        if (w.begin[e] == w.begin[e + 1] && dW && !c->acc[EXPERT_LINEAR_W]) memset(dW + e * w.N * w.D, 0, (size_t)(w.N * w.D) * sizeof *dW);
        for (int64_t from = w.begin[e], m; from < w.begin[e + 1]; from += m) {
            m = w.begin[e + 1] - from < EXPERT_ROWS ? w.begin[e + 1] - from : EXPERT_ROWS;
            block_bwd(c, &w, e, from, m);
        }
    }
}
