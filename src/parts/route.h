/* route.h - what orders share: a mixer along one path of a grid, or over the channels. */
#ifndef KR_PARTS_ROUTE_H
#define KR_PARTS_ROUTE_H
#include "krait/order.h"
#include "parts/part.h"

/* b's mixer on x [S, L, D], its parameters under `scope`. */
kr_node *kr_mix(kr_build *b, const char *scope, kr_node *x);
/* Where `n_paths` walks of n steps each lie one behind the other: each is a sequence, or each of its pieces is one.  Steps of
 * such a sequence; where pieces differ in length it is the walk, and b->seq_idx packs them as documents. */
int64_t kr_cut_walks(kr_build *b, const struct kr_order_path *path, int n_paths);
/* b's mixer on such walks; it has to take packed documents if need be. */
kr_node *kr_mix_walks(kr_build *b, const char *scope, const struct kr_order_path *path, int n_paths, kr_node *x);
/* One step for each piece of x [S, L, D], where piece[l] counts from 0 as they come: the mean of its steps, their last,
 * or all of them side by side [S, pieces, most D], zeros where there are fewer. */
kr_node *kr_pieces_mean(kr_build *b, kr_node *x, const int32_t *piece, int64_t n_pieces, int64_t most);
kr_node *kr_pieces_joined(kr_build *b, kr_node *x, const int32_t *piece, int64_t n_pieces, int64_t most);
kr_node *kr_pieces_last(kr_build *b, kr_node *x, const int32_t *piece, int64_t n_pieces);
/* The steps of `second` behind those of `first`. */
kr_node *kr_join_steps(kr_build *b, kr_node *first, kr_node *second);
/* Steps and channels change places. */
kr_node *kr_turn(kr_build *b, kr_node *x);
/* Each step's channels from the last to the first. */
kr_node *kr_flip(kr_build *b, kr_node *x);
#endif
