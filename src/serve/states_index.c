/* states_index.c - the one file that knows SQLite. */
#include "serve/states_index.h"

#include <stdarg.h>
#include <stdio.h>

static kr_status refused(const kr_index *x) {
    int code = sqlite3_errcode(x->db) & 0xff;
    if (code == SQLITE_BUSY || code == SQLITE_LOCKED) KR_FAIL(KR_ERR_BUSY, "%s: another process has this folder of states", x->path);
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) KR_FAIL(KR_ERR_FORMAT, "%s is damaged: %s", x->path, sqlite3_errmsg(x->db));
    KR_FAIL(code == SQLITE_NOMEM ? KR_ERR_NOMEM : KR_ERR_IO, "%s: %s", x->path, sqlite3_errmsg(x->db));
}

kr_status kr_index_open(kr_index *x, const char *path) {
    snprintf(x->path, sizeof x->path, "%s", path);
    if (sqlite3_open_v2(path, &x->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        return x->db ? refused(x) : kr_fail(KR_ERR_NOMEM, "%s: no memory to open it", path);
    sqlite3_extended_result_codes(x->db, 1);
    sqlite3_busy_timeout(x->db, 1000); /* one that was just killed may not be gone yet */
    KR_TRY(kr_index_tell(x, "PRAGMA locking_mode = EXCLUSIVE", "")); /* one process, and no shared memory beside the index */
    KR_TRY(kr_index_tell(x, "PRAGMA journal_mode = WAL", ""));
    KR_TRY(kr_index_tell(x, "PRAGMA synchronous = FULL", ""));
    KR_TRY(kr_index_tell(x, "BEGIN EXCLUSIVE", ""));
    return kr_index_tell(x, "COMMIT", "");
}

void kr_index_close(kr_index *x) { sqlite3_close(x->db); }

static kr_status prepare(kr_index *x, sqlite3_stmt **st, const char *sql, const char *types, va_list ap) {
    if (sqlite3_prepare_v2(x->db, sql, -1, st, NULL) != SQLITE_OK) return refused(x);
    for (int i = 0; types[i]; i++) {
        int bad = types[i] == 't' ? sqlite3_bind_text(*st, i + 1, va_arg(ap, const char *), -1, SQLITE_TRANSIENT)
                  : types[i] == 'i' ? sqlite3_bind_int64(*st, i + 1, va_arg(ap, int64_t)) : sqlite3_bind_double(*st, i + 1, va_arg(ap, double));
        if (bad) {
            kr_status status = refused(x);
            sqlite3_finalize(*st);
            return status;
        }
    }
    return KR_OK;
}

kr_status kr_index_ask(kr_index *x, sqlite3_stmt **st, const char *sql, const char *types, ...) {
    va_list ap;
    va_start(ap, types);
    kr_status status = prepare(x, st, sql, types, ap);
    va_end(ap);
    return status;
}

kr_status kr_index_next(kr_index *x, sqlite3_stmt *st, bool *there) {
    int code = sqlite3_step(st);
    if ((*there = code == SQLITE_ROW)) return KR_OK;
    kr_status status = code == SQLITE_DONE ? KR_OK : refused(x);
    sqlite3_finalize(st);
    return status;
}

kr_status kr_index_tell(kr_index *x, const char *sql, const char *types, ...) {
    sqlite3_stmt *st;
    bool there = true;
    va_list ap;
    va_start(ap, types);
    kr_status status = prepare(x, &st, sql, types, ap);
    va_end(ap);
    while (status == KR_OK && there) status = kr_index_next(x, st, &there);
    return status;
}

kr_status kr_index_number(kr_index *x, int64_t *out, int64_t none, const char *sql, const char *types, ...) {
    sqlite3_stmt *st;
    bool there;
    va_list ap;
    va_start(ap, types);
    kr_status status = prepare(x, &st, sql, types, ap);
    va_end(ap);
    KR_TRY(status);
    KR_TRY(kr_index_next(x, st, &there));
    *out = there && sqlite3_column_type(st, 0) != SQLITE_NULL ? sqlite3_column_int64(st, 0) : none;
    if (there) sqlite3_finalize(st);
    return KR_OK;
}

kr_status kr_index_settle(kr_index *x, kr_status st) {
    if (st == KR_OK) st = kr_index_tell(x, "COMMIT", "");
    if (st != KR_OK && !sqlite3_get_autocommit(x->db)) sqlite3_exec(x->db, "ROLLBACK", NULL, NULL, NULL);
    return st;
}
