/* states_test.c - named states: kept, found again, shared, bounded; and whatever is killed or
 * fails in between, what was kept before is there.
 *
 * A child that is to be killed has no threads but its own: the model runs on one. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem_test.h"
#include "infer/session.h"
#include "serve/states.h"

static const char config[] = "{\"model_type\": \"krait\", \"d_model\": 16, \"n_layer\": 2, \"vocab_size\": 256,"
                             " \"mixer\": {\"type\": \"mamba2\", \"d_state\": 8, \"headdim\": 8}}";

typedef struct bench { kr_model *m; kr_session *s; } bench;
static bench the;

static kr_status read_state(void *user, kr_snapshot **out, const char *path) { return kr_snapshot_load(out, ((bench *)user)->s, path); }

/* Its path is valid until the next call. */
static const char *new_folder(void) {
    static char path[64];
    snprintf(path, sizeof path, "%s/krait-states-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"); /* where a sync costs nothing */
    assert_non_null(mkdtemp(path));
    return path;
}

/* A state that tells its number. */
static kr_snapshot *state_of(int number) {
    int32_t tok[8];
    kr_snapshot *s;
    for (int i = 0; i < 8; i++) tok[i] = (number >> (4 * i)) & 15;
    kr_session_reset(the.s);
    assert_int_equal(kr_session_feed(the.s, tok, 8), KR_OK);
    assert_int_equal(kr_session_snapshot(&s, the.s), KR_OK);
    return s;
}

static bool same_state(const kr_snapshot *a, const kr_snapshot *b) {
    return kr_snapshot_n_tok(a) == kr_snapshot_n_tok(b) && memcmp(a->states, b->states, a->layout->bytes) == 0;
}

static kr_states *open_with(const char *dir, kr_states_options o) {
    kr_states *s;
    kr_model_sign(o.model, the.m);
    if (kr_states_open(&s, dir, &o) != KR_OK) fail_msg("%s", kr_error());
    return s;
}
static kr_states *open_states(const char *dir) { return open_with(dir, (kr_states_options){0}); }

static void put(kr_states *s, const char *name, int number) {
    kr_snapshot *x = state_of(number);
    if (kr_states_put(s, name, NULL, x) != KR_OK) fail_msg("%s", kr_error());
    kr_snapshot_free(x);
}

static void check_is(kr_states *s, const char *name, int number) {
    kr_snapshot *want = state_of(number), *got;
    kr_state_info i;
    if (kr_states_get(s, name, read_state, &the, &got, &i) != KR_OK) fail_msg("%s: %s", name, kr_error());
    assert_true(same_state(got, want));
    assert_string_equal(i.name, name);
    assert_int_equal(i.n_tok, 8);
    kr_snapshot_free(got);
    kr_snapshot_free(want);
}

static bool is_there(kr_states *s, const char *name) {
    kr_state_info i;
    kr_status st = kr_states_get_info(s, name, &i);
    assert_true(st == KR_OK || st == KR_ERR_MISSING);
    return st == KR_OK;
}

static size_t n_files(const char *dir) {
    char path[200];
    kr_file_list list = {0};
    snprintf(path, sizeof path, "%s/files", dir);
    assert_int_equal(kr_dir_list(&list, path, KR_LIST_FILES | KR_LIST_HIDDEN), KR_OK);
    size_t n = list.n;
    kr_file_list_free(&list);
    return n;
}

/* --- what it is for ------------------------------------------------------------------------------- */

