/* engine.h - many sequences of one model at once: what a server stands on.
 *
 *     kr_engine *e; kr_request *r; kr_event ev;
 *     kr_engine_new(&e, model, NULL);
 *     kr_engine_submit(e, &(kr_request_options){.prompt = tok, .n_prompt = n, .max_tok = 100}, &r);
 *     while (kr_request_next(r, &ev, -1) && ev.finish == KR_GOES_ON) fwrite(ev.text, 1, ev.n_bytes, stdout);
 *     kr_request_free(r);
 *
 * One thread of the engine's own runs the model; everything here may be called from any other.
 * All sequences that are being written take a step together; prompts are read in pieces in
 * between, in turns, so that no stream waits longer than stall_s (or one piece).
 *
 * The bits of a sequence depend on its own tokens and choices alone: not on what else runs,
 * nor on what the prefix cache holds (see reuse_replies). */
#ifndef KRAIT_ENGINE_H
#define KRAIT_ENGINE_H
#include "krait/grammar.h"
#include "krait/infer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kr_engine kr_engine;
typedef struct kr_request kr_request;

typedef struct kr_engine_options {
    int64_t n_slots;      /* sequences at once; default 8 */
    int64_t max_waiting;  /* requests that wait for one of them; default 1024 */
    int64_t grain;        /* of the prefix cache: prompts are cut at its multiples; a power of two, default 64 */
    int64_t read_tok;     /* tokens of a prompt read at once at most; default 512, or the grain where longer
                             pieces would have other bits (attention, Mamba-3, a GPU) */
    double stall_s;       /* how long prompts may hold up what is being written; default 0.1 */
    int64_t cache_bytes;  /* of the prefix cache; default 512 MB; negative: none */
    bool reuse_replies;   /* the cache also holds what was written, so a conversation goes on at once; such a
                             state came of single steps, so its bits differ from a reading by rounding */
    int64_t n_draft;      /* tokens that requests may guess ahead at once, from their own text, at most 15 (see krait/infer.h);
                             0: none.  What is written stays the same, bit for bit; takes once more the states of all slots.  On a device
                             a request guesses while no other is written, and the same holds up to rounding; takes one state more, and graphs of 2 to 16 tokens */
    const kr_model *draft;/* a smaller model of the same tokens guesses instead, where it has read the text (it begins with what a
                             request brings); NULL: none.  Lives as long as the engine, and takes once its states for all slots */
    int n_threads;        /* default: all cores this process may use */
    const char *state_dtype; /* as of sessions */
    const char *cache_dir;   /* a folder that the prefix cache outlives the engine in: read at the start, written when nothing
                                runs and at the end; NULL: none.  One engine at a time has it */
    double keep_s;           /* it is written after so long without work; default 2 */
    void (*note)(void *user, const char *sentence); /* what of that folder was of no use, from any thread; may be NULL */
    void *user;
} kr_engine_options;

/* KR_ERR_BUSY, KR_ERR_IO: of cache_dir. */
KR_API kr_status kr_engine_new(kr_engine **out, const kr_model *m, const kr_engine_options *opt);
/* Ends what runs (KR_FINISH_CANCEL), writes cache_dir, then ends all of it; free requests before or after. */
KR_API void kr_engine_free(kr_engine *e);
/* Refuses new requests; returns when those it has are done, or after so many seconds (false). */
KR_API bool kr_engine_drain(kr_engine *e, double timeout_s);

