/* route.c - see route.h. */
#include "parts/route.h"

#include <string.h>

#include "ops/concat/concat.h"
#include "ops/ops.h"
#include "ops/pool/pool.h"

kr_node *kr_mix(kr_build *b, const char *scope, kr_node *x) {
    int64_t was_S = b->S, was_L = b->L, was_M = b->d_model;
    if (!x) return NULL;
    b->S = kr_node_dim(x, 0), b->L = kr_node_dim(x, 1), b->d_model = kr_node_dim(x, 2);
    kr_scope_push(b->g, scope);
    x = b->mixer->build(b, b->mixer_opt, x);
    kr_scope_pop(b->g);
    b->S = was_S, b->L = was_L, b->d_model = was_M;
    return x;
}

/* Steps of each piece, if all have as many; else 0. */
static int64_t piece_length(const struct kr_order_path *p) {
    int64_t each = p->n / p->n_pieces;
    for (int64_t i = 0; p->piece && i < p->n; i++)
        if (p->piece[i] != i / each) return 0;
    return each;
}

/* Which piece each step belongs to, for every sequence. */
static kr_node *pieces_of(kr_build *b, const struct kr_order_path *path, int n_paths) {
    int64_t n = path->n, total = b->S * n_paths * n;
    int32_t *idx = kr_mem_array((size_t)total, sizeof *idx);
    if (!idx) return kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    for (int64_t i = 0; i < total; i++) {
        const struct kr_order_path *p = &path[i / n % n_paths];
        idx[i] = p->piece ? p->piece[i % n] : 0;
    }
    kr_node *node = kr_reshape(b->g, kr_const_i32(b->g, idx, total), 2, KR_DIMS(b->S * n_paths, n));
    kr_mem_free(idx);
    return node;
}

int64_t kr_cut_walks(kr_build *b, const struct kr_order_path *path, int n_paths) {
    int64_t each = piece_length(path);
    for (int k = 1; k < n_paths; k++) each = piece_length(&path[k]) == each ? each : 0;
    if (!each) b->seq_idx = pieces_of(b, path, n_paths);
    return each ? each : path->n;
}

kr_node *kr_mix_walks(kr_build *b, const char *scope, const struct kr_order_path *path, int n_paths, kr_node *x) {
    if (!x) return NULL;
    kr_node *was = b->seq_idx;
    int64_t n = path->n, D = kr_node_dim(x, -1), steps = kr_cut_walks(b, path, n_paths);
    x = kr_mix(b, scope, kr_reshape(b->g, x, 3, KR_DIMS(b->S * n_paths * n / steps, steps, D)));
    b->seq_idx = was;
    return kr_reshape(b->g, x, 3, KR_DIMS(b->S, n_paths * n, kr_node_dim(x, -1)));
}

/* [S, pieces most, D]: each piece's steps, and zeros behind them; n_of: how many there are. */
static kr_node *filled(kr_build *b, kr_node *x, const int32_t *piece, int64_t n_pieces, int64_t most, int32_t *n_of) {
    int32_t *idx = kr_mem_array((size_t)(n_pieces * most), sizeof *idx);
    if (!idx) return kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    memset(n_of, 0, (size_t)n_pieces * sizeof *n_of);
    memset(idx, -1, (size_t)(n_pieces * most) * sizeof *idx);
    for (int64_t l = 0; l < kr_node_dim(x, 1); l++) idx[piece[l] * most + n_of[piece[l]]++] = (int32_t)l;
    x = kr_steps_at(b, x, idx, n_pieces * most);
    kr_mem_free(idx);
    return x;
}

kr_node *kr_pieces_joined(kr_build *b, kr_node *x, const int32_t *piece, int64_t n_pieces, int64_t most) {
    if (!x) return NULL;
    int64_t S = kr_node_dim(x, 0), D = kr_node_dim(x, 2);
    int32_t *n_of = kr_mem_array((size_t)n_pieces, sizeof *n_of);
    if (!n_of) return kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    x = kr_reshape(b->g, filled(b, x, piece, n_pieces, most, n_of), 3, KR_DIMS(S, n_pieces, most * D));
    kr_mem_free(n_of);
    return x;
}

