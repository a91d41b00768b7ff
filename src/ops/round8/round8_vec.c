/* round8_vec.c - round8 for CPUs: threads over tiles. */
#include "ops/rows.h"
#include "ops/round8/round8.h"

void KR_VEC(round8_fwd)(const kr_call *c) {
    int64_t D = KR_SIZE(c, 'D');
    const kr_tensor *x = &c->in[ROUND8_X];
    rows_tiles t = rows_cut(c->rows, D, x->pitch == D);
    vf s = v_set(*(const float *)c->in[ROUND8_S].data), most = v_set(127), magic = v_set(12582912.f); /* 1.5 * 2^23 */
#pragma omp parallel for num_threads(rows_threads(c, c->rows * D)) schedule(static)
    for (int64_t k = 0; k < t.n; k++) {
        rows_tile at = rows_get(&t, k);
        const float *from = row_at(x, at.row) + at.col;
        float *to = (float *)c->out[ROUND8_Y].data + at.row * t.width + at.col;
        for (int64_t i = 0; i < at.n; i += KR_VL) {
            vf v = v_get(from + i, at.n - i), q = v_max(v_min(v / s, most), -most) + magic - magic;
            v_put(to + i, v_select(v == v, q * s, v), at.n - i);
        }
    }
}
