/* gather.h - the slots of gather, in the order of its signature. */
#ifndef KR_OPS_GATHER_H
#define KR_OPS_GATHER_H
#include "ops/op.h"

enum { GATHER_X, GATHER_IDX, GATHER_BACK };
enum { GATHER_Y };
#endif
