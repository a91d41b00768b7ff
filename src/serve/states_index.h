/* states_index.h - SQLite for the named states: statements, and failures in words. */
#ifndef KR_SERVE_STATES_INDEX_H
#define KR_SERVE_STATES_INDEX_H
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

typedef struct kr_index { sqlite3 *db; char path[4096 + 32]; } kr_index;

/* This process has it alone, and a commit that returns is on the disk.  KR_ERR_BUSY: another has
 * it; KR_ERR_FORMAT: it is no index, or damaged.  Close it whatever comes of it. */
kr_status kr_index_open(kr_index *x, const char *path);
void kr_index_close(kr_index *x);

/* Values by their types: t text, i int64_t, f double. */
kr_status kr_index_ask(kr_index *x, sqlite3_stmt **st, const char *sql, const char *types, ...);
/* The next row; *there false: no more, and the statement is gone, as after a failure. */
kr_status kr_index_next(kr_index *x, sqlite3_stmt *st, bool *there);
/* A statement without rows, or whose rows do not matter. */
kr_status kr_index_tell(kr_index *x, const char *sql, const char *types, ...);
/* The first number of the first row; `none` if there is none. */
kr_status kr_index_number(kr_index *x, int64_t *out, int64_t none, const char *sql, const char *types, ...);
/* Ends a transaction by what came of it. */
kr_status kr_index_settle(kr_index *x, kr_status st);
#endif
