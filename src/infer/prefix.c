/* prefix.c - a tree of blocks of tokens, some with a state; see prefix.h for what is kept. */
#include "infer/prefix.h"

#include <string.h>

struct kr_block {
    kr_block *parent, *same_hash;
    kr_block *next, **back;      /* of those with a checkpoint */
    kr_block *tails, *next_tail; /* blocks behind it that are not whole */
    int64_t n_children;          /* whole ones and tails */
    int64_t end;                 /* tokens up to and with this block */
    int64_t behind;              /* tokens of its prompt behind it; the least of all that had it */
    int64_t used, n_used;
    bool parting;
    kr_snapshot *state;          /* NULL where bytes > 0: it is fetched when it is asked for */
    int64_t bytes, serial;       /* bytes: of the checkpoint; 0: there is none */
    int64_t number;              /* in a picture; -1 */
    uint64_t hash;
    int64_t n;
    int32_t tok[];
};

kr_status kr_prefix_open(kr_prefix *p, int64_t grain, int64_t budget) {
    *p = (kr_prefix){.grain = grain, .budget = budget, .n_table = 1024, .next_serial = 1};
    p->table = kr_mem_array(p->n_table, sizeof *p->table);
    p->root = kr_mem_new(sizeof *p->root);
    return p->table && p->root ? KR_OK : KR_ERR_NOMEM;
}

/* --- blocks ------------------------------------------------------------------------------- */

static uint64_t hash_of(const kr_block *parent, const int32_t *tok, int64_t n) {
    uint64_t h = (uint64_t)(uintptr_t)parent * 0x9E3779B97F4A7C15ull;
    for (int64_t i = 0; i < n; i++) h = (h ^ (uint32_t)tok[i]) * 0xD6E8FEB86659FD93ull, h ^= h >> 32;
    return h;
}

static bool is(const kr_block *b, const kr_block *parent, const int32_t *tok, int64_t n) {
    return b->parent == parent && b->n == n && memcmp(b->tok, tok, (size_t)n * sizeof *tok) == 0;
}

static kr_block *whole_child(const kr_prefix *p, const kr_block *parent, const int32_t *tok) {
    uint64_t h = hash_of(parent, tok, p->grain);
    for (kr_block *b = p->table[h & (p->n_table - 1)]; b; b = b->same_hash)
        if (b->hash == h && is(b, parent, tok, p->grain)) return b;
    return NULL;
}

/* The block that ends at n tokens; *deepest: the last that is there on the way. */
static kr_block *walk(const kr_prefix *p, const int32_t *tok, int64_t n, kr_block **deepest) {
    kr_block *b = p->root;
    for (*deepest = b; b->end + p->grain <= n; *deepest = b)
        if (!(b = whole_child(p, b, tok + b->end))) return NULL;
    if (b->end == n) return b;
    for (kr_block *t = b->tails; t; t = t->next_tail)
        if (is(t, b, tok + b->end, n - b->end)) return t;
    return NULL;
}

static size_t block_bytes(int64_t n) { return sizeof(kr_block) + (size_t)n * sizeof(int32_t); }

/* The table doubles; without memory for that the chains just grow. */
static void widen(kr_prefix *p) {
    size_t n = 2 * p->n_table;
    kr_block **t = kr_mem_array(n, sizeof *t);
    if (!t) return;
    for (size_t i = 0; i < p->n_table; i++)
        for (kr_block *b = p->table[i], *next; b; b = next) {
            next = b->same_hash;
            b->same_hash = t[b->hash & (n - 1)];
            t[b->hash & (n - 1)] = b;
        }
    kr_mem_free(p->table);
    p->table = t;
    p->n_table = n;
}

static kr_block *new_block(kr_prefix *p, kr_block *parent, const int32_t *tok, int64_t n) {
    kr_block *b = kr_mem_new(block_bytes(n));
    if (!b) return NULL;
    b->parent = parent;
    b->n = n;
    b->end = parent->end + n;
    b->behind = INT64_MAX;
    b->number = -1;
    memcpy(b->tok, tok, (size_t)n * sizeof *tok);
    b->hash = hash_of(parent, tok, n);
    if (n == p->grain) {
        if (++p->n_blocks > 2 * p->n_table) widen(p);
        kr_block **at = &p->table[b->hash & (p->n_table - 1)];
        b->same_hash = *at;
        *at = b;
    } else {
        b->next_tail = parent->tails;
        parent->tails = b;
    }
    parent->n_children++;
    p->bytes += (int64_t)block_bytes(n);
    return b;
}

