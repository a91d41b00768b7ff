/* reverse_ref.c - the definition of reverse. */
#include "ops/ref.h"
#include "ops/reverse/reverse.h"

static int64_t from(const kr_call *c, int64_t s, int64_t l) {
    const int32_t *len = c->in[REVERSE_LEN].data;
    return reverse_from(l, KR_SIZE(c, 'L'), len ? len[s] : KR_SIZE(c, 'L'));
}

void REF(reverse_fwd)(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D');
    for (int64_t s = 0; s < KR_SIZE(c, 'S'); s++)
        for (int64_t l = 0; l < L; l++)
            for (int64_t i = 0; i < D; i++)
                ((real *)c->out[REVERSE_Y].data)[(s * L + l) * D + i] = ((const real *)c->in[REVERSE_X].data)[(s * L + from(c, s, l)) * c->in[REVERSE_X].pitch + i];
}

void REF(reverse_bwd)(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), D = KR_SIZE(c, 'D');
    if (!c->din[REVERSE_X].data) return;
    for (int64_t s = 0; s < KR_SIZE(c, 'S'); s++)
        for (int64_t l = 0; l < L; l++)
            for (int64_t i = 0; i < D; i++)
                ((real *)c->din[REVERSE_X].data)[(s * L + from(c, s, l)) * c->din[REVERSE_X].pitch + i] += ((const real *)c->dout[REVERSE_Y].data)[(s * L + l) * D + i];
}
