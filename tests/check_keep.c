/* check_keep.c - the prefix cache in a folder: another engine knows what one had read, however that one ended, and
 * whatever the folder holds, what is written is the same. */
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/mem_test.h"
#include "base/sum.h"
#include "infer/engine.h"
#include "model_case.h"

enum { GRAIN = 16, N = 150, SAID = 12 };
static const char tiny[] = "{'model_type': 'krait', 'd_model': 16, 'n_layer': 2, 'vocab_size': 256, 'mixer': {'type': 'mamba2', 'd_state': 8, 'headdim': 8}}";

typedef struct bench { kr_model *m; const char *dir; } bench;
static bench the;

static kr_engine_options options(const char *dir) { return (kr_engine_options){.n_slots = 2, .n_threads = 1, .grain = GRAIN, .cache_dir = dir, .keep_s = 0.01}; }

static kr_engine *engine_in(const kr_model *m, const char *dir) {
    kr_engine *e;
    kr_engine_options o = options(dir);
    if (kr_engine_new(&e, m, &o) != KR_OK) fail_msg("%s", kr_error());
    return e;
}

/* Texts that begin alike by pairs. */
static void text_of(int number, int32_t to[N]) {
    kr_rng a = {(uint64_t)(number / 2), 5, 0}, b = {(uint64_t)number, 6, 0};
    for (int i = 0; i < N; i++) to[i] = (int32_t)kr_rng_below(i < N / 2 ? &a : &b, 256);
}

typedef struct said { int32_t tok[SAID]; int64_t cached; } said;

static said ask(kr_engine *e, int number) {
    int32_t prompt[N];
    kr_request *r;
    kr_event ev;
    kr_request_usage u;
    said s = {0};
    text_of(number, prompt);
    if (kr_engine_submit(e, &(kr_request_options){.prompt = prompt, .n_prompt = N, .max_tok = SAID}, &r) != KR_OK) fail_msg("%s", kr_error());
    for (int i = 0; kr_request_next(r, &ev, -1) && ev.finish == KR_GOES_ON; i++) s.tok[i] = ev.tok;
    assert_int_equal(ev.finish, KR_FINISH_LENGTH);
    kr_request_get_usage(r, &u);
    s.cached = u.n_cached;
    kr_request_free(r);
    return s;
}

/* What an engine without a folder says; what one of the folder knows of it. */
static int64_t same(kr_engine *e, kr_engine *plain, int number) {
    said got = ask(e, number), want = ask(plain, number);
    if (memcmp(got.tok, want.tok, sizeof want.tok) != 0) fail_msg("text %d goes on otherwise", number);
    return got.cached;
}

static kr_engine *plain_engine(void) {
    kr_engine *e;
    assert_int_equal(kr_engine_new(&e, the.m, &(kr_engine_options){.n_slots = 1, .n_threads = 1, .grain = GRAIN, .cache_bytes = -1}), KR_OK);
    return e;
}

static kr_engine_stats stats(const kr_engine *e) {
    kr_engine_stats s;
    kr_engine_get_stats(e, &s);
    return s;
}

/* The folder of the one model in it. */
static void model_dir(const char *dir, char to[300]) {
    kr_file_list list = {0};
    assert_int_equal(kr_dir_list(&list, dir, KR_LIST_DIRS), KR_OK);
    assert_int_equal(list.n, 1);
    snprintf(to, 300, "%s/%s", dir, list.name[0]);
    kr_file_list_free(&list);
}

static int64_t bytes_in(const char *dir, int64_t *n) {
    char path[600];
    kr_file_list list = {0};
    int64_t all = 0, one;
    assert_int_equal(kr_dir_list(&list, dir, KR_LIST_FILES | KR_LIST_DEEP | KR_LIST_HIDDEN), KR_OK);
    *n = 0;
    for (size_t i = 0; i < list.n; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, list.name[i]);
        assert_int_equal(kr_file_size(&one, path), KR_OK);
        all += one;
        *n += strstr(list.name[i], ".state") != NULL;
    }
    kr_file_list_free(&list);
    return all;
}

