/* matcher.c - which tokens can follow: stacks, states, and the vocabulary in order.
 *
 * The vocabulary is sorted by bytes, so tokens that begin alike lie together: the states along
 * one token serve the next up to where they part, and where no way is left all that begin so
 * are skipped. */
#include <stdlib.h>
#include <string.h>

#include "infer/grammar.h"
#include "model/model.h"

enum { DEAD = 0, UNKNOWN = -1, LONGEST_TOKEN = 512 };

/* --- tables of what is kept once ------------------------------------------------------------ */

static uint32_t mix(uint32_t h, uint32_t x) {
    h = (h ^ x) * 0x9E3779B1u;
    return h ^ h >> 15;
}

static bool table_open(kr_table *t, int32_t n) {
    if (!(t->slot = kr_mem_array((size_t)n, sizeof *t->slot))) return false;
    memset(t->slot, -1, (size_t)n * sizeof *t->slot);
    t->n = n;
    return true;
}

static bool room(void *array, int32_t *have, int64_t n, size_t size) {
    void **a = array;
    if (n < *have) return true;
    int32_t more = *have ? 2 * *have : 256;
    void *p = kr_mem_resize(*a, (size_t)more * size);
    if (!p) return false;
    *a = p;
    *have = more;
    return true;
}

static uint32_t stack_hash(const kr_stack *s) { return mix(mix(7, (uint32_t)s->item), (uint32_t)s->below); }

/* The table doubles when it is half full. */
static bool widen_stacks(kr_grammar *g) {
    kr_table t;
    if (2 * g->n_stacks < g->stacks.n) return true;
    if (!table_open(&t, g->stacks.n ? 2 * g->stacks.n : 1024)) return false;
    for (int32_t i = 0; i < g->n_stacks; i++) {
        uint32_t k = stack_hash(&g->stack[i]) & (uint32_t)(t.n - 1);
        while (t.slot[k] >= 0) k = (k + 1) & (uint32_t)(t.n - 1);
        t.slot[k] = i;
    }
    kr_mem_free(g->stacks.slot);
    g->stacks = t;
    return true;
}

/* -1: no room is left. */
static int32_t stack_of(kr_grammar *g, int32_t item, int32_t below) {
    kr_stack s = {item, below, below < 0 ? 0 : g->stack[below].depth + 1, 0, 0};
    if (!widen_stacks(g)) return -1;
    uint32_t mask = (uint32_t)(g->stacks.n - 1), k = stack_hash(&s) & mask;
    for (; g->stacks.slot[k] >= 0; k = (k + 1) & mask) {
        const kr_stack *x = &g->stack[g->stacks.slot[k]];
        if (x->item == item && x->below == below) return g->stacks.slot[k];
    }
    if (g->n_stacks >= KR_MAX_STACKS || !room(&g->stack, &g->room_stacks, g->n_stacks, sizeof *g->stack)) return -1;
    g->stack[g->n_stacks] = s;
    return g->stacks.slot[k] = g->n_stacks++;
}

