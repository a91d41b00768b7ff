/* order_causal.c - the mixer sees the steps as they come. */
#include "parts/part.h"

static kr_node *build(kr_build *b, const void *opt, kr_node *x) {
    (void)opt;
    kr_scope_push(b->g, "mixer");
    x = b->mixer->build(b, b->mixer_opt, x);
    kr_scope_pop(b->g);
    return x;
}

const kr_part kr_part_order_causal = {.kind = "order", .name = "causal", .about = "first to last", .causal = true, .build = build};
