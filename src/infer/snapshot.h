/* snapshot.h - the inside of a snapshot, and what the states of a model look like. */
#ifndef KR_INFER_SNAPSHOT_H
#define KR_INFER_SNAPSHOT_H
#include <stdatomic.h>

#include "infer/grammar.h"
#include "infer/sampler.h"
#include "model/model.h"

/* The states of one sequence by name: what a file has, in the order of a graph's row. */
typedef struct kr_layout_state { const char *name; kr_dtype dtype; int n_dims; int64_t dim[KR_MAX_DIMS]; size_t at, bytes; } kr_layout_state;
typedef struct kr_layout {
    atomic_int n_owners;
    kr_arena arena;
    int n;
    kr_layout_state *state;
    size_t bytes;
    int64_t V;
} kr_layout;
kr_status kr_layout_new(kr_layout **out, const kr_graph *g, int64_t V);
void kr_layout_free(kr_layout *l); /* one owner less */
bool kr_layout_same(const kr_layout *a, const kr_layout *b);

struct kr_snapshot {
    atomic_int n_owners;
    kr_layout *layout;
    int64_t n_tok;
    void *states;             /* layout->bytes */
    float *logits;            /* [V]; NULL: none were kept */
    kr_sampler_memory *memory;/* NULL: none was kept */
    uint64_t seed;            /* the memory's */
    kr_grammar *grammar;      /* one owner; NULL: none */
    int32_t place;            /* in it; not saved */
    char *stop, *beyond;      /* of the stop string that ended the writing; NULL: none */
    bool in_turn;
    size_t bytes;
};
/* With room for what it is to keep; so many bytes. */
size_t kr_snapshot_size(const kr_layout *l, bool logits, bool memory);
kr_status kr_snapshot_new(kr_snapshot **out, kr_layout *l, bool logits, bool memory);
/* While it has one owner: the end was this stop string, and what its last token had more. */
kr_status kr_snapshot_set_stop(kr_snapshot *s, const char *stop, const char *beyond);
/* state.c: are its numbers such as a model leaves them, where others would lead astray?  KR_ERR_FORMAT. */
kr_status kr_snapshot_check(const kr_snapshot *s);
/* state.c: from a file, logits and memory with it. */
kr_status kr_snapshot_read(kr_snapshot **out, kr_layout *l, const char *path);
#endif