static void unlink_from(kr_block **at, kr_block *b, bool tail) {
    while (*at != b) at = tail ? &(*at)->next_tail : &(*at)->same_hash;
    *at = tail ? b->next_tail : b->same_hash;
}

static void remove_block(kr_prefix *p, kr_block *b) {
    kr_block *parent = b->parent;
    bool tail = b->n != p->grain;
    unlink_from(tail ? &parent->tails : &p->table[b->hash & (p->n_table - 1)], b, tail);
    p->n_blocks -= !tail;
    p->bytes -= (int64_t)block_bytes(b->n);
    parent->n_children--;
    kr_mem_free(b);
}

/* Away with a block that leads to no checkpoint, and those before it. */
static void prune(kr_prefix *p, kr_block *b) {
    for (kr_block *parent; b != p->root && !b->bytes && b->n_children == 0; b = parent) {
        parent = b->parent;
        remove_block(p, b);
    }
}

static void leave(kr_prefix *p, kr_block *b) {
    *b->back = b->next;
    if (b->next) b->next->back = b->back;
    p->bytes -= b->bytes;
    p->n_entries--;
    p->n_changes++;
    kr_snapshot_free(b->state);
    b->state = NULL;
    b->bytes = 0;
}

static void drop(kr_prefix *p, kr_block *b) {
    leave(p, b);
    prune(p, b);
}

/* A checkpoint of so many bytes, in memory or not. */
static void enter(kr_prefix *p, kr_block *b, kr_snapshot *state, int64_t bytes, int64_t serial) {
    b->state = state;
    b->bytes = bytes;
    b->serial = serial;
    b->back = &p->entries;
    if ((b->next = p->entries)) b->next->back = &b->next;
    p->entries = b;
    p->bytes += bytes;
    p->n_entries++;
    p->n_changes++;
}

void kr_prefix_close(kr_prefix *p) {
    while (p->entries) drop(p, p->entries);
    kr_mem_free(p->root);
    kr_mem_free(p->table);
    *p = (kr_prefix){0};
}

/* --- what is kept --------------------------------------------------------------------------- */

static double worth(const kr_prefix *p, int64_t again, int64_t behind, int64_t n_used, bool parting, int64_t used) {
    return (double)again * (double)(1 + n_used) * (parting ? 2 : 1) / ((double)(behind + p->grain) * (double)(p->now - used + 1));
}

/* Tokens between a block and the checkpoint before it. */
static int64_t gap(const kr_block *b) {
    const kr_block *a = b->parent;
    while (a->parent && !a->bytes) a = a->parent;
    return b->end - a->end;
}

static kr_block *cheapest(const kr_prefix *p, double *least) {
    kr_block *found = NULL;
    for (kr_block *b = p->entries; b; b = b->next) {
        double w = worth(p, gap(b), b->behind, b->n_used, b->parting, b->used);
        if (!found || w < *least) found = b, *least = w;
    }
    return found;
}

/* Bytes that a checkpoint after n tokens adds: its own, and those of blocks on the way that are new. */
static int64_t needed(const kr_prefix *p, const int32_t *tok, int64_t n, size_t state) {
    kr_block *last, *b = walk(p, tok, n, &last);
    int64_t rest = b ? 0 : n - last->end;
    return (int64_t)state + rest / p->grain * (int64_t)block_bytes(p->grain) + (rest % p->grain ? (int64_t)block_bytes(rest % p->grain) : 0);
}

bool kr_prefix_wants(kr_prefix *p, const int32_t *tok, int64_t n, int64_t n_all, bool parting, size_t bytes) {
    kr_block *last, *b = walk(p, tok, n, &last);
    double least;
    if (b && b->bytes) return false;
    if (needed(p, tok, n, bytes) > p->budget) return false;
    if (p->bytes + needed(p, tok, n, bytes) <= p->budget) return true;
    while (last->parent && !last->bytes) last = last->parent;
    return cheapest(p, &least) && worth(p, n - last->end, n_all - n, 0, parting, p->now) >= least;
}

