/* grid.h - steps that are pictures: convolutions, patches, changes of resolution.
 *
 * All but the depthwise convolution are a gather by an index made here and a product, so they
 * run wherever those do.  Clips are frames, each by itself. */
#ifndef KR_PARTS_GRID_H
#define KR_PARTS_GRID_H
#include "krait/order.h"
#include "parts/part.h"

/* The axes that the steps have, and their sides: frames (if there are several), rows and columns, or a line. */
int kr_grid_axes(const kr_build *b, int64_t size[KR_ORDER_AXES]);
/* Fails the graph unless the steps are pictures; `who` asks. */
bool kr_grid_wanted(kr_build *b, const char *who);

/* A convolution with side x side taps, zeros outside: parameters NAME.weight [n_out, side side
 * n_in], the tap's row slowest and the channel fastest, and NAME.bias.  With a stride b's
 * pictures become smaller, ceil(H / stride) x ceil(W / stride). */
kr_node *kr_conv2d(kr_build *b, kr_node *x, const char *name, int64_t n_out, int64_t side, int64_t stride, bool bias);
/* Each channel by itself; NAME.weight [D, side side]. */
kr_node *kr_conv2d_depthwise(kr_build *b, kr_node *x, const char *name, int64_t side, bool bias);
/* groupnorm with parameters NAME.weight, NAME.bias. */
kr_node *kr_groupnorm(kr_build *b, kr_node *x, const char *name, int64_t groups);

/* [S, L, D] -> [S, cells, side side D]: patches side by side, the last ones filled with zeros; b's
 * pictures become those of patches. */
kr_node *kr_patches(kr_build *b, kr_node *x, int64_t side);
/* The largest or the mean of each patch. */
kr_node *kr_pool2d(kr_build *b, kr_node *x, int64_t side, int pool);
/* The way back, to pictures of H x W: [S, cells, side side D] -> [S, H W, D]; or each cell's vector
 * for all of its patch. */
kr_node *kr_unpatch(kr_build *b, kr_node *x, int64_t side, int64_t H, int64_t W);
kr_node *kr_enlarge(kr_build *b, kr_node *x, int64_t side, int64_t H, int64_t W);

/* Cells of a patch, if the encoder's patches cover the input once and each is still a step; 0: not so, and
 * the graph fails.  `who` is the head that asks. */
int64_t kr_patch_cells(kr_build *b, const char *who);
/* [S, patches, cells of a patch times width] -> [S, cells, width], cells as they came in. */
kr_node *kr_uncut(kr_build *b, kr_node *x, int64_t width);
#endif
