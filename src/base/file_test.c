/* file_test.c - reading, mapping, atomic writing, folders: on a real disk and on full ones. */
#include "base/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem_test.h"

static char root[256];

static const char *at(const char *name) {
    static char path[4][512];
    static int turn;
    char *p = path[turn++ % 4];
    assert_int_equal(kr_path_join(p, sizeof path[0], root, name), KR_OK);
    return p;
}

static void assert_holds(const char *path, const char *text) {
    void *data;
    size_t n;
    assert_int_equal(kr_file_read(&data, &n, path), KR_OK);
    assert_int_equal(n, strlen(text));
    assert_string_equal((char *)data, text);
    kr_mem_free(data);
}

static size_t count_names(const char *dir, int what) {
    kr_file_list list = {0};
    assert_int_equal(kr_dir_list(&list, dir, what), KR_OK);
    size_t n = list.n;
    kr_file_list_free(&list);
    return n;
}

static void assert_error_has(const char *part) {
    if (!strstr(kr_error(), part)) fail_msg("\"%s\" does not say \"%s\"", kr_error(), part);
}

/* --- reading ------------------------------------------------------------------ */

static void reads(void **state) {
    (void)state;
    void *data;
    size_t n;
    assert_int_equal(kr_file_write(at("r"), "one\0two", 7), KR_OK);
    assert_int_equal(kr_file_read(&data, &n, at("r")), KR_OK);
    assert_int_equal(n, 7);
    assert_memory_equal(data, "one\0two", 8); /* and the zero behind */
    kr_mem_free(data);
    assert_int_equal(kr_file_write(at("r"), NULL, 0), KR_OK);
    assert_holds(at("r"), "");
    assert_int_equal(kr_file_read(&data, &n, "/proc/self/maps"), KR_OK); /* claims to hold 0 bytes */
    assert_true(n > 0);
    kr_mem_free(data);
    assert_int_equal(kr_file_read(&data, &n, at("nothing")), KR_ERR_IO);
    assert_error_has("nothing: cannot open: No such file");
    assert_int_equal(kr_file_read(&data, &n, root), KR_ERR_IO);
    assert_null(data);
}

/* 300000 bytes through a pipe: many short reads and several doublings. */
static void reads_pipes(void **state) {
    (void)state;
    int fd[2], saved = dup(0);
    enum { N = 300000 };
    void *data;
    size_t n;
    fflush(NULL);
    assert_int_equal(pipe(fd), 0);
    if (fork() == 0) {
        for (int i = 0; i < N; i++) {
            char c = (char)(i % 251);
            if (write(fd[1], &c, 1) != 1) _exit(1);
        }
        _exit(0);
    }
    close(fd[1]);
    dup2(fd[0], 0);
    assert_int_equal(kr_file_read(&data, &n, "-"), KR_OK);
    dup2(saved, 0);
    close(saved);
    close(fd[0]);
    wait(NULL);
    assert_int_equal(n, N);
    for (int i = 0; i < N; i++) assert_int_equal(((char *)data)[i], (char)(i % 251));
    kr_mem_free(data);
}

static void maps(void **state) {
    (void)state;
    const void *data;
    size_t n;
    assert_int_equal(kr_file_write(at("m"), "mapped", 6), KR_OK);
    assert_int_equal(kr_file_map(&data, &n, at("m")), KR_OK);
    assert_int_equal(n, 6);
    assert_memory_equal(data, "mapped", 6);
    assert_int_equal(kr_file_write(at("m"), "changed", 7), KR_OK);
    assert_memory_equal(data, "mapped", 6); /* the old file lives on under the map */
    kr_file_unmap(data, n);
    assert_int_equal(kr_file_write(at("m"), "", 0), KR_OK);
    assert_int_equal(kr_file_map(&data, &n, at("m")), KR_OK);
    assert_int_equal(n, 0);
    assert_non_null(data);
    kr_file_unmap(data, n);
    kr_file_unmap(NULL, 0);
    assert_int_equal(kr_file_map(&data, &n, root), KR_ERR_IO);
    assert_error_has("not a plain file");
    assert_int_equal(mkfifo(at("fifo"), 0600), 0);
    assert_int_equal(kr_file_map(&data, &n, at("fifo")), KR_ERR_IO); /* and does not hang */
    unlink(at("fifo"));
}

