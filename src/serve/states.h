/* states.h - what models remember, by name and on disk: the server's named states.
 *
 * A state is a row of an index (SQLite) and a file (what kr_snapshot_save writes).  The file is
 * on the disk before its row is, and its row is gone before the file is, so whoever is killed
 * at any moment leaves nothing worse than a file without a row, which the next start removes.
 * Files never change, so a fork is another row of the same file.
 *
 *     DIR/index.sqlite        rows: names, and files
 *     DIR/files/NUMBER.state  their names are ours: nothing of a request becomes a path
 *
 * One process at a time has a folder.  All here may be called from any thread. */
#ifndef KR_SERVE_STATES_H
#define KR_SERVE_STATES_H
#include <stdbool.h>
#include <stdint.h>

#include "krait/infer.h"
#include "model/model.h"

typedef struct kr_states kr_states;

enum { KR_STATE_NAME = 128, KR_STATE_MODEL = KR_MODEL_SIGN };

typedef struct kr_states_options {
    int64_t budget;      /* bytes of all files together; 0: 8 GB */
    int64_t max_names;   /* 0: 100000 */
    bool forget_oldest;  /* where these do not suffice, those used longest ago go; else the new one is refused */
    int64_t memory;      /* bytes of those kept in memory too; 0: 256 MB; negative: none */
    char model[KR_STATE_MODEL + 1]; /* of those made here: kr_model_sign */
} kr_states_options;

typedef struct kr_state_info {
    char name[KR_STATE_NAME + 1], parent[KR_STATE_NAME + 1]; /* parent "": not a fork */
    char model[KR_STATE_MODEL + 1];
    int64_t n_tok, bytes; /* bytes: of the file, which forks share */
    int64_t n_names;      /* that share it */
    uint64_t checksum;
    double created, used; /* seconds since 1970 */
    bool open;            /* it stands within a turn of a chat that goes on (kr_snapshot_in_turn) */
} kr_state_info;

/* Makes the folder, where there is none, for its owner alone.  KR_ERR_BUSY: another process has it.  KR_ERR_MISSING: this build has no SQLite. */
kr_status kr_states_open(kr_states **out, const char *dir, const kr_states_options *opt);
void kr_states_close(kr_states *s);

/* [A-Za-z0-9._-]{1,128}, and not all dots.  KR_ERR_ARG. */
kr_status kr_states_check_name(const char *name);

/* Keeps a snapshot under a name, in place of what had it.  When this returns KR_OK it is on the
 * disk.  KR_ERR_CONFIG: the budget, or the number of names, does not suffice; KR_ERR_IO: the disk does not. */
kr_status kr_states_put(kr_states *s, const char *name, const char *parent, kr_snapshot *state);
/* The same for the bytes of a file.  `check` reads the file, whose name means nothing, and says whether it is good.  open: it is, also where the
 * file does not say so itself, as older ones. */
typedef kr_status (*kr_states_reader)(void *user, kr_snapshot **out, const char *path);
kr_status kr_states_put_file(kr_states *s, const char *name, const void *bytes, size_t n, bool open, kr_states_reader check, void *user);
/* One more owner.  KR_ERR_MISSING: there is none of this name; KR_ERR_ARG: it is of another model;
 * KR_ERR_FORMAT: its file is not what was written. */
kr_status kr_states_get(kr_states *s, const char *name, kr_states_reader read, void *user, kr_snapshot **out, kr_state_info *info);
/* The file itself, open for reading, so that it stays readable whatever happens to the name. */
kr_status kr_states_get_file(kr_states *s, const char *name, int *fd, kr_state_info *info);
kr_status kr_states_get_info(kr_states *s, const char *name, kr_state_info *info);
/* KR_ERR_BUSY: the new name is in use.  KR_ERR_CONFIG: there are too many names; no other one goes for a fork. */
kr_status kr_states_fork(kr_states *s, const char *name, const char *to);
kr_status kr_states_remove(kr_states *s, const char *name);
/* All, by name; kr_mem_free it. */
kr_status kr_states_list(kr_states *s, kr_state_info **out, int64_t *n);

typedef struct kr_states_stats {
    int64_t n, n_files, bytes, budget, memory_bytes;
    int64_t n_orphans, n_lost, n_forgotten; /* at the start: files without a row, rows without a file; later: for room */
} kr_states_stats;
void kr_states_get_stats(kr_states *s, kr_states_stats *out); /* waits for nothing */

/* For tests: called at each step of a change, with what comes next. */
typedef enum kr_states_step { KR_STEP_WRITE, KR_STEP_SUM, KR_STEP_INDEX, KR_STEP_COMMIT, KR_STEP_UNLINK, KR_STEP_DONE, KR_N_STEPS } kr_states_step;
extern void (*kr_states_hook)(kr_states_step step);
#endif
