/* rotary_bc_test.c - what rotary_bc is checked on: both pairings, all or few pairs, groups, several
 * blocks of steps.  Angles stay small, so that no sum meets the jump at pi, where a last digit decides. */
#include "ops/op_test.h"

OP_TEST(rotary_bc, .range = "angle -.3 .3, dt 0 .05, phi0 -.5 .5", .cases = {
        "S1 L1 H1 J1 G1 N2 -phi0 -seq_idx", "S2 L5 H3 J2 G1 N8", "S1 L7 H4 J9 G2 N18 halves=1", "S2 L130 H2 J4 G2 N16 -seq_idx",
        "S1 L65 H3 J8 G3 N32 -phi0", "S3 L9 H2 J17 G1 N38 halves=1 -seq_idx"})
