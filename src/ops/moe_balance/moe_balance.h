/* moe_balance.h - the slots and options of moe_balance, in the order of its signature. */
#ifndef KR_OPS_MOE_BALANCE_H
#define KR_OPS_MOE_BALANCE_H
#include "ops/op.h"

enum { MOE_BALANCE_LOGITS, MOE_BALANCE_IDX, MOE_BALANCE_BASE };
enum { MOE_BALANCE_LOSS };
typedef struct moe_balance_attr { double weight; } moe_balance_attr;
#endif
