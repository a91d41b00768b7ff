/* states.c - named states: the order of steps that makes them outlive a crash.
 *
 *     keep    write the file (beside it, sync, rename, sync the folder), then its row, in one transaction
 *     remove  the row, in one transaction, then the file if no other row has it
 *
 * The lock guards the index and the list of those in memory; files are written and read without it. */
#include "serve/states.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/sum.h"
#include "serve/states_index.h"

enum { PATH_ROOM = 4096, N_MEMORY = 256, VERSION = 1 };

typedef struct held { int64_t file; kr_snapshot *state; uint64_t used; } held;

struct kr_states {
    kr_states_options opt;
    char dir[PATH_ROOM];
    pthread_mutex_t lock;
    kr_index index;
    int64_t next_file, in_flight; /* bytes of files being written */
    int64_t n_orphans, n_lost, n_forgotten;
    pthread_mutex_t counting;     /* of stats, for those who cannot wait for a disk */
    kr_states_stats stats;
    held memory[N_MEMORY];
    int64_t memory_bytes;
    uint64_t clock;
};

void (*kr_states_hook)(kr_states_step step);
static void at(kr_states_step step) {
    if (kr_states_hook) kr_states_hook(step);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- sums and names --------------------------------------------------------------------------- */

static kr_status sum_file(const char *path, uint64_t *sum, int64_t *bytes) {
    const void *data;
    size_t n;
    KR_TRY(kr_file_map(&data, &n, path));
    *sum = kr_sum(data, n);
    *bytes = (int64_t)n;
    kr_file_unmap(data, n);
    return KR_OK;
}

kr_status kr_states_check_name(const char *name) {
    size_t n = strlen(name), dots = strspn(name, ".");
    if (n == 0 || n > KR_STATE_NAME || dots == n || strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") != n)
        KR_FAIL(KR_ERR_ARG, "a state's name wants 1 to %d of A-Z a-z 0-9 . _ -, and not dots alone", KR_STATE_NAME);
    return KR_OK;
}

static void path_of(const kr_states *s, int64_t file, char path[PATH_ROOM + 64]) {
    snprintf(path, PATH_ROOM + 64, "%s/files/%lld.state", s->dir, (long long)file);
}

static void remove_file(const kr_states *s, int64_t file) {
    char path[PATH_ROOM + 64];
    path_of(s, file, path);
    unlink(path); /* one that stays has no row, so the next start removes it */
}

/* --- rows ----------------------------------------------------------------------------------------- */

/* Ends a transaction by what came of it. */
static kr_status settle(kr_states *s, kr_status st) {
    if (st == KR_OK) at(KR_STEP_COMMIT);
    return kr_index_settle(&s->index, st);
}

#define COLUMNS                                                                                                                       \
    "SELECT s.name, s.parent, f.model, f.n_tok, f.bytes, f.sum, s.created, s.used, f.open, f.id, (SELECT count(*) FROM state WHERE file = f.id) " \
    "FROM state s JOIN file f ON f.id = s.file "

static void take_row(sqlite3_stmt *st, kr_state_info *i, int64_t *file) {
    *i = (kr_state_info){.n_tok = sqlite3_column_int64(st, 3), .bytes = sqlite3_column_int64(st, 4), .checksum = (uint64_t)sqlite3_column_int64(st, 5),
                         .created = sqlite3_column_double(st, 6), .used = sqlite3_column_double(st, 7), .open = sqlite3_column_int(st, 8) != 0,
                         .n_names = sqlite3_column_int64(st, 10)};
    const unsigned char *name = sqlite3_column_text(st, 0), *parent = sqlite3_column_text(st, 1), *model = sqlite3_column_text(st, 2);
    snprintf(i->name, sizeof i->name, "%s", name ? (const char *)name : "");
    snprintf(i->parent, sizeof i->parent, "%s", parent ? (const char *)parent : "");
    snprintf(i->model, sizeof i->model, "%s", model ? (const char *)model : "");
    *file = sqlite3_column_int64(st, 9);
}

static kr_status find(kr_states *s, const char *name, kr_state_info *info, int64_t *file) {
    sqlite3_stmt *st;
    bool there;
    KR_TRY(kr_states_check_name(name));
    KR_TRY(kr_index_ask(&s->index, &st, COLUMNS "WHERE s.name = ?", "t", name));
    KR_TRY(kr_index_next(&s->index, st, &there));
    if (!there) KR_FAIL(KR_ERR_MISSING, "there is no state \"%s\"", name);
    take_row(st, info, file);
    sqlite3_finalize(st);
    return KR_OK;
}

/* Of what there is by now; the lock is held. */
static void count(kr_states *s) {
    kr_states_stats n = {.budget = s->opt.budget, .memory_bytes = s->memory_bytes, .n_orphans = s->n_orphans, .n_lost = s->n_lost, .n_forgotten = s->n_forgotten};
    (void)kr_index_number(&s->index, &n.n, 0, "SELECT count(*) FROM state", "");
    (void)kr_index_number(&s->index, &n.n_files, 0, "SELECT count(*) FROM file", "");
    (void)kr_index_number(&s->index, &n.bytes, 0, "SELECT sum(bytes) FROM file", "");
    pthread_mutex_lock(&s->counting);
    s->stats = n;
    pthread_mutex_unlock(&s->counting);
}

/* --- those in memory: the lock is held ------------------------------------------------------------ */

static void forget(kr_states *s, held *h) {
    s->memory_bytes -= kr_snapshot_bytes(h->state);
    kr_snapshot_free(h->state);
    *h = (held){0};
}

static void forget_file(kr_states *s, int64_t file) {
    for (int i = 0; i < N_MEMORY; i++)
        if (s->memory[i].state && s->memory[i].file == file) forget(s, &s->memory[i]);
}

static void remember(kr_states *s, int64_t file, kr_snapshot *state) {
    if (kr_snapshot_bytes(state) > s->opt.memory) return;
    for (;;) {
        held *old = NULL, *empty = NULL;
        for (held *h = s->memory; h < s->memory + N_MEMORY; h++) {
            if (h->state && h->file == file) return;
            if (!h->state) empty = h;
            else if (!old || h->used < old->used) old = h;
        }
        if (empty && s->memory_bytes + kr_snapshot_bytes(state) <= s->opt.memory) {
            *empty = (held){file, kr_snapshot_share(state), ++s->clock};
            s->memory_bytes += kr_snapshot_bytes(state);
            return;
        }
        forget(s, old);
    }
}

static kr_snapshot *recall(kr_states *s, int64_t file) {
    for (held *h = s->memory; h < s->memory + N_MEMORY; h++)
        if (h->state && h->file == file) return h->used = ++s->clock, kr_snapshot_share(h->state);
    return NULL;
}

/* --- opening -------------------------------------------------------------------------------------- */

static kr_status sync_dir(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int bad = fd < 0 || (fsync(fd) && errno != EINVAL && errno != ENOTSUP) ? errno : 0;
    if (fd >= 0) close(fd);
    if (bad) KR_FAIL(KR_ERR_IO, "%s: cannot sync the folder: %s", path, strerror(bad));
    return KR_OK;
}

/* The number of "12.state", or of what a writer left of it (".12.state.7-0.tmp"); -1: the file is not ours. */
static int64_t number_of(const char *name, bool *whole) {
    char *end;
    const char *digits = name + (*name == '.');
    long long n = *digits >= '0' && *digits <= '9' ? strtoll(digits, &end, 10) : -1;
    if (n < 0 || strncmp(end, ".state", 6) != 0) return -1;
    end += 6;
    *whole = *name != '.' && *end == 0;
    if (*whole) return n;
    size_t left = strlen(end);
    return *name == '.' && left > 4 && strcmp(end + left - 4, ".tmp") == 0 ? n : -1;
}

/* Files without a row go, rows without a file too: the end of what a crash began. */
static kr_status clean(kr_states *s) {
    char path[PATH_ROOM + 64], dir[PATH_ROOM + 8];
    kr_file_list list = {0};
    snprintf(dir, sizeof dir, "%s/files", s->dir);
    kr_status st = kr_dir_list(&list, dir, KR_LIST_FILES | KR_LIST_HIDDEN);
    if (st == KR_OK) st = kr_index_tell(&s->index, "CREATE TEMP TABLE there(id INTEGER PRIMARY KEY)", "");
    for (size_t i = 0; i < list.n && st == KR_OK; i++) {
        bool whole;
        int64_t n = number_of(list.name[i], &whole), known = 0;
        if (n < 0) continue;
        if (whole) st = kr_index_number(&s->index, &known, 0, "SELECT count(*) FROM file WHERE id = ?", "i", n);
        if (n >= s->next_file) s->next_file = n + 1;
        if (st == KR_OK && known) {
            st = kr_index_tell(&s->index, "INSERT INTO there VALUES(?)", "i", n);
        } else if (st == KR_OK) {
            snprintf(path, sizeof path, "%s/%s", dir, list.name[i]);
            st = kr_file_remove(path);
            s->n_orphans++;
        }
    }
    kr_file_list_free(&list);
    KR_TRY(st);
    KR_TRY(kr_index_number(&s->index, &s->n_lost, 0, "SELECT count(*) FROM state WHERE file NOT IN (SELECT id FROM there)", ""));
    KR_TRY(kr_index_tell(&s->index, "BEGIN IMMEDIATE", ""));
    st = kr_index_tell(&s->index, "DELETE FROM state WHERE file NOT IN (SELECT id FROM there)", "");
    if (st == KR_OK) st = kr_index_tell(&s->index, "DELETE FROM file WHERE id NOT IN (SELECT id FROM there) OR id NOT IN (SELECT file FROM state)", "");
    return settle(s, st);
}

static kr_status make_tables(kr_states *s) {
    static const char *const sql[] = {
        "CREATE TABLE file(id INTEGER PRIMARY KEY, model TEXT NOT NULL, n_tok INTEGER NOT NULL, bytes INTEGER NOT NULL, sum INTEGER NOT NULL, open INTEGER NOT NULL)",
        "CREATE TABLE state(name TEXT PRIMARY KEY, file INTEGER NOT NULL REFERENCES file(id), parent TEXT NOT NULL, created REAL NOT NULL, used REAL NOT NULL) WITHOUT ROWID",
        "CREATE INDEX state_file ON state(file)", "PRAGMA user_version = 1"};
    char dir[PATH_ROOM + 8];
    kr_file_list list = {0};
    snprintf(dir, sizeof dir, "%s/files", s->dir);
    kr_status st = kr_dir_list(&list, dir, KR_LIST_FILES);
    if (st == KR_OK && list.n) st = kr_fail(KR_ERR_FORMAT, "%s has files of states and an empty index; move them away, or bring the index back", s->dir);
    kr_file_list_free(&list);
    KR_TRY(st);
    KR_TRY(kr_index_tell(&s->index, "BEGIN IMMEDIATE", ""));
    for (size_t i = 0; i < sizeof sql / sizeof *sql && st == KR_OK; i++) st = kr_index_tell(&s->index, sql[i], "");
    return settle(s, st);
}

static kr_status open_index(kr_states *s) {
    char path[PATH_ROOM + 32], dir[PATH_ROOM + 8];
    int64_t version, last;
    snprintf(path, sizeof path, "%s/index.sqlite", s->dir);
    snprintf(dir, sizeof dir, "%s/files", s->dir);
    bool made = !kr_dir_exists(s->dir);
    KR_TRY(kr_dir_make(dir));
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600); /* SQLite gives its other files the same permissions */
    if (fd >= 0) close(fd);
    (void)!chmod(path, 0600); /* as good as we are allowed to: a state is a text that someone wrote */
    (void)!chmod(dir, 0700);
    if (made) (void)!chmod(s->dir, 0700);
    KR_TRY(kr_index_open(&s->index, path));
    KR_TRY(kr_index_number(&s->index, &version, 0, "PRAGMA user_version", ""));
    if (version == 0) KR_TRY(make_tables(s));
    else if (version != VERSION) KR_FAIL(KR_ERR_FORMAT, "%s is of version %lld, want %d", path, (long long)version, VERSION);
    KR_TRY(kr_index_number(&s->index, &last, 0, "SELECT max(id) FROM file", ""));
    s->next_file = last + 1;
    KR_TRY(clean(s));
    count(s);
    return sync_dir(s->dir);
}

kr_status kr_states_open(kr_states **out, const char *dir, const kr_states_options *opt) {
    kr_states *s = kr_mem_new(sizeof *s);
    if (!s) return KR_ERR_NOMEM;
    if (opt) s->opt = *opt;
    if (s->opt.budget <= 0) s->opt.budget = (int64_t)8 << 30;
    if (s->opt.max_names <= 0) s->opt.max_names = 100000;
    if (s->opt.memory == 0) s->opt.memory = (int64_t)256 << 20;
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->counting, NULL);
    int n = snprintf(s->dir, sizeof s->dir, "%s", dir);
    kr_status st = *dir && n < (int)sizeof s->dir ? open_index(s) : kr_fail(KR_ERR_ARG, "the folder of states has a name of %d bytes", n);
    if (st != KR_OK) kr_states_close(s);
    else *out = s;
    return st;
}