static int mode_of(const char *path) {
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (int)(st.st_mode & 0777);
}

/* --- what it is for --------------------------------------------------------------------------------- */

static void test_again(void **state) {
    const char *dir = new_folder();
    kr_engine *plain = plain_engine(), *e = engine_in(the.m, dir), *second;
    char path[300], file[600];
    int64_t n, order[2][4];
    (void)state;
    for (int i = 0; i < 4; i++) same(e, plain, i);
    assert_int_equal(kr_engine_new(&second, the.m, &(kr_engine_options){.n_threads = 1, .grain = GRAIN, .cache_dir = dir}), KR_ERR_BUSY);
    order[0][0] = stats(e).cache_entries, order[0][1] = e->cache.now, order[0][2] = stats(e).cache_bytes, order[0][3] = e->cache.next_serial;
    kr_engine_free(e);
    model_dir(dir, path);
    assert_int_equal(mode_of(path), 0700);
    snprintf(file, sizeof file, "%s/tree", path);
    assert_int_equal(mode_of(file), 0600);
    bytes_in(dir, &n);
    assert_int_equal(n, order[0][0]);
    for (int round = 0; round < 2; round++) {
        e = engine_in(the.m, dir);
        order[1][0] = stats(e).kept_entries, order[1][1] = e->cache.now, order[1][2] = e->cache.bytes, order[1][3] = e->cache.next_serial;
        if (round == 0) assert_memory_equal(order[0], order[1], sizeof order[0]);
        for (int i = 0; i < 4; i++) assert_int_equal(same(e, plain, i), N);
        assert_int_equal(stats(e).kept_refused, 0);
        assert_true(same(e, plain, 10 + round) < N); /* and one that is new */
        kr_engine_free(e);
    }
    kr_engine_free(plain);
    assert_int_equal(kr_dir_remove(dir), KR_OK);
}

/* The folder has the cache's budget; a smaller one keeps what is worth most. */
static void test_budget(void **state) {
    const char *dir = new_folder();
    kr_engine *e, *plain = plain_engine();
    kr_engine_options o = options(dir);
    int64_t n, most = 0;
    (void)state;
    for (o.cache_bytes = 200000; o.cache_bytes > 4000; o.cache_bytes /= 3) {
        assert_int_equal(kr_engine_new(&e, the.m, &o), KR_OK);
        assert_true(stats(e).kept_entries <= most || !most);
        assert_true(e->cache.bytes <= o.cache_bytes);
        for (int i = 0; i < 12; i++) same(e, plain, i);
        kr_engine_free(e);
        int64_t bytes = bytes_in(dir, &n);
        if (bytes > o.cache_bytes + 1000) fail_msg("%lld bytes in a folder for %lld", (long long)bytes, (long long)o.cache_bytes);
        most = n;
    }
    assert_true(most >= 1);
    kr_engine_free(plain);
    assert_int_equal(kr_dir_remove(dir), KR_OK);
}

/* Models do not see each other's; where room is short the other's goes. */
static void test_other_model(void **state) {
    const char *dir = new_folder();
    kr_model *other = model_of(tiny, 99);
    kr_engine *plain = plain_engine(), *e = engine_in(the.m, dir);
    kr_engine_options o = options(dir);
    (void)state;
    same(e, plain, 1);
    kr_engine_free(e);
    e = engine_in(other, dir);
    assert_int_equal(ask(e, 1).cached, 0);
    kr_engine_free(e);
    e = engine_in(the.m, dir);
    assert_int_equal(same(e, plain, 1), N);
    kr_engine_free(e);
    o.reuse_replies = true; /* other bits, so another cache */
    assert_int_equal(kr_engine_new(&e, the.m, &o), KR_OK);
    assert_int_equal(ask(e, 1).cached, 0);
    kr_engine_free(e);
    o.reuse_replies = false, o.cache_bytes = 40000;
    assert_int_equal(kr_engine_new(&e, other, &o), KR_OK);
    for (int i = 0; i < 6; i++) ask(e, i);
    kr_engine_free(e);
    char path[300];
    model_dir(dir, path); /* the only one left */
    kr_engine_free(plain);
    kr_model_release(other);
    assert_int_equal(kr_dir_remove(dir), KR_OK);
}