kr_status kr_prefix_add(kr_prefix *p, const int32_t *tok, int64_t n, int64_t n_all, bool parting, kr_snapshot *state) {
    double least;
    kr_block *b = p->root;
    while (p->entries && p->bytes + needed(p, tok, n, state->bytes) > p->budget) {
        drop(p, cheapest(p, &least));
        p->n_evicted++;
    }
    while (b->end < n) {
        int64_t size = n - b->end < p->grain ? n - b->end : p->grain;
        kr_block *last, *next = size == p->grain ? whole_child(p, b, tok + b->end) : walk(p, tok, n, &last);
        if (!next && !(next = new_block(p, b, tok + b->end, size))) {
            prune(p, b);
            return KR_ERR_NOMEM;
        }
        b = next;
    }
    if (n_all - n < b->behind) b->behind = n_all - n;
    b->parting = b->parting || parting;
    b->used = p->now;
    if (b->bytes || b == p->root) { /* known: its bits are the same */
        kr_snapshot_free(state);
        return KR_OK;
    }
    enter(p, b, state, kr_snapshot_bytes(state), p->next_serial++);
    return KR_OK;
}

/* --- finding ----------------------------------------------------------------------------------- */

/* The longest tail behind b that the rest begins with; only_all: that is the rest. */
static kr_block *find_tail(const kr_block *b, const int32_t *tok, int64_t n, bool only_all) {
    kr_block *best = NULL;
    for (kr_block *t = b->tails; t; t = t->next_tail) {
        if (t->n > n || (only_all && t->n != n) || (best && best->n >= t->n)) continue;
        if (memcmp(t->tok, tok, (size_t)t->n * sizeof *tok) == 0) best = t;
    }
    return best;
}

static kr_block *find(const kr_prefix *p, const int32_t *tok, int64_t n, bool tails, int64_t *shared) {
    kr_block *b = p->root, *best = NULL;
    for (;;) {
        kr_block *t = find_tail(b, tok + b->end, n - b->end, !tails);
        if (t && t->bytes) best = t;
        if (b->end + p->grain > n || !(b = whole_child(p, b, tok + b->end))) return best;
        *shared = b->end;
        if (b->bytes) best = b;
    }
}

kr_prefix_hit kr_prefix_find(kr_prefix *p, const int32_t *tok, int64_t n, bool tails, int64_t before) {
    int64_t shared = 0;
    kr_block *best;
    p->now += before < 0;
    while ((best = find(p, tok, n, tails, &shared)) && !best->state && !(best->state = p->fetch(p->user, best->serial, best->end))) drop(p, best);
    if (!best) {
        p->n_misses += before < 0;
        return (kr_prefix_hit){.shared = shared, .whole = true};
    }
    p->n_hits += before <= 0;
    p->n_misses -= before == 0;
    p->n_changes++;
    best->used = p->now;
    best->n_used += before < best->end;
    return (kr_prefix_hit){kr_snapshot_share(best->state), best->end, shared, best->end % p->grain == 0 || best->end == n};
}

/* --- pictures ---------------------------------------------------------------------------------- */

/* Numbers all blocks, each behind its parent; *n_tok: tokens of all. */
static int64_t number_blocks(const kr_prefix *p, int64_t *n_tok) {
    int64_t n = 0;
    for (kr_block *e = p->entries; e; e = e->next) {
        int64_t at, way = 0;
        for (kr_block *b = e; b != p->root && b->number < 0; b = b->parent) way++, *n_tok += b->n;
        at = n += way;
        for (kr_block *b = e; b != p->root && b->number < 0; b = b->parent) b->number = --at;
    }
    return n;
}

static void forget_numbers(const kr_prefix *p) {
    for (kr_block *e = p->entries; e; e = e->next)
        for (kr_block *b = e; b != p->root && b->number >= 0; b = b->parent) b->number = -1;
}

static void draw(const kr_prefix *p, kr_tree *x, kr_block **all) {
    int32_t *tok = x->tok;
    for (kr_block *e = p->entries; e; e = e->next)
        for (kr_block *b = e; b != p->root && !all[b->number]; b = b->parent) all[b->number] = b;
    for (int64_t i = 0; i < x->n; tok += all[i++]->n) {
        const kr_block *b = all[i];
        x->block[i] = (kr_tree_block){.parent = b->parent->number, .behind = b->behind, .used = b->used, .n_used = b->n_used,
                                         .serial = b->bytes ? b->serial : 0, .n = (int32_t)b->n, .parting = b->parting};
        if (b->parent == p->root) x->block[i].parent = -1;
        if (b->state) x->state[i] = kr_snapshot_share(b->state);
        memcpy(tok, b->tok, (size_t)b->n * sizeof *tok);
    }
}