void kr_states_close(kr_states *s) {
    if (!s) return;
    for (int i = 0; i < N_MEMORY; i++)
        if (s->memory[i].state) forget(s, &s->memory[i]);
    kr_index_close(&s->index);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->counting);
    kr_mem_free(s);
}

/* --- keeping -------------------------------------------------------------------------------------- */

/* Files whose rows are gone, until the transaction holds. */
typedef struct freed { int64_t *file, n, room; } freed;

static kr_status free_later(freed *f, int64_t file) {
    if (f->n == f->room) {
        int64_t room = f->room ? 2 * f->room : 16, *more = kr_mem_resize(f->file, (size_t)room * sizeof *more);
        if (!more) return KR_ERR_NOMEM;
        f->file = more;
        f->room = room;
    }
    f->file[f->n++] = file;
    return KR_OK;
}

static kr_status drop_row(kr_states *s, const char *name, int64_t file, freed *f) {
    int64_t others;
    KR_TRY(kr_index_tell(&s->index, "DELETE FROM state WHERE name = ?", "t", name));
    KR_TRY(kr_index_number(&s->index, &others, 0, "SELECT count(*) FROM state WHERE file = ?", "i", file));
    if (others) return KR_OK;
    KR_TRY(kr_index_tell(&s->index, "DELETE FROM file WHERE id = ?", "i", file));
    return free_later(f, file);
}

