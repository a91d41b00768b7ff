/* session.h - the inside of a session, for the files of this folder. */
#ifndef KR_INFER_SESSION_H
#define KR_INFER_SESSION_H
#include "infer/draft.h"
#include "infer/grammar.h"
#include "infer/reader.h"
#include "infer/snapshot.h"
#include "krait/infer.h"

/* session.c: a token joined the text, so the sampler, the grammar and the count are told. */
kr_status kr_session_see(kr_session *s, int32_t tok);

struct kr_session {
    kr_session_options opt;
    kr_reader reader;
    kr_sampler sampler;
    kr_layout *layout;
    const float *logits; /* of the graph that ran last, or kept_logits; NULL: nothing was read yet */
    float *kept_logits;  /* [V]: of a snapshot */
    int64_t n_tok;
    kr_grammar *grammar; /* NULL: none */
    int32_t place;       /* in it */
    uint64_t *allowed;   /* [V] bits, once there was a grammar */
    kr_draft *draft;     /* NULL: none */
    int32_t last;        /* drawn and not fed yet: the next token fed may be the session's own */
};
#endif
