/* concat.h - the slots of concat, in the order of its signature. */
#ifndef KR_OPS_CONCAT_H
#define KR_OPS_CONCAT_H
#include "ops/op.h"

enum { CONCAT_A, CONCAT_B };
enum { CONCAT_Y };
#endif
