/* mixer_up.c - to a finer picture: a new residual stream of twice the rows and columns.
 *
 *   shuffle   a product makes 2 x 2 cells of each: a transposed convolution of stride 2 (U-Net),
 *             or, normalised, Swin-UNet's patch expanding (VM-UNet)
 *   nearest   each cell four times, and a convolution
 *
 * Then what the last `down` left behind is put beside it and a product makes both one, or is
 * added.  Its size decides: odd sides come back as they were. */
#include "ops/ops.h"
#include "parts/grid.h"

typedef struct up { int64_t width, side, factor; int how, skip; bool norm; } up;
static const kr_key keys[] = {
    KR_KEY_CHOICE(up, how, "shuffle|nearest", "how one cell becomes 2 x 2"),
    KR_KEY_INT(up, width, 0, 0, 1 << 24, "channels from here on; 0: half as many"),
    KR_KEY_INT(up, side, 3, 1, 15, "taps each way of the convolution behind nearest"),
    KR_KEY_INT(up, factor, 2, 2, 16, "times rows and columns; with a skip 2"),
    KR_KEY_CHOICE(up, skip, "concat|add|none", "what is done with what the last `down` left"),
    KR_KEY_BOOL(up, norm, false, "shuffle: a norm over the channels behind it"),
    KR_KEY_END};

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const up *o = opt;
    int64_t f = o->factor, width = o->width ? o->width : b->d_model / 2;
    if (!kr_grid_wanted(b, "up")) return NULL;
    if (width < 1) return kr_graph_fail(b->g, KR_ERR_CONFIG, "up: half of %lld channels is none; set width", (long long)b->d_model);
    if (o->skip != 2 && b->n_skip == 0) return kr_graph_fail(b->g, KR_ERR_CONFIG, "up: no `down` before it left anything; set skip to \"none\"");
    kr_skip s = o->skip == 2 ? (kr_skip){NULL, 0, f * b->H, f * b->W} : b->skip[--b->n_skip];
    if ((s.H + f - 1) / f != b->H || (s.W + f - 1) / f != b->W)
        return kr_graph_fail(b->g, KR_ERR_CONFIG, "up: %lld x %lld times %lld does not give the skip's %lld x %lld", (long long)b->H, (long long)b->W, (long long)f,
                             (long long)s.H, (long long)s.W);
    if (o->how == 0) {
        x = kr_unpatch(b, kr_linear(b, x, "expand", f * f * width, !o->norm), f, s.H, s.W);
        if (o->norm) x = kr_layernorm(b, x, "norm", 1e-5);
    } else {
        x = kr_conv2d(b, kr_enlarge(b, x, f, s.H, s.W), "conv2d", width, o->side, 1, true);
    }
    b->d_model = width;
    if (o->skip == 0) return kr_linear(b, KR_APPLY(b->g, concat, NULL, x, s.x), "merge", width, true);
    return o->skip == 1 ? kr_add(b, x, kr_node_dim(s.x, -1) == width ? s.x : kr_linear(b, s.x, "merge", width, false)) : x;
}

const kr_part kr_part_mixer_up = {.kind = "mixer", .name = "up", .about = "pictures of twice the rows and columns, joined with what `down` left",
                                  .bytes = sizeof(up), .keys = keys, .stream = true, .own_order = true, .build = build};
