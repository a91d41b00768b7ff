/* fim.h - the order that fills in: spans are left out where they stand and come at the end, so a model
 * that goes from left to right reads what is on both sides before it writes them. */
#ifndef KR_DATA_FIM_H
#define KR_DATA_FIM_H
#include <stdint.h>

#include "base/rng.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { KR_FIM_SPANS = 5 };
typedef struct kr_fim { int n; int64_t from[KR_FIM_SPANS], to[KR_FIM_SPANS]; } kr_fim; /* in order, apart from each other */

/* Poisson(1) many, at most 5, of n letters `fraction` at most, as ProtMamba draws them (Sgarbossa et al. 2024). */
void kr_fim_draw(kr_fim *f, kr_rng *r, int64_t n, double fraction);
/* The steps of n letters: at[i] is a letter's number, or ~k for the mark of span k, once where the span stood and
 * once before it at the end.  Returns n + 2 spans; *head of them stand before the end. */
int64_t kr_fim_order(const kr_fim *f, int64_t n, int64_t *at, int64_t *head);
/* The position of a step: its letter's own, a mark's that of the first letter it hides. */
static inline int64_t kr_fim_position(const kr_fim *f, int64_t at) { return at >= 0 ? at : f->from[~at]; }

#ifdef __cplusplus
}
#endif
#endif
