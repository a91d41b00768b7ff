/* context.c - how far back a model sees.  What scans carry has no end; keys and values are kept of so many steps. */
#include "model/model.h"

/* The length of a part's cache, if it has one and sees all that is in it; *sees: how far back at most; 0: all of it. */
static int64_t *cache_of(const kr_residual *r, int64_t *sees) {
    const kr_key *length = r->part->keys ? kr_key_find(r->part->keys, "cache_len") : NULL, *window = length ? kr_key_find(r->part->keys, "window") : NULL;
    char *opt = (char *)(uintptr_t)r->opt;
    if (!length) return NULL;
    int64_t *n = (int64_t *)(void *)(opt + length->offset);
    *sees = window ? *(const int64_t *)(const void *)(opt + window->offset) : 0;
    return *sees > 0 && *sees <= *n ? NULL : n;
}

int64_t kr_model_context(const kr_model *m) {
    int64_t least = 0;
    for (int64_t i = 0; i < m->config.n_pattern; i++)
        for (int k = 0; k < m->config.pattern[i].n; k++) {
            int64_t sees;
            const int64_t *n = cache_of(&m->config.pattern[i].part[k], &sees);
            if (n && (!least || *n < least)) least = *n;
        }
    return least;
}

void kr_model_set_context(kr_model *m, int64_t n) {
    for (int64_t i = 0; i < m->config.n_pattern; i++)
        for (int k = 0; k < m->config.pattern[i].n; k++) {
            int64_t sees, *own = cache_of(&m->config.pattern[i].part[k], &sees);
            if (own) *own = sees > 0 && sees < n ? sees : n;
        }
}
