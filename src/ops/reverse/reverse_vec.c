/* reverse_vec.c - reverse for CPUs: row by row. */
#include "ops/reverse/reverse.h"
#include "ops/rows.h"

static void run(const kr_call *c, const kr_tensor *x, const kr_tensor *y, int64_t x_pitch, int64_t y_pitch, bool add) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D'), n = KR_SIZE(c, 'S') * L;
    const int32_t *len = c->in[REVERSE_LEN].data;
#pragma omp parallel for num_threads(rows_threads(c, n * D)) schedule(static)
    for (int64_t r = 0; r < n; r++) {
        int64_t s = r / L, l = reverse_from(r % L, L, len ? len[s] : L);
        const float *from = (const float *)x->data + (s * L + l) * x_pitch;
        float *to = (float *)y->data + r * y_pitch;
        for (int64_t i = 0; i < D; i += KR_VL) v_give(to + i, v_get(from + i, D - i), add, D - i);
    }
}

void KR_VEC(reverse_fwd)(const kr_call *c) { run(c, &c->in[REVERSE_X], &c->out[REVERSE_Y], c->in[REVERSE_X].pitch, KR_SIZE(c, 'D'), false); }
void KR_VEC(reverse_bwd)(const kr_call *c) {
    if (c->din[REVERSE_X].data) run(c, &c->dout[REVERSE_Y], &c->din[REVERSE_X], KR_SIZE(c, 'D'), c->din[REVERSE_X].pitch, c->acc[REVERSE_X]);
}