static void test_keep(void **state) {
    (void)state;
    const char *dir = new_folder();
    kr_states *s = open_states(dir);
    kr_states_stats st;
    kr_state_info i, *all;
    int64_t n;
    put(s, "a", 1);
    put(s, "b", 2);
    check_is(s, "a", 1);
    put(s, "a", 3); /* in its place */
    check_is(s, "a", 3);
    assert_int_equal(n_files(dir), 2);
    assert_int_equal(kr_states_list(s, &all, &n), KR_OK);
    assert_int_equal(n, 2);
    assert_string_equal(all[0].name, "a");
    assert_string_equal(all[1].name, "b");
    assert_true(all[0].created > 1.7e9 && all[0].used >= all[0].created && all[0].bytes > 0 && all[0].n_names == 1 && !all[0].parent[0]);
    kr_mem_free(all);
    kr_states_close(s);
    s = open_states(dir);
    check_is(s, "a", 3);
    check_is(s, "b", 2);
    assert_int_equal(kr_states_remove(s, "a"), KR_OK);
    assert_int_equal(kr_states_remove(s, "a"), KR_ERR_MISSING);
    assert_int_equal(kr_states_get_info(s, "a", &i), KR_ERR_MISSING);
    kr_states_get_stats(s, &st);
    assert_true(st.n == 1 && st.n_files == 1 && st.n_orphans == 0 && st.n_lost == 0 && st.memory_bytes > 0);
    assert_int_equal(n_files(dir), 1);
    kr_states_close(s);
    assert_int_equal(kr_dir_remove(dir), KR_OK);
}

static void test_fork(void **state) {
    (void)state;
    const char *dir = new_folder();
    kr_states *s = open_states(dir);
    kr_state_info i;
    put(s, "document", 7);
    assert_int_equal(kr_states_fork(s, "document", "one"), KR_OK);
    assert_int_equal(kr_states_fork(s, "one", "two"), KR_OK);
    assert_int_equal(kr_states_fork(s, "one", "two"), KR_ERR_BUSY);
    assert_int_equal(kr_states_fork(s, "none", "three"), KR_ERR_MISSING);
    assert_int_equal(n_files(dir), 1);
    assert_int_equal(kr_states_get_info(s, "two", &i), KR_OK);
    assert_string_equal(i.parent, "one");
    assert_int_equal(i.n_names, 3);
    put(s, "document", 8); /* the others keep what they had */
    check_is(s, "document", 8);
    check_is(s, "one", 7);
    assert_int_equal(n_files(dir), 2);
    assert_int_equal(kr_states_remove(s, "one"), KR_OK);
    check_is(s, "two", 7);
    assert_int_equal(kr_states_remove(s, "two"), KR_OK);
    assert_int_equal(n_files(dir), 1);
    kr_states_close(s);
    assert_int_equal(kr_dir_remove(dir), KR_OK);
}

static void test_names(void **state) {
    (void)state;
    static const char *const bad[] = {"", ".", "..", "...", "a/b", "../a", "a b", "a\n", "\xc3\xa9", "a%2fb", "a\\b", "a:b", "/etc/passwd", "~"};
    const char *dir = new_folder();
    kr_states *s = open_states(dir);
    kr_snapshot *x = state_of(1);
    kr_state_info i;
    char name[200];
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        assert_int_equal(kr_states_put(s, bad[k], NULL, x), KR_ERR_ARG);
        assert_int_equal(kr_states_get_info(s, bad[k], &i), KR_ERR_ARG);
        assert_int_equal(kr_states_remove(s, bad[k]), KR_ERR_ARG);
        assert_int_equal(kr_states_fork(s, "a", bad[k]), KR_ERR_ARG);
    }
    memset(name, 'x', sizeof name);
    name[129] = 0;
    assert_int_equal(kr_states_check_name(name), KR_ERR_ARG);
    name[128] = 0;
    x->in_turn = true;
    assert_int_equal(kr_states_put(s, name, NULL, x), KR_OK);
    assert_int_equal(kr_states_get_info(s, name, &i), KR_OK);
    assert_true(strcmp(i.name, name) == 0 && i.open);
    x->in_turn = false;
    assert_int_equal(kr_states_put(s, "1.state", NULL, x), KR_OK); /* names are no files */
    assert_int_equal(kr_states_put(s, "..a", NULL, x), KR_OK);
    assert_int_equal(kr_states_put(s, "index.sqlite", NULL, x), KR_OK);
    check_is(s, "index.sqlite", 1);
    kr_snapshot_free(x);
    kr_states_close(s);
    assert_int_equal(kr_dir_remove(dir), KR_OK);
}

