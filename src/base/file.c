/* file.c - whole files: reading, mapping, atomic writing.  Folders are in dir.c. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER = 1 << 16, MAX_WRITE = 1 << 30 };

/* --- reading ------------------------------------------------------------------ */

static int open_retry(const char *path, int flags, mode_t mode) {
    int fd;
    do fd = open(path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* Up to n bytes, fewer only at the end; -1 with errno. */
static ssize_t read_some(int fd, char *to, size_t n) {
    size_t got = 0;
    while (got < n) {
        ssize_t r = read(fd, to + got, n - got < MAX_WRITE ? n - got : MAX_WRITE);
        if (r < 0 && errno == EINTR) continue;
        if (r < 0) return -1;
        if (r == 0) break;
        got += (size_t)r;
    }
    return (ssize_t)got;
}

/* The size the file claims is only a hint: pipes have none and /proc says 0. */
static kr_status read_all(int fd, void **data, size_t *n, const char *name) {
    struct stat st;
    size_t room = BUFFER, got = 0;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) room = (size_t)st.st_size + 2;
    char *p = kr_mem_new(room);
    if (!p) return KR_ERR_NOMEM;
    for (;;) {
        ssize_t r = read_some(fd, p + got, room - 1 - got);
        if (r < 0) {
            kr_mem_free(p);
            KR_FAIL(KR_ERR_IO, "%s: cannot read past byte %zu: %s", name, got, strerror(errno));
        }
        got += (size_t)r;
        if (got < room - 1) break;
        char *q = kr_mem_resize(p, room *= 2);
        if (!q) {
            kr_mem_free(p);
            return KR_ERR_NOMEM;
        }
        p = q;
    }
    p[got] = 0;
    *data = p;
    *n = got;
    return KR_OK;
}

kr_status kr_file_read(void **data, size_t *n, const char *path) {
    *data = NULL;
    *n = 0;
    if (strcmp(path, "-") == 0) return read_all(STDIN_FILENO, data, n, "standard input");
    int fd = open_retry(path, O_RDONLY, 0);
    if (fd < 0) KR_FAIL(KR_ERR_IO, "%s: cannot open: %s", path, strerror(errno));
    kr_status st = read_all(fd, data, n, path);
    close(fd);
    return st;
}

static kr_status map(int fd, const void **data, size_t *n, const char *path) {
    struct stat st;
    if (fstat(fd, &st)) KR_FAIL(KR_ERR_IO, "%s: cannot stat: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode)) KR_FAIL(KR_ERR_IO, "%s: not a plain file", path);
    if (st.st_size == 0) {
        *data = "";
        return KR_OK;
    }
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) KR_FAIL(KR_ERR_IO, "%s: cannot map %lld bytes: %s", path, (long long)st.st_size, strerror(errno));
    *data = p;
    *n = (size_t)st.st_size;
    return KR_OK;
}

kr_status kr_file_map(const void **data, size_t *n, const char *path) {
    *data = NULL;
    *n = 0;
    int fd = open_retry(path, O_RDONLY | O_NONBLOCK, 0); /* a pipe must not block us: it is refused */
    if (fd < 0) KR_FAIL(KR_ERR_IO, "%s: cannot open: %s", path, strerror(errno));
    kr_status st = map(fd, data, n, path);
    close(fd);
    return st;
}

void kr_file_unmap(const void *data, size_t n) {
    if (n) munmap((void *)(uintptr_t)data, n);
}

void kr_file_forget(const void *data, size_t n) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = ((uintptr_t)data + page - 1) / page * page, to = ((uintptr_t)data + n) / page * page;
    if (to > from) (void)madvise((void *)from, to - from, MADV_DONTNEED); /* a file's pages are read again */
}

/* --- the atomic writer -------------------------------------------------------- */

