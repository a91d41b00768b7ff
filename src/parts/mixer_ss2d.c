/* mixer_ss2d.c - VMamba's SS2D, Vim's block, PlainMamba's: selective scans along several paths. */
#include "parts/ss2d.h"

static kr_node *build(kr_build *b, const void *opt, kr_node *x) { return kr_ss2d_build(b, opt, x); }

const kr_part kr_part_mixer_ss2d = {.kind = "mixer", .name = "ss2d", .about = "selective scans along the paths of a picture that share their products (VMamba, Vim, PlainMamba)",
                                    .bytes = sizeof(kr_ss2d), .keys = kr_ss2d_keys, .own_order = true, .build = build};
