/* step_out.h - the slots and options of step_out, in the order of its signature. */
#ifndef KR_OPS_STEP_OUT_H
#define KR_OPS_STEP_OUT_H
#include "ops/op.h"

enum { STEP_OUT_A, STEP_OUT_Q, STEP_OUT_W, STEP_OUT_B, STEP_OUT_RES, STEP_OUT_WEIGHT };
enum { STEP_OUT_SUM, STEP_OUT_Y, STEP_OUT_Q1 };
enum { STEP_OUT_PART = 16 }; /* columns of a share of q1 */
typedef struct step_out_attr {
    double eps;
    int64_t groups; /* of K that are normalised each by itself */
} step_out_attr;
#endif
