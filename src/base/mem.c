/* mem.c - the only file that calls malloc.
 *
 * A header of 64 bytes before each block holds its size, so the live count is exact. */
#include "base/mem.h"

#include <stdatomic.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HEAD = 64 };
typedef struct head { size_t bytes; void *raw; } head;

static atomic_llong n_allocs, n_live, live_bytes, peak_bytes, fail_at;

static bool must_fail(void) {
    long long left = atomic_load(&fail_at);
    if (left == 0) return false;
    if (left > 1) {
        atomic_fetch_sub(&fail_at, 1);
        return false;
    }
    return true;
}

static void count(long long blocks, long long bytes) {
    atomic_fetch_add(&n_live, blocks);
    long long now = atomic_fetch_add(&live_bytes, bytes) + bytes, peak = atomic_load(&peak_bytes);
    while (now > peak && !atomic_compare_exchange_weak(&peak_bytes, &peak, now)) {}
}

/* Tensors are walked row by row across many pages: large pages spare the processor most of
 * the look-ups of where a page lies.  Only advice, so what it answers does not matter. */
static void advise(char *p, size_t bytes) {
#ifdef MADV_HUGEPAGE
    const size_t page = 4096, large = (size_t)1 << 22;
    size_t skip = (page - (uintptr_t)p % page) % page;
    if (bytes >= large) (void)madvise(p + skip, (bytes - skip) / page * page, MADV_HUGEPAGE);
#else
    (void)p, (void)bytes;
#endif
}

static head *head_of(void *p) { return (head *)((char *)p - HEAD); }

void *kr_mem_new(size_t bytes) {
    /* calloc, because fresh pages of the system are zero already */
    void *raw = must_fail() || bytes > SIZE_MAX - 2 * HEAD ? NULL : calloc(1, bytes + 2 * HEAD);
    if (!raw) {
        kr_fail(KR_ERR_NOMEM, "out of memory: %zu bytes wanted", bytes);
        return NULL;
    }
    advise(raw, bytes);
    char *p = (char *)raw + HEAD;
    p += (HEAD - (uintptr_t)p % HEAD) % HEAD;
    *head_of(p) = (head){bytes, raw};
    atomic_fetch_add(&n_allocs, 1);
    count(1, (long long)bytes);
    return p;
}

void *kr_mem_array(size_t n, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes)) {
        kr_fail(KR_ERR_NOMEM, "out of memory: %zu items of %zu bytes wanted", n, size);
        return NULL;
    }
    return kr_mem_new(bytes);
}

void *kr_mem_resize(void *p, size_t bytes) {
    void *q = kr_mem_new(bytes);
    if (q && p) {
        size_t old = head_of(p)->bytes;
        memcpy(q, p, old < bytes ? old : bytes);
        kr_mem_free(p);
    }
    return q;
}

char *kr_mem_strdup(const char *s) {
    size_t n = strlen(s) + 1;
    char *p = kr_mem_new(n);
    return p ? memcpy(p, s, n) : NULL;
}

void kr_mem_trim(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

void kr_mem_leave(void *p) {
    const uintptr_t page = 4096, from = ((uintptr_t)p + page - 1) / page * page, end = p ? ((uintptr_t)p + head_of(p)->bytes) / page * page : 0;
    if (end > from) (void)madvise((void *)from, end - from, MADV_DONTNEED);
}

void kr_mem_free(void *p) {
    if (!p) return;
    head h = *head_of(p);
    count(-1, -(long long)h.bytes);
    free(h.raw);
}

kr_mem_stats kr_mem_get_stats(void) {
    return (kr_mem_stats){atomic_load(&n_allocs), atomic_load(&n_live), atomic_load(&live_bytes), atomic_load(&peak_bytes)};
}

void kr_mem_fail_at(int64_t n) { atomic_store(&fail_at, n); }

bool kr_mul_size(size_t *out, int n, const int64_t *factors) {
    size_t product = 1;
    for (int i = 0; i < n; i++)
        if (factors[i] < 0 || __builtin_mul_overflow(product, (size_t)factors[i], &product)) return false;
    *out = product;
    return true;
}

/* --- arena ------------------------------------------------------------------ */

struct kr_arena_block { struct kr_arena_block *next; size_t used, size; };
enum { BLOCK = 16384, BLOCK_HEAD = 32 };

void *kr_arena_new(kr_arena *a, size_t bytes) {
    if (bytes > SIZE_MAX / 2) { /* rounding up would wrap */
        kr_fail(KR_ERR_NOMEM, "out of memory: %zu bytes wanted", bytes);
        return NULL;
    }
    size_t want = (bytes + 15) & ~(size_t)15;
    struct kr_arena_block *b = a->head;
    if (!b || b->size - b->used < want) {
        size_t size = want > BLOCK ? want : BLOCK;
        b = kr_mem_new(BLOCK_HEAD + size);
        if (!b) return NULL;
        b->size = size;
        b->next = a->head;
        a->head = b;
    }
    void *p = (char *)b + BLOCK_HEAD + b->used;
    b->used += want;
    return p;
}

char *kr_arena_strdup(kr_arena *a, const char *s) {
    size_t n = strlen(s) + 1;
    char *p = kr_arena_new(a, n);
    return p ? memcpy(p, s, n) : NULL;
}

void kr_arena_clear(kr_arena *a) {
    while (a->head) {
        struct kr_arena_block *next = a->head->next;
        kr_mem_free(a->head);
        a->head = next;
    }
}
