/* encoder_linear.c - real-valued steps to vectors by one product. */
#include "krait/order.h"
#include "parts/part.h"

typedef struct linear_opt { int64_t width; const char *size; } linear_opt;
static const kr_key keys[] = {
    KR_KEY_INT(linear_opt, width, 1, 1, 1 << 20, "numbers in each step of the input"),
    KR_KEY_TEXT(linear_opt, size, "", "the pictures that the steps are: HxW or TxHxW; unless told, a line"),
    KR_KEY_END};

static int64_t steps(const void *opt) {
    int64_t size[KR_ORDER_AXES] = {0}, n = 1;
    int n_axes = kr_order_size(((const linear_opt *)opt)->size, size);
    for (int i = 0; i < n_axes; i++)
        if (__builtin_mul_overflow(n, size[i], &n)) return 0;
    return n_axes ? n : 0;
}

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    const linear_opt *o = opt;
    int64_t size[KR_ORDER_AXES];
    int n_axes = kr_order_size(o->size, size);
    if (*o->size && n_axes < 2) return kr_graph_fail(b->g, KR_ERR_CONFIG, "encoder.size is \"%s\", want HxW or TxHxW", o->size);
    if (n_axes && steps(opt) != b->L) return kr_graph_fail(b->g, KR_ERR_CONFIG, "encoder.size is \"%s\", but a row has %lld steps", o->size, (long long)b->L);
    if (n_axes) b->H = size[n_axes - 2], b->W = size[n_axes - 1];
    x = kr_input(b->g, "x", KR_F32, 3, KR_DIMS(b->S, b->L, o->width));
    return kr_linear(b, x, "encoder", b->d_model, true);
}

const kr_part kr_part_encoder_linear = {.kind = "encoder", .name = "linear", .about = "real-valued steps [S, L, width] through one product",
                                        .bytes = sizeof(linear_opt), .keys = keys, .causal = true, .build = build, .steps = steps};
