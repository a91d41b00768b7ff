/* round8.h - the slots of round8. */
#ifndef KR_OPS_ROUND8_H
#define KR_OPS_ROUND8_H
#include "ops/op.h"

enum { ROUND8_X, ROUND8_S };
enum { ROUND8_Y };
#endif
