/* pick_vec.c - passes over all scores of a vocabulary. */
#include <math.h>

#include "base/vec.h"
#include "infer/sampler.h"

/* KR_VL scores from i on; past the end what is less than all. */
static inline vf scores(const float *x, int64_t i, int64_t n) {
    float last[KR_VL];
    if (i + KR_VL <= n) return v_load(x + i);
    for (int k = 0; k < KR_VL; k++) last[k] = i + k < n ? x[i + k] : -INFINITY;
    return v_load(last);
}
static inline float largest(vf v) {
    float lane[KR_VL], most = -INFINITY;
    v_store(lane, v);
    for (int k = 0; k < KR_VL; k++) most = lane[k] > most ? lane[k] : most;
    return most;
}

void KR_VEC(kr_pick_tops)(const float *x, int64_t n, float *top) {
    for (int64_t from = 0; from < n; from += KR_PICK_STEP, top++) {
        vf most = v_set(-INFINITY);
        for (int64_t i = from; i < from + KR_PICK_STEP && i < n; i += KR_VL) most = v_max(scores(x, i, n), most);
        *top = largest(most);
    }
}

double KR_VEC(kr_pick_weigh)(float *x, int64_t n, float max, float slope, float least, float *top, int64_t *count) {
    double total = 0;
    *count = 0;
    for (int64_t from = 0; from < n; from += KR_PICK_STEP, top++) {
        vf sum = {0}, most = {0};
        vi some = {0};
        for (int64_t i = from; i < from + KR_PICK_STEP && i < n; i += KR_VL) {
            vf v = scores(x, i, n), p = v_select((v >= least) & (v > -INFINITY), v_exp((v - max) * slope), (vf){0});
            v_store_n(x + i, p, n - i < KR_VL ? n - i : KR_VL);
            sum += p, most = v_max(p, most), some += p > 0.f;
        }
        *top = largest(most);
        total += v_sum(sum);
        for (int k = 0; k < KR_VL; k++) *count -= some[k];
    }
    return total;
}