static kr_status count_names(kr_states *s, int64_t *n) { return kr_index_number(&s->index, n, 0, "SELECT count(*) FROM state", ""); }
static kr_status too_many_names(const kr_states *s) { return kr_fail(KR_ERR_CONFIG, "there are %lld names of states already, as many as are kept", (long long)s->opt.max_names); }

/* Room for so many bytes more, and for one more name. */
static kr_status make_room(kr_states *s, int64_t bytes, freed *f) {
    for (;;) {
        int64_t have, names, oldest, n;
        KR_TRY(kr_index_number(&s->index, &have, 0, "SELECT sum(bytes) FROM file", ""));
        KR_TRY(count_names(s, &names));
        if (have + bytes + s->in_flight <= s->opt.budget && names < s->opt.max_names) return KR_OK;
        KR_TRY(kr_index_number(&s->index, &oldest, -1, "SELECT file FROM state GROUP BY file ORDER BY max(used) LIMIT 1", ""));
        if (!s->opt.forget_oldest || bytes > s->opt.budget || oldest < 0) {
            if (names >= s->opt.max_names) return too_many_names(s);
            KR_FAIL(KR_ERR_CONFIG, "the state has %lld bytes, and of the %lld allowed %lld are taken", (long long)bytes, (long long)s->opt.budget,
                    (long long)(have + s->in_flight));
        }
        KR_TRY(kr_index_number(&s->index, &n, 0, "SELECT count(*) FROM state WHERE file = ?", "i", oldest));
        KR_TRY(kr_index_tell(&s->index, "DELETE FROM state WHERE file = ?", "i", oldest));
        KR_TRY(kr_index_tell(&s->index, "DELETE FROM file WHERE id = ?", "i", oldest));
        KR_TRY(free_later(f, oldest));
        s->n_forgotten += n;
    }
}

