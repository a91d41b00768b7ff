/* memory_plain.c - what a mixer reads of its states is what it gives: y = C h + D x. */
#include "parts/part.h"

static kr_node *build(kr_build *b, const void *opt, kr_node *u) {
    kr_scan *s = &b->scan[b->n_scan];
    (void)opt, (void)u;
    return kr_apply(b->g, s->op, s->attr, s->in, s->out);
}

const kr_part kr_part_memory_plain = {.kind = "memory", .name = "plain", .about = "y = C h + D x, of the layer's own states", .causal = true, .build = build};
