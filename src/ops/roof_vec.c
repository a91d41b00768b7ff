/* roof_vec.c - the roof of this instruction set: arithmetic in registers, and a stream. */
#include "ops/roof.h"

#include "base/team.h"
#include "base/vec.h"

float KR_VEC(kr_roof_fma)(int64_t n, int64_t *lanes) {
    vf sum[KR_ROOF_CHAINS], all = {0}, factor = v_set(0.999f), term = v_set(1e-3f);
    for (int i = 0; i < KR_ROOF_CHAINS; i++) sum[i] = v_set((float)i);
    for (int64_t r = 0; r < n; r++) {
        for (int i = 0; i < KR_ROOF_CHAINS; i++) sum[i] = sum[i] * factor + term;
    }
    for (int i = 0; i < KR_ROOF_CHAINS; i++) all += sum[i];
    *lanes = KR_VL;
    return v_sum(all);
}

void KR_VEC(kr_roof_triad)(float *a, const float *b, const float *c, int64_t n, int n_threads) {
#pragma omp parallel for num_threads(n_threads) schedule(static)
    for (int64_t i = 0; i < n / KR_VL; i++) v_store(a + i * KR_VL, v_load(b + i * KR_VL) + 3.f * v_load(c + i * KR_VL));
}

/* As products of one row read their weights: the threads of base/team.h, each its range in order. */
static void read_piece(void *arg, int64_t i, int who) {
    const float *a = (const float *)arg + i * KR_ROOF_READ;
    volatile float kept;
    vf sum[8] = {{0}};
    (void)who;
    for (int64_t k = 0; k < KR_ROOF_READ; k += 8 * KR_VL) {
        for (int j = 0; j < 8 * KR_VL; j += 16) __builtin_prefetch(a + k + 1024 + j);
        for (int j = 0; j < 8; j++) sum[j] = v_max(sum[j], v_load(a + k + j * KR_VL));
    }
    for (int j = 1; j < 8; j++) sum[0] += sum[j];
    kept = v_sum(sum[0]);
    (void)kept;
}
void KR_VEC(kr_roof_read)(const float *a, int64_t n, int n_threads) {
    kr_team_each(n_threads, n / KR_ROOF_READ, read_piece, (void *)a);
}