/* The row of a file that is there, in place of what has the name. */
static kr_status add_row(kr_states *s, const char *name, const char *parent, int64_t file, const kr_state_info *i, freed *f) {
    int64_t before;
    KR_TRY(kr_index_number(&s->index, &before, -1, "SELECT file FROM state WHERE name = ?", "t", name));
    if (before >= 0) KR_TRY(drop_row(s, name, before, f));
    KR_TRY(make_room(s, i->bytes, f));
    KR_TRY(kr_index_tell(&s->index, "INSERT INTO file VALUES(?, ?, ?, ?, ?, ?)", "itiiii", file, s->opt.model, i->n_tok, i->bytes, (int64_t)i->checksum, (int64_t)i->open));
    return kr_index_tell(&s->index, "INSERT INTO state VALUES(?, ?, ?, ?, ?)", "titff", name, file, parent, now(), now());
}

static void remove_freed(kr_states *s, freed *f, bool gone) {
    if (gone && f->n) at(KR_STEP_UNLINK);
    for (int64_t i = 0; gone && i < f->n; i++) {
        forget_file(s, f->file[i]);
        remove_file(s, f->file[i]);
    }
    kr_mem_free(f->file);
}

/* A written file gets its row. */
static kr_status enter(kr_states *s, const char *name, const char *parent, int64_t file, const kr_state_info *i, kr_snapshot *state) {
    freed f = {0};
    at(KR_STEP_INDEX);
    pthread_mutex_lock(&s->lock);
    int64_t n_forgotten = s->n_forgotten;
    kr_status st = kr_index_tell(&s->index, "BEGIN IMMEDIATE", "");
    if (st == KR_OK) st = settle(s, add_row(s, name, parent, file, i, &f));
    if (st != KR_OK) s->n_forgotten = n_forgotten;
    remove_freed(s, &f, st == KR_OK);
    if (st == KR_OK && state) remember(s, file, state);
    count(s);
    pthread_mutex_unlock(&s->lock);
    at(KR_STEP_DONE);
    return st;
}

