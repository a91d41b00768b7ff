/* inspect.h - what a model does with an input: whom each step listens to, and what states hold.
 *
 * Every scan of a model is linear in what goes into it, so it has a matrix, as attention has:
 *
 *     y_i = sum over j <= i of alpha_ij x_j + D x_i,    alpha_ij = C_i' (A_i A_i-1 ... A_j+1) B_j
 *
 * with B already times the step size.  A head of Mamba-2 (and of attention, where alpha is the softmax) has one;
 * Mamba-1 and S4D have one for each channel.  Of Mamba-3 it is the matrix of the scan inside, on the inputs that
 * scan is given.  Unstable until 1.0. */
#ifndef KRAIT_INSPECT_H
#define KRAIT_INSPECT_H
#include "krait.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kr_inspect kr_inspect;

/* Runs the model at `path` on n tokens, from nothing, on the CPU.  KR_ERR_CONFIG: there is nothing to inspect. */
KR_API kr_status kr_inspect_open(kr_inspect **out, const char *path, const char *text, int64_t n_bytes, int64_t max_steps);
KR_API void kr_inspect_free(kr_inspect *x);
KR_API int64_t kr_inspect_steps(const kr_inspect *x);
/* The i-th token's text; zero terminated. */
KR_API const char *kr_inspect_token(const kr_inspect *x, int64_t i);

typedef struct kr_inspect_scan {
    int64_t layer;
    const char *op;            /* "ssd", "selective_scan", "lti_scan", "attention" */
    int64_t n_heads;           /* matrices: heads, or channels */
    int64_t d_state;           /* numbers N of a channel's state; 0: attention */
    int64_t headdim;           /* channels of a head; 1: the matrices are channels' */
} kr_inspect_scan;
/* The i-th scan, from the first layer on; false past the last. */
KR_API bool kr_inspect_get(const kr_inspect *x, int i, kr_inspect_scan *scan);

/* alpha[L][L] of heads [from, to), their mean if they are several. */
KR_API kr_status kr_inspect_alpha(const kr_inspect *x, int i, int64_t from, int64_t to, double *alpha);
/* Computes y of all heads by these matrices: the relative RMS error against what the model computed. */
KR_API kr_status kr_inspect_check(const kr_inspect *x, int i, double *error);

enum { KR_INSPECT_TIMES = 48 };
typedef struct kr_inspect_states {
    int64_t n_times, time[KR_INSPECT_TIMES];  /* steps at which was looked, the last one among them */
    double norm[KR_INSPECT_TIMES];            /* of the states, all numbers of these heads together */
    double rank[KR_INSPECT_TIMES];            /* effective rank: (sum s^2)^2 / sum s^4 over the singular values s of a head's
                                                 [headdim, d_state] (of channels: [to - from, d_state]); mean over heads */
    double most_rank;                         /* what that can be at most */
    double half_life[3];                      /* steps after which half of a number is left: at 10, 50 and 90 % of steps and numbers */
    int64_t settled;                          /* the first step with 90 % of the largest norm */
} kr_inspect_states;
/* Of heads (channels) [from, to).  KR_ERR_ARG: of attention. */
KR_API kr_status kr_inspect_get_states(const kr_inspect *x, int i, int64_t from, int64_t to, kr_inspect_states *out);

/* Pictures, .svg or .png.  layer -1: all; head -1: all (channels: in `groups`, 0: 8). */
typedef struct kr_inspect_draw {
    int64_t layer, head, groups;
    const char *title;
} kr_inspect_draw;
KR_API kr_status kr_inspect_draw_attention(const kr_inspect *x, const kr_inspect_draw *how, const char *path);
KR_API kr_status kr_inspect_draw_states(const kr_inspect *x, const kr_inspect_draw *how, const char *path);

#ifdef __cplusplus
}
#endif
#endif
