/* rope_vec.c - rope for CPUs: a table of cosines and sines, made in double, then a pass. */
#include <math.h>

#include "ops/rope/rope.h"
#include "ops/rows.h"

/* Row m of the table belongs to position m, or with n0 to row m of x: cosines, then sines. */
static void make_table(const kr_call *c, float *table) {
    const rope_attr *a = c->attr;
    int64_t L = KR_SIZE(c, 'L'), half = rope_dims(c) / 2, rows = c->in[ROPE_N0].data ? KR_SIZE(c, 'S') * L : L;
#pragma omp parallel for num_threads(rows_threads(c, rows * half * 16)) schedule(static)
    for (int64_t m = 0; m < rows; m++) {
        double position = (double)(c->in[ROPE_N0].data ? rope_position(c, m / L, m % L) : m);
        for (int64_t i = 0; i < half; i++) {
            double angle = position * pow(a->theta, -(double)i / (double)half);
            table[m * 2 * half + i] = (float)cos(angle);
            table[m * 2 * half + half + i] = (float)sin(angle);
        }
    }
}

static void turn_halves(const float *x, float *y, bool add, const float *cosine, const float *sine, int64_t half, float way) {
    for (int64_t i = 0; i < half; i += KR_VL) {
        vf a = v_get(x + i, half - i), b = v_get(x + half + i, half - i), cs = v_get(cosine + i, half - i), sn = v_get(sine + i, half - i) * way;
        v_give(y + i, a * cs - b * sn, add, half - i);
        v_give(y + half + i, b * cs + a * sn, add, half - i);
    }
}
static void turn_neighbours(const float *x, float *y, bool add, const float *cosine, const float *sine, int64_t half, float way) {
    for (int64_t i = 0; i < half; i++) {
        float a = x[2 * i], b = x[2 * i + 1], cs = cosine[i], sn = sine[i] * way;
        float u = a * cs - b * sn, v = b * cs + a * sn;
        y[2 * i] = add ? y[2 * i] + u : u;
        y[2 * i + 1] = add ? y[2 * i + 1] + v : v;
    }
}

static void each_row(const kr_call *c, const float *from, int64_t from_pitch, float *to, int64_t to_pitch, bool add, float way) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), H = KR_SIZE(c, 'H'), P = KR_SIZE(c, 'P'), half = rope_dims(c) / 2;
    bool own_row = c->in[ROPE_N0].data != NULL, interleaved = ((const rope_attr *)c->attr)->interleaved != 0;
    make_table(c, c->scratch);
#pragma omp parallel for num_threads(rows_threads(c, S * L * H * P)) schedule(static)
    for (int64_t r = 0; r < S * L; r++) {
        const float *cosine = (const float *)c->scratch + (own_row ? r : rope_position(c, r / L, r % L)) * 2 * half;
        for (int64_t h = 0; h < H; h++) {
            const float *x = from + r * from_pitch + h * P;
            float *y = to + r * to_pitch + h * P;
            if (interleaved) turn_neighbours(x, y, add, cosine, cosine + half, half, way);
            else turn_halves(x, y, add, cosine, cosine + half, half, way);
            row_give(y + 2 * half, x + 2 * half, add, P - 2 * half);
        }
    }
}

void KR_VEC(rope_fwd)(const kr_call *c) {
    const kr_tensor *x = &c->in[ROPE_X];
    each_row(c, x->data, x->pitch, c->out[ROPE_Y].data, KR_SIZE(c, 'H') * KR_SIZE(c, 'P'), false, 1);
}

void KR_VEC(rope_bwd)(const kr_call *c) {
    const kr_tensor *dx = &c->din[ROPE_X];
    if (dx->data) each_row(c, c->dout[ROPE_Y].data, KR_SIZE(c, 'H') * KR_SIZE(c, 'P'), dx->data, dx->pitch, c->acc[ROPE_X], -1);
}
