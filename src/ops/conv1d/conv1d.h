/* conv1d.h - the slots and options of conv1d, in the order of its signature. */
#ifndef KR_OPS_CONV1D_H
#define KR_OPS_CONV1D_H
#include "ops/op.h"

enum { CONV1D_X, CONV1D_W, CONV1D_B, CONV1D_X0, CONV1D_SEQ_IDX };
enum { CONV1D_Y, CONV1D_X1 };
enum {
    CONV1D_MAX_K = 8,
    CONV1D_STEPS = 128, /* a unit of work: at most this many steps of one sequence */
};
typedef struct conv1d_attr { int64_t silu; } conv1d_attr;

#ifndef __cplusplus /* how the CPU's kernels cut the work */
/* Units in order make groups, whose shares of dw and db are summed in order: at most 64
 * groups, none of them small.  None of this depends on the number of threads. */
typedef struct conv1d_split { int64_t per_sequence, n_units, per_group, n_groups; } conv1d_split;
static inline conv1d_split conv1d_groups(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), steps = L < CONV1D_STEPS ? L : CONV1D_STEPS;
    conv1d_split g = {.per_sequence = (L + CONV1D_STEPS - 1) / CONV1D_STEPS};
    g.n_units = S * g.per_sequence;
    g.per_group = (g.n_units + 63) / 64;
    if (g.per_group * steps < CONV1D_STEPS) g.per_group = CONV1D_STEPS / steps;
    g.n_groups = (g.n_units + g.per_group - 1) / g.per_group;
    return g;
}

/* How many of the J inputs before step t of sequence s count at step t: those of the same
 * run of equal seq_idx.  What was carried in belongs to the run of step 0. */
static inline int64_t conv1d_reach(const kr_call *c, int64_t s, int64_t t) {
    const kr_tensor *id = &c->in[CONV1D_SEQ_IDX];
    int64_t J = KR_SIZE(c, 'J');
    if (!id->data) return J;
    const int32_t *p = (const int32_t *)id->data + (s * KR_SIZE(c, 'L') + t) * id->pitch;
    for (int64_t j = 0; j < J && j < t; j++, p -= id->pitch)
        if (p[0] != p[-id->pitch]) return j;
    return J;
}
#endif
#endif
