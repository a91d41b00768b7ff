/* to_float.h - the slots of to_float, in the order of its signature. */
#ifndef KR_OPS_TO_FLOAT_H
#define KR_OPS_TO_FLOAT_H
#include "ops/op.h"

enum { TO_FLOAT_X };
enum { TO_FLOAT_Y };
#endif
