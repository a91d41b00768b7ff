/* mse.h - the slots of mse, in the order of its signature. */
#ifndef KR_OPS_MSE_H
#define KR_OPS_MSE_H
#include "ops/op.h"

enum { MSE_X, MSE_TARGET };
enum { MSE_LOSS };
#endif
