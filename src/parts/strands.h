/* strands.h - both strands of a sequence read by one model (Caduceus: Schiff et al. 2024): the encoder makes two sequences
 * of each row, and heads put together what was said of the two, so that it does not matter which strand came in. */
#ifndef KR_PARTS_STRANDS_H
#define KR_PARTS_STRANDS_H
#include "parts/part.h"

/* Rows that b's sequences are: half of them if they are strands. */
int64_t kr_rows(const kr_build *b);
/* One vector for each row, `kind` as pool has it: of strands the mean of both.  lengths: rows end early. */
kr_node *kr_pooled(kr_build *b, int kind, bool lengths, kr_node *x);
/* [rows, L, 2 M]: each step's vector, and beside it the one that the other strand has of the same letter. */
kr_node *kr_beside(kr_build *b, kr_node *x);
#endif
