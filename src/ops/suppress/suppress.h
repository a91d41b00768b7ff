/* suppress.h - the slots and options of suppress, in the order of its signature. */
#ifndef KR_OPS_SUPPRESS_H
#define KR_OPS_SUPPRESS_H
#include "ops/op.h"

enum { SUPPRESS_Y, SUPPRESS_X, SUPPRESS_DT, SUPPRESS_A, SUPPRESS_D, SUPPRESS_DT_BIAS };
enum { SUPPRESS_O };
typedef struct suppress_attr { double alpha, dt_min, dt_max; } suppress_attr;
#endif