/* --- what goes wrong ----------------------------------------------------------------------------------- */

/* All that the engine has read is in the folder, the tree too. */
static bool all_kept(kr_engine *e) {
    pthread_mutex_lock(&e->shared->lock);
    bool all = e->keeper.calm_since > 0 && e->keeper.saved == e->keeper.changes;
    pthread_mutex_unlock(&e->shared->lock);
    return all;
}

/* Reads the text of each number until it is killed. */
static void work_on(const char *dir, bool until_kept) {
    kr_engine *e = engine_in(the.m, dir);
    for (int i = 0; !until_kept || i < 3; i++) ask(e, i);
    for (int i = 0; i < 12000 && !all_kept(e); i++) nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    raise(SIGKILL);
}

static void test_killed(void **state) {
    const char *dir = new_folder();
    kr_engine *plain = NULL;
    int64_t n;
    (void)state;
    for (int round = 0; round < 16; round++) {
        int status;
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) work_on(dir, round == 0), _exit(1);
        if (round) nanosleep(&(struct timespec){.tv_nsec = 30000000 + 9000000 * round}, NULL), kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        kr_engine *e = engine_in(the.m, dir);
        plain = plain_engine();
        bytes_in(dir, &n);
        assert_true(stats(e).kept_entries <= n);
        int64_t cached = same(e, plain, 1);
        if (round == 0) assert_int_equal(cached, N);
        for (int i = 2; i < 6; i++) same(e, plain, i);
        assert_int_equal(stats(e).kept_refused, 0); /* nothing half is ever under its name */
        kr_engine_free(e);
        kr_engine_free(plain);
        bytes_in(dir, &n);
        e = engine_in(the.m, dir);
        assert_int_equal(stats(e).kept_entries, n);
        kr_engine_free(e);
    }
    assert_int_equal(kr_dir_remove(dir), KR_OK);
}

static int n_notes;
static void count_note(void *user, const char *sentence) {
    (void)user;
    assert_true(strlen(sentence) > 20);
    n_notes++;
}

/* The engine opens, and writes what it would without. */
static void check_whatever(const char *dir, kr_engine *plain, const char *what) {
    kr_engine *e;
    kr_engine_options o = options(dir);
    o.note = count_note;
    if (kr_engine_new(&e, the.m, &o) != KR_OK) fail_msg("%s: %s", what, kr_error());
    for (int i = 0; i < 3; i++) same(e, plain, i);
    kr_engine_free(e);
}

typedef struct kept { char dir[300], path[16][600]; void *data[16]; size_t size[16]; int n; } kept;

static kept remember(const char *dir) {
    kept k = {0};
    kr_file_list list = {0};
    char folder[300];
    model_dir(dir, folder);
    strcpy(k.dir, folder);
    assert_int_equal(kr_dir_list(&list, folder, KR_LIST_FILES), KR_OK);
    for (size_t i = 0; i < list.n; i++) {
        bool tree = strcmp(list.name[i], "tree") == 0;
        if (k.n == 15 && !tree) continue; /* the tree is the last */
        snprintf(k.path[k.n], sizeof k.path[0], "%s/%s", folder, list.name[i]);
        assert_int_equal(kr_file_read(&k.data[k.n], &k.size[k.n], k.path[k.n]), KR_OK);
        k.n++;
    }
    kr_file_list_free(&list);
    return k;
}

