/* file.h - files and folders: read whole, map, write so that a crash never leaves half a file.
 *
 * Every failure is KR_ERR_IO with a sentence that names the path, what was wanted and what
 * the system said.  Names from inside a file (a shard list, say) are hostile: ask
 * kr_path_is_plain before joining them to a folder. */
#ifndef KR_BASE_FILE_H
#define KR_BASE_FILE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- reading ------------------------------------------------------------------ */

/* All of a file, a pipe or a device; "-" is standard input.  A zero byte follows the n
 * bytes, so text can be used as it is.  The caller frees with kr_mem_free. */
kr_status kr_file_read(void **data, size_t *n, const char *path);
/* Maps a plain file for reading.  An empty file gives a pointer to no bytes.  Whoever
 * shortens a mapped file in place kills its readers: kr_file_writer never does. */
kr_status kr_file_map(const void **data, size_t *n, const char *path);
void kr_file_unmap(const void *data, size_t n); /* takes NULL, 0 */
/* Bytes of a map that will not be read soon: the pages that lie wholly in them are the system's again until then. */
void kr_file_forget(const void *data, size_t n);

/* --- writing ------------------------------------------------------------------ */

/* Writes beside `path` under a name of its own and takes the name over at commit, after
 * the bytes have reached the disk: readers see the old file or the new one, whole.
 * Keeps the old file's permissions; replaces a link rather than what it points to.
 * A device or a pipe (/dev/stdout) is written as it is. */
typedef struct kr_file_writer kr_file_writer;
kr_status kr_file_writer_open(kr_file_writer **w, const char *path);
/* The first failure sticks: later writes and the commit fail with it. */
kr_status kr_file_writer_write(kr_file_writer *w, const void *data, size_t n);
/* Flush, fsync, rename, fsync of the folder.  Frees w, whatever comes of it. */
kr_status kr_file_writer_commit(kr_file_writer *w);
void kr_file_writer_abort(kr_file_writer *w); /* removes what was written; takes NULL */
/* Removes what writers of this path left when they were killed; a large file's next writer calls it.  What somebody
 * is writing stays. */
void kr_file_sweep(const char *path);

/* A whole file through the writer above. */
kr_status kr_file_write(const char *path, const void *data, size_t n);
/* One line, its newline added if it has none, in a single write.  A last line that a
 * crash left without newline is ended first, so it spoils only itself. */
kr_status kr_file_append(const char *path, const char *line);

/* --- names -------------------------------------------------------------------- */

bool kr_file_exists(const char *path); /* anything but a folder */
bool kr_dir_exists(const char *path);
kr_status kr_file_size(int64_t *n, const char *path);
kr_status kr_file_remove(const char *path); /* a file that is not there is KR_OK */
/* dir/name; name alone if it starts with '/' or dir is "".  KR_ERR_ARG if it does not fit. */
kr_status kr_path_join(char *to, size_t size, const char *dir, const char *name);
/* One step down and no tricks: no '/', no control characters, not "", "." or "..". */
bool kr_path_is_plain(const char *name);

/* --- folders ------------------------------------------------------------------ */

kr_status kr_dir_make(const char *path); /* with its parents; one that is there is KR_OK */
/* Every file in the folder is on the disk already: now its name changes at once, for good.
 * A folder of the new name must not be there. */
kr_status kr_dir_rename(const char *from, const char *to);
/* The folder and all in it, without following links.  Refuses "/", "", "." and "..". */
kr_status kr_dir_remove(const char *path);

/* Names, sorted by their bytes.  The same list can be filled again and again. */
typedef struct kr_file_list {
    char **name;
    size_t n, room;
    kr_arena arena;
} kr_file_list;
enum {
    KR_LIST_FILES = 1,
    KR_LIST_DIRS = 2,
    KR_LIST_DEEP = 4,   /* all folders below too ("sub/a.txt"), but not through links */
    KR_LIST_HIDDEN = 8, /* names that start with a dot too */
};
/* Adds the names in a folder, relative to it. */
kr_status kr_dir_list(kr_file_list *list, const char *path, int what);
/* Adds the paths that match a shell pattern; none is KR_OK. */
kr_status kr_file_glob(kr_file_list *list, const char *pattern);
void kr_file_list_free(kr_file_list *list);

#ifdef __cplusplus
}
#endif
#endif
