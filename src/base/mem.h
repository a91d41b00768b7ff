/* mem.h - the one home of the heap.
 *
 * Everything is counted, so that a test can prove that a step allocates nothing, and
 * the n-th call can be made to fail, so that a test can prove that every failure
 * leaves a status and no leak. */
#ifndef KR_BASE_MEM_H
#define KR_BASE_MEM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Zeroed, 64-byte aligned (from 4 KiB up: fresh pages, so zeroing costs nothing until
 * touched).  NULL when there is none, with the sentence set.  kr_mem_free takes NULL. */
void *kr_mem_new(size_t bytes);
/* n * size bytes; NULL also when the product overflows. */
void *kr_mem_array(size_t n, size_t size);
/* Grows or shrinks; on failure the old block stays.  New bytes are not zeroed. */
void *kr_mem_resize(void *p, size_t bytes);
char *kr_mem_strdup(const char *s);
void kr_mem_free(void *p);

/* Gives what was freed back to the system, where that can be asked for: after work that took
 * much in small pieces. */
void kr_mem_trim(void);
/* What lies in it is of no use any more, though it will be used again: the system may have its pages meanwhile. */
void kr_mem_leave(void *p);

typedef struct kr_mem_stats { int64_t n_allocs, n_live, live_bytes, peak_bytes; } kr_mem_stats;
kr_mem_stats kr_mem_get_stats(void);
/* The n-th allocation from now (1 = the next) fails, and all after it; 0 turns this off. */
void kr_mem_fail_at(int64_t n);

/* a * b * ... in bytes or elements; false on overflow or a negative factor. */
bool kr_mul_size(size_t *out, int n, const int64_t *factors);

/* An arena: many small objects, one free.  Zero-initialised is empty. */
typedef struct kr_arena { struct kr_arena_block *head; } kr_arena;
void *kr_arena_new(kr_arena *a, size_t bytes); /* zeroed, 16-byte aligned; NULL when none */
char *kr_arena_strdup(kr_arena *a, const char *s);
void kr_arena_clear(kr_arena *a);

#ifdef __cplusplus
}
#endif
#endif
