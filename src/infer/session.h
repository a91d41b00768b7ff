/* session.h - the inside of a session, for the files of this folder. */
#ifndef KR_INFER_SESSION_H
#define KR_INFER_SESSION_H
#include "base/rng.h"
#include "krait.h"
#include "model/model.h"

enum { KR_N_LENGTHS = 3 }; /* graphs of a whole prefill, of 16 steps, of one */

struct kr_session {
    kr_model *model;
    kr_session_options opt;
    kr_graph *graph[KR_N_LENGTHS]; /* the first owns the states, the others share them */
    kr_dtype state_dtype;
    int64_t length[KR_N_LENGTHS];
    const float *logits;           /* of the graph that ran last; NULL: nothing was read yet */
    kr_rng rng;
    int64_t n_tok;
    uint8_t *seen;                 /* [V]: tokens fed, for the repetition penalty */
    struct kr_choice { float p; int32_t id; } *choice; /* [V]: the sampler's own */
};

int32_t kr_sample(kr_session *s, const float *logits, int64_t V);
#endif