typedef struct kr_request_options {
    const int32_t *prompt;       /* copied; at least one token, unless `from` has scores */
    int64_t n_prompt;
    const kr_snapshot *from;     /* goes on from here; NULL: from the start */
    kr_sampler_options sampler;
    int64_t max_tok;             /* written at most; default 256 */
    const char *const *stop;     /* ends where one of these would appear */
    int64_t n_stop;
    const int32_t *stop_tok;     /* ... or one of these, as at the model's own end of text */
    int64_t n_stop_tok;
    kr_grammar *grammar;         /* what is written keeps to it; shared */
    bool logprobs;               /* with each token its log-probability */
    int64_t n_top;               /* ... and those of so many likeliest; at most 100 */
    bool keep_state;             /* for kr_request_state */
    bool in_turn;                /* the state kept stands within a turn of a conversation: see kr_snapshot_in_turn */
    bool only_read;              /* ends (KR_FINISH_LENGTH) when the prompt is read: for its state, or to have it in the cache */
    int64_t n_draft;             /* tokens guessed at once at most; 0: as the engine says; negative: none */
    bool no_cache;               /* neither takes from the prefix cache nor adds to it */
    int64_t client;              /* whose: who has least running is served first */
    void (*on_event)(void *user);/* there is something for kr_request_next; from the engine's thread,
                                    which it must not hold up, nor call anything here */
    void *user;
} kr_request_options;

/* KR_ERR_ARG; KR_ERR_BUSY: too many wait already; KR_ERR_STOPPED: the engine is ending. */
KR_API kr_status kr_engine_submit(kr_engine *e, const kr_request_options *opt, kr_request **out);
KR_API void kr_request_cancel(kr_request *r); /* the next event but those there are is the last */
/* The same, but of one that has written anything the state is kept, for kr_request_state. */
KR_API void kr_request_interrupt(kr_request *r);
KR_API void kr_request_free(kr_request *r);   /* cancels; before or after kr_engine_free */

typedef enum kr_finish {
    KR_GOES_ON,
    KR_FINISH_END,     /* the model's end of text, a stop token, or nothing more fits the grammar */
    KR_FINISH_STOP,    /* a stop string */
    KR_FINISH_LENGTH,  /* max_tok */
    KR_FINISH_CANCEL,
    KR_FINISH_ERROR,   /* kr_request_error says what */
} kr_finish;

/* A token, or (finish is not KR_GOES_ON, tok -1) the end. */
typedef struct kr_event {
    kr_finish finish;
    int32_t tok;
    const char *text;  /* whole characters, none of a stop string: so it may come with a later token */
    int64_t n_bytes;
    float logprob;
    const kr_logprob *top;
    int64_t n_top;
} kr_event;

/* The next event; false when none came in time (seconds; negative: any).  Its pointers hold until
 * the next call.  One thread at a time reads a request. */
KR_API bool kr_request_next(kr_request *r, kr_event *out, double timeout_s);
KR_API const char *kr_request_error(const kr_request *r);

typedef struct kr_request_usage {
    int64_t n_prompt, n_cached, n_written; /* cached: tokens of the prompt that were not read again */
    double wait_s, first_s, total_s;       /* until reading began, until the first token, until the end (or now) */
} kr_request_usage;
KR_API void kr_request_get_usage(const kr_request *r, kr_request_usage *out);
/* What it remembers at its end, all tokens written with it (but an end of text); one more owner.
 * KR_ERR_MISSING: it has not ended, or nothing was kept. */
KR_API kr_status kr_request_state(const kr_request *r, kr_snapshot **out);
/* A snapshot of this model from a file. */
KR_API kr_status kr_engine_load_state(const kr_engine *e, kr_snapshot **out, const char *path);

typedef struct kr_engine_stats {
    int64_t n_slots, n_waiting, n_reading, n_writing; /* now */
    int64_t n_requests, n_prompt, n_cached, n_written, n_steps, n_cancelled, n_failed; /* since the start */
    int64_t n_guessed, n_accepted; /* tokens of drafts; of these, written */
    int64_t cache_bytes, cache_entries, cache_hits, cache_misses, cache_evicted;
    int64_t kept_entries, kept_bytes, kept_refused; /* in cache_dir; refused: damaged, or of another model */
    int64_t state_bytes;       /* of one sequence */
    double read_s, write_s, longest_stall_s;
    double slot_s;             /* how long those that ended lately had a slot; 0: none has ended */
} kr_engine_stats;
KR_API void kr_engine_get_stats(const kr_engine *e, kr_engine_stats *out);

#ifdef __cplusplus
}
#endif
#endif
