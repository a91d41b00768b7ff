/* spanning_tree.c - a tree over the cells of a picture that joins what is alike (GrootV: Xiao et al. 2024).
 *
 * Cells beside each other are joined by an edge of weight -cos(x_i, x_j) (0 where either is zero);
 * the tree is the one of least weight, by Kruskal, of equal edges the one that begins at the
 * earlier cell, to the right before down.  A walk in breadth from the first cell numbers it:
 *
 *   order[k]   the k-th cell of the walk          place[i]   when cell i comes by
 *   parent[k]  the place of its parent, always before k; -1 for the first
 *
 * The weights are float32 sums in every implementation but the double reference, so a tie or
 * nearly one may fall either way between them. */
#include "ops/spanning_tree/spanning_tree.h"

KR_REF_DECLARE(spanning_tree_fwd);
KR_VEC_DECLARE(spanning_tree_fwd);

static const kr_attr attrs[] = {
    KR_ATTR_INT(spanning_tree_attr, width, 0, "cells in a row of the picture; 0: all L, one row"),
    KR_ATTR_END,
};

static kr_status spanning_tree_plan(kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), W = ((const spanning_tree_attr *)c->attr)->width;
    if (L < 1 || L > INT32_MAX / 4) KR_FAIL(KR_ERR_SHAPE, "spanning_tree: a picture of %lld cells", (long long)L);
    if (W < 0 || (W > 0 && L % W)) KR_FAIL(KR_ERR_SHAPE, "spanning_tree: %lld steps are no rows of %lld", (long long)L, (long long)W);
    c->fwd_scratch = (size_t)KR_SIZE(c, 'S') * tree_bytes(L);
    return KR_OK;
}

const kr_op kr_op_spanning_tree = {
    .name = "spanning_tree",
    .sig = "x:SLD -> order:SL@i place:SL@i parent:SL@i",
    .about = "the tree over a picture's cells that joins what is alike, in breadth from the first cell",
    .attr_bytes = sizeof(spanning_tree_attr),
    .attrs = attrs,
    .plan = spanning_tree_plan,
    .fwd = {[KR_REF] = spanning_tree_fwd_ref_f32, KR_VEC_IMPLS(spanning_tree_fwd)},
    .fwd_f64 = spanning_tree_fwd_ref_f64,
};