/* Before a byte is written: would it fit at all? */
static kr_status reserve(kr_states *s, const char *name, int64_t bytes, int64_t *file) {
    int64_t have, before = 0;
    KR_TRY(kr_states_check_name(name));
    pthread_mutex_lock(&s->lock);
    kr_status st = kr_index_number(&s->index, &have, 0, "SELECT sum(bytes) FROM file", "");
    if (st == KR_OK)
        st = kr_index_number(&s->index, &before, 0, "SELECT bytes FROM file WHERE id = (SELECT file FROM state WHERE name = ?1) AND (SELECT count(*) FROM state WHERE file = file.id) = 1", "t", name);
    int64_t taken = have - before + s->in_flight;
    if (st == KR_OK && (bytes > s->opt.budget || (!s->opt.forget_oldest && taken + bytes > s->opt.budget)))
        st = kr_fail(KR_ERR_CONFIG, "the state has %lld bytes, and of the %lld allowed %lld are taken", (long long)bytes, (long long)s->opt.budget, (long long)taken);
    if (st == KR_OK) *file = s->next_file++, s->in_flight += bytes;
    pthread_mutex_unlock(&s->lock);
    return st;
}

static void release(kr_states *s, int64_t bytes) {
    pthread_mutex_lock(&s->lock);
    s->in_flight -= bytes;
    pthread_mutex_unlock(&s->lock);
}

