/* infer.h - beyond one sequence read and continued: all samplers, snapshots, forks.
 *
 * What a model remembers of a text is a state of constant size, so it is a thing to keep: a
 * snapshot is an immutable copy of it, to go back to, to fork from, to save. */
#ifndef KRAIT_INFER_H
#define KRAIT_INFER_H
#include "krait.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- choosing tokens ------------------------------------------------------------------ */

typedef struct kr_logit_bias { int32_t tok; float bias; } kr_logit_bias;

/* In this order; what is zero is off:
 *
 *   scores   + bias, penalties, DRY; then what a grammar or min_tok forbids
 *   p        = softmax(scores / temperature), of scores within top_n_sigma
 *   cuts     top_k, typical_p, min_p, top_p, XTC -- or mirostat alone
 *   draw     one, by p of what is left */
typedef struct kr_sampler_options {
    float temperature;        /* 0: always the likeliest token */
    int64_t top_k;            /* of the likeliest */
    float top_p;              /* smallest set of at least this probability */
    float min_p;              /* at least this share of the likeliest one's probability */
    float repetition_penalty; /* probabilities of tokens seen before, read or written, are divided by this; 1 is off too */
    uint64_t seed;            /* same seed, same text, on any number of threads */
    float typical_p;          /* smallest set of this probability whose surprise is closest to the expected one */
    float top_n_sigma;        /* scores at least the largest less this many standard deviations */
    float xtc_probability, xtc_threshold; /* so often, of tokens at least that likely all go but the last */
    float frequency_penalty, presence_penalty; /* off the score: times how often a token was written; once if it was */
    float mirostat_tau, mirostat_eta; /* mirostat 2: the surprise to keep to, in bits, and how fast (0: 0.1) */
    float dry_multiplier, dry_base;   /* off the score of a token that would lengthen a repeated stretch of n tokens: */
    int64_t dry_allowed, dry_range;   /* multiplier base^(n - allowed); base 0: 1.75, allowed 0: 2, range 0: 1024 tokens back */
    const int32_t *dry_breaker;       /* tokens that no stretch goes beyond */
    int64_t n_dry_breaker;
    const kr_logit_bias *bias;        /* -INFINITY: never */
    int64_t n_bias;
    int64_t min_tok;          /* the end of the text is not drawn before so many */
} kr_sampler_options;

typedef struct kr_logprob { int32_t tok; float logprob; } kr_logprob;
/* The natural logarithm of a token's probability by the scores as the model gave them. */
KR_API float kr_logprob_of(const float *logits, int64_t n_vocab, int32_t tok);
/* The n likeliest, likeliest first; returns how many there are. */
KR_API int64_t kr_logprobs_top(const float *logits, int64_t n_vocab, kr_logprob *top, int64_t n);

/* --- snapshots ------------------------------------------------------------------------- */

/* What a sequence remembers at one position: states, scores, the sampler's memory.  Never
 * changes; has owners, who may be threads.  Fits every session of its model. */
typedef struct kr_snapshot kr_snapshot;

KR_API kr_status kr_session_snapshot(kr_snapshot **out, const kr_session *s);
/* Back (or elsewhere) to where the snapshot was taken: bit for bit from there.
 * KR_ERR_ARG: it is of another model, or states are stored otherwise. */
KR_API kr_status kr_session_restore(kr_session *s, const kr_snapshot *from);
/* A second session that stands where s stands. */
KR_API kr_status kr_session_fork(kr_session **out, const kr_session *s);
KR_API kr_snapshot *kr_snapshot_share(kr_snapshot *s); /* one more owner; returns s */
KR_API void kr_snapshot_free(kr_snapshot *s);          /* one less */
KR_API int64_t kr_snapshot_n_tok(const kr_snapshot *s);
KR_API int64_t kr_snapshot_bytes(const kr_snapshot *s);
/* Two things that go with a state into its file.  The stop string that ended the writing, which the state has read; NULL: none
 * did.  *beyond (may be NULL): what came with its last token. */
KR_API const char *kr_snapshot_stop(const kr_snapshot *s, const char **beyond);
/* Whether it stands within a turn of a conversation (kr_request_options.in_turn). */
KR_API bool kr_snapshot_in_turn(const kr_snapshot *s);
/* The file is that of kr_session_save; reading wants a session of the model. */
KR_API kr_status kr_snapshot_save(const kr_snapshot *s, const char *path);
KR_API kr_status kr_snapshot_load(kr_snapshot **out, const kr_session *like, const char *path);

/* --- drafts ------------------------------------------------------------------------------ */

/* Guessed tokens are read together in one run and kept as far as they are those that
 * kr_session_sample then draws.  The guesses decide how fast it goes, never what is written: every
 * token is drawn by the session's own sampler from the model's own scores. */
typedef struct kr_draft_options {
    int64_t n_draft;       /* tokens guessed at once, at most 15; default 7 */
    int64_t n_gram;        /* from the text itself: what followed the last n_gram tokens, or fewer, before; default 4 */
    const kr_model *model; /* a smaller model of the same tokens guesses instead; NULL: none */
} kr_draft_options;
/* From here on, tokens that were sampled and are fed one by one may have been read already.
 * NULL: no drafts.  Takes all its memory here; a model wants to be there before the prompt. */
KR_API kr_status kr_session_set_draft(kr_session *s, const kr_draft_options *opt);
typedef struct kr_draft_stats { int64_t n_runs, n_guessed, n_accepted; } kr_draft_stats;
KR_API kr_draft_stats kr_session_draft_stats(const kr_session *s);

/* --- embeddings --------------------------------------------------------------------------- */

/* A text as one vector of the model's width: the hidden states that its head would read, their mean over
 * all tokens or the last one.  Needs a model that goes from token to token, on a CPU. */
typedef enum kr_pooling { KR_POOLING_MEAN, KR_POOLING_LAST } kr_pooling;
typedef struct kr_embedder kr_embedder;
KR_API kr_status kr_embedder_new(kr_embedder **out, const kr_model *m, int n_threads);
KR_API void kr_embedder_free(kr_embedder *e);
KR_API int64_t kr_embedder_width(const kr_embedder *e);
/* Asked before every piece of a text, at most 256 tokens; true: kr_embed ends with KR_ERR_STOPPED.  NULL: never. */
KR_API void kr_embedder_set_stop(kr_embedder *e, bool (*stop)(void *user), void *user);
/* Of n tokens, at least one, into float [width]; `unit`: scaled to length 1. */
KR_API kr_status kr_embed(kr_embedder *e, const int32_t *tok, int64_t n, kr_pooling pooling, bool unit, float *out);

#ifdef __cplusplus
}
#endif
#endif
