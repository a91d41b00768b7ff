/* conv2d_vec.c - conv2d for CPUs: lanes over channels, threads over rows of cells.
 *
 * The taps lie transposed in scratch, [K][D], so that a tap of all channels is one row.
 * Backward makes each row of dx from the windows that cover it; dw and db are summed within
 * fixed blocks of rows of windows and the blocks then in order. */
#include "ops/conv2d/conv2d.h"
#include "ops/rows.h"

static void transpose(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D'), K = KR_SIZE(c, 'K');
    const float *w = c->in[CONV2D_W].data;
    float *t = c->scratch;
    for (int64_t d = 0; d < D; d++)
        for (int64_t k = 0; k < K; k++) t[k * D + d] = w[d * K + k];
}

/* The rows of x under a window and their taps: at most 225. */
typedef struct window { const float *x[CONV2D_MAX_SIDE * CONV2D_MAX_SIDE], *w[CONV2D_MAX_SIDE * CONV2D_MAX_SIDE]; int n; } window;

static void find_window(const kr_call *c, const conv2d_grid *g, int64_t s, int64_t i, int64_t j, window *f) {
    int64_t D = KR_SIZE(c, 'D');
    f->n = 0;
    for (int64_t u = 0; u < g->side; u++) {
        int64_t h = i * g->stride + u - g->pad;
        if (h < 0 || h >= g->H) continue;
        for (int64_t v = 0; v < g->side; v++) {
            int64_t w = j * g->stride + v - g->pad;
            if (w < 0 || w >= g->W) continue;
            f->x[f->n] = row_at(&c->in[CONV2D_X], (s * g->H + h) * g->W + w);
            f->w[f->n++] = (const float *)c->scratch + (u * g->side + v) * D;
        }
    }
}

void KR_VEC(conv2d_fwd)(const kr_call *c) {
    conv2d_grid g = conv2d_grid_of(c);
    int64_t D = KR_SIZE(c, 'D'), n_rows = g.n * g.oH;
    const float *b = c->in[CONV2D_B].data;
    transpose(c);
#pragma omp parallel for num_threads(rows_threads(c, n_rows * g.oW * D)) schedule(static)
    for (int64_t r = 0; r < n_rows; r++) {
        window f;
        for (int64_t j = 0; j < g.oW; j++) {
            float *y = row_of(&c->out[CONV2D_Y], r * g.oW + j, D);
            find_window(c, &g, r / g.oH, r % g.oH, j, &f);
            for (int64_t d = 0; d < D; d += KR_VL) {
                vf sum = b ? v_get(b + d, D - d) : (vf){0};
                for (int k = 0; k < f.n; k++) sum += v_get(f.w[k] + d, D - d) * v_get(f.x[k] + d, D - d);
                v_put(y + d, sum, D - d);
            }
        }
    }
}

/* The gradients and taps of the windows that cover cell (h, w). */
static void find_cover(const kr_call *c, const conv2d_grid *g, int64_t s, int64_t h, int64_t w, window *f) {
    int64_t D = KR_SIZE(c, 'D');
    f->n = 0;
    for (int64_t u = 0; u < g->side; u++) {
        int64_t i = h + g->pad - u;
        if (i < 0 || i % g->stride || i / g->stride >= g->oH) continue;
        for (int64_t v = 0; v < g->side; v++) {
            int64_t j = w + g->pad - v;
            if (j < 0 || j % g->stride || j / g->stride >= g->oW) continue;
            f->x[f->n] = row_of(&c->dout[CONV2D_Y], (s * g->oH + i / g->stride) * g->oW + j / g->stride, D);
            f->w[f->n++] = (const float *)c->scratch + (u * g->side + v) * D;
        }
    }
}

static void make_dx(const kr_call *c, const conv2d_grid *g) {
    int64_t D = KR_SIZE(c, 'D'), n_rows = g->n * g->H;
#pragma omp parallel for num_threads(rows_threads(c, n_rows * g->W * D)) schedule(static)
    for (int64_t r = 0; r < n_rows; r++) {
        window f;
        for (int64_t w = 0; w < g->W; w++) {
            float *dx = row_at(&c->din[CONV2D_X], r * g->W + w);
            find_cover(c, g, r / g->H, r % g->H, w, &f);
            for (int64_t d = 0; d < D; d += KR_VL) {
                vf sum = {0};
                for (int k = 0; k < f.n; k++) sum += v_get(f.w[k] + d, D - d) * v_get(f.x[k] + d, D - d);
                v_give(dx + d, sum, c->acc[CONV2D_X], D - d);
            }
        }
    }
}

/* The share of row r of windows in [K + 1][D]: dw transposed, then db. */
static void row_share(const kr_call *c, const conv2d_grid *g, int64_t r, float *part) {
    int64_t D = KR_SIZE(c, 'D'), K = KR_SIZE(c, 'K'), s = r / g->oH, i = r % g->oH;
    for (int64_t j = 0; j < g->oW; j++) {
        const float *dy = row_of(&c->dout[CONV2D_Y], r * g->oW + j, D);
        row_give(part + K * D, dy, true, D);
        for (int64_t k = 0; k < K; k++) {
            int64_t h = i * g->stride + k / g->side - g->pad, w = j * g->stride + k % g->side - g->pad;
            if (h < 0 || h >= g->H || w < 0 || w >= g->W) continue;
            const float *x = row_at(&c->in[CONV2D_X], (s * g->H + h) * g->W + w);
            for (int64_t d = 0; d < D; d += KR_VL) v_give(part + k * D + d, v_get(dy + d, D - d) * v_get(x + d, D - d), true, D - d);
        }
    }
}

static void make_dw(const kr_call *c, const conv2d_grid *g, float *parts) {
    int64_t D = KR_SIZE(c, 'D'), K = KR_SIZE(c, 'K'), rows = g->n * g->oH, step = rows_step(rows), n_blocks = rows_blocks(rows);
    float *dw = c->din[CONV2D_W].data, *db = c->din[CONV2D_B].data;
#pragma omp parallel num_threads(rows_threads(c, rows * g->oW * D))
    {
#pragma omp for schedule(static)
        for (int64_t p = 0; p < n_blocks; p++) {
            float *part = parts + p * (K + 1) * D;
            memset(part, 0, (size_t)((K + 1) * D) * sizeof *part);
            for (int64_t r = p * step; r < rows && r < (p + 1) * step; r++) row_share(c, g, r, part);
        }
#pragma omp for schedule(static)
        for (int64_t d = 0; d < D; d++)
            for (int64_t k = 0; k <= K; k++) {
                float *to = k < K ? dw ? dw + d * K + k : NULL : db ? db + d : NULL, sum = 0;
                for (int64_t p = 0; to && p < n_blocks; p++) sum += parts[(p * (K + 1) + k) * D + d];
                if (to) *to = c->acc[k < K ? CONV2D_W : CONV2D_B] ? *to + sum : sum;
            }
    }
}

void KR_VEC(conv2d_bwd)(const kr_call *c) {
    conv2d_grid g = conv2d_grid_of(c);
    transpose(c);
    if (c->din[CONV2D_X].data) make_dx(c, &g);
    if (c->din[CONV2D_W].data || c->din[CONV2D_B].data) make_dw(c, &g, (float *)c->scratch + KR_SIZE(c, 'K') * KR_SIZE(c, 'D'));
}
