/* rank_mix.h - the slots of rank_mix, in the order of its signature. */
#ifndef KR_OPS_RANK_MIX_H
#define KR_OPS_RANK_MIX_H
#include "ops/op.h"

enum { RANK_MIX_V, RANK_MIX_K, RANK_MIX_Q, RANK_MIX_ALL, RANK_MIX_AHEAD, RANK_MIX_D };
enum { RANK_MIX_Y };
enum { RANK_MIX_MOST = 16 }; /* ranks R */
#endif
