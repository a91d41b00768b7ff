/* binary_row.h - the slots and options of binary_row, in the order of its signature. */
#ifndef KR_OPS_BINARY_ROW_H
#define KR_OPS_BINARY_ROW_H
#include "ops/op.h"

/* The same numbers as kr_binary. */
typedef enum kr_binary_row { KR_BINARY_ROW_ADD, KR_BINARY_ROW_MUL, KR_BINARY_ROW_SUB, KR_N_BINARY_ROW } kr_binary_row;

enum { BINARY_ROW_A, BINARY_ROW_B };
enum { BINARY_ROW_Y };
typedef struct binary_row_attr { int64_t kind; } binary_row_attr;
#endif
