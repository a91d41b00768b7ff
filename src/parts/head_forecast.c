/* head_forecast.c - the next numbers of each variable [S, variables, horizon]; mean squared error.
 *
 * How they come out of the steps is told by the encoder (steps_are): from each variable's own step,
 * from all pieces of a variable side by side, or from the last moment.  With `scaled` both answer and
 * truth are multiplied by the input "scale" before they are compared (windows that were brought to
 * one deviation). */
#include "ops/binary/binary.h"
#include "ops/ops.h"
#include "ops/pool/pool.h"
#include "parts/part.h"

typedef struct forecast { int64_t variables, horizon; bool scaled; } forecast;
static const kr_key keys[] = {
    KR_KEY_INT(forecast, variables, 1, 1, 1 << 20, "variables; the data say it"),
    KR_KEY_INT(forecast, horizon, 96, 1, 1 << 24, "numbers of each to tell; the data say it"),
    KR_KEY_BOOL(forecast, scaled, false, "errors count by their window's deviation; the data say it"),
    KR_KEY_END};

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const forecast *o = opt;
    int64_t M = o->variables, H = o->horizon, D = kr_node_dim(x, -1);
    pool_attr last = {.kind = KR_POOL_LAST};
    if (b->steps_are == KR_STEPS_PIECES) x = kr_linear(b, kr_reshape(b->g, x, 2, KR_DIMS(b->S, b->L * D)), "head", H, true); /* pieces */
    else if (b->steps_are == KR_STEPS_VARIABLES) x = kr_linear(b, x, "head", H, true);
    else x = kr_linear(b, KR_APPLY(b->g, pool, &last, x), "head", M * H, true);
    x = kr_reshape(b->g, x, 2, KR_DIMS(b->batch, M * H));
    kr_graph_keep(b->g, x, "prediction");
    return x;
}

static kr_node *loss(kr_build *b, const void *opt, kr_node *x) {
    const forecast *o = opt;
    const int64_t dim[2] = {b->batch, o->variables * o->horizon};
    kr_node *y = kr_input(b->g, "y", KR_F32, 2, dim), *said = build(b, opt, x);
    if (o->scaled) {
        binary_attr mul = {.kind = KR_BINARY_MUL};
        kr_node *scale = kr_input(b->g, "scale", KR_F32, 2, dim);
        said = KR_APPLY(b->g, binary, &mul, said, scale), y = KR_APPLY(b->g, binary, &mul, y, scale);
    }
    return KR_APPLY(b->g, mse, NULL, said, y);
}

const kr_part kr_part_head_forecast = {.kind = "head", .name = "forecast", .about = "the next numbers of each variable; mean squared error",
                                       .bytes = sizeof(forecast), .keys = keys, .build = build, .loss = loss};