/* --- writing ------------------------------------------------------------------ */

static void writes_atomically(void **state) {
    (void)state;
    kr_file_writer *w;
    kr_dir_make(at("w"));
    assert_int_equal(kr_file_write(at("w/f"), "old", 3), KR_OK);
    chmod(at("w/f"), 0640);
    assert_int_equal(kr_file_writer_open(&w, at("w/f")), KR_OK);
    assert_int_equal(kr_file_writer_write(w, "new", 3), KR_OK);
    assert_holds(at("w/f"), "old");
    assert_int_equal(count_names(at("w"), KR_LIST_FILES), 1); /* the temporary one is hidden */
    assert_int_equal(count_names(at("w"), KR_LIST_FILES | KR_LIST_HIDDEN), 2);
    kr_file_writer_abort(w);
    assert_holds(at("w/f"), "old");
    assert_int_equal(count_names(at("w"), KR_LIST_FILES | KR_LIST_HIDDEN), 1);
    assert_int_equal(kr_file_writer_open(&w, at("w/f")), KR_OK);
    assert_int_equal(kr_file_writer_write(w, "new", 3), KR_OK);
    assert_int_equal(kr_file_writer_commit(w), KR_OK);
    assert_holds(at("w/f"), "new");
    assert_int_equal(count_names(at("w"), KR_LIST_FILES | KR_LIST_HIDDEN), 1);
    struct stat st;
    assert_int_equal(stat(at("w/f"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    kr_file_writer_abort(NULL);
}

/* Pieces of every size around the buffer's: the bytes come out in order. */
static void writes_pieces(void **state) {
    (void)state;
    const size_t sizes[] = {1, 65535, 1, 65536, 3, 65537, 0, 200000, 7, 65530, 5, 10};
    kr_file_writer *w;
    void *data;
    size_t n, total = 0;
    static unsigned char block[200000];
    assert_int_equal(kr_file_writer_open(&w, at("p")), KR_OK);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t j = 0; j < sizes[i]; j++) block[j] = (unsigned char)((total + j) % 253);
        assert_int_equal(kr_file_writer_write(w, block, sizes[i]), KR_OK);
        total += sizes[i];
    }
    assert_int_equal(kr_file_writer_commit(w), KR_OK);
    assert_int_equal(kr_file_read(&data, &n, at("p")), KR_OK);
    assert_int_equal(n, total);
    for (size_t i = 0; i < n; i++) assert_int_equal(((unsigned char *)data)[i], i % 253);
    kr_mem_free(data);
}

static void two_writers_do_not_meet(void **state) {
    (void)state;
    kr_file_writer *a, *b;
    assert_int_equal(kr_file_writer_open(&a, at("both")), KR_OK);
    assert_int_equal(kr_file_writer_open(&b, at("both")), KR_OK);
    kr_file_writer_write(a, "aaa", 3);
    kr_file_writer_write(b, "bb", 2);
    assert_int_equal(kr_file_writer_commit(b), KR_OK);
    assert_holds(at("both"), "bb");
    assert_int_equal(kr_file_writer_commit(a), KR_OK);
    assert_holds(at("both"), "aaa");
}

static void refuses_bad_places(void **state) {
    (void)state;
    kr_file_writer *w;
    const char *bad[] = {"", "no/such/folder/f", "w/"};
    kr_dir_make(at("w"));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kr_file_writer_open(&w, i ? at(bad[i]) : ""), KR_ERR_IO);
        assert_null(w);
    }
    assert_int_equal(kr_file_writer_open(&w, at("w")), KR_ERR_IO);
    assert_error_has("names a folder");
}

/* A name as long as names may be still gets a temporary one. */
static void takes_the_longest_name(void **state) {
    (void)state;
    char name[256];
    memset(name, 'n', 255);
    name[255] = 0;
    assert_int_equal(kr_file_write(at(name), "x", 1), KR_OK);
    assert_holds(at(name), "x");
}

