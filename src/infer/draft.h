/* draft.h - the inside of drafts: guesses, and the way back from them.
 *
 * A run reads the tokens that are known and not read yet, then guesses, and leaves scores
 * behind each.  While the tokens drawn are those guessed, nothing is run.  At the first other one
 * the states have read too much: they are copied back to where the run began, and the next run
 * begins with what is known since.  So a wrong guess costs a copy of the states, no run. */
#ifndef KR_INFER_DRAFT_H
#define KR_INFER_DRAFT_H
#include "graph/graph.h"
#include "infer/sampler.h"
#include "krait/infer.h"

/* What followed the longest stretch, of 2 to n_gram tokens, that the text ends with and that was there
 * before, the latest of equals: as many as wanted, or none. */
int64_t kr_guess_from_text(const kr_sampler_memory *m, int64_t n_gram, int32_t *guess, int64_t most);

/* Graphs that read so many tokens of one sequence at once, and leave scores behind each; the state is the first row
 * of a graph of single tokens. */
enum { KR_N_RUNS = 8, KR_LONGEST_RUN = 16 };
extern const int64_t kr_run_length[KR_N_RUNS]; /* falling, to 2 */
typedef struct kr_runs { kr_graph *graph[KR_N_RUNS]; } kr_runs;
kr_status kr_runs_open(kr_runs *r, kr_model *m, kr_graph *home, kr_dtype state_dtype, int n_threads);
void kr_runs_close(kr_runs *r);
/* The longest of at most n tokens; KR_N_RUNS: none. */
int kr_runs_pick(int64_t n);
/* A graph for a kept copy of such a state alone. */
kr_status kr_kept_state(kr_graph **out, kr_model *m, kr_dtype state_dtype);

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
