/* draft.h - the inside of drafts: guesses, and the way back from them.
 *
 * A run reads the tokens that are known and not read yet, then guesses, and leaves scores
 * behind each.  While the tokens drawn are those guessed, nothing is run.  At the first other one
 * the states have read too much: they are copied back to where the run began, and the next run
 * begins with what is known since.  So a wrong guess costs a copy of the states, no run. */
#ifndef KR_INFER_DRAFT_H
#define KR_INFER_DRAFT_H
#include "base/error.h"
#include "krait/infer.h"

typedef struct kr_draft kr_draft;
void kr_draft_free(kr_draft *d);
/* The session is elsewhere now. */
void kr_draft_forget(kr_draft *d);
/* Tokens of the text that were read otherwise, for a helper to read too. */
kr_status kr_draft_also(kr_draft *d, const int32_t *tok, int64_t n);
/* The next token, drawn by the session itself; its scores follow. */
kr_status kr_draft_take(kr_session *s, int32_t tok);
/* The states are those of the text; without a draft nothing to do. */
kr_status kr_draft_settle(kr_session *s);
#endif
