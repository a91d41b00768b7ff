/* attention_test.c - what attention is checked on: the edges of its tiles, windows and cache. */
#include "ops/op_test.h"

OP_TEST(attention, .range = "n0 0 9, seq_idx 0 3", .cases = {
        "S1 L1 H1 G1 P1 T2 C1",                                                        /* one of everything */
        "S1 L1 H1 G1 P1 T2 C1 -cache0 -n0 -seq_idx",
        "S3 L1 H6 G2 P19 T4 C5 -seq_idx",                                              /* a decoding step; the ring has wrapped or not */
        "S3 L1 H4 G4 P8 T8 C300 -seq_idx",
        "S2 L7 H2 G1 P5 T2 C8 -cache0 -n0 -seq_idx cache_len=8",                       /* plain causal */
        "S2 L7 H3 G3 P5 T6 C3 -cache0 -n0 cache_len=3",                                /* the cache is shorter than the row: so is sight */
        "S1 L13 H2 G2 P4 T4 C5 window=3",                                              /* window below the cache, */
        "S2 L13 H2 G1 P4 T2 C5 window=9 -seq_idx",                                     /* above, */
        "S1 L7 H1 G1 P1 T2 C7 -cache0 -n0 -seq_idx window=1 cache_len=7",              /* of one: y is v, and dq exactly 0 only for P = 1 */
        "S1 L7 H1 G1 P3 T2 C7 -cache0 -n0 -seq_idx window=2 cache_len=7",
        "S2 L11 H4 G2 P7 T4 C1 causal=0 -cache0 -n0 -seq_idx",                         /* all see all, */
        "S2 L23 H2 G2 P7 T4 C1 causal=0 window=4 -cache0 -n0",                         /* some on both sides, within documents */
        "S1 L19 H2 G1 P6 T2 C7 scale=-.7",
        "S1 L64 H2 G2 P16 T4 C64 -cache0 -n0 -seq_idx cache_len=64",                   /* a tile of queries, */
        "S1 L65 H2 G1 P16 T2 C65 -cache0 -n0 -seq_idx cache_len=65",                   /* one more, */
        "S2 L131 H3 G1 P17 T2 C140",                                                   /* several, of keys too, and a tail */
        "S1 L200 H4 G2 P64 T4 C200 -cache0 -n0 cache_len=200",                         /* sizes that a GPU's tensor cores take */
        "S1 L300 H2 G1 P64 T2 C300 -cache0 -n0 -seq_idx cache_len=300 window=100",
        "S2 L130 H2 G2 P128 T4 C130 -cache0 -n0 -seq_idx cache_len=130",
        "S1 L150 H4 G1 P32 T2 C1 -cache0 -n0 causal=0",
        "S2 L90 H2 G2 P64 T4 C70 -seq_idx",
        "S2 L260 H4 G1 P64 T2 C260 -cache0 -n0 cache_len=260",                         /* those that Hopper's take: documents, */
        "S1 L193 H2 G2 P128 T4 C1 -cache0 -n0 causal=0 window=90",                     /* both sides, */
        "S1 L129 H3 G1 P128 T2 C1 -cache0 -n0 -seq_idx causal=0",                      /* one more than a tile, */
        "S1 L64 H1 G1 P64 T2 C64 -cache0 -n0 -seq_idx cache_len=64",                   /* the fewest */
        "S1 L257 H1 G1 P24 T2 C257 -cache0 -n0 cache_len=257"})