kr_status kr_states_put(kr_states *s, const char *name, const char *parent, kr_snapshot *state) {
    char path[PATH_ROOM + 64];
    int64_t file, expected = kr_snapshot_bytes(state);
    kr_state_info i = {.n_tok = kr_snapshot_n_tok(state), .open = kr_snapshot_in_turn(state)};
    KR_TRY(reserve(s, name, expected, &file));
    path_of(s, file, path);
    at(KR_STEP_WRITE);
    kr_status st = kr_snapshot_save(state, path);
    if (st == KR_OK) (void)!chmod(path, 0600);
    at(KR_STEP_SUM);
    if (st == KR_OK) st = sum_file(path, &i.checksum, &i.bytes);
    release(s, expected);
    if (st == KR_OK) st = enter(s, name, parent ? parent : "", file, &i, state);
    if (st != KR_OK) remove_file(s, file);
    return st;
}

kr_status kr_states_put_file(kr_states *s, const char *name, const void *bytes, size_t n, bool open, kr_states_reader check, void *user) {
    char path[PATH_ROOM + 64];
    kr_snapshot *state = NULL;
    int64_t file;
    kr_state_info i = {0};
    KR_TRY(reserve(s, name, (int64_t)n, &file));
    path_of(s, file, path);
    at(KR_STEP_WRITE);
    kr_status st = kr_file_write(path, bytes, n);
    if (st == KR_OK) (void)!chmod(path, 0600);
    at(KR_STEP_SUM);
    if (st == KR_OK) st = check(user, &state, path);
    if (st == KR_OK) st = sum_file(path, &i.checksum, &i.bytes);
    if (st == KR_OK) i.n_tok = kr_snapshot_n_tok(state), i.open = open || kr_snapshot_in_turn(state);
    release(s, (int64_t)n);
    if (st == KR_OK) st = enter(s, name, "", file, &i, state);
    if (st != KR_OK) remove_file(s, file);
    kr_snapshot_free(state);
    return st;
}

/* --- using ---------------------------------------------------------------------------------------- */

/* A power cut may forget when a state was used last. */
static void touch(kr_states *s, const char *name) {
    if (kr_index_tell(&s->index, "PRAGMA synchronous = NORMAL", "") == KR_OK) (void)kr_index_tell(&s->index, "UPDATE state SET used = ? WHERE name = ?", "ft", now(), name);
    (void)kr_index_tell(&s->index, "PRAGMA synchronous = FULL", "");
}

static kr_status look_up(kr_states *s, const char *name, kr_state_info *info, int64_t *file, kr_snapshot **known) {
    pthread_mutex_lock(&s->lock);
    kr_status st = find(s, name, info, file);
    if (st == KR_OK && known) *known = recall(s, *file);
    if (st == KR_OK) touch(s, name);
    pthread_mutex_unlock(&s->lock);
    return st;
}

static kr_status read_state(kr_states *s, const kr_state_info *info, int64_t file, kr_states_reader read, void *user, kr_snapshot **out) {
    char path[PATH_ROOM + 64];
    uint64_t sum;
    int64_t bytes;
    path_of(s, file, path);
    KR_TRY(sum_file(path, &sum, &bytes));
    if (sum != info->checksum || bytes != info->bytes) KR_FAIL(KR_ERR_FORMAT, "the file of the state \"%s\" is not what was written", info->name);
    return read(user, out, path);
}

kr_status kr_states_get(kr_states *s, const char *name, kr_states_reader read, void *user, kr_snapshot **out, kr_state_info *info) {
    kr_state_info mine;
    if (!info) info = &mine;
    for (int64_t file, last = -1;; last = file) {
        *out = NULL;
        KR_TRY(look_up(s, name, info, &file, out));
        if (strcmp(info->model, s->opt.model) != 0) {
            kr_snapshot_free(*out);
            KR_FAIL(KR_ERR_ARG, "the state \"%s\" is of another model", name);
        }
        if (*out) return KR_OK;
        kr_status st = read_state(s, info, file, read, user, out);
        if (st != KR_OK && (file == last || st == KR_ERR_NOMEM)) return st;
        if (st != KR_OK) continue; /* has the name another file by now? */
        pthread_mutex_lock(&s->lock);
        remember(s, file, *out);
        count(s);
        pthread_mutex_unlock(&s->lock);
        return KR_OK;
    }
}

