/* rope_ref.c - the definition of rope. */
#include "ops/ref.h"
#include "ops/rope/rope.h"

/* Adds a head turned by `way` (1 or -1) times its angles. */
static void turn(const kr_call *c, const real *x, real *y, int64_t position, int way) {
    const rope_attr *a = c->attr;
    int64_t P = KR_SIZE(c, 'P'), dims = rope_dims(c);
    for (int64_t i = 0; i < dims / 2; i++) {
        int64_t one = a->interleaved ? 2 * i : i, two = a->interleaved ? 2 * i + 1 : i + dims / 2;
        double angle = way * (double)position * pow(a->theta, -2.0 * (double)i / (double)dims);
        real cosine = (real)cos(angle), sine = (real)sin(angle);
        y[one] += x[one] * cosine - x[two] * sine;
        y[two] += x[two] * cosine + x[one] * sine;
    }
    for (int64_t i = dims; i < P; i++) y[i] += x[i];
}

static void each_head(const kr_call *c, const kr_tensor *from, int64_t from_pitch, const kr_tensor *to, int64_t to_pitch, int way) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), H = KR_SIZE(c, 'H'), P = KR_SIZE(c, 'P');
    for (int64_t r = 0; r < S * L; r++)
        for (int64_t h = 0; h < H; h++)
            turn(c, (const real *)from->data + r * from_pitch + h * P, (real *)to->data + r * to_pitch + h * P, rope_position(c, r / L, r % L), way);
}

void REF(rope_fwd)(const kr_call *c) {
    const kr_tensor *x = &c->in[ROPE_X], *y = &c->out[ROPE_Y];
    memset(y->data, 0, (size_t)kr_count(y) * sizeof(real));
    each_head(c, x, x->pitch, y, KR_SIZE(c, 'H') * KR_SIZE(c, 'P'), 1);
}

void REF(rope_bwd)(const kr_call *c) {
    const kr_tensor *dx = &c->din[ROPE_X];
    if (dx->data) each_head(c, &c->dout[ROPE_Y], KR_SIZE(c, 'H') * KR_SIZE(c, 'P'), dx, dx->pitch, -1);
}