/* /dev/full takes an open and no byte: what a full disk says, through every way of writing. */
static void reports_a_full_device(void **state) {
    (void)state;
    static char big[100000];
    if (access("/dev/full", W_OK)) skip();
    kr_file_writer *w;
    assert_int_equal(kr_file_writer_open(&w, "/dev/full"), KR_OK);
    assert_int_equal(kr_file_writer_write(w, "ab", 2), KR_OK); /* buffered */
    assert_int_equal(kr_file_writer_commit(w), KR_ERR_IO);
    assert_error_has("/dev/full: cannot write 2 bytes after the first 0: No space left on device");
    assert_int_equal(kr_file_writer_open(&w, "/dev/full"), KR_OK);
    assert_int_equal(kr_file_writer_write(w, big, sizeof big), KR_ERR_IO);
    assert_error_has("cannot write 100000 bytes");
    assert_int_equal(kr_file_writer_write(w, big, 1), KR_ERR_IO); /* it sticks */
    assert_int_equal(kr_file_writer_commit(w), KR_ERR_IO);
    assert_int_equal(kr_file_append("/dev/full", "line"), KR_ERR_IO);
    assert_error_has("/dev/full: cannot append 5 bytes: No space left");
    assert_true(access("/dev/full", W_OK) == 0);
}

/* A disk of 64 KiB: the new file does not fit, the old one stays, no rubbish is left. */
static void survives_a_full_disk(void **state) {
    (void)state;
    static char big[200000];
    kr_dir_make(at("tiny"));
    if (mount("none", at("tiny"), "tmpfs", 0, "size=65536")) skip();
    kr_status first = kr_file_write(at("tiny/f"), "old", 3), st = kr_file_write(at("tiny/f"), big, sizeof big);
    char said[512];
    snprintf(said, sizeof said, "%s", kr_error());
    void *data;
    size_t n, left = count_names(at("tiny"), KR_LIST_FILES | KR_LIST_HIDDEN);
    kr_status again = kr_file_read(&data, &n, at("tiny/f"));
    bool same = again == KR_OK && n == 3 && memcmp(data, "old", 3) == 0;
    kr_mem_free(data);
    umount(at("tiny"));
    assert_int_equal(first, KR_OK);
    assert_int_equal(st, KR_ERR_IO);
    assert_true(strstr(said, "No space left on device") && strstr(said, "untouched") && strstr(said, "tiny/f: cannot write"));
    assert_true(same);
    assert_int_equal(left, 1);
}

/* What killed writers left goes; what somebody is writing, and what has another name, stays. */
static void sweeps_what_was_left(void **state) {
    (void)state;
    static const char *const stay[] = {"swept/.f.12-0.temp", "swept/.f.x-0.tmp", "swept/.f.12-.tmp", "swept/.fg.12-0.tmp", "swept/f.12-0.tmp", "swept/.f12-0.tmp"};
    const size_t n = sizeof stay / sizeof *stay;
    kr_file_writer *w;
    assert_int_equal(kr_dir_make(at("swept")), KR_OK);
    for (size_t i = 0; i < n; i++) assert_int_equal(kr_file_write(at(stay[i]), "x", 1), KR_OK);
    assert_int_equal(kr_file_write(at("swept/.f.12-0.tmp"), "x", 1), KR_OK);
    assert_int_equal(kr_file_write(at("swept/.f.999999-17.tmp"), "x", 1), KR_OK);
    assert_int_equal(kr_file_writer_open(&w, at("swept/f")), KR_OK);
    assert_int_equal(count_names(at("swept"), KR_LIST_FILES | KR_LIST_HIDDEN), n + 3);
    kr_file_sweep(at("swept/f"));
    assert_int_equal(count_names(at("swept"), KR_LIST_FILES | KR_LIST_HIDDEN), n + 1);
    assert_int_equal(kr_file_writer_write(w, "new", 3), KR_OK);
    assert_int_equal(kr_file_writer_commit(w), KR_OK);
    assert_holds(at("swept/f"), "new");
    for (size_t i = 0; i < n; i++) assert_holds(at(stay[i]), "x");
    assert_int_equal(count_names(at("swept"), KR_LIST_FILES | KR_LIST_HIDDEN), n + 1);
    kr_file_sweep(at("nowhere/f"));
}

