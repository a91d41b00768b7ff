/* mixer_lstm.c - a long short-term memory as a mixer: what recurrent models were before.
 *
 *   y, h, c = lstm(u W_in' + b)       W_in [4 H, M] and W [4 H, H] in PyTorch's order i, f, g, o
 *   out     = y W_out'                without out_proj H is d_model, and out is y
 *
 * b is PyTorch's b_ih + b_hh.  All start from U(+-1/sqrt(H)), as PyTorch's, and the forget gate's bias from
 * forget_bias. */
#include <math.h>

#include "ops/lstm/lstm.h"
#include "ops/ops.h"
#include "parts/part.h"

typedef struct lstm {
    int64_t d_hidden;
    double forget_bias;
    bool out_proj;
} lstm;
static const kr_key keys[] = {
    KR_KEY_INT(lstm, d_hidden, 0, 0, 1 << 20, "width H of the state; 0: d_model"),
    KR_KEY_REAL(lstm, forget_bias, 1, -100, 100, "what the forget gate's bias starts from"),
    KR_KEY_BOOL(lstm, out_proj, true, "a product behind it; false: d_hidden is d_model"),
    KR_KEY_END};

/* x W' + b, with b's second quarter at forget_bias and the rest 0. */
static kr_node *gates(kr_build *b, const lstm *o, kr_node *x, int64_t H) {
    double r = 1 / sqrt((double)H);
    float *row = kr_mem_array((size_t)(4 * H), sizeof *row);
    if (!row) return kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    for (int64_t i = H; i < 2 * H; i++) row[i] = (float)o->forget_bias;
    kr_scope_push(b->g, "in_proj");
    kr_node *W = kr_weight(b->g, "weight", KR_MATRIX, 2, KR_DIMS(4 * H, kr_node_dim(x, -1)), (kr_init){KR_INIT_UNIFORM, -r, r, 0, NULL});
    kr_node *c = kr_weight(b->g, "bias", KR_NO_DECAY, 1, KR_DIMS(4 * H), (kr_init){.kind = KR_INIT_ROW, .row = row});
    kr_scope_pop(b->g);
    kr_mem_free(row);
    return KR_APPLY(b->g, linear, NULL, x, W, c);
}

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const lstm *o = opt;
    int64_t H = o->d_hidden ? o->d_hidden : b->d_model;
    double r = 1 / sqrt((double)H);
    kr_graph *g = b->g;
    if (!o->out_proj && H != b->d_model)
        return kr_graph_fail(g, KR_ERR_CONFIG, "lstm: without out_proj d_hidden %lld must be d_model %lld", (long long)H, (long long)b->d_model);
    kr_node *in = gates(b, o, x, H), *out[KR_MAX_OUT], *h0 = NULL, *c0 = NULL;
    kr_scope_push(g, "recurrent");
    kr_node *W = kr_weight(g, "weight", KR_MATRIX, 2, KR_DIMS(4 * H, H), (kr_init){KR_INIT_UNIFORM, -r, r, 0, NULL});
    kr_scope_pop(g);
    if (b->stateful) h0 = kr_state(g, "h_state", 2, KR_DIMS(b->S, H)), c0 = kr_state(g, "c_state", 2, KR_DIMS(b->S, H));
    kr_node *y = kr_apply(g, &kr_op_lstm, NULL, (kr_node *const[KR_MAX_IN]){in, W, h0, c0, b->seq_idx}, out);
    if (y && b->stateful) kr_state_set_next(g, h0, out[LSTM_H]), kr_state_set_next(g, c0, out[LSTM_C]);
    return o->out_proj ? kr_linear_out(b, y, "out_proj", b->d_model, false) : y;
}

const kr_part kr_part_mixer_lstm = {.kind = "mixer", .name = "lstm", .about = "long short-term memory, step by step", .bytes = sizeof(lstm), .keys = keys,
                                    .causal = true, .build = build};
