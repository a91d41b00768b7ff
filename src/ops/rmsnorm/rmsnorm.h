/* rmsnorm.h - the slots and options of rmsnorm, in the order of its signature. */
#ifndef KR_OPS_RMSNORM_H
#define KR_OPS_RMSNORM_H
#include "ops/op.h"

enum { RMSNORM_X, RMSNORM_W };
enum { RMSNORM_Y };
/* Rows are summed into dw in blocks of a fixed size; at most 64 blocks. */
#define RMSNORM_ROWS(rows) ((rows) > 64 * 16 ? ((rows) + 63) / 64 : 16)
#define RMSNORM_BLOCKS(rows) (((rows) + RMSNORM_ROWS(rows) - 1) / RMSNORM_ROWS(rows))
typedef struct rmsnorm_attr { double eps; } rmsnorm_attr;
#endif
