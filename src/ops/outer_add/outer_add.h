/* outer_add.h - the slots of outer_add, in the order of its signature. */
#ifndef KR_OPS_OUTER_ADD_H
#define KR_OPS_OUTER_ADD_H
#include "ops/op.h"

enum { OUTER_ADD_H, OUTER_ADD_A, OUTER_ADD_X, OUTER_ADD_K };
enum { OUTER_ADD_Y };
#endif
