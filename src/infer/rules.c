/* rules.c - does a rule begin with itself?
 *
 * Rule r leads to rule s where s may be the first thing read in r.  Around a circle of such
 * steps a stack would grow without a byte being read, if anything is left behind s on the
 * way; where s is the last of its alternative nothing is left, and the circle is harmless. */
#include <string.h>

#include "infer/grammar.h"

typedef struct finder {
    const kr_rules *g;
    bool *empty;               /* rules that can be nothing */
    int32_t *part, *low, *order, *stack, *walk, *alt, *item;
    int32_t n_order, n_stack;
} finder;

static bool skips(const finder *f, const kr_item *i) { return i->kind == KR_ITEM_RULE && f->empty[i->arg]; }

/* A rule is empty if all of an alternative is; each rule that turns out so is told to all who
 * use it, once. */
static bool find_empty(finder *f) {
    const kr_rules *g = f->g;
    int32_t *left = kr_mem_array((size_t)g->n_all_alts + 1, sizeof *left), *owner = kr_mem_array((size_t)g->n_all_alts + 1, sizeof *owner);
    int32_t *at = kr_mem_array((size_t)g->n + 2, sizeof *at), *user = kr_mem_array((size_t)g->n_items + 1, sizeof *user), n = 0;
    bool fine = left && owner && at && user;
    for (int pass = 0; fine && pass < 2; pass++) { /* count, then fill: users of rule r are user[at[r] ... at[r + 1]) */
        for (int32_t r = 0; r < g->n; r++)
            for (int32_t a = g->first[r]; a < g->first[r] + g->n_alts[r]; a++) {
                owner[a] = r;
                left[a] = 0;
                for (const kr_item *i = &g->item[g->alt[a]]; i->kind != KR_ITEM_END; i++) {
                    left[a]++;
                    if (i->kind != KR_ITEM_RULE) left[a] = INT32_MIN / 2; /* never */
                    else if (pass == 0) at[i->arg + 2]++;
                    else user[at[i->arg + 1]++] = a;
                }
            }
        for (int32_t r = 0; pass == 0 && r <= g->n; r++) at[r + 1] += at[r];
    }
    for (int32_t a = 0; fine && a < g->n_all_alts; a++)
        if (left[a] == 0 && !f->empty[owner[a]]) f->empty[owner[a]] = true, f->stack[n++] = owner[a];
    while (fine && n > 0) {
        int32_t r = f->stack[--n];
        for (int32_t k = at[r]; k < at[r + 1]; k++)
            if (--left[user[k]] == 0 && !f->empty[owner[user[k]]]) f->empty[owner[user[k]]] = true, f->stack[n++] = owner[user[k]];
    }
    kr_mem_free(left);
    kr_mem_free(owner);
    kr_mem_free(at);
    kr_mem_free(user);
    return fine;
}

/* The next rule that r may begin with, from where alt and item of r stand; -1: none is left. */
static int32_t next_first(finder *f, int32_t r, bool *grows) {
    const kr_rules *g = f->g;
    for (; f->alt[r] < g->n_alts[r]; f->alt[r]++, f->item[r] = 0)
        for (;;) {
            const kr_item *i = &g->item[g->alt[g->first[r] + f->alt[r]] + f->item[r]];
            if (i->kind != KR_ITEM_RULE || (f->item[r] > 0 && !skips(f, i - 1))) break;
            f->item[r]++;
            *grows = i[1].kind != KR_ITEM_END;
            return i->arg;
        }
    return -1;
}

/* Tarjan's: rules that lead to each other get the same part. */
static void find_parts(finder *f, int32_t root, int32_t *n_parts) {
    int32_t n = 0;
    bool grows;
    f->walk[n++] = root;
    f->order[root] = f->low[root] = ++f->n_order;
    f->stack[f->n_stack++] = root;
    while (n > 0) {
        int32_t r = f->walk[n - 1], s = next_first(f, r, &grows);
        if (s >= 0) {
            if (!f->order[s]) {
                f->order[s] = f->low[s] = ++f->n_order;
                f->stack[f->n_stack++] = s;
                f->walk[n++] = s;
            } else if (!f->part[s] && f->order[s] < f->low[r]) {
                f->low[r] = f->order[s];
            }
            continue;
        }
        n--;
        if (n > 0 && f->low[r] < f->low[f->walk[n - 1]]) f->low[f->walk[n - 1]] = f->low[r];
        if (f->low[r] != f->order[r]) continue;
        for (++*n_parts;;) {
            int32_t t = f->stack[--f->n_stack];
            f->part[t] = *n_parts;
            if (t == r) break;
        }
    }
}

static int32_t find_circle(finder *f) {
    const kr_rules *g = f->g;
    int32_t n_parts = 0;
    for (int32_t r = 0; r < g->n; r++)
        if (!f->order[r]) find_parts(f, r, &n_parts);
    memset(f->alt, 0, (size_t)g->n * sizeof *f->alt);
    memset(f->item, 0, (size_t)g->n * sizeof *f->item);
    for (int32_t r = 0; r < g->n; r++) {
        bool grows;
        for (int32_t s; (s = next_first(f, r, &grows)) >= 0;)
            if (grows && f->part[s] == f->part[r]) return r;
    }
    return -1;
}

kr_status kr_rules_check(const kr_rules *g, char *const *names) {
    size_t n = (size_t)g->n + 1;
    int32_t *block = kr_mem_array(7 * n, sizeof *block);
    finder f = {.g = g, .empty = kr_mem_array(n, sizeof *f.empty), .part = block};
    kr_status st = block && f.empty ? KR_OK : KR_ERR_NOMEM;
    if (st == KR_OK) {
        f.low = block + n, f.order = block + 2 * n, f.stack = block + 3 * n, f.walk = block + 4 * n, f.alt = block + 5 * n, f.item = block + 6 * n;
        if (!find_empty(&f)) st = KR_ERR_NOMEM;
    }
    int32_t r = st == KR_OK ? find_circle(&f) : -1;
    if (r >= 0) st = kr_fail(KR_ERR_FORMAT, "grammar: the rule \"%.60s\" begins with itself; put what comes first to the left", names[r] ? names[r] : "(a group)");
    kr_mem_free(block);
    kr_mem_free(f.empty);
    return st;
}
