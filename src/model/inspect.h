/* inspect.h - the inside of krait/inspect.h, for its files. */
#ifndef KR_MODEL_INSPECT_H
#define KR_MODEL_INSPECT_H
#include "krait/inspect.h"
#include "model/model.h"
#include "ops/selective_scan/selective_scan.h"

struct kr_inspect {
    kr_model *model;
    kr_graph *graph;
    int32_t *ids;
    int64_t L;
    char (*token)[32];
};

/* The call behind the i-th scan, and its layer; NULL past the last. */
const kr_call *kr_inspect_call(const kr_inspect *x, int i, int64_t *layer, const kr_op **op);

/* The same for heads [from, to), refused where it has no such heads. */
kr_status kr_inspect_want(const kr_inspect *x, int i, int64_t from, int64_t to, kr_inspect_scan *s, const kr_call **c, const kr_op **op);

static inline const float *kr_inspect_row(const kr_call *c, int slot, int64_t t) {
    const kr_tensor *in = &c->in[slot];
    return in->data ? (const float *)in->data + t * in->pitch : NULL;
}
/* selective_scan's at step t. */
static inline const float *kr_inspect_step(const kr_call *c, int slot, int64_t t) { return kr_inspect_row(c, slot, scan_row(c, 0, t)); }
/* Numbers that belong to the parameters: slot's i-th, or 0. */
static inline double kr_inspect_at(const kr_call *c, int slot, int64_t i) {
    return c->in[slot].data ? (double)((const float *)c->in[slot].data)[i] : 0;
}
/* The step size of ssd's head h, or selective_scan's channel d, at step t. */
double kr_inspect_dt(const kr_op *op, const kr_call *c, int64_t t, int64_t unit);
#endif
