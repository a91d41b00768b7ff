/* layernorm.h - the slots and options of layernorm, in the order of its signature. */
#ifndef KR_OPS_LAYERNORM_H
#define KR_OPS_LAYERNORM_H
#include "ops/op.h"

enum { LAYERNORM_X, LAYERNORM_W, LAYERNORM_B };
enum { LAYERNORM_Y };
typedef struct layernorm_attr { double eps; } layernorm_attr;
#endif
