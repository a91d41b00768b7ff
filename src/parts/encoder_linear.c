/* encoder_linear.c - real-valued steps to vectors by one product. */
#include "parts/part.h"

typedef struct linear_opt { int64_t width; } linear_opt;
static const kr_key keys[] = {
    KR_KEY_INT(linear_opt, width, 1, 1, 1 << 20, "numbers in each step of the input"),
    KR_KEY_END};

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const linear_opt *o = opt;
    x = kr_input(b->g, "x", KR_F32, 3, KR_DIMS(b->S, b->L, o->width));
    return kr_linear(b, x, "encoder", b->d_model, true);
}

const kr_part kr_part_encoder_linear = {.kind = "encoder", .name = "linear", .about = "real-valued steps [S, L, width] through one product",
                                        .bytes = sizeof(linear_opt), .keys = keys, .causal = true, .build = build};