static void test_budget(void **state) {
    (void)state;
    const char *dir = new_folder();
    kr_snapshot *x = state_of(1);
    kr_states *s = open_states(dir);
    kr_state_info i;
    kr_states_stats st;
    put(s, "a", 1);
    assert_int_equal(kr_states_get_info(s, "a", &i), KR_OK);
    kr_states_close(s);
    int64_t one = i.bytes > kr_snapshot_bytes(x) ? i.bytes : kr_snapshot_bytes(x);
    s = open_with(dir, (kr_states_options){.budget = 3 * one + 100});
    put(s, "b", 2);
    put(s, "c", 3);
    assert_int_equal(kr_states_put(s, "d", NULL, x), KR_ERR_CONFIG);
    assert_non_null(strstr(kr_error(), "allowed"));
    put(s, "c", 4); /* in place of another it fits */
    assert_int_equal(kr_states_fork(s, "c", "c2"), KR_OK);
    assert_int_equal(n_files(dir), 3);
    kr_states_close(s);
    s = open_with(dir, (kr_states_options){.budget = 3 * one + 100, .forget_oldest = true, .memory = -1});
    check_is(s, "a", 1); /* used */
    put(s, "d", 5);
    assert_true(is_there(s, "a") && !is_there(s, "b") && is_there(s, "c2") && is_there(s, "d"));
    kr_states_get_stats(s, &st);
    assert_true(st.n_forgotten == 1 && st.bytes <= st.budget && st.memory_bytes == 0);
    put(s, "e", 6);
    assert_true(is_there(s, "a") && !is_there(s, "c") && !is_there(s, "c2"));
    assert_int_equal(n_files(dir), 3);
    kr_states_close(s);
    s = open_with(dir, (kr_states_options){.budget = one / 2, .forget_oldest = true});
    assert_int_equal(kr_states_put(s, "d", NULL, x), KR_ERR_CONFIG);
    assert_true(is_there(s, "a") && is_there(s, "d")); /* what can never fit drives nothing out */
    kr_states_close(s);
    kr_snapshot_free(x);
    assert_int_equal(kr_dir_remove(dir), KR_OK);
}

static void test_files(void **state) {
    (void)state;
    const char *dir = new_folder();
    kr_states *s = open_with(dir, (kr_states_options){.memory = -1});
    kr_snapshot *got;
    kr_state_info i;
    void *data;
    size_t n;
    int fd;
    char path[200];
    put(s, "a", 1);
    assert_int_equal(kr_states_get_file(s, "a", &fd, &i), KR_OK);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    assert_int_equal(kr_file_read(&data, &n, path), KR_OK);
    close(fd);
    assert_int_equal(n, i.bytes);
    assert_int_equal(kr_states_put_file(s, "b", data, n, false, read_state, &the), KR_OK);
    check_is(s, "b", 1);
    assert_int_equal(kr_states_put_file(s, "c", data, n - 1, false, read_state, &the), KR_ERR_FORMAT); /* refused, and gone */
    assert_int_equal(kr_states_put_file(s, "c", "x", 1, false, read_state, &the), KR_ERR_FORMAT);
    assert_int_equal(kr_states_put_file(s, "c", "", 0, false, read_state, &the), KR_ERR_FORMAT);
    assert_false(is_there(s, "c"));
    assert_int_equal(n_files(dir), 2);
    ((char *)data)[n - 1] ^= 1; /* one bit of a file turns */
    snprintf(path, sizeof path, "%s/files/1.state", dir);
    assert_int_equal(kr_file_write(path, data, n), KR_OK);
    assert_int_equal(kr_states_get(s, "a", read_state, &the, &got, NULL), KR_ERR_FORMAT);
    assert_non_null(strstr(kr_error(), "not what was written"));
    kr_mem_free(data);
    kr_states_close(s);
    kr_states_options other = {.model = "another"};
    assert_int_equal(kr_states_open(&s, dir, &other), KR_OK);
    assert_int_equal(kr_states_get(s, "b", read_state, &the, &got, NULL), KR_ERR_ARG);
    kr_states_close(s);
    assert_int_equal(kr_dir_remove(dir), KR_OK);
}