static void appends_lines(void **state) {
    (void)state;
    assert_int_equal(kr_file_append(at("log"), "one"), KR_OK);
    assert_int_equal(kr_file_append(at("log"), "two\n"), KR_OK);
    assert_holds(at("log"), "one\ntwo\n");
    assert_int_equal(kr_file_write(at("log"), "one\nto", 6), KR_OK); /* torn by a crash */
    assert_int_equal(kr_file_append(at("log"), "three"), KR_OK);
    assert_holds(at("log"), "one\nto\nthree\n");
    assert_int_equal(kr_file_append(at("none/log"), "x"), KR_ERR_IO);
}

static kr_status write_one(void *unused) {
    (void)unused;
    kr_status st = kr_file_write(at("oom/f"), "text", 4);
    /* nothing is left on disk, but f itself if only the sync failed */
    if (st != KR_OK) kr_mem_fail_at(0), assert_true(count_names(at("oom"), KR_LIST_FILES | KR_LIST_HIDDEN) <= 1);
    return st;
}

static kr_status list_all(void *unused) {
    kr_file_list list = {0};
    (void)unused;
    kr_status st = kr_dir_list(&list, root, KR_LIST_FILES | KR_LIST_DEEP);
    kr_file_list_free(&list);
    return st;
}

static void survives_no_memory(void **state) {
    (void)state;
    kr_dir_make(at("oom"));
    until_it_works(write_one, NULL);
    until_it_works(list_all, NULL);
}

/* --- names and folders -------------------------------------------------------- */

static void joins(void **state) {
    (void)state;
    char p[8];
    assert_int_equal(kr_path_join(p, sizeof p, "a", "b"), KR_OK);
    assert_string_equal(p, "a/b");
    assert_int_equal(kr_path_join(p, sizeof p, "a/", "b"), KR_OK);
    assert_string_equal(p, "a/b");
    assert_int_equal(kr_path_join(p, sizeof p, "", "b"), KR_OK);
    assert_string_equal(p, "b");
    assert_int_equal(kr_path_join(p, sizeof p, "a", "/b"), KR_OK);
    assert_string_equal(p, "/b");
    assert_int_equal(kr_path_join(p, sizeof p, "1234", "56"), KR_OK);
    assert_int_equal(kr_path_join(p, sizeof p, "1234", "567"), KR_ERR_ARG);
    assert_true(kr_path_is_plain("a.b") && kr_path_is_plain("...") && kr_path_is_plain("-"));
    assert_false(kr_path_is_plain("") || kr_path_is_plain(".") || kr_path_is_plain("..") || kr_path_is_plain("a/b") ||
                 kr_path_is_plain("/") || kr_path_is_plain("a\nb"));
}

static void knows_what_is_there(void **state) {
    (void)state;
    int64_t n = 0;
    kr_file_write(at("s"), "12345", 5);
    assert_true(kr_file_exists(at("s")) && !kr_file_exists(root) && !kr_file_exists(at("t")));
    assert_true(kr_dir_exists(root) && !kr_dir_exists(at("s")));
    assert_int_equal(kr_file_size(&n, at("s")), KR_OK);
    assert_int_equal(n, 5);
    assert_int_equal(kr_file_size(&n, root), KR_ERR_IO);
    assert_int_equal(kr_file_remove(at("s")), KR_OK);
    assert_int_equal(kr_file_remove(at("s")), KR_OK);
    assert_false(kr_file_exists(at("s")));
}

