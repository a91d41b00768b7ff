/* condition.c - see condition.h. */
#include "parts/condition.h"

#include "ops/binary/binary.h"
#include "ops/ops.h"

kr_node *kr_linear_zero(kr_build *b, kr_node *x, const char *name, int64_t n_out) {
    kr_scope_push(b->g, name);
    kr_node *W = kr_weight(b->g, "weight", KR_MATRIX, 2, KR_DIMS(n_out, kr_node_dim(x, -1)), (kr_init){0});
    kr_node *c = kr_weight(b->g, "bias", KR_NO_DECAY, 1, &n_out, (kr_init){0});
    kr_scope_pop(b->g);
    return KR_APPLY(b->g, linear, NULL, x, W, c);
}

/* A row's vector [S, D] for each of its steps. */
static kr_node *every_step(kr_build *b, kr_node *x, int64_t L) {
    int64_t S = kr_node_dim(x, 0), D = kr_node_dim(x, 1);
    int32_t *first = kr_mem_array((size_t)L + 1, sizeof *first);
    if (!first) return kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    x = KR_APPLY(b->g, gather, NULL, kr_reshape(b->g, x, 3, KR_DIMS(S, 1, D)), kr_const_i32(b->g, first, L));
    kr_mem_free(first);
    return x;
}

static kr_node *times(kr_build *b, kr_node *x, kr_node *y) {
    binary_attr a = {.kind = KR_BINARY_MUL};
    return KR_APPLY(b->g, binary, &a, x, y);
}

kr_node *kr_modulate(kr_build *b, kr_node *y, bool gate) {
    b->gate = NULL;
    if (!b->condition || !y) return y;
    int64_t D = kr_node_dim(y, -1), n = b->gated ? gate ? 3 : 2 : 1;
    if (kr_node_dim(y, 0) != kr_node_dim(b->condition, 0))
        return kr_graph_fail(b->g, KR_ERR_CONFIG, "a condition is one for each row, but the encoder made %lld sequences of %lld rows", (long long)kr_node_dim(y, 0),
                             (long long)kr_node_dim(b->condition, 0));
    kr_node *told = every_step(b, kr_linear_zero(b, b->condition, "modulate", n * D), kr_node_dim(y, 1));
    if (!b->gated) return kr_add(b, y, told);
    if (gate) b->gate = kr_columns(b->g, told, 2 * D, D);
    return kr_add(b, kr_add(b, y, times(b, y, kr_columns(b->g, told, D, D))), kr_columns(b->g, told, 0, D));
}

kr_node *kr_gated(kr_build *b, kr_node *y) { return b->gate ? times(b, y, b->gate) : y; }