static int mode_of(const char *dir, const char *name) {
    struct stat st;
    char path[200];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(stat(path, &st), 0);
    return (int)(st.st_mode & 0777);
}

/* No more names than that, forks too; and all of it for its owner alone. */
static void test_most_names(void **state) {
    (void)state;
    const char *dir = new_folder();
    kr_states *s = open_with(dir, (kr_states_options){.max_names = 2});
    put(s, "a", 1);
    assert_int_equal(kr_states_fork(s, "a", "b"), KR_OK);
    assert_int_equal(kr_states_fork(s, "a", "c"), KR_ERR_CONFIG);
    kr_snapshot *x = state_of(3);
    assert_int_equal(kr_states_put(s, "c", NULL, x), KR_ERR_CONFIG);
    assert_int_equal(kr_states_put(s, "b", NULL, x), KR_OK); /* in its place */
    assert_int_equal(n_files(dir), 2);
    assert_int_equal(mode_of(dir, "files"), 0700);
    assert_int_equal(mode_of(dir, "index.sqlite"), 0600);
    assert_int_equal(mode_of(dir, "files/1.state"), 0600);
    kr_states_close(s);
    s = open_with(dir, (kr_states_options){.max_names = 2, .forget_oldest = true});
    assert_int_equal(kr_states_put(s, "c", NULL, x), KR_OK);
    assert_false(is_there(s, "a"));
    kr_snapshot_free(x);
    kr_states_close(s);
    assert_int_equal(kr_dir_remove(dir), KR_OK);
}

static void test_start(void **state) {
    (void)state;
    const char *dir = new_folder();
    kr_states *s = open_states(dir), *second;
    kr_states_stats st;
    char path[200];
    put(s, "a", 1);
    put(s, "b", 2);
    assert_int_equal(kr_states_open(&second, dir, NULL), KR_ERR_BUSY);
    assert_non_null(strstr(kr_error(), "another process"));
    kr_states_close(s);
    static const char *const left[] = {"77.state", ".78.state.123-0.tmp", "notes.txt"};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/files/%s", dir, left[i]);
        assert_int_equal(kr_file_write(path, "x", 1), KR_OK);
    }
    snprintf(path, sizeof path, "%s/files/2.state", dir);
    assert_int_equal(kr_file_remove(path), KR_OK);
    s = open_states(dir);
    kr_states_get_stats(s, &st);
    assert_true(st.n_orphans == 2 && st.n_lost == 1 && st.n == 1);
    assert_int_equal(n_files(dir), 2); /* the notes are not ours */
    put(s, "c", 3);
    check_is(s, "a", 1);
    check_is(s, "c", 3);
    kr_states_close(s);
    snprintf(path, sizeof path, "%s/index.sqlite", dir); /* a lost index takes no files with it */
    assert_int_equal(kr_file_remove(path), KR_OK);
    assert_int_equal(kr_states_open(&s, dir, NULL), KR_ERR_FORMAT);
    assert_int_equal(n_files(dir), 3);
    assert_int_equal(kr_file_write(path, "no index at all, whatever its name", 34), KR_OK);
    assert_int_equal(kr_states_open(&s, dir, NULL), KR_ERR_FORMAT);
    assert_int_equal(kr_dir_remove(dir), KR_OK);
}

/* --- what goes wrong ------------------------------------------------------------------------------ */

static kr_states_step fatal;
static int countdown;
static void die_there(kr_states_step step) {
    if (step == fatal && --countdown == 0) kill(getpid(), SIGKILL);
}

/* Runs in a child; its status. */
static int in_child(void (*work)(const char *dir), const char *dir) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        work(dir);
        _exit(0);
    }
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    return status;
}

static void change_all(const char *dir) {
    kr_states *s = open_states(dir);
    kr_states_hook = die_there;
    put(s, "new", 10);
    put(s, "old", 11); /* in place of number 1 */
    if (kr_states_fork(s, "kept", "fork") != KR_OK) _exit(3);
    if (kr_states_remove(s, "gone") != KR_OK) _exit(3);
    kr_states_close(s);
}

