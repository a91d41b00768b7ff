/* condition_none.c - a model that is told nothing beside its input. */
#include "parts/part.h"

static kr_node *build(kr_build *b, const void *opt, kr_node *x) { return (void)b, (void)opt, x; }

const kr_part kr_part_condition_none = {.kind = "condition", .name = "none", .about = "nothing", .causal = true, .build = build};
