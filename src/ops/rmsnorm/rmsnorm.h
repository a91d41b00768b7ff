/* rmsnorm.h - the slots and options of rmsnorm, in the order of its signature. */
#ifndef KR_OPS_RMSNORM_H
#define KR_OPS_RMSNORM_H
#include "ops/op.h"

enum { RMSNORM_X, RMSNORM_W };
enum { RMSNORM_Y };
typedef struct rmsnorm_attr { double eps; } rmsnorm_attr;
#endif