/* After a kill at any step each name has what it had before or after, whole. */
static void test_killed_at_each_step(void **state) {
    (void)state;
    for (int step = 0; step < KR_N_STEPS; step++) {
        for (int nth = 1; nth <= 4; nth++) {
            const char *dir = new_folder();
            kr_states *s = open_states(dir);
            kr_snapshot *x, *want = NULL;
            put(s, "kept", 5);
            put(s, "old", 1);
            put(s, "gone", 6);
            kr_states_close(s);
            fatal = (kr_states_step)step;
            countdown = nth;
            int status = in_child(change_all, dir);
            assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
            s = open_states(dir);
            check_is(s, "kept", 5);
            if (is_there(s, "new")) check_is(s, "new", 10);
            if (is_there(s, "fork")) check_is(s, "fork", 5);
            if (is_there(s, "gone")) check_is(s, "gone", 6);
            assert_int_equal(kr_states_get(s, "old", read_state, &the, &x, NULL), KR_OK);
            want = state_of(1);
            if (!same_state(x, want)) check_is(s, "old", 11);
            kr_snapshot_free(want);
            kr_snapshot_free(x);
            if (!WIFSIGNALED(status)) assert_true(is_there(s, "new") && is_there(s, "fork") && !is_there(s, "gone"));
            kr_states_stats st;
            kr_states_get_stats(s, &st);
            assert_int_equal(n_files(dir), st.n_files);
            assert_int_equal(st.n_lost, 0);
            kr_states_close(s);
            assert_int_equal(kr_dir_remove(dir), KR_OK);
        }
    }
}

static int said; /* a pipe: what is on the disk by now, as numbers */

static void write_on(const char *dir) {
    kr_states *s = open_states(dir);
    for (int i = 0;; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%d", i % 7);
        put(s, name, i);
        if (write(said, &i, sizeof i) != sizeof i) _exit(4);
    }
}

/* Killed at any moment: whatever was said to be kept is there. */
static void test_killed_any_time(void **state) {
    (void)state;
    const char *dir = new_folder();
    for (int round = 0; round < 30; round++) {
        int pipes[2], i, last = -1, status;
        assert_int_equal(pipe(pipes), 0);
        said = pipes[1];
        pid_t child = fork();
        if (child == 0) write_on(dir);
        close(pipes[1]);
        assert_true(read(pipes[0], &last, sizeof last) == sizeof last);
        nanosleep(&(struct timespec){.tv_nsec = 100000 + 700000 * (round % 11)}, NULL);
        kill(child, SIGKILL);
        assert_true(waitpid(child, &status, 0) == child);
        while (read(pipes[0], &i, sizeof i) == sizeof i) last = i;
        close(pipes[0]);
        kr_states *s = open_with(dir, (kr_states_options){.memory = -1});
        for (int k = last; k > last - 7 && k >= 0; k--) { /* the one after the last may be there too */
            char name[16];
            kr_snapshot *got, *next = state_of(last + 1);
            snprintf(name, sizeof name, "s%d", k % 7);
            if (kr_states_get(s, name, read_state, &the, &got, NULL) != KR_OK) fail_msg("round %d: %s", round, kr_error());
            if (k != last - 6 || !same_state(got, next)) check_is(s, name, k);
            kr_snapshot_free(got);
            kr_snapshot_free(next);
        }
        kr_states_stats st;
        kr_states_get_stats(s, &st);
        assert_true(st.n_lost == 0 && n_files(dir) == (size_t)st.n_files);
        kr_states_close(s);
    }
    assert_int_equal(kr_dir_remove(dir), KR_OK);
}

static rlim_t room;

