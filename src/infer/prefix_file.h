/* prefix_file.h - the prefix cache in a folder: whoever starts again knows what the last one had read.
 *
 *     DIR/lock                 one process at a time has the folder
 *     DIR/MODEL/tree           every block: its tokens, what it is worth, the number of its checkpoint
 *     DIR/MODEL/NUMBER.state   a checkpoint; never changes, and no number comes twice
 *
 * A save removes checkpoints that nobody has any more, writes those that are new, then the tree; each file is
 * written beside its name, synced and renamed.  Whoever is killed at any moment leaves a tree some of
 * whose checkpoints are missing, which are not known then, or checkpoints without a tree, which go.  All
 * of it can be read anew from prompts, so what is damaged is dropped, and said to `note`.
 *
 * MODEL is the model's and its states' sign, so one model does not see the other's.  All of the
 * folder has `budget` bytes; those of other models go first, the oldest before. */
#ifndef KR_INFER_PREFIX_FILE_H
#define KR_INFER_PREFIX_FILE_H
#include "infer/prefix.h"

typedef struct kr_prefix_file kr_prefix_file;

enum { KR_PREFIX_SIGN = 32, KR_PREFIX_VERSION = 1 };

typedef struct kr_prefix_file_options {
    const char *dir, *sign;     /* sign: KR_PREFIX_SIGN digits */
    kr_layout *layout;
    int64_t budget;
    void (*note)(void *user, const char *sentence); /* may be NULL */
    void *user;
} kr_prefix_file_options;

/* KR_ERR_BUSY: another process has the folder; KR_ERR_IO. */
kr_status kr_prefix_file_open(kr_prefix_file **out, const kr_prefix_file_options *o);
void kr_prefix_file_close(kr_prefix_file *f);
/* What is there, into an empty cache, which fetches states when it needs them. */
kr_status kr_prefix_file_load(kr_prefix_file *f, kr_prefix *p);
kr_snapshot *kr_prefix_file_fetch(void *f, int64_t serial, int64_t n_tok);
/* Lets go of the picture's states as they are written. */
kr_status kr_prefix_file_save(kr_prefix_file *f, kr_tree *x, int64_t grain);

typedef struct kr_prefix_file_stats { int64_t n, bytes, n_refused; } kr_prefix_file_stats;
kr_prefix_file_stats kr_prefix_file_get_stats(kr_prefix_file *f); /* from any thread */

/* What files begin with; `sum` is of all that follows. */
typedef struct kr_tree_head {
    char magic[8];
    int32_t version, grain;
    char sign[KR_PREFIX_SIGN];
    int64_t now, next_serial, n, n_tok;
    uint64_t sum;
} kr_tree_head;
typedef struct kr_state_head {
    char magic[8];
    int32_t version, unused;
    char sign[KR_PREFIX_SIGN];
    int64_t serial, n_tok, bytes, V;
    uint64_t sum;
} kr_state_head;
#endif
