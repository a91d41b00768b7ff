/* pick.h - the slots and options of pick, in the order of its signature. */
#ifndef KR_OPS_PICK_H
#define KR_OPS_PICK_H
#include "ops/op.h"

enum { PICK_X, PICK_IDX };
enum { PICK_Y };
typedef struct pick_attr { int64_t into; } pick_attr;
#endif
