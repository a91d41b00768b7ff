/* engine.h - the inside of the engine, for the files of this folder.
 *
 *     engine.c    its one thread; requests in and out
 *     request.c   what a request's owner and the engine share: events, the end
 *     read.c      prompts: turns, the prefix cache, checkpoints
 *     write.c     a step for all that are being written; ends
 *     ahead.c     which tokens that step reads: those known, and guesses
 *     keep.c      a second thread, that writes the prefix cache to its folder
 *
 * The lock guards the queue, events, flags and counts.  States, graphs, the cache and
 * sequences belong to the thread alone. */
#ifndef KR_INFER_ENGINE_H
#define KR_INFER_ENGINE_H
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "graph/graph.h"
#include "infer/draft.h"
#include "infer/helper.h"
#include "infer/prefix_file.h"
#include "infer/reader.h"
#include "infer/stops.h"
#include "krait/engine.h"

typedef struct kr_sequence kr_sequence;

/* What came of a step, until its owner asks; text and tops lie one after another. */
typedef struct kr_told { int32_t tok; kr_finish finish; float logprob; int64_t n_bytes, n_top; } kr_told;

/* Outlives the engine and the owner, whoever is longer. */
typedef struct kr_shared {
    pthread_mutex_t lock;
    pthread_cond_t work, news; /* for the thread; for owners */
    atomic_int n_owners;
} kr_shared;
void kr_shared_leave(kr_shared *s);
struct timespec kr_deadline(double timeout_s); /* by the clock of both conditions */

struct kr_request {
    kr_shared *shared;
    int n_owners;              /* of the owner and the engine; under the lock */
    kr_request *next;          /* in the queue */
    atomic_bool cancelled, interrupted; /* interrupted: cancelled, but its state is wanted */
    kr_request_options opt;    /* without its pointers */
    int32_t *tok;              /* [n_prompt + n_written], the prompt first; the thread's */
    int64_t n_tok, room;
    int32_t *stop_tok;
    kr_snapshot *from, *state;
    kr_sampler_options sampler;
    kr_logit_bias *bias;
    int32_t *breaker;
    kr_stops stops;
    /* under the lock */
    kr_told *told;
    int64_t n_told, room_told, next_told;
    kr_str text;               /* of the events not asked for yet, then those taken */
    size_t text_at;
    kr_logprob *top, *given;   /* n_top for each event not asked for; the last asked for */
    kr_str given_text;
    bool ended, lost;          /* lost: an event found no memory */
    char error[512];
    double at_submit, at_start, at_first, at_end;
    int64_t n_cached, n_written;
};
kr_status kr_request_new(kr_request **out, const kr_request_options *o, const kr_model *m);
void kr_request_drop(kr_request *r); /* one owner less; the lock is held by the caller, who must not use r again */
/* Under the lock. */
void kr_request_tell(kr_request *r, kr_told what, const char *text, const kr_logprob *top);

/* What a sequence guesses (ahead.c).  The tokens `since` are of the text and in no state; guesses are
 * read behind them.  The state before these (on a device: before `since`) is kept, until all of them were right. */
enum { KR_AHEAD = KR_LONGEST_RUN };        /* rows of a sequence in one step */
typedef struct kr_ahead {
    int32_t since[KR_AHEAD], guess[KR_AHEAD];
    int n_since, n_guess, n_right;
    int at[KR_AHEAD], first;   /* rows of this step's graph; first: which of them has the scores before the first guess */
    bool hit;                  /* the token taken last was guessed: the next scores are there */
    bool strayed;              /* the row's state has read wrong guesses: the kept one counts */
    int reach;                 /* how many are worth guessing */
    int rest, rests;           /* tokens until the next try; how many it were last time */
} kr_ahead;

struct kr_sequence {
    kr_request *req;           /* NULL: the slot is free */
    kr_sampler sampler;
    int64_t pos;               /* tokens read of req->tok */
    int64_t *shared;           /* [n_slots]: tokens that its prompt shares with another's; -1: not counted yet */
    int64_t parting;           /* where another prompt parted from this one; 0: unknown */
    bool fresh;                /* nothing of it was read yet */
    bool exact;                /* its state is what a reading from the start gives */
    bool closing;              /* its last token is being read, for the state to be kept */
    kr_finish finish;
    kr_snapshot *parked;       /* its state while another prompt is read */
    int pieces;                /* read in this turn */
    kr_ahead ahead;
    int32_t place;             /* in the grammar */
    bool inside;               /* it has one: since kr_engine_begin */
    uint64_t *allowed;         /* [V] bits, by the grammar; once there was one */
    int32_t drawn;             /* this step; -1: none is allowed */
    kr_str shown;              /* of this step */
};