static int by_number(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t ways_hash(const int32_t *way, int32_t n) {
    uint32_t h = (uint32_t)n;
    for (int32_t i = 0; i < n; i++) h = mix(h, (uint32_t)way[i]);
    return h;
}

static bool widen_states(kr_grammar *g) {
    kr_table t;
    if (2 * g->n_states < g->states.n) return true;
    if (!table_open(&t, g->states.n ? 2 * g->states.n : 256)) return false;
    for (int32_t i = 0; i < g->n_states; i++) {
        uint32_t k = ways_hash(g->way + g->state[i].at, g->state[i].n) & (uint32_t)(t.n - 1);
        while (t.slot[k] >= 0) k = (k + 1) & (uint32_t)(t.n - 1);
        t.slot[k] = i;
    }
    kr_mem_free(g->states.slot);
    g->states = t;
    return true;
}

/* The state of the stacks in work; they are put in order. */
static int32_t state_of(kr_grammar *g) {
    qsort(g->work, (size_t)g->n_work, sizeof *g->work, by_number);
    if (!widen_states(g)) return -1;
    uint32_t mask = (uint32_t)(g->states.n - 1), k = ways_hash(g->work, g->n_work) & mask;
    for (; g->states.slot[k] >= 0; k = (k + 1) & mask) {
        const kr_ways *x = &g->state[g->states.slot[k]];
        if (x->n == g->n_work && memcmp(g->way + x->at, g->work, (size_t)x->n * sizeof *g->work) == 0) return g->states.slot[k];
    }
    if (g->n_states >= KR_MAX_STATES || g->n_ways > INT32_MAX / 2 || !room(&g->state, &g->room_states, g->n_states, sizeof *g->state)) return -1;
    if (g->n_ways + g->n_work > g->room_ways) {
        int64_t more = 2 * g->room_ways + g->n_work + 1024;
        int32_t *p = kr_mem_resize(g->way, (size_t)more * sizeof *p);
        if (!p) return -1;
        g->way = p;
        g->room_ways = more;
    }
    memcpy(g->way + g->n_ways, g->work, (size_t)g->n_work * sizeof *g->work);
    g->state[g->n_states] = (kr_ways){.at = (int32_t)g->n_ways, .n = g->n_work};
    g->n_ways += g->n_work;
    return g->states.slot[k] = g->n_states++;
}

/* --- from a stack to those that wait for a byte ------------------------------------------------ */

static void new_round(kr_grammar *g) {
    g->n_work = g->n_seen = 0;
    if (++g->round != 0) return;
    for (int32_t i = 0; i < g->n_stacks; i++) g->stack[i].seen = g->stack[i].worked = 0;
    g->round = 1;
}

/* Once each; false: there are too many. */
static bool see(kr_grammar *g, int32_t s) {
    if (g->stack[s].seen == g->round) return true;
    g->stack[s].seen = g->round;
    if (g->n_seen == KR_MAX_WAYS || ++g->n_looks > KR_MAX_LOOKS) return false;
    g->seen[g->n_seen++] = s;
    return true;
}
static bool work_on(kr_grammar *g, int32_t s) {
    if (g->stack[s].worked == g->round) return true;
    g->stack[s].worked = g->round;
    if (g->n_work == KR_MAX_WAYS) return false;
    g->work[g->n_work++] = s;
    return true;
}

/* A place in a rule with what lies below: where nothing is left of the alternative it is what
 * lies below, so a rule that ends in itself does not pile up. */
static int32_t place(kr_grammar *g, int32_t item, int32_t below) {
    while (item >= 0 && g->rules.item[item].kind == KR_ITEM_END) {
        item = g->stack[below].item;
        below = g->stack[below].below;
    }
    return stack_of(g, item, below);
}

/* Adds to work what a stack leads to.  Those seen on the way are the list that is walked. */
static bool lead(kr_grammar *g, int32_t first) {
    int32_t from = g->n_seen;
    if (!see(g, first)) return false;
    for (int32_t i = from; i < g->n_seen; i++) {
        kr_stack s = g->stack[g->seen[i]];
        if (s.item < 0 || g->rules.item[s.item].kind != KR_ITEM_RULE) {
            if (!work_on(g, g->seen[i])) return false;
            continue;
        }
        if (s.depth > KR_MAX_DEPTH) continue; /* no deeper: the grammar allows less, never more */
        int32_t r = g->rules.item[s.item].arg, below = place(g, s.item + 1, s.below);
        if (below < 0) return false;
        for (int32_t a = g->rules.first[r]; a < g->rules.first[r] + g->rules.n_alts[r]; a++) {
            int32_t next = place(g, g->rules.alt[a], below);
            if (next < 0 || !see(g, next)) return false;
        }
    }
    return true;
}

static bool takes(const kr_grammar *g, const kr_stack *s, unsigned char c) {
    if (s->item < 0) return false;
    const kr_item *i = &g->rules.item[s->item];
    return i->kind == KR_ITEM_BYTE ? i->arg == c : g->rules.set[i->arg].bits[c >> 6] >> (c & 63) & 1;
}

/* -1: it cannot be held. */
static int32_t step(kr_grammar *g, int32_t from, unsigned char c) {
    if (from == DEAD) return DEAD;
    if (!g->state[from].next) {
        int32_t *next = kr_mem_array(256, sizeof *next);
        if (!next) return -1;
        memset(next, -1, 256 * sizeof *next);
        g->state[from].next = next;
    }
    int32_t to = g->state[from].next[c];
    if (to != UNKNOWN) return to;
    new_round(g);
    for (int32_t i = 0; i < g->state[from].n; i++) {
        kr_stack s = g->stack[g->way[g->state[from].at + i]];
        if (!takes(g, &s, c)) continue;
        int32_t next = place(g, s.item + 1, s.below);
        if (next < 0 || !lead(g, next)) return -1;
    }
    if ((to = state_of(g)) >= 0) g->state[from].next[c] = to;
    return to;
}

static kr_status outgrown(void) { return kr_fail(KR_ERR_NOMEM, "the grammar allows so much at once that its states cannot be held"); }

/* --- the vocabulary --------------------------------------------------------------------------- */

typedef struct entry { const char *text; uint32_t n; int32_t tok; } entry;

static int by_bytes(const void *a, const void *b) {
    const entry *x = a, *y = b;
    int c = memcmp(x->text, y->text, x->n < y->n ? x->n : y->n);
    return c ? c : x->n != y->n ? (x->n < y->n ? -1 : 1) : x->tok < y->tok ? -1 : 1;
}

/* Special tokens stand for no text, and empty ones would never end. */
static bool has_text(const kr_model *m, int32_t tok, const char **text, int64_t *n) {
    if (m->tokenizer && kr_tokenizer_is_special(m->tokenizer, tok)) return false;
    if (tok == m->config.eos_token_id) return false;
    return (*text = kr_token_text(m, tok, n)) && *n > 0 && *n <= LONGEST_TOKEN;
}

static kr_status sort_vocabulary(kr_grammar *g, const kr_model *m) {
    entry *e = kr_mem_array((size_t)g->V, sizeof *e);
    g->token = kr_mem_array((size_t)g->V, sizeof *g->token);
    g->text = kr_mem_array((size_t)g->V, sizeof *g->text);
    g->length = kr_mem_array((size_t)g->V, sizeof *g->length);
    g->common = kr_mem_array((size_t)g->V, sizeof *g->common);
    int32_t n = 0;
    kr_status st = e && g->token && g->text && g->length && g->common ? KR_OK : KR_ERR_NOMEM;
    for (int32_t t = 0; st == KR_OK && t < g->V; t++) {
        int64_t bytes;
        const char *text;
        if (has_text(m, t, &text, &bytes)) e[n++] = (entry){text, (uint32_t)bytes, t};
    }
    if (st == KR_OK) qsort(e, (size_t)n, sizeof *e, by_bytes);
    for (int32_t i = 0; st == KR_OK && i < n; i++) {
        uint32_t k = 0;
        g->token[i] = e[i].tok, g->text[i] = e[i].text, g->length[i] = e[i].n;
        while (i > 0 && k < e[i].n && k < e[i - 1].n && e[i].text[k] == e[i - 1].text[k]) k++;
        g->common[i] = k;
    }
    g->n_tokens = n;
    kr_mem_free(e);
    return st;
}

static bool fill_mask(kr_grammar *g, int32_t state, uint64_t *mask) {
    int32_t at[LONGEST_TOKEN + 1]; /* the state after so many bytes */
    uint32_t good = 0;             /* of the token before: bytes that led somewhere */
    at[0] = state;
    for (int32_t i = 0; i < g->n_tokens; i++) {
        uint32_t k = g->common[i];
        if (i > 0 && good < g->length[i - 1] && k > good) continue; /* dead already there: the same bytes */
        if (i > 0 && k > good) k = good;
        for (good = k; good < g->length[i]; good++) {
            int32_t to = step(g, at[good], (unsigned char)g->text[i][good]);
            if (to < 0) return false;
            if (to == DEAD) break;
            at[good + 1] = to;
        }
        if (good == g->length[i]) mask[g->token[i] >> 6] |= (uint64_t)1 << (g->token[i] & 63);
    }
    return true;
}

/* --- doors -------------------------------------------------------------------------------------- */

static void forget_masks(kr_grammar *g) {
    for (int32_t i = 0; i < g->n_states; i++) {
        kr_mem_free(g->state[i].mask);
        g->state[i].mask = NULL;
    }
    g->n_masks = 0;
}

static bool may_end_at(const kr_grammar *g, int32_t state) {
    for (int32_t i = 0; i < g->state[state].n; i++)
        if (g->stack[g->way[g->state[state].at + i]].item < 0) return true;
    return false;
}

kr_status kr_grammar_allowed(kr_grammar *g, int32_t state, uint64_t *allowed, bool *may_end) {
    size_t bytes = ((size_t)g->V + 63) / 64 * sizeof *allowed;
    bool fine = true;
    pthread_mutex_lock(&g->lock);
    g->n_looks = 0;
    if (!g->state[state].mask) {
        if (g->n_masks == KR_MAX_MASKS) forget_masks(g);
        uint64_t *mask = kr_mem_new(bytes);
        fine = mask && fill_mask(g, state, mask);
        if (fine) g->state[state].mask = mask, g->n_masks++;
        else kr_mem_free(mask);
    }
    if (fine) memcpy(allowed, g->state[state].mask, bytes);
    *may_end = may_end_at(g, state);
    pthread_mutex_unlock(&g->lock);
    return fine ? KR_OK : outgrown();
}

kr_status kr_grammar_step(kr_grammar *g, int32_t *state, const char *bytes, size_t n) {
    pthread_mutex_lock(&g->lock);
    int32_t s = *state;
    g->n_looks = 0;
    for (size_t i = 0; i < n && s > DEAD; i++) s = step(g, s, (unsigned char)bytes[i]);
    pthread_mutex_unlock(&g->lock);
    if (s < 0) return outgrown();
    *state = s;
    return KR_OK;
}

kr_status kr_grammar_take(kr_grammar *g, int32_t *state, const kr_model *m, int32_t tok) {
    int64_t n = 0;
    const char *text = kr_token_text(m, tok, &n);
    return text ? kr_grammar_step(g, state, text, (size_t)n) : KR_OK;
}

kr_status kr_grammar_choices(kr_grammar *g, int32_t state, int32_t eos, uint64_t *allowed) {
    bool may_end;
    KR_TRY(kr_grammar_allowed(g, state, allowed, &may_end));
    if (may_end && eos >= 0) allowed[eos >> 6] |= (uint64_t)1 << (eos & 63);
    return KR_OK;
}

kr_grammar *kr_grammar_share(kr_grammar *g) {
    atomic_fetch_add(&g->n_owners, 1);
    return g;
}

void kr_grammar_free(kr_grammar *g) {
    if (!g || atomic_fetch_sub(&g->n_owners, 1) > 1) return;
    for (int32_t i = 0; i < g->n_states; i++) {
        kr_mem_free(g->state[i].next);
        kr_mem_free(g->state[i].mask);
    }
    void *const all[] = {g->token, g->text, g->length, g->common, g->stack, g->state, g->way, g->stacks.slot, g->states.slot, g->work, g->seen};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) kr_mem_free(all[i]);
    kr_rules_free(&g->rules);
    pthread_mutex_destroy(&g->lock);
    kr_mem_free(g);
}