kr_status kr_prefix_picture(kr_prefix *p, kr_tree *out) {
    kr_tree x = {.now = p->now, .next_serial = p->next_serial, .n_changes = p->n_changes};
    x.n = number_blocks(p, &x.n_tok);
    x.block = kr_mem_array((size_t)x.n + 1, sizeof *x.block);
    x.tok = kr_mem_array((size_t)x.n_tok + 1, sizeof *x.tok);
    x.state = kr_mem_array((size_t)x.n + 1, sizeof *x.state);
    kr_block **all = kr_mem_array((size_t)x.n + 1, sizeof *all);
    bool ok = x.block && x.tok && x.state && all;
    if (ok) draw(p, &x, all), *out = x;
    else kr_tree_free(&x);
    forget_numbers(p);
    kr_mem_free(all);
    return ok ? KR_OK : KR_ERR_NOMEM;
}

void kr_tree_free(kr_tree *x) {
    for (int64_t i = 0; x->state && i < x->n; i++) kr_snapshot_free(x->state[i]);
    kr_mem_free(x->block);
    kr_mem_free(x->tok);
    kr_mem_free(x->state);
    *x = (kr_tree){0};
}

static bool is_possible(const kr_prefix *p, const kr_tree *x, int64_t i, kr_block *const *all, const int32_t *tok, int64_t V) {
    const kr_tree_block *b = &x->block[i];
    const int64_t most = (int64_t)1 << 50;
    if (b->parent < -1 || b->parent >= i || b->n < 1 || b->n > p->grain || b->serial < 0 || b->serial >= x->next_serial) return false;
    if (b->behind < 0 || b->used < 0 || b->used > x->now || b->n_used < 0 || b->n_used > most) return false;
    const kr_block *parent = b->parent < 0 ? p->root : all[b->parent];
    if (parent != p->root && parent->n < p->grain) return false;
    for (int64_t k = 0; k < b->n; k++)
        if (tok[k] < 0 || tok[k] >= V) return false;
    if (b->n == p->grain) return !whole_child(p, parent, tok);
    for (const kr_block *t = parent->tails; t; t = t->next_tail)
        if (is(t, parent, tok, b->n)) return false;
    return true;
}

static kr_status fill(kr_prefix *p, const kr_tree *x, size_t state_bytes, int64_t V, kr_block **all) {
    const int32_t *tok = x->tok;
    for (int64_t i = 0; i < x->n; tok += x->block[i++].n) {
        const kr_tree_block *from = &x->block[i];
        if (!is_possible(p, x, i, all, tok, V)) KR_FAIL(KR_ERR_FORMAT, "block %lld of the tree is impossible", (long long)i);
        kr_block *b = all[i] = new_block(p, from->parent < 0 ? p->root : all[from->parent], tok, from->n);
        if (!b) return KR_ERR_NOMEM;
        b->behind = from->behind, b->used = from->used, b->n_used = from->n_used, b->parting = from->parting != 0;
        if (from->serial) enter(p, b, NULL, (int64_t)state_bytes, from->serial);
    }
    return KR_OK;
}

kr_status kr_prefix_restore(kr_prefix *p, const kr_tree *x, size_t state_bytes, int64_t V) {
    double least;
    kr_block **all = kr_mem_array((size_t)x->n + 1, sizeof *all);
    if (!all) return KR_ERR_NOMEM;
    p->now = x->now;
    p->next_serial = x->next_serial;
    kr_status st = fill(p, x, state_bytes, V, all);
    for (int64_t i = x->n - 1; i >= 0; i--) { /* those behind are gone already */
        kr_block *b = all[i];
        if (b && b->bytes && st != KR_OK) leave(p, b);
        if (b && !b->bytes && b->n_children == 0) remove_block(p, b);
    }
    kr_mem_free(all);
    while (p->entries && p->bytes > p->budget) drop(p, cheapest(p, &least));
    return st;
}
