/* groupnorm_vec.c - groupnorm for CPUs: lanes over channels, a sequence is one thread's own.
 *
 * Sums over steps are made channel by channel, 64 steps at a time, and then put together over
 * a group's channels; means are written out for each channel, so that inner loops know no
 * groups. */
#include "ops/groupnorm/groupnorm.h"
#include "ops/rows.h"

enum { STEPS = 64 };

/* v[d] becomes the mean over the group of d, v being sums over steps. */
static void over_group(const kr_call *c, float *v) {
    int64_t D = KR_SIZE(c, 'D'), L = KR_SIZE(c, 'L'), width = groupnorm_width(c);
    for (int64_t g = 0; g < D; g += width) {
        double sum = 0;
        for (int64_t d = g; d < g + width; d++) sum += v[d];
        for (int64_t d = g; d < g + width; d++) v[d] = (float)(sum / (double)(L * width));
    }
}

/* mean and inv of each channel's group. */
static void moments(const kr_call *c, int64_t s, float *mean, float *inv) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D');
    double eps = ((const groupnorm_attr *)c->attr)->eps;
    for (int pass = 0; pass < 2; pass++) {
        float *to = pass ? inv : mean;
        memset(to, 0, (size_t)D * sizeof *to);
        for (int64_t l = 0; l < L; l += STEPS)
            for (int64_t d = 0; d < D; d += KR_VL) {
                vf sum = {0}, m = pass ? v_get(mean + d, D - d) : (vf){0};
                for (int64_t t = l; t < L && t < l + STEPS; t++) {
                    vf v = v_get(row_at(&c->in[GROUPNORM_X], s * L + t) + d, D - d) - m;
                    sum += pass ? v * v : v;
                }
                v_give(to + d, sum, true, D - d);
            }
        over_group(c, to);
    }
    for (int64_t d = 0; d < D; d++) inv[d] = (float)(1 / sqrt(inv[d] + eps));
}

void KR_VEC(groupnorm_fwd)(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D');
    const float *w = c->in[GROUPNORM_W].data, *b = c->in[GROUPNORM_B].data;
#pragma omp parallel for num_threads(rows_threads(c, S * L * D)) schedule(static)
    for (int64_t s = 0; s < S; s++) {
        float *mean = (float *)c->scratch + s * 3 * D, *inv = mean + D;
        moments(c, s, mean, inv);
        for (int64_t r = s * L; r < (s + 1) * L; r++) {
            const float *x = row_at(&c->in[GROUPNORM_X], r);
            float *y = row_of(&c->out[GROUPNORM_Y], r, D);
            for (int64_t d = 0; d < D; d += KR_VL) {
                vf v = (v_get(x + d, D - d) - v_get(mean + d, D - d)) * v_get(inv + d, D - d);
                if (w) v *= v_get(w + d, D - d);
                if (b) v += v_get(b + d, D - d);
                v_put(y + d, v, D - d);
            }
        }
    }
}

/* Of sequence s in scratch: mean, inv, then the sums of dy and of dy n, then the means of both with w. */
static void sequence_bwd(const kr_call *c, int64_t s, float *at) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D');
    float *mean = at, *inv = at + D, *sum = at + 2 * D, *sum_n = at + 3 * D, *g_mean = at + 4 * D, *gn_mean = at + 5 * D;
    const float *w = c->in[GROUPNORM_W].data;
    moments(c, s, mean, inv);
    memset(sum, 0, (size_t)(2 * D) * sizeof *sum);
    for (int64_t l = 0; l < L; l += STEPS)
        for (int64_t d = 0; d < D; d += KR_VL) {
            vf a = {0}, b = {0}, m = v_get(mean + d, D - d), i = v_get(inv + d, D - d);
            for (int64_t t = l; t < L && t < l + STEPS; t++) {
                vf g = v_get(row_of(&c->dout[GROUPNORM_Y], s * L + t, D) + d, D - d);
                a += g;
                b += g * (v_get(row_at(&c->in[GROUPNORM_X], s * L + t) + d, D - d) - m) * i;
            }
            v_give(sum + d, a, true, D - d);
            v_give(sum_n + d, b, true, D - d);
        }
    if (!c->din[GROUPNORM_X].data) return;
    for (int64_t d = 0; d < D; d++) g_mean[d] = sum[d] * (w ? w[d] : 1), gn_mean[d] = sum_n[d] * (w ? w[d] : 1);
    over_group(c, g_mean);
    over_group(c, gn_mean);
    for (int64_t r = s * L; r < (s + 1) * L; r++) {
        const float *x = row_at(&c->in[GROUPNORM_X], r), *dy = row_of(&c->dout[GROUPNORM_Y], r, D);
        float *dx = row_at(&c->din[GROUPNORM_X], r);
        for (int64_t d = 0; d < D; d += KR_VL) {
            vf i = v_get(inv + d, D - d), n = (v_get(x + d, D - d) - v_get(mean + d, D - d)) * i, g = v_get(dy + d, D - d);
            if (w) g *= v_get(w + d, D - d);
            v_give(dx + d, (g - v_get(g_mean + d, D - d) - n * v_get(gn_mean + d, D - d)) * i, c->acc[GROUPNORM_X], D - d);
        }
    }
}

/* to = or += the sum over sequences, in order, of what lies D `at` into each one's scratch. */
static void over_sequences(const kr_call *c, int slot, int64_t at) {
    int64_t S = KR_SIZE(c, 'S'), D = KR_SIZE(c, 'D');
    float *to = c->din[slot].data;
    for (int64_t d = 0; to && d < D; d++) {
        float sum = 0;
        for (int64_t s = 0; s < S; s++) sum += ((float *)c->scratch)[(s * 7 + at) * D + d];
        to[d] = c->acc[slot] ? to[d] + sum : sum;
    }
}

void KR_VEC(groupnorm_bwd)(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), D = KR_SIZE(c, 'D');
#pragma omp parallel for num_threads(rows_threads(c, S * KR_SIZE(c, 'L') * D)) schedule(static)
    for (int64_t s = 0; s < S; s++) sequence_bwd(c, s, (float *)c->scratch + s * 7 * D);
    over_sequences(c, GROUPNORM_W, 3);
    over_sequences(c, GROUPNORM_B, 2);
}