/* State 0 has no ways; the start is what the root leads to, above the stack "the end". */
static kr_status open_states(kr_grammar *g) {
    g->n_work = 0;
    if (state_of(g) != DEAD) return KR_ERR_NOMEM;
    new_round(g);
    int32_t end = stack_of(g, -1, -1);
    bool fine = end >= 0;
    for (int32_t a = g->rules.first[g->rules.root]; fine && a < g->rules.first[g->rules.root] + g->rules.n_alts[g->rules.root]; a++) {
        int32_t s = place(g, g->rules.alt[a], end);
        fine = s >= 0 && lead(g, s);
    }
    if (!fine || (g->start = state_of(g)) < 0) return outgrown();
    if (g->start == DEAD) KR_FAIL(KR_ERR_FORMAT, "grammar: there is no text that fits it");
    return KR_OK;
}

static bool is_large(const kr_grammar *g) { return g->n_states > KR_MAX_STATES / 8 || g->n_stacks > KR_MAX_STACKS / 8 || g->n_ways > KR_MAX_STATES * 8; }

/* In the memory that it has, so nothing can fail. */
static void forget_states(kr_grammar *g) {
    for (int32_t i = 0; i < g->n_states; i++) {
        kr_mem_free(g->state[i].next);
        kr_mem_free(g->state[i].mask);
    }
    g->n_states = g->n_stacks = g->n_masks = 0;
    g->n_ways = 0;
    memset(g->stacks.slot, -1, (size_t)g->stacks.n * sizeof *g->stacks.slot);
    memset(g->states.slot, -1, (size_t)g->states.n * sizeof *g->states.slot);
    kr_status st = open_states(g);
    KR_ASSERT(st == KR_OK);
}

