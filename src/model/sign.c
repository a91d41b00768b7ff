/* sign.c - which model it is: what was made by one is not another's. */
#include <stdio.h>
#include <string.h>

#include "base/sum.h"
#include "model/model.h"
#include "tensor/weave.h"

/* Four bytes of a parameter as it was stored. */
static uint64_t sum_four(uint64_t sum, const kr_param *p, size_t at) {
    char four[4];
    bool woven = kr_is_woven(p->dtype);
    for (size_t i = 0; i < sizeof four; i++)
        four[i] = ((const char *)p->data)[woven ? kr_woven_at(kr_unwoven(p->dtype), p->dim[0], p->dim[1], at + i) : at + i];
    return kr_sum_on(sum, four, sizeof four);
}

void kr_model_sign(char to[KR_MODEL_SIGN + 1], const kr_model *m) {
    enum { SAMPLES = 64 };
    uint64_t h = (uint64_t)m->config.vocab_size, g = (uint64_t)m->params->n_elements;
    for (const kr_param *p = m->params->first; p; p = p->next) {
        h = kr_sum_on(kr_sum_on(h, p->name, strlen(p->name)), p->dim, sizeof *p->dim * (size_t)p->n_dims);
        kr_tensor t = {.dtype = p->dtype, .n_dims = p->n_dims};
        memcpy(t.dim, p->dim, sizeof t.dim);
        size_t bytes = kr_dtype_row_bytes(p->dtype, kr_count(&t)), step = bytes / SAMPLES;
        for (size_t i = 0; p->data && i < SAMPLES && step >= 4; i++) g = sum_four(g, p, i * step);
        if (p->data && step < 4) g = kr_sum_on(g, p->data, bytes);
    }
    snprintf(to, KR_MODEL_SIGN + 1, "%016llx%016llx", (unsigned long long)h, (unsigned long long)g);
}
