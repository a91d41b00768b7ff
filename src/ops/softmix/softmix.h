/* softmix.h - the slots of softmix, in the order of its signature. */
#ifndef KR_OPS_SOFTMIX_H
#define KR_OPS_SOFTMIX_H
#include "ops/op.h"

enum { SOFTMIX_X, SOFTMIX_A };
enum { SOFTMIX_Y };
#endif
