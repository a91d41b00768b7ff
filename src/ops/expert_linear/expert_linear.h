/* expert_linear.h - the slots of expert_linear, in the order of its signature. */
#ifndef KR_OPS_EXPERT_LINEAR_H
#define KR_OPS_EXPERT_LINEAR_H
#include "ops/gemm.h"
#include "ops/op.h"

enum { EXPERT_LINEAR_X, EXPERT_LINEAR_W, EXPERT_LINEAR_IDX };
enum { EXPERT_LINEAR_Y };
enum { EXPERT_ROWS = 512 }; /* that a CPU gathers for one product */
#endif
