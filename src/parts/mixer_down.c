/* mixer_down.c - to a coarser picture: a new residual stream of half the rows and columns.
 *
 *   conv    a convolution of stride 2
 *   merge   2 x 2 cells side by side, normalised, through a product (Swin's patch merging, VM-UNet)
 *   max, mean   of 2 x 2 cells, and a product if the width changes (U-Net)
 *
 * What comes in waits for the `up` on the other side, the last first. */
#include "ops/pool/pool.h"
#include "parts/grid.h"

typedef struct down { int64_t width, side; int how; bool skip; } down;
static const kr_key keys[] = {
    KR_KEY_CHOICE(down, how, "conv|merge|max|mean", "how 2 x 2 cells become one"),
    KR_KEY_INT(down, width, 0, 0, 1 << 24, "channels from here on; 0: twice as many"),
    KR_KEY_INT(down, side, 3, 1, 15, "taps each way of the convolution"),
    KR_KEY_BOOL(down, skip, true, "an `up` gets what came in"),
    KR_KEY_END};

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const down *o = opt;
    int64_t M = b->d_model, width = o->width ? o->width : 2 * M;
    if (!kr_grid_wanted(b, "down")) return NULL;
    if (o->skip && b->n_skip == KR_MAX_SKIPS) return kr_graph_fail(b->g, KR_ERR_CONFIG, "more than %d times down", KR_MAX_SKIPS);
    if (o->skip) b->skip[b->n_skip++] = (kr_skip){x, b->L, b->H, b->W};
    b->d_model = width;
    if (o->how == 0) return kr_conv2d(b, x, "conv2d", width, o->side, 2, true);
    if (o->how == 1) return kr_linear(b, kr_layernorm(b, kr_patches(b, x, 2), "norm", 1e-5), "reduce", width, false);
    x = kr_pool2d(b, x, 2, o->how == 2 ? KR_POOL_MAX : KR_POOL_MEAN);
    return width == M ? x : kr_linear(b, x, "reduce", width, true);
}

const kr_part kr_part_mixer_down = {.kind = "mixer", .name = "down", .about = "pictures of half the rows and columns, for coarser stages",
                                    .bytes = sizeof(down), .keys = keys, .stream = true, .own_order = true, .build = build};