kr_status kr_states_get_file(kr_states *s, const char *name, int *fd, kr_state_info *info) {
    char path[PATH_ROOM + 64];
    int64_t file;
    pthread_mutex_lock(&s->lock);
    kr_status st = find(s, name, info, &file);
    if (st == KR_OK) {
        path_of(s, file, path);
        *fd = open(path, O_RDONLY | O_CLOEXEC);
        if (*fd < 0) st = kr_fail(KR_ERR_IO, "the file of the state \"%s\" cannot be read: %s", name, strerror(errno));
        else touch(s, name);
    }
    pthread_mutex_unlock(&s->lock);
    return st;
}

kr_status kr_states_get_info(kr_states *s, const char *name, kr_state_info *info) {
    int64_t file;
    pthread_mutex_lock(&s->lock);
    kr_status st = find(s, name, info, &file);
    pthread_mutex_unlock(&s->lock);
    return st;
}

kr_status kr_states_fork(kr_states *s, const char *name, const char *to) {
    kr_state_info info;
    int64_t file, taken = 0, names;
    KR_TRY(kr_states_check_name(to));
    pthread_mutex_lock(&s->lock);
    kr_status st = find(s, name, &info, &file);
    if (st == KR_OK) st = kr_index_number(&s->index, &taken, 0, "SELECT count(*) FROM state WHERE name = ?", "t", to);
    if (st == KR_OK && taken) st = kr_fail(KR_ERR_BUSY, "there is a state \"%s\" already", to);
    if (st == KR_OK && (st = count_names(s, &names)) == KR_OK && names >= s->opt.max_names) st = too_many_names(s);
    at(KR_STEP_INDEX);
    if (st == KR_OK) st = kr_index_tell(&s->index, "INSERT INTO state VALUES(?, ?, ?, ?, ?)", "titff", to, file, name, now(), now());
    count(s);
    pthread_mutex_unlock(&s->lock);
    return st;
}

kr_status kr_states_remove(kr_states *s, const char *name) {
    kr_state_info info;
    int64_t file;
    freed f = {0};
    pthread_mutex_lock(&s->lock);
    kr_status st = find(s, name, &info, &file);
    if (st == KR_OK) st = kr_index_tell(&s->index, "BEGIN IMMEDIATE", "");
    if (st == KR_OK) st = settle(s, drop_row(s, name, file, &f));
    remove_freed(s, &f, st == KR_OK);
    count(s);
    pthread_mutex_unlock(&s->lock);
    return st;
}

kr_status kr_states_list(kr_states *s, kr_state_info **out, int64_t *n) {
    kr_state_info *all = NULL;
    int64_t count = 0, room = 0, file;
    sqlite3_stmt *row = NULL;
    bool there = true;
    pthread_mutex_lock(&s->lock);
    kr_status st = kr_index_number(&s->index, &room, 0, "SELECT count(*) FROM state", "");
    if (st == KR_OK && !(all = kr_mem_array((size_t)room + 1, sizeof *all))) st = KR_ERR_NOMEM;
    if (st == KR_OK) st = kr_index_ask(&s->index, &row, COLUMNS "ORDER BY s.name", "");
    while (st == KR_OK && there) {
        st = kr_index_next(&s->index, row, &there);
        if (st == KR_OK && there && count < room) take_row(row, &all[count++], &file);
    }
    pthread_mutex_unlock(&s->lock);
    if (st != KR_OK) kr_mem_free(all);
    else *out = all, *n = count;
    return st;
}

void kr_states_get_stats(kr_states *s, kr_states_stats *out) {
    pthread_mutex_lock(&s->counting);
    *out = s->stats;
    pthread_mutex_unlock(&s->counting);
}
