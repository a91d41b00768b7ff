/* to_real.h - the slots of to_real, in the order of its signature. */
#ifndef KR_OPS_TO_REAL_H
#define KR_OPS_TO_REAL_H
#include "ops/op.h"

enum { TO_REAL_X };
enum { TO_REAL_Y };
#endif