static void test_damaged(void **state) {
    const char *dir = new_folder();
    kr_engine *plain = plain_engine(), *e = engine_in(the.m, dir);
    kr_rng r = {3, 4, 0};
    (void)state;
    for (int i = 0; i < 3; i++) same(e, plain, i);
    kr_engine_free(e);
    kept k = remember(dir);
    assert_true(k.n > 5 && strstr(k.path[k.n - 1], "/tree"));
    for (int round = 0; round < 120; round++) {
        char path[640];
        for (int i = 0; i < k.n; i++) assert_int_equal(kr_file_write(k.path[i], k.data[i], k.size[i]), KR_OK);
        int hit = round % 2 ? k.n - 1 : (int)kr_rng_below(&r, (uint64_t)k.n), how = round / 2 % 6;
        size_t n = k.size[hit], at = kr_rng_below(&r, n);
        unsigned char *copy = malloc(n + 10);
        memcpy(copy, k.data[hit], n);
        if (how == 0) n = at;                                    /* torn */
        else if (how == 1) copy[at] ^= (unsigned char)(1 << round % 8);
        else if (how == 2) memset(copy + n, 0, 10), n += 10;     /* longer */
        else if (how == 3) n = 0;
        else {                                                   /* hostile: the sum is right, the numbers are not */
            kr_tree_head *h = (void *)copy;
            static const int64_t values[] = {-1, 0, 1, 7, 1000, INT32_MAX, INT64_MAX, INT64_MIN};
            bool tree = hit == k.n - 1;
            size_t words = n / 8, word = how == 4 || !tree ? kr_rng_below(&r, words < 40 ? words : 40) : kr_rng_below(&r, words);
            memcpy(copy + word * 8, &values[kr_rng_below(&r, 8)], 8);
            if (tree) h->sum = kr_sum(h + 1, n - sizeof *h);
            else ((kr_state_head *)copy)->sum = kr_sum(copy + sizeof(kr_state_head), n - sizeof(kr_state_head));
            if (!tree && word * 8 >= sizeof(kr_state_head)) n = 0; /* numbers of a state that are others cannot be told */
        }
        assert_int_equal(kr_file_write(k.path[hit], copy, n), KR_OK);
        if (round % 10 == 0) {                                   /* and things that nobody asked for */
            snprintf(path, sizeof path, "%s/77777.state", k.dir);
            assert_int_equal(kr_file_write(path, "x", 1), KR_OK);
            snprintf(path, sizeof path, "%s/.3.state.55-1.tmp", k.dir);
            assert_int_equal(kr_file_write(path, "x", 1), KR_OK);
        }
        snprintf(path, sizeof path, "round %d", round);
        check_whatever(dir, plain, path);
        free(copy);
    }
    assert_true(n_notes > 40);
    for (int i = 0; i < k.n; i++) kr_mem_free(k.data[i]);
    kr_engine_free(plain);
    assert_int_equal(kr_dir_remove(dir), KR_OK);
}

static kr_status read_a_little(void *user) {
    int32_t prompt[N];
    kr_engine *e;
    kr_request *r;
    kr_event ev = {.finish = KR_GOES_ON};
    kr_engine_options o = options(the.dir);
    o.keep_s = 100; /* at the end alone, where no memory for it is no failure */
    text_of(3, prompt);
    KR_TRY(kr_engine_new(&e, user, &o));
    kr_status st = kr_engine_submit(e, &(kr_request_options){.prompt = prompt, .n_prompt = N, .max_tok = 3}, &r);
    if (st == KR_OK) {
        while (kr_request_next(r, &ev, 60) && ev.finish == KR_GOES_ON) {}
        if (ev.finish == KR_FINISH_ERROR) st = kr_fail(KR_ERR_NOMEM, "%s", *kr_request_error(r) ? kr_request_error(r) : "no memory");
        kr_request_free(r);
    }
    kr_engine_free(e);
    return st;
}

static void test_memory_ends(void **state) {
    (void)state;
    the.dir = new_folder();
    assert_true(until_it_works(read_a_little, the.m) > 20);
    assert_int_equal(kr_dir_remove(the.dir), KR_OK);
}

static int set_up(void **state) {
    (void)state;
    the.m = model_of(tiny, 3);
    return 0;
}
static int tear_down(void **state) {
    (void)state;
    kr_model_release(the.m);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_again), cmocka_unit_test(test_budget), cmocka_unit_test(test_other_model), cmocka_unit_test(test_killed),
                                       cmocka_unit_test(test_damaged), cmocka_unit_test(test_memory_ends)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
