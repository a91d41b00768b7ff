/* prefix.h - the prefix cache: states of prompts that were read, found by their tokens.
 *
 * Tokens are cut into blocks of one grain; a block is known by its tokens and the block before
 * it, so known prompts are a tree that shares what they share.  A block may have a checkpoint,
 * the state after it.  What is left of a prompt behind its last whole block is a block too, a
 * tail: its checkpoint serves that prompt again, and (reuse_replies) longer ones.
 *
 * Bits: a reading from the start passes through every multiple of the grain with the same
 * state, so going on from a checkpoint there gives the same bits as reading it all.
 *
 * What is kept.  A checkpoint is megabytes, so under a budget those go first that are cheapest
 * to do without:
 *
 *              tokens to read again without it    1 + times used, twice that where prompts part
 *     worth =  -------------------------------- x ----------------------------------------------
 *              tokens behind it in its prompt     requests since it was made or used
 *
 * This leaves the newest prompt with a checkpoint each grain while there is room; under
 * pressure they thin out away from its end, their distances growing in proportion. */
#ifndef KR_INFER_PREFIX_H
#define KR_INFER_PREFIX_H
#include "infer/snapshot.h"

typedef struct kr_block kr_block;
typedef struct kr_prefix {
    int64_t grain, budget, bytes, now;  /* now: requests so far */
    int64_t n_entries, n_hits, n_misses, n_evicted;
    int64_t next_serial, n_changes;     /* a checkpoint has a number that no other ever had */
    kr_snapshot *(*fetch)(void *user, int64_t serial, int64_t n_tok); /* of those not in memory (kr_prefix_restore); NULL: it is lost */
    void *user;
    kr_block *root, **table, *entries;  /* entries: blocks with a checkpoint, in a list */
    size_t n_table, n_blocks;
} kr_prefix;

kr_status kr_prefix_open(kr_prefix *p, int64_t grain, int64_t budget);
void kr_prefix_close(kr_prefix *p);

typedef struct kr_prefix_hit {
    kr_snapshot *state;  /* one more owner; NULL: none fits */
    int64_t n_tok;       /* that it has read */
    int64_t shared;      /* whole blocks that other prompts have too, in tokens */
    bool whole;          /* a multiple of the grain, so the bits are those of a reading */
} kr_prefix_hit;
/* The longest known beginning of n tokens.  tails: also from tails that are not all of them.  A request that asks
 * again says how much it found before (else -1), so that it counts once. */
kr_prefix_hit kr_prefix_find(kr_prefix *p, const int32_t *tok, int64_t n, bool tails, int64_t before);
/* Is a checkpoint after n tokens of a prompt of n_all worth its bytes?  Known ones are not. */
bool kr_prefix_wants(kr_prefix *p, const int32_t *tok, int64_t n, int64_t n_all, bool parting, size_t bytes);
/* Takes the checkpoint over, one owner; KR_ERR_NOMEM leaves the cache as it is. */
kr_status kr_prefix_add(kr_prefix *p, const int32_t *tok, int64_t n, int64_t n_all, bool parting, kr_snapshot *state);

/* --- as a file has it ----------------------------------------------------------------------------- */

/* A block; `parent` is the number of one before it, -1 is the root; serial 0: it has no checkpoint. */
typedef struct kr_tree_block { int64_t parent, behind, used, n_used, serial; int32_t n, parting; } kr_tree_block;
typedef struct kr_tree {
    int64_t now, next_serial, n_changes, n, n_tok;
    kr_tree_block *block;
    int32_t *tok;        /* of all blocks, one behind the other */
    kr_snapshot **state; /* [n], an owner of each; NULL: there is none, or it is not in memory */
} kr_tree;
kr_status kr_prefix_picture(kr_prefix *p, kr_tree *out);
void kr_tree_free(kr_tree *x);
/* Into an empty cache; each state will have so many bytes.  KR_ERR_FORMAT: this is no tree of tokens below V. */
kr_status kr_prefix_restore(kr_prefix *p, const kr_tree *x, size_t state_bytes, int64_t V);
#endif
