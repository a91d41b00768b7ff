/* source_kind.h - what a kind of source is, to source.c; only src/data includes it. */
#ifndef KR_DATA_SOURCE_KIND_H
#define KR_DATA_SOURCE_KIND_H
#include "base/rng.h"
#include "data/source.h"

typedef struct kr_source_kind {
    const char *name, *about;
    const kr_key *keys;
    /* Reads `data`, fills s->info (L is 0 or the caller's wish) and s->own. */
    kr_status (*open)(kr_source *s, const json_t *data);
    void (*batch)(const kr_source *s, kr_split split, int64_t step, kr_batch *out);
    bool (*resets)(const kr_source *s, kr_split split, int64_t step, int64_t row); /* NULL: always */
    /* Of examples with names: which one a row is (-1: none), its name, and its answer in the file's units. */
    bool (*who)(const kr_source *s, kr_split split, int64_t step, int64_t row, char *to, size_t size);  /* NULL: none have */
    const char *(*label)(const kr_source *s, int64_t i);                                                 /* NULL: none have */
    void (*restore)(const kr_source *s, kr_split split, int64_t step, int64_t row, float *y);            /* NULL: as they are */
    int64_t (*cells)(const kr_source *s, kr_split split, int64_t step, int64_t row, const int32_t *said, int32_t *cells); /* NULL: a cell a target */
    void (*close)(kr_source *s); /* also after a failed open; frees s->own */
} kr_source_kind;

typedef struct kr_set kr_set; /* set.h */
struct kr_source {
    const kr_source_kind *kind;
    kr_source_info info;
    uint64_t seed;
    bool predict;
    const json_t *fitted;         /* while opening only */
    json_t *learnt, *encoder, *condition, *head; /* freed by kr_source_close */
    void *own;
    const kr_set *set;            /* of `own`, if its examples are those of one set */
};

extern const kr_source_kind kr_source_text, kr_source_image, kr_source_series, kr_source_audio, kr_source_sequence, kr_source_table,
    kr_source_items, kr_source_graph, kr_source_points, kr_source_clip;
extern const kr_source_kind kr_source_copying, kr_source_selective_copying, kr_source_induction_heads, kr_source_mqar,
    kr_source_associative_recall, kr_source_adding, kr_source_parity;

/* Every kind's first two keys. */
#define KR_SOURCE_KEYS(type, def_kind, def_length)                                   \
    KR_KEY_TEXT(type, kind, def_kind, "where rows come from"),                       \
    KR_KEY_INT(type, length, def_length, 1, 1e9, "steps of a row, L")

/* The draws of one row of a split; those of EVAL do not depend on the seed. */
kr_rng kr_source_row_rng(const kr_source *s, kr_split split, int64_t row);
/* The same for anything else that a source draws once. */
kr_rng kr_source_rng(const kr_source *s, kr_split split, const char *purpose, int64_t n);
/* A random order of 0 .. n - 1 without a table: the i-th number of permutation `key`. */
int64_t kr_permute(uint64_t key, int64_t n, int64_t i);
#endif
