/* step_in.h - the slots and options of step_in, in the order of its signature. */
#ifndef KR_OPS_STEP_IN_H
#define KR_OPS_STEP_IN_H
#include "ops/op.h"

enum { STEP_IN_A, STEP_IN_Q, STEP_IN_W, STEP_IN_B, STEP_IN_CW, STEP_IN_CB, STEP_IN_X0 };
enum { STEP_IN_Y, STEP_IN_X1 };
typedef struct step_in_attr {
    double eps;
    int64_t conv_at; /* first of the columns that are convolved */
} step_in_attr;
#endif