static void lists(void **state) {
    (void)state;
    const char *files[] = {"d/b.txt", "d/a.txt", "d/sub/deep/c.txt", "d/sub/.hidden", "d/Z"};
    const char *want[] = {"Z", "a.txt", "b.txt", "link.txt", "sub/deep/c.txt"};
    assert_int_equal(kr_dir_make(at("d/sub/deep/")), KR_OK);
    assert_int_equal(kr_dir_make(at("d/sub/deep")), KR_OK);
    for (int i = 0; i < 5; i++) assert_int_equal(kr_file_write(at(files[i]), "x", 1), KR_OK);
    assert_int_equal(symlink("..", at("d/sub/loop")), 0);
    assert_int_equal(symlink("nothing", at("d/sub/broken")), 0);
    assert_int_equal(symlink("a.txt", at("d/link.txt")), 0);
    assert_int_equal(symlink("/dev/zero", at("d/zero.txt")), 0); /* neither has an end: an archive may bring such things */
    assert_int_equal(mkfifo(at("d/fifo.txt"), 0600), 0);
    kr_file_list list = {0};
    assert_int_equal(kr_dir_list(&list, at("d"), KR_LIST_FILES | KR_LIST_DEEP), KR_OK);
    assert_int_equal(list.n, 5);
    for (int i = 0; i < 5; i++) assert_string_equal(list.name[i], want[i]);
    kr_file_list_free(&list);
    assert_int_equal(kr_dir_list(&list, at("d/sub"), KR_LIST_DIRS), KR_OK);
    assert_int_equal(list.n, 2);
    assert_string_equal(list.name[0], "deep");
    assert_string_equal(list.name[1], "loop");
    kr_file_list_free(&list);
    assert_int_equal(kr_file_glob(&list, at("d/*.txt")), KR_OK);
    assert_int_equal(list.n, 3);
    assert_string_equal(list.name[0], at("d/a.txt"));
    assert_int_equal(kr_file_glob(&list, at("d/*.nope")), KR_OK);
    assert_int_equal(list.n, 3);
    kr_file_list_free(&list);
    assert_int_equal(kr_dir_list(&list, at("absent"), KR_LIST_FILES), KR_ERR_IO);
    kr_file_list_free(&list);
    assert_int_equal(kr_dir_make(at("d/Z/under")), KR_ERR_IO); /* under a file */
    assert_int_equal(kr_dir_make(""), KR_ERR_IO);
}

static void removes_with_care(void **state) {
    (void)state;
    const char *never[] = {"", "/", ".", "..", "a/..", "a/.", "//", "a/../"};
    for (int i = 0; i < 8; i++) assert_int_equal(kr_dir_remove(never[i]), KR_ERR_ARG);
    assert_int_equal(kr_dir_make(at("kept")), KR_OK);
    assert_int_equal(kr_file_write(at("kept/f"), "x", 1), KR_OK);
    assert_int_equal(kr_dir_make(at("gone/a/b")), KR_OK);
    assert_int_equal(kr_file_write(at("gone/a/.f"), "x", 1), KR_OK);
    assert_int_equal(symlink("../kept", at("gone/link")), 0);
    assert_int_equal(symlink("kept", at("way")), 0);
    assert_int_equal(kr_dir_remove(at("way")), KR_ERR_IO); /* a link, not a folder */
    assert_int_equal(kr_dir_remove(at("kept/f")), KR_ERR_IO);
    assert_int_equal(kr_dir_remove(at("gone/")), KR_OK);
    assert_false(kr_dir_exists(at("gone")));
    assert_holds(at("kept/f"), "x");
    assert_int_equal(kr_dir_remove(at("gone")), KR_OK); /* it is gone already */
}

static int set_up(void **state) {
    (void)state;
    snprintf(root, sizeof root, "%s/krait-file-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    return mkdtemp(root) == NULL;
}

static int tear_down(void **state) {
    (void)state;
    return kr_dir_remove(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),
        cmocka_unit_test(reads_pipes),
        cmocka_unit_test(maps),
        cmocka_unit_test(writes_atomically),
        cmocka_unit_test(writes_pieces),
        cmocka_unit_test(two_writers_do_not_meet),
        cmocka_unit_test(refuses_bad_places),
        cmocka_unit_test(takes_the_longest_name),
        cmocka_unit_test(reports_a_full_device),
        cmocka_unit_test(survives_a_full_disk),
        cmocka_unit_test(sweeps_what_was_left),
        cmocka_unit_test(appends_lines),
        cmocka_unit_test(survives_no_memory),
        cmocka_unit_test(joins),
        cmocka_unit_test(knows_what_is_there),
        cmocka_unit_test(lists),
        cmocka_unit_test(removes_with_care),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
