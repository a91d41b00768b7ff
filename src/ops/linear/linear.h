/* linear.h - the slots of linear. */
#ifndef KR_OPS_LINEAR_H
#define KR_OPS_LINEAR_H
#include "ops/op.h"

enum { LINEAR_X, LINEAR_W, LINEAR_B };
enum { LINEAR_Y };
/* Rows are summed into db in at most 32 blocks of a size that depends on nothing else. */
#define LINEAR_ROWS(rows) ((rows) > 32 * 64 ? ((rows) + 31) / 32 : 64)
#define LINEAR_BLOCKS(rows) (((rows) + LINEAR_ROWS(rows) - 1) / LINEAR_ROWS(rows))
#endif
