/* unary.h - the slots and options of unary, in the order of its signature. */
#ifndef KR_OPS_UNARY_H
#define KR_OPS_UNARY_H
#include "ops/op.h"

/* X(name, value): the values never change. */
#define KR_UNARY_MAP(X)  \
    X(SILU, 0)           \
    X(GELU, 1)           \
    X(GELU_TANH, 2)      \
    X(RELU, 3)           \
    X(SIGMOID, 4)        \
    X(TANH, 5)           \
    X(SOFTPLUS, 6)       \
    X(EXP, 7)            \
    X(NEG_EXP, 8)        \
    X(COPY, 9)           \
    X(SCALE, 10)         \
    X(RECIP, 11)
typedef enum kr_unary {
#define X(name, value) KR_UNARY_##name = value,
    KR_UNARY_MAP(X)
#undef X
    KR_N_UNARY
} kr_unary;

enum { UNARY_X };
enum { UNARY_Y };
typedef struct unary_attr {
    int64_t kind;
    double alpha;
} unary_attr;
#endif