kr_node *kr_pieces_mean(kr_build *b, kr_node *x, const int32_t *piece, int64_t n_pieces, int64_t most) {
    if (!x) return NULL;
    int64_t S = kr_node_dim(x, 0), D = kr_node_dim(x, 2);
    pool_attr mean = {.kind = KR_POOL_MEAN};
    int32_t *n_of = kr_mem_array((size_t)(S * n_pieces), sizeof *n_of);
    if (!n_of) return kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    x = kr_reshape(b->g, filled(b, x, piece, n_pieces, most, n_of), 3, KR_DIMS(S * n_pieces, most, D));
    for (int64_t i = n_pieces; i < S * n_pieces; i++) n_of[i] = n_of[i - n_pieces];
    x = KR_APPLY(b->g, pool, &mean, x, kr_const_i32(b->g, n_of, S * n_pieces));
    kr_mem_free(n_of);
    return kr_reshape(b->g, x, 3, KR_DIMS(S, n_pieces, D));
}

kr_node *kr_pieces_last(kr_build *b, kr_node *x, const int32_t *piece, int64_t n_pieces) {
    if (!x) return NULL;
    int32_t *last = kr_mem_array((size_t)n_pieces, sizeof *last);
    if (!last) return kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    for (int64_t l = 0; l < kr_node_dim(x, 1); l++) last[piece[l]] = (int32_t)l;
    x = kr_steps_at(b, x, last, n_pieces);
    kr_mem_free(last);
    return x;
}

kr_node *kr_join_steps(kr_build *b, kr_node *first, kr_node *second) {
    if (!first || !second) return NULL;
    int64_t S = kr_node_dim(first, 0), L = kr_node_dim(first, 1), L2 = kr_node_dim(second, 1), D = kr_node_dim(first, -1);
    kr_node *a = kr_reshape(b->g, first, 2, KR_DIMS(S, L * D)), *c = kr_reshape(b->g, second, 2, KR_DIMS(S, L2 * D));
    return kr_reshape(b->g, KR_APPLY(b->g, concat, NULL, a, c), 3, KR_DIMS(S, L + L2, D));
}

/* Room for a list of all numbers of a sequence; NULL if they are too many for one. */
static int32_t *room_for(kr_build *b, int64_t L, int64_t D) {
    int64_t n;
    if (!__builtin_mul_overflow(L, D, &n) && n <= INT32_MAX) return kr_mem_array((size_t)n, sizeof(int32_t));
    kr_graph_fail(b->g, KR_ERR_CONFIG, "%lld steps of %lld channels are too many to turn round, want at most 2^31 - 1 numbers", (long long)L, (long long)D);
    return NULL;
}

/* The numbers of each sequence by a list of n. */
static kr_node *numbers_at(kr_build *b, kr_node *x, int32_t *idx, int64_t L, int64_t D) {
    if (!idx) return kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    int64_t S = kr_node_dim(x, 0), n = L * D;
    x = kr_reshape(b->g, kr_steps_at(b, kr_reshape(b->g, x, 3, KR_DIMS(S, n, 1)), idx, n), 3, KR_DIMS(S, L, D));
    kr_mem_free(idx);
    return x;
}

kr_node *kr_turn(kr_build *b, kr_node *x) {
    if (!x) return NULL;
    int64_t L = kr_node_dim(x, 1), D = kr_node_dim(x, 2);
    int32_t *idx = room_for(b, L, D);
    for (int64_t i = 0; idx && i < L * D; i++) idx[i] = (int32_t)(i % L * D + i / L);
    return numbers_at(b, x, idx, D, L);
}

kr_node *kr_flip(kr_build *b, kr_node *x) {
    if (!x) return NULL;
    int64_t L = kr_node_dim(x, 1), D = kr_node_dim(x, 2);
    int32_t *idx = room_for(b, L, D);
    for (int64_t i = 0; idx && i < L * D; i++) idx[i] = (int32_t)(i / D * D + D - 1 - i % D);
    return numbers_at(b, x, idx, L, D);
}
