/* reader.h - one sequence being read: graphs of falling length over one set of states.
 *
 * Each is made when it is first read with: a short text needs few of them.
 * A text is cut into the longest pieces there are graphs for, so the numbers depend on the cut
 * by rounding.  Whoever wants the same bits again reads from the same positions. */
#ifndef KR_INFER_READER_H
#define KR_INFER_READER_H
#include "model/model.h"

enum { KR_N_LENGTHS = 10 };

typedef struct kr_reader {
    kr_model *model;
    kr_graph *home;                 /* of single tokens; it owns the states */
    kr_graph *graph[KR_N_LENGTHS];  /* NULL: not needed yet; the last is home */
    int64_t length[KR_N_LENGTHS];   /* the longest, then powers of two: 256 and all below */
    int n, n_threads, last;         /* last: which one was read with */
    kr_dtype state_dtype;
} kr_reader;

/* KR_ERR_ARG: the model does not go from token to token. */
kr_status kr_reader_open(kr_reader *r, const kr_model *m, int64_t longest, int n_threads, const char *state_dtype);
void kr_reader_close(kr_reader *r);
/* The tokens that the next piece of n takes. */
int64_t kr_reader_piece(const kr_reader *r, int64_t n);
/* Reads just so many; *logits stays until the next call. */
kr_status kr_reader_read(kr_reader *r, const int32_t *tok, int64_t piece, const float **logits);
/* Does a text have the same bits however it is cut at multiples of `grain`? */
bool kr_cuts_anywhere(const kr_model *m, int64_t grain);
/* KR_ERR_ARG names the first id that is none. */
kr_status kr_check_tokens(const kr_model *m, const int32_t *tok, int64_t n);
#endif
