/* head_noise.c - a number for every number that came in [S, cells, channels]: the noise in it.
 *
 * Each step gives the cells of its patch by one product, which starts at zero; mean squared error. */
#include "ops/ops.h"
#include "parts/condition.h"
#include "parts/grid.h"

typedef struct noise { int64_t channels; } noise;
static const kr_key keys[] = {KR_KEY_INT(noise, channels, 1, 1, 1 << 20, "numbers in each cell; the data say it"), KR_KEY_END};

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const noise *o = opt;
    int64_t each = kr_patch_cells(b, "noise");
    if (!each) return NULL;
    if (b->S != b->batch) return kr_graph_fail(b->g, KR_ERR_CONFIG, "a noise head wants a sequence for each row; the encoder made several");
    x = kr_uncut(b, kr_linear_zero(b, x, "head", each * o->channels), o->channels);
    x = kr_reshape(b->g, x, 2, KR_DIMS(b->S, kr_node_dim(x, 1) * o->channels));
    kr_graph_keep(b->g, x, "prediction");
    return x;
}

static kr_node *loss(kr_build *b, const void *opt, kr_node *x) {
    kr_node *said = build(b, opt, x);
    return said ? KR_APPLY(b->g, mse, NULL, said, kr_input(b->g, "y", KR_F32, 2, KR_DIMS(b->S, kr_node_dim(said, 1)))) : NULL;
}

const kr_part kr_part_head_noise = {.kind = "head", .name = "noise", .about = "the noise in each number that came in; mean squared error",
                                    .bytes = sizeof(noise), .keys = keys, .build = build, .loss = loss};