/* No file may grow beyond `room`: a write stops short, the next one fails, as on a full disk. */
static void put_without_room(const char *dir) {
    kr_states *s = open_states(dir);
    kr_snapshot *x = state_of(9);
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &(struct rlimit){room, RLIM_INFINITY}) != 0) _exit(5);
    kr_status st = kr_states_put(s, "a", NULL, x);
    if (st != KR_OK && st != KR_ERR_IO) _exit(6);
    if (st != KR_OK && !*kr_error()) _exit(7);
    size_t n = n_files(dir); /* nothing half is left */
    if (n != 2) _exit(8);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
    check_is(s, "a", st == KR_OK ? 9 : 1);
    if (kr_states_put(s, "a", NULL, x) != KR_OK) _exit(9); /* room again: all is well */
    check_is(s, "a", 9);
    kr_snapshot_free(x);
    kr_states_close(s);
    _exit(st == KR_OK ? 100 : 101);
}

static void test_full_disk(void **state) {
    (void)state;
    const char *dir = new_folder();
    kr_state_info i;
    kr_states *s = open_states(dir);
    put(s, "b", 2);
    assert_int_equal(kr_states_get_info(s, "b", &i), KR_OK);
    kr_states_close(s);
    int failed = 0, fine = 0;
    rlim_t rooms[] = {0, 1, 100, (rlim_t)i.bytes / 2, (rlim_t)i.bytes - 1, (rlim_t)i.bytes, (rlim_t)i.bytes + 4096, 1 << 15, 1 << 16, 1 << 20};
    for (size_t k = 0; k < sizeof rooms / sizeof *rooms; k++) {
        s = open_states(dir);
        put(s, "a", 1);
        kr_states_close(s);
        room = rooms[k];
        int status = in_child(put_without_room, dir);
        if (!WIFEXITED(status) || (WEXITSTATUS(status) != 100 && WEXITSTATUS(status) != 101)) fail_msg("room for %d bytes: status %d", (int)room, status);
        failed += WEXITSTATUS(status) == 101, fine += WEXITSTATUS(status) == 100;
        s = open_states(dir);
        check_is(s, "a", 9);
        check_is(s, "b", 2);
        kr_states_close(s);
    }
    assert_true(failed >= 4 && fine >= 1);
    assert_int_equal(kr_dir_remove(dir), KR_OK);
}

static const char *memory_dir;
static kr_status all_of_it(void *unused) {
    (void)unused;
    kr_states *s;
    kr_states_options o = {0};
    kr_snapshot *x = NULL;
    kr_state_info *all = NULL;
    int64_t n;
    kr_model_sign(o.model, the.m);
    KR_TRY(kr_states_open(&s, memory_dir, &o));
    kr_status st = kr_session_snapshot(&x, the.s);
    if (st == KR_OK) st = kr_states_put(s, "a", NULL, x);
    kr_snapshot_free(x);
    x = NULL;
    if (st == KR_OK) st = kr_states_get(s, "a", read_state, &the, &x, NULL);
    kr_snapshot_free(x);
    if (st == KR_OK) st = kr_states_list(s, &all, &n);
    kr_mem_free(all);
    if (st == KR_OK) st = kr_states_remove(s, "a");
    kr_states_close(s);
    return st;
}

static void test_out_of_memory(void **state) {
    (void)state;
    memory_dir = new_folder();
    kr_snapshot_free(state_of(4));
    until_it_works(all_of_it, NULL);
    assert_int_equal(kr_dir_remove(memory_dir), KR_OK);
}

static int set_up(void **state) {
    (void)state;
    json_t *j;
    assert_int_equal(kr_json_parse(&j, config, strlen(config), "test"), KR_OK);
    assert_int_equal(kr_model_describe(&the.m, j, "test", KR_F32, NULL), KR_OK);
    json_decref(j);
    assert_int_equal(kr_params_alloc(the.m->params, true), KR_OK);
    kr_params_init(the.m->params, 3);
    return kr_session_new(&the.s, the.m, &(kr_session_options){.n_threads = 1}) != KR_OK;
}
static int tear_down(void **state) {
    (void)state;
    kr_session_free(the.s);
    kr_model_release(the.m);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keep), cmocka_unit_test(test_fork), cmocka_unit_test(test_names), cmocka_unit_test(test_budget), cmocka_unit_test(test_most_names), cmocka_unit_test(test_files),
        cmocka_unit_test(test_start), cmocka_unit_test(test_killed_at_each_step), cmocka_unit_test(test_killed_any_time), cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_out_of_memory)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
