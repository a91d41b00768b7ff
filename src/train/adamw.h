/* adamw.h - the optimiser (Loshchilov & Hutter 2019), over all parameters at once. */
#ifndef KR_TRAIN_ADAMW_H
#define KR_TRAIN_ADAMW_H
#include "graph/params.h"

typedef struct kr_adamw {
    double lr, beta1, beta2, eps, weight_decay;
    double scale;        /* of every gradient: 1, or what clipping leaves */
    int64_t step;        /* from 1: bias correction */
    int n_threads;
} kr_adamw;

/* The norm of all gradients together, in double; the same for any number of threads. */
double kr_grad_norm(const kr_params *p, int n_threads);
/* Both on the parameters' device: the gradient is scaled down to a norm of `clip` at most (0:
 * any; o->scale is not read).  Where the norm is not finite nothing changes. */
kr_status kr_adamw_clipped(kr_params *p, const kr_adamw *o, double clip, double *norm);
/* p = p - lr (m^ / (sqrt v^ + eps) + weight_decay p), decay for matrices only. */
void kr_adamw_step(kr_params *p, const kr_adamw *o);
#endif
