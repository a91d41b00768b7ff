/* scale_heads.h - the slots of scale_heads, in the order of its signature. */
#ifndef KR_OPS_SCALE_HEADS_H
#define KR_OPS_SCALE_HEADS_H
#include "ops/op.h"

enum { SCALE_HEADS_X, SCALE_HEADS_W };
enum { SCALE_HEADS_Y };
#endif
