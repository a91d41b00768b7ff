/* learn.h - which pairs of tokens to merge, from words and their counts. */
#ifndef KR_TEXT_LEARN_H
#define KR_TEXT_LEARN_H
#include "text/words.h"

typedef struct kr_learned_merge { int32_t left, right, to; } kr_learned_merge;

typedef struct kr_learner {
    const int32_t *byte;       /* [256] the tokens of single bytes */
    int64_t n_tokens, max_tokens; /* so far, and where to stop */
    int64_t min_count;         /* pairs seen less often are left */
    void (*progress)(void *user, const char *what, int64_t done, int64_t of); /* or NULL */
    void *user;
    kr_learned_merge *merge;   /* out, in order; the caller frees */
    size_t n_merges;
} kr_learner;

/* The pair that occurs most often becomes a token, again and again; of equals the pair whose
 * left and then right token has the smaller id. */
kr_status kr_learn(kr_learner *l, const kr_words *w);
#endif
