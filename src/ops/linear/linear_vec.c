/* linear_vec.c - linear for CPUs: three products of gemm.h. */
#include "base/vec.h"
#include "ops/linear/linear.h"

static void product(const kr_gemm *g, const kr_call *c) {
    if (!linear_blas(g, c->n_threads)) KR_VEC(kr_gemm_all)(g, c->scratch, c->n_threads);
}

void KR_VEC(linear_fwd)(const kr_call *c) {
    int64_t N = KR_SIZE(c, 'N'), K = KR_SIZE(c, 'K');
    const kr_tensor *x = &c->in[LINEAR_X], *W = &c->in[LINEAR_W];
    kr_gemm g = {.m = c->rows, .n = N, .k = K, .a = x->data, .lda = x->pitch, .b = W->data, .ldb = K, .b_trans = true,
                 .b_type = W->dtype, .c = c->out[LINEAR_Y].data, .ldc = N, .bias = c->in[LINEAR_B].data,
                 .a_scale = c->in[LINEAR_S].data ? *(const float *)c->in[LINEAR_S].data : 0};
    product(&g, c);
}

/* Column sums of dy: each block of rows by itself, then the blocks in order. */
static void sum_rows(const kr_call *c, const float *dy, int64_t N, float *db) {
    int64_t rows = c->rows, step = LINEAR_ROWS(rows), n_blocks = LINEAR_BLOCKS(rows);
    float *part = c->scratch;
#pragma omp parallel for num_threads(c->n_threads) schedule(static)
    for (int64_t b = 0; b < n_blocks; b++) {
        float *mine = part + b * N;
        memset(mine, 0, (size_t)N * sizeof *mine);
        for (int64_t r = b * step; r < rows && r < (b + 1) * step; r++)
            for (int64_t n = 0; n < N; n++) mine[n] += dy[r * N + n];
    }
    for (int64_t n = 0; n < N; n++) {
        float sum = c->acc[LINEAR_B] ? db[n] : 0;
        for (int64_t b = 0; b < n_blocks; b++) sum += part[b * N + n];
        db[n] = sum;
    }
}

void KR_VEC(linear_bwd)(const kr_call *c) {
    int64_t N = KR_SIZE(c, 'N'), K = KR_SIZE(c, 'K'), M = c->rows;
    const kr_tensor *x = &c->in[LINEAR_X], *W = &c->in[LINEAR_W], *dx = &c->din[LINEAR_X];
    const float *dy = c->dout[LINEAR_Y].data;
    if (dx->data) {
        kr_gemm g = {.m = M, .n = K, .k = N, .a = dy, .lda = N, .b = W->data, .ldb = K, .b_type = W->dtype,
                     .c = dx->data, .ldc = dx->pitch, .acc = c->acc[LINEAR_X]};
        product(&g, c);
    }
    if (c->din[LINEAR_W].data) {
        kr_gemm g = {.m = N, .n = K, .k = M, .a = dy, .lda = N, .a_trans = true, .b = x->data, .ldb = x->pitch,
                     .c = c->din[LINEAR_W].data, .ldc = K, .acc = c->acc[LINEAR_W]};
        product(&g, c);
    }
    if (c->din[LINEAR_B].data) sum_rows(c, dy, N, c->din[LINEAR_B].data);
}
