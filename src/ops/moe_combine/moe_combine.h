/* moe_combine.h - the slots of moe_combine, in the order of its signature. */
#ifndef KR_OPS_MOE_COMBINE_H
#define KR_OPS_MOE_COMBINE_H
#include "ops/op.h"

enum { MOE_COMBINE_X, MOE_COMBINE_W };
enum { MOE_COMBINE_Y };
#endif
