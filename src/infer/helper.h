/* helper.h - a smaller model that guesses for the sequences of an engine.
 *
 * It keeps a state for each slot, behind some of its text, and reads what came since when it is asked; nothing waits for it
 * long: of a long text it reads a piece a step, and guesses once it is there.  A guess decides how fast it goes, never
 * what is written, so its states may be anything: here they are those of a reading in any pieces. */
#ifndef KR_INFER_HELPER_H
#define KR_INFER_HELPER_H
#include "infer/reader.h"
#include "infer/sampler.h"

typedef struct kr_helper kr_helper;

/* KR_ERR_ARG: it has other tokens than V, or does not go from token to token. */
kr_status kr_helper_open(kr_helper **out, const kr_model *m, int64_t V, int64_t n_slots, int n_threads);
void kr_helper_close(kr_helper *h);
void kr_helper_forget(kr_helper *h, int64_t slot); /* another text will be there */
/* At most `most` tokens behind tok[0, n_tok), drawn as s, which has seen these, would draw them; s stays as it is. */
int kr_helper_guess(kr_helper *h, int64_t slot, const int32_t *tok, int64_t n_tok, kr_sampler *s, int32_t *guess, int most);
#endif