struct kr_file_writer {
    char *path, *temp;  /* temp NULL: a device or a pipe, written as it is */
    int fd;
    kr_status failed;   /* the first failure; its sentence was given then */
    size_t used;        /* in buffer */
    int64_t done;       /* bytes the system has taken */
    char buffer[BUFFER];
};

static void free_writer(kr_file_writer *w) {
    if (w->fd >= 0) close(w->fd);
    kr_mem_free(w->path);
    kr_mem_free(w->temp);
    kr_mem_free(w);
}

/* The folder of a path with its slash, as a length: 0 is the current folder. */
static size_t folder_length(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* While somebody writes a temporary file he has its lock, so that others see whether it is left over. */
static bool is_taken(int fd) {
    struct stat st;
    return flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && st.st_nlink == 0; /* swept before it was locked */
}

/* Opens "dir/.name.PID-COUNT.tmp": O_EXCL makes it ours and, unlike mkstemp, the umask is obeyed. */
static kr_status open_temp(kr_file_writer *w) {
    static atomic_uint counter;
    size_t dir = folder_length(w->path), size = strlen(w->path) + 64;
    if (!(w->temp = kr_mem_new(size))) return KR_ERR_NOMEM;
    for (int tries = 0; tries < 100; tries++) {
        snprintf(w->temp, size, "%.*s.%.200s.%ld-%u.tmp", (int)dir, w->path, w->path + dir, (long)getpid(),
                 atomic_fetch_add(&counter, 1));
        w->fd = open_retry(w->temp, O_WRONLY | O_CREAT | O_EXCL, 0666);
        if (w->fd < 0 && errno != EEXIST) break;
        if (w->fd >= 0 && !is_taken(w->fd)) break;
        if (w->fd >= 0) close(w->fd);
        w->fd = -1;
    }
    if (w->fd >= 0) return KR_OK;
    kr_mem_free(w->temp); /* never remove what is not ours */
    w->temp = NULL;
    KR_FAIL(KR_ERR_IO, "%s: cannot make a temporary file beside it: %s", w->path, strerror(errno));
}

static kr_status open_writer(kr_file_writer *w) {
    struct stat st;
    if (!w->path) return KR_ERR_NOMEM;
    bool there = stat(w->path, &st) == 0;
    if (w->path[0] == 0 || w->path[strlen(w->path) - 1] == '/' || (there && S_ISDIR(st.st_mode)))
        KR_FAIL(KR_ERR_IO, "%s: cannot write: it names a folder", w->path[0] ? w->path : "\"\"");
    if (there && !S_ISREG(st.st_mode)) {
        w->fd = open_retry(w->path, O_WRONLY, 0);
        if (w->fd < 0) KR_FAIL(KR_ERR_IO, "%s: cannot open for writing: %s", w->path, strerror(errno));
        return KR_OK;
    }
    KR_TRY(open_temp(w));
    if (there) (void)!fchmod(w->fd, st.st_mode & 0777); /* as good as we are allowed to */
    return KR_OK;
}

kr_status kr_file_writer_open(kr_file_writer **out, const char *path) {
    *out = NULL;
    kr_file_writer *w = kr_mem_new(sizeof *w);
    if (!w) return KR_ERR_NOMEM;
    w->fd = -1;
    w->path = kr_mem_strdup(path);
    kr_status st = open_writer(w);
    if (st == KR_OK) *out = w;
    else free_writer(w);
    return st;
}

/* All of it, or w->failed. */
static kr_status put(kr_file_writer *w, const char *p, size_t n) {
    while (n && w->failed == KR_OK) {
        ssize_t r = write(w->fd, p, n < MAX_WRITE ? n : MAX_WRITE);
        if (r > 0) p += r, n -= (size_t)r, w->done += r;
        else if (r < 0 && errno == EINTR) continue;
        else
            w->failed = kr_fail(KR_ERR_IO, "%s: cannot write %zu bytes after the first %lld: %s%s", w->path, n,
                                (long long)w->done, r < 0 ? strerror(errno) : "nothing taken",
                                w->temp ? "; what was there before is untouched" : "");
    }
    return w->failed;
}

static kr_status flush(kr_file_writer *w) {
    size_t n = w->used;
    w->used = 0;
    return put(w, w->buffer, n);
}

kr_status kr_file_writer_write(kr_file_writer *w, const void *data, size_t n) {
    if (w->failed != KR_OK) return w->failed;
    if (n > BUFFER - w->used) KR_TRY(flush(w));
    if (n >= BUFFER) return put(w, data, n);
    if (n) memcpy(w->buffer + w->used, data, n);
    w->used += n;
    return KR_OK;
}

/* So that the new name itself survives a power cut.  Not every file system can. */
static kr_status sync_folder(const char *path) {
    char *dir = kr_mem_strdup(path);
    if (!dir) return KR_ERR_NOMEM;
    dir[folder_length(path)] = 0;
    int fd = open_retry(dir[0] ? dir : ".", O_RDONLY | O_DIRECTORY, 0);
    int bad = fd >= 0 && fsync(fd) && errno != EINVAL && errno != ENOTSUP ? errno : 0;
    if (fd >= 0) close(fd);
    kr_mem_free(dir);
    if (bad) KR_FAIL(KR_ERR_IO, "%s: written, but its folder cannot be synced: %s", path, strerror(bad));
    return KR_OK;
}

kr_status kr_dir_rename(const char *from, const char *to) {
    if (rename(from, to)) KR_FAIL(KR_ERR_IO, "%s: cannot rename to %s: %s", from, to, strerror(errno));
    return sync_folder(to);
}

static kr_status commit(kr_file_writer *w) {
    KR_TRY(flush(w));
    const char *step = "sync";
    int lock = w->temp ? fcntl(w->fd, F_DUPFD_CLOEXEC, 0) : -1; /* ours until it has its name */
    bool bad = w->temp && fsync(w->fd);
    if (!bad) {
        step = "close"; /* where a network file system may say that the disk is full */
        bad = close(w->fd) != 0 && errno != EINTR;
        w->fd = -1;
    }
    if (!bad && w->temp) {
        step = "rename";
        bad = rename(w->temp, w->path) != 0;
    }
    int why = errno;
    if (lock >= 0) close(lock);
    if (bad)
        KR_FAIL(KR_ERR_IO, "%s: cannot %s after writing %lld bytes: %s%s", w->path, step, (long long)w->done, strerror(why),
                w->temp ? "; what was there before is untouched" : "");
    if (!w->temp) return KR_OK;
    kr_mem_free(w->temp);
    w->temp = NULL;
    return sync_folder(w->path);
}

kr_status kr_file_writer_commit(kr_file_writer *w) {
    kr_status st = commit(w);
    kr_file_writer_abort(w);
    return st;
}

void kr_file_writer_abort(kr_file_writer *w) {
    if (!w) return;
    if (w->temp) unlink(w->temp);
    free_writer(w);
}

/* Is it ".name.PID-COUNT.tmp", of this name? */
static bool is_temp_of(const char *file, const char *name) {
    size_t n = strnlen(name, 200), k;
    if (file[0] != '.' || strncmp(file + 1, name, n) != 0 || file[n + 1] != '.') return false;
    const char *at = file + n + 2;
    k = strspn(at, "0123456789");
    if (!k || at[k] != '-') return false;
    at += k + 1;
    k = strspn(at, "0123456789");
    return k && strcmp(at + k, ".tmp") == 0;
}

void kr_file_sweep(const char *path) {
    size_t dir = folder_length(path);
    kr_file_list list = {0};
    char *folder = kr_mem_strdup(path), *temp = kr_mem_new(dir + 300);
    if (folder) folder[dir] = 0;
    if (folder && temp && kr_dir_list(&list, dir ? folder : ".", KR_LIST_FILES | KR_LIST_HIDDEN) == KR_OK)
        for (size_t i = 0; i < list.n; i++) {
            if (!is_temp_of(list.name[i], path + dir)) continue;
            snprintf(temp, dir + 300, "%s%s", folder, list.name[i]);
            int fd = open_retry(temp, O_RDONLY | O_NOFOLLOW, 0);
            if (fd < 0) continue;
            if (flock(fd, LOCK_EX | LOCK_NB) == 0) (void)unlink(temp);
            close(fd);
        }
    kr_file_list_free(&list);
    kr_mem_free(folder);
    kr_mem_free(temp);
}

kr_status kr_file_write(const char *path, const void *data, size_t n) {
    kr_file_writer *w;
    KR_TRY(kr_file_writer_open(&w, path));
    kr_file_writer_write(w, data, n); /* its failure sticks */
    return kr_file_writer_commit(w);
}

/* --- appending ---------------------------------------------------------------- */

/* Does the last line lack its newline? */
static bool is_torn(int fd) {
    char last = '\n';
    off_t end = lseek(fd, 0, SEEK_END);
    return end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n';
}

kr_status kr_file_append(const char *path, const char *line) {
    size_t n = strlen(line), used = 0;
    char *text = kr_mem_new(n + 3);
    if (!text) return KR_ERR_NOMEM;
    int fd = open_retry(path, O_RDWR | O_CREAT | O_APPEND, 0666);
    if (fd < 0 && errno == EACCES) fd = open_retry(path, O_WRONLY | O_APPEND, 0); /* write-only: cannot look back */
    if (fd < 0) {
        kr_mem_free(text);
        KR_FAIL(KR_ERR_IO, "%s: cannot open for appending: %s", path, strerror(errno));
    }
    if (is_torn(fd)) text[used++] = '\n';
    memcpy(text + used, line, n);
    used += n;
    if (n == 0 || line[n - 1] != '\n') text[used++] = '\n';
    int bad = 0;
    for (size_t done = 0; done < used && !bad;) {
        ssize_t r = write(fd, text + done, used - done);
        if (r >= 0) done += (size_t)r;
        else if (errno != EINTR) bad = errno;
    }
    if (close(fd) && errno != EINTR && !bad) bad = errno;
    kr_mem_free(text);
    if (bad) KR_FAIL(KR_ERR_IO, "%s: cannot append %zu bytes: %s", path, used, strerror(bad));
    return KR_OK;
}

/* --- names -------------------------------------------------------------------- */

bool kr_file_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && !S_ISDIR(st.st_mode);
}

