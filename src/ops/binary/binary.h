/* binary.h - the slots and options of binary, in the order of its signature. */
#ifndef KR_OPS_BINARY_H
#define KR_OPS_BINARY_H
#include "ops/op.h"

typedef enum kr_binary { KR_BINARY_ADD, KR_BINARY_MUL, KR_BINARY_SUB, KR_N_BINARY } kr_binary;

enum { BINARY_A, BINARY_B };
enum { BINARY_Y };
typedef struct binary_attr { int64_t kind; } binary_attr;
#endif
