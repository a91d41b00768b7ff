/* add_rmsnorm.h - the slots and options of add_rmsnorm, in the order of its signature. */
#ifndef KR_OPS_ADD_RMSNORM_H
#define KR_OPS_ADD_RMSNORM_H
#include "ops/op.h"

enum { ADD_RMSNORM_X, ADD_RMSNORM_RES, ADD_RMSNORM_W };
enum { ADD_RMSNORM_Y, ADD_RMSNORM_SUM };
typedef struct add_rmsnorm_attr { double eps; } add_rmsnorm_attr;
#endif