bool kr_dir_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

kr_status kr_file_size(int64_t *n, const char *path) {
    struct stat st;
    if (stat(path, &st)) KR_FAIL(KR_ERR_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode)) KR_FAIL(KR_ERR_IO, "%s: not a plain file, so it has no size", path);
    *n = st.st_size;
    return KR_OK;
}

kr_status kr_file_remove(const char *path) {
    if (unlink(path) && errno != ENOENT) KR_FAIL(KR_ERR_IO, "%s: cannot remove: %s", path, strerror(errno));
    return KR_OK;
}

kr_status kr_path_join(char *to, size_t size, const char *dir, const char *name) {
    size_t n = strlen(dir);
    if (name[0] == '/') n = 0;
    int want = snprintf(to, size, "%.*s%s%s", (int)n, dir, n && dir[n - 1] != '/' ? "/" : "", name);
    if (want < 0 || (size_t)want >= size)
        KR_FAIL(KR_ERR_ARG, "the path %.60s.../%.60s is %d bytes long, room is for %zu", dir, name, want, size);
    return KR_OK;
}

bool kr_path_is_plain(const char *name) {
    if (!name[0] || !strcmp(name, ".") || !strcmp(name, "..")) return false;
    for (const char *p = name; *p; p++)
        if (*p == '/' || (unsigned char)*p < 0x20 || *p == 0x7f) return false;
    return true;
}
