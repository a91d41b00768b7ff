/* glu.h - the slots and options of glu, in the order of its signature. */
#ifndef KR_OPS_GLU_H
#define KR_OPS_GLU_H
#include "ops/op.h"

/* X(name, value): the values never change. */
#define KR_GLU_MAP(X)  \
    X(SILU, 0)         \
    X(GELU, 1)         \
    X(GELU_TANH, 2)    \
    X(RELU, 3)         \
    X(SIGMOID, 4)
typedef enum kr_glu {
#define X(name, value) KR_GLU_##name = value,
    KR_GLU_MAP(X)
#undef X
    KR_N_GLU
} kr_glu;

enum { GLU_X, GLU_GATE };
enum { GLU_Y };
typedef struct glu_attr { int64_t kind; } glu_attr;
#endif