void kr_grammar_enter(kr_grammar *g) {
    pthread_mutex_lock(&g->lock);
    if (g->n_inside++ == 0 && is_large(g)) forget_states(g);
    pthread_mutex_unlock(&g->lock);
}

void kr_grammar_leave(kr_grammar *g) {
    if (!g) return;
    pthread_mutex_lock(&g->lock);
    g->n_inside--;
    pthread_mutex_unlock(&g->lock);
}

kr_status kr_grammar_new(kr_grammar **out, const kr_model *m, const char *gbnf, int64_t n_bytes) {
    kr_grammar *g = kr_mem_new(sizeof *g);
    if (!g) return KR_ERR_NOMEM;
    g->n_owners = 1;
    g->V = m->config.vocab_size;
    pthread_mutex_init(&g->lock, NULL);
    kr_status st = kr_rules_parse(&g->rules, gbnf, n_bytes < 0 ? strlen(gbnf) : (size_t)n_bytes);
    if (st == KR_OK) st = sort_vocabulary(g, m);
    if (st == KR_OK) {
        g->work = kr_mem_array(KR_MAX_WAYS, sizeof *g->work);
        g->seen = kr_mem_array(KR_MAX_WAYS, sizeof *g->seen);
        g->way = kr_mem_array(g->room_ways = 1024, sizeof *g->way);
        st = g->work && g->seen && g->way ? open_states(g) : KR_ERR_NOMEM;
    }
    if (st != KR_OK) kr_grammar_free(g);
    else *out = g;
    return st;
}
