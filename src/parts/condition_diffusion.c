/* condition_diffusion.c - how noisy the input is, and of what class it is to be: one vector a row, that
 * every layer's norm is told.
 *
 *   c = W2 silu(W1 features(t))  (+ a learnt vector of the class)
 *
 * The features are cosines and sines of t (model/diffusion.h makes them).  Class -1 is none: its vector
 * is zero, so a model that was trained with classes left out now and then knows both (classifier-free
 * guidance: Ho & Salimans 2022). */
#include "ops/ops.h"
#include "ops/unary/unary.h"
#include "parts/condition.h"

static const kr_key keys[] = {
    KR_KEY_INT(kr_condition, noise_steps, 1000, 1, 100000, "steps T from a picture to noise"),
    KR_KEY_INT(kr_condition, time_features, 128, 2, 1 << 16, "cosines and sines that say which step it is; an even number"),
    KR_KEY_INT(kr_condition, condition_width, 0, 0, 1 << 20, "width of the vector that layers are told; 0: twice d_model"),
    KR_KEY_INT(kr_condition, classes, 0, 0, 1 << 20, "classes that a row may be told to be of; 0: it is told none; the data say it"),
    KR_KEY_REAL(kr_condition, class_drop, 0.1, 0, 1, "training: share of the rows that are not told their class"),
    KR_KEY_CHOICE(kr_condition, tell, "scale|add", "how a layer is told: shift, scale and gate (adaLN-Zero: DiT, ZigMa), or a shift alone (DDPM)"),
    KR_KEY_END};

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const kr_condition *o = opt;
    int64_t width = o->condition_width ? o->condition_width : 2 * b->d_model;
    if (o->time_features % 2) return kr_graph_fail(b->g, KR_ERR_CONFIG, "condition.time_features is %lld, want an even number", (long long)o->time_features);
    if (b->stateful || b->seq_idx) return kr_graph_fail(b->g, KR_ERR_CONFIG, "a diffusion model does not go step by step, nor over packed documents");
    kr_scope_push(b->g, "condition");
    kr_node *c = kr_linear(b, kr_input(b->g, "time", KR_F32, 2, KR_DIMS(b->batch, o->time_features)), "fc1", width, true);
    c = kr_linear(b, kr_act(b, c, KR_UNARY_SILU), "fc2", width, true);
    if (o->classes) {
        kr_node *table = kr_weight(b->g, "class", KR_MATRIX, 2, KR_DIMS(o->classes, width), (kr_init){KR_INIT_NORMAL, 0.02, 0, 0, NULL});
        kr_node *told = KR_APPLY(b->g, embedding, NULL, kr_input(b->g, "class", KR_I32, 2, KR_DIMS(b->batch, 1)), table);
        c = kr_add(b, c, kr_reshape(b->g, told, 2, KR_DIMS(b->batch, width)));
    }
    kr_scope_pop(b->g);
    b->condition = kr_act(b, c, KR_UNARY_SILU);
    b->gated = o->tell == 0;
    return x;
}

const kr_part kr_part_condition_diffusion = {.kind = "condition", .name = "diffusion", .about = "the noise step of a diffusion model, and a class",
                                             .bytes = sizeof(kr_condition), .keys = keys, .build = build};