/* The thread that writes the cache to disk.  The engine's draws the picture, between two steps. */
typedef struct kr_keeper {
    kr_prefix_file *file;      /* NULL: the cache is nowhere but in memory */
    pthread_t thread;
    bool running;
    /* under the lock */
    pthread_cond_t wake;
    bool ending, wanted, drawn;/* a picture */
    kr_tree picture;
    int64_t changes, saved;    /* of the cache, by now and when it was written */
    double calm_since;         /* 0: there is work */
} kr_keeper;

enum { KR_N_BATCHES = 24, KR_MAX_SLOTS = 256, KR_MAX_TOP = 100 };
struct kr_engine {
    const kr_model *model;
    kr_engine_options opt;
    kr_shared *shared;
    pthread_t thread;
    bool running;
    /* the thread's */
    kr_reader desk;                     /* where one prompt at a time is read */
    kr_graph *batch[KR_N_BATCHES];      /* the first owns a row for each slot; then narrower ones ... */
    int64_t rows[KR_N_BATCHES];
    int n_batches, n_wide;              /* ... and, for drafts, others, wider ones too */
    int64_t most_rows;
    char *kept;                         /* with drafts, on a CPU: for each slot the state before its guesses */
    kr_runs runs;                       /* on a device: of row 0, while nobody else is written; ... */
    kr_graph *before;                   /* ... its state before such a run; NULL: on a CPU, or without drafts */
    kr_helper *helper;                  /* who guesses; NULL: the text itself */
    kr_wave *wave;                      /* as many as the widest has rows */
    kr_wave_keep *keep;
    kr_layout *layout;
    kr_prefix cache;
    kr_sequence *slot;
    kr_sequence **reading, **writing, *at_desk; /* in the order of their turns; writing[i] is row i */
    int64_t n_reading, n_writing;
    int threads;                        /* that draw */
    double piece_s;                     /* what the last piece took ... */
    int64_t piece;                      /* ... of so many tokens */
    double last_step;                   /* when the last step ended */
    kr_keeper keeper;
    kr_status broken;
    char error[512];
    kr_logprob *top;
    /* under the lock */
    kr_request *queue, **queue_end;
    int64_t n_waiting;
    bool closing, draining;
    kr_engine_stats stats;
};

/* keep.c: opens the cache's folder and reads it; starts the thread; ends it and writes the cache. */
kr_status kr_keeper_open(kr_engine *e);
kr_status kr_keeper_start(kr_engine *e);
void kr_keeper_close(kr_engine *e);
void kr_keeper_tell(kr_engine *e, bool idle); /* how the cache is, once a turn; the lock is held */
void kr_keeper_draw(kr_engine *e);            /* the picture that is wanted */
/* read.c */
kr_status kr_engine_begin(kr_engine *e, kr_sequence *q);
kr_status kr_engine_read(kr_engine *e);
/* write.c */
kr_status kr_engine_write(kr_engine *e);
/* The first or next token of each, by its scores; it may be its last. */
void kr_engine_take_tokens(kr_engine *e, kr_sequence *const *q, const float *const *logits, int64_t n);
/* The end of a request that only reads; its prompt's last scores. */
void kr_engine_end_reading(kr_engine *e, kr_sequence *q, const float *logits);
/* Of a request that is to end: at once, or when its state is complete. */
void kr_engine_finish(kr_engine *e, kr_sequence *q, kr_finish how);
void kr_engine_end(kr_engine *e, kr_sequence *q, kr_finish finish);
/* ahead.c */
void kr_ahead_start(kr_sequence *q);
/* Guesses for those in `writing`, and a run over all that is to be read; *logits its scores by rows. */
kr_status kr_ahead_run(kr_engine *e, const float **logits);
/* A token joined the text. */
void kr_ahead_take(kr_sequence *q, int32_t tok);
/* Is another token to be taken of this step? */
bool kr_ahead_goes_on(const kr_sequence *q);
/* The row's state becomes that of all tokens; false: some are to be read first. */
bool kr_ahead_settle(kr_engine *e, kr_sequence *q, int64_t row);
void kr_ahead_learn(kr_sequence *q);      /* the step is over */
/* engine.c */
void kr_engine_release(kr_engine *e, kr_sequence *q); /* the slot is free again */
#endif
