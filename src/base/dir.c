/* dir.c - folders: make, list, match, remove.  Declared in file.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"

enum { MAX_DEPTH = 64 }; /* folders below a folder; also bounds the open descriptors */

kr_status kr_dir_make(const char *path) {
    char *p = kr_mem_strdup(path);
    if (!p) return KR_ERR_NOMEM;
    int bad = 0;
    size_t n = strlen(p);
    for (size_t i = 1; i <= n && !bad; i++) {
        if (i < n && p[i] != '/') continue;
        char c = p[i];
        p[i] = 0;
        if (mkdir(p, 0777)) bad = errno;
        if (bad && kr_dir_exists(p)) bad = 0;
        p[i] = c;
    }
    kr_mem_free(p);
    if (n == 0) bad = ENOENT;
    if (bad) KR_FAIL(KR_ERR_IO, "%s: cannot make the folder: %s", path, strerror(bad));
    return KR_OK;
}

/* --- lists -------------------------------------------------------------------- */

static kr_status add(kr_file_list *list, const char *name) {
    if (list->n == list->room) {
        size_t room = list->room ? 2 * list->room : 32;
        char **bigger = kr_mem_resize(list->name, room * sizeof *bigger);
        if (!bigger) return KR_ERR_NOMEM;
        list->name = bigger;
        list->room = room;
    }
    char *copy = kr_arena_strdup(&list->arena, name);
    if (!copy) return KR_ERR_NOMEM;
    list->name[list->n++] = copy;
    return KR_OK;
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void sort(kr_file_list *list) {
    if (list->n > 1) qsort(list->name, list->n, sizeof *list->name, by_bytes);
}

/* One name of a folder, or NULL at the end; errno tells an end from a failure. */
static const char *next_name(DIR *d) {
    struct dirent *e;
    do {
        errno = 0;
        e = readdir(d);
    } while (e && (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")));
    return e ? e->d_name : NULL;
}

/* path is where we are; from `root` on it is the name to report. */
static kr_status walk(kr_file_list *list, kr_str *path, size_t root, int what, int depth) {
    if (depth > MAX_DEPTH) KR_FAIL(KR_ERR_IO, "%s: more than %d folders deep", kr_str_text(path), MAX_DEPTH);
    DIR *d = opendir(path->n ? kr_str_text(path) : ".");
    if (!d) KR_FAIL(KR_ERR_IO, "%s: cannot list: %s", path->n ? kr_str_text(path) : "\"\"", strerror(errno));
    kr_status st = KR_OK;
    size_t here = path->n;
    for (const char *name; st == KR_OK && (name = next_name(d));) {
        struct stat s, link;
        if (name[0] == '.' && !(what & KR_LIST_HIDDEN)) continue;
        kr_str_append(path, name);
        st = kr_str_status(path);
        /* a link to nothing, or a file removed as we look, is not there */
        if (st == KR_OK && stat(kr_str_text(path), &s) == 0 && lstat(kr_str_text(path), &link) == 0) {
            if (what & (S_ISDIR(s.st_mode) ? KR_LIST_DIRS : S_ISREG(s.st_mode) ? KR_LIST_FILES : 0)) st = add(list, kr_str_text(path) + root);
            if (st == KR_OK && (what & KR_LIST_DEEP) && S_ISDIR(link.st_mode)) {
                kr_str_append_char(path, '/');
                st = walk(list, path, root, what, depth + 1);
            }
        }
        kr_str_cut(path, here);
    }
    if (st == KR_OK && errno) st = kr_fail(KR_ERR_IO, "%s: cannot list: %s", kr_str_text(path), strerror(errno));
    closedir(d);
    return st;
}

kr_status kr_dir_list(kr_file_list *list, const char *path, int what) {
    kr_str p = {0};
    kr_str_append(&p, path);
    if (p.n && path[p.n - 1] != '/') kr_str_append_char(&p, '/');
    kr_status st = kr_str_status(&p);
    if (st == KR_OK) st = walk(list, &p, p.n, what, 0);
    kr_str_free(&p);
    sort(list);
    return st;
}

kr_status kr_file_glob(kr_file_list *list, const char *pattern) {
    glob_t g = {0};
    kr_status st = KR_OK;
    int r = glob(pattern, GLOB_NOSORT, NULL, &g); /* its order follows the locale, ours must not */
    if (r == GLOB_NOSPACE) st = kr_fail(KR_ERR_NOMEM, "%s: out of memory while matching", pattern);
    else if (r != 0 && r != GLOB_NOMATCH) st = kr_fail(KR_ERR_IO, "%s: a folder of this pattern cannot be read", pattern);
    struct stat s;
    for (size_t i = 0; r == 0 && st == KR_OK && i < g.gl_pathc; i++)
        if (stat(g.gl_pathv[i], &s) == 0 && (S_ISREG(s.st_mode) || S_ISDIR(s.st_mode))) st = add(list, g.gl_pathv[i]);
    globfree(&g);
    sort(list);
    return st;
}

void kr_file_list_free(kr_file_list *list) {
    kr_mem_free(list->name);
    kr_arena_clear(&list->arena);
    *list = (kr_file_list){0};
}

/* --- removal ------------------------------------------------------------------ */

/* Everything below an open folder; fd is consumed.  Works through descriptors, so a link
 * slipped in while we work is removed and not followed. */
static int empty(int fd, int depth) {
    DIR *d = depth <= MAX_DEPTH ? fdopendir(fd) : NULL;
    if (!d) {
        int bad = depth <= MAX_DEPTH ? errno : ELOOP;
        close(fd);
        return bad;
    }
    int bad = 0;
    for (const char *name; !bad && (name = next_name(d));) {
        int below = openat(dirfd(d), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below >= 0) bad = empty(below, depth + 1);
        else if (errno != ENOTDIR && errno != ELOOP) bad = errno;
        if (!bad && unlinkat(dirfd(d), name, below >= 0 ? AT_REMOVEDIR : 0) && errno != ENOENT) bad = errno;
    }
    if (!bad) bad = errno;
    closedir(d);
    return bad;
}

kr_status kr_dir_remove(const char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    size_t last = n;
    while (last > 0 && path[last - 1] != '/') last--;
    size_t step = n - last;
    if (step == 0 || (step <= 2 && memcmp(path + last, "..", step) == 0))
        KR_FAIL(KR_ERR_ARG, "\"%s\": refusing to remove this folder; name it plainly", path);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return KR_OK;
    int bad = fd < 0 ? errno : empty(fd, 0);
    if (!bad && rmdir(path)) bad = errno;
    if (bad) KR_FAIL(KR_ERR_IO, "%s: cannot remove the folder: %s", path, strerror(bad));
    return KR_OK;
}
