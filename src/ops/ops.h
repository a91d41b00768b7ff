/* ops.h - every op by its name, for those who put ops together.  Apart from op.h so that a new op
 * makes nobody compile again who knows one op only. */
#ifndef KR_OPS_OPS_H
#define KR_OPS_OPS_H
#include "ops/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All ops, in the order of ops.def; NULL ends. */
extern const kr_op *const kr_ops[];
const kr_op *kr_op_find(const char *name);

#define OP(name) extern const kr_op kr_op_##name;
#include "ops/ops.def"
#undef OP

#ifdef __cplusplus
}
#endif
#endif
