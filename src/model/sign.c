/* sign.c - which model it is: what was made by one is not another's. */
#include <stdio.h>
#include <string.h>

#include "base/sum.h"
#include "model/model.h"

void kr_model_sign(char to[KR_MODEL_SIGN + 1], const kr_model *m) {
    enum { SAMPLES = 64 };
    uint64_t h = (uint64_t)m->config.vocab_size, g = (uint64_t)m->params->n_elements;
    for (const kr_param *p = m->params->first; p; p = p->next) {
        h = kr_sum_on(kr_sum_on(h, p->name, strlen(p->name)), p->dim, sizeof *p->dim * (size_t)p->n_dims);
        kr_tensor t = {.dtype = p->dtype, .n_dims = p->n_dims};
        memcpy(t.dim, p->dim, sizeof t.dim);
        size_t bytes = kr_dtype_row_bytes(p->dtype, kr_count(&t)), step = bytes / SAMPLES;
        for (size_t i = 0; p->data && i < SAMPLES && step >= 4; i++) g = kr_sum_on(g, (const char *)p->data + i * step, 4);
        if (p->data && step < 4) g = kr_sum_on(g, p->data, bytes);
    }
    snprintf(to, KR_MODEL_SIGN + 1, "%016llx%016llx", (unsigned long long)h, (unsigned long long)g);
}
