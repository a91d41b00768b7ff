/* condition.h - what a model is told beside its input, and how layers hear it. */
#ifndef KR_PARTS_CONDITION_H
#define KR_PARTS_CONDITION_H
#include "parts/part.h"

/* The options of condition.diffusion. */
typedef struct kr_condition {
    int64_t noise_steps, time_features, condition_width, classes;
    double class_drop;
    int tell;
} kr_condition;

/* y [S, L, D] behind a norm, told b->condition: y (1 + scale) + shift, or y + shift, all three products of
 * the condition that start at zero (parameters modulate.*).  With `gate` b->gate becomes the factor of
 * what the layer makes of it, if there is one.  y itself if the model has no condition. */
kr_node *kr_modulate(kr_build *b, kr_node *y, bool gate);
/* What a layer made, times its gate. */
kr_node *kr_gated(kr_build *b, kr_node *y);
/* A product that starts at zero: a layer that at first says nothing. */
kr_node *kr_linear_zero(kr_build *b, kr_node *x, const char *name, int64_t n_out);
#endif
