/* grammar.h - the inside of a grammar: rules over bytes, and the states a text can be in.
 *
 * A grammar is compiled to bytes (a character is a sequence of them), so tokens that end within
 * a character need nothing special.  A state is a set of stacks, one for each way in which the
 * text so far can be read; a stack is a place in a rule and the stack behind it.  Stacks and
 * states are kept once, so a state is a number, the step from state to state by a byte is
 * looked up, and so is the set of tokens that a state allows. */
#ifndef KR_INFER_GRAMMAR_H
#define KR_INFER_GRAMMAR_H
#include <pthread.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "krait/grammar.h"

/* What a grammar may be at most; a hostile one ends at one of these. */
enum {
    KR_MAX_RULES = 1 << 15, KR_MAX_ITEMS = 1 << 18, KR_MAX_NESTING = 200, KR_MAX_REPEAT = 2000,
    KR_MAX_STACKS = 1 << 20, KR_MAX_STATES = 1 << 16, KR_MAX_WAYS = 1024, KR_MAX_DEPTH = 2048, KR_MAX_MASKS = 2048,
    KR_MAX_LOOKS = 1 << 24 /* stacks looked at for one set of tokens */
};

typedef enum kr_item_kind { KR_ITEM_END, KR_ITEM_BYTE, KR_ITEM_SET, KR_ITEM_RULE } kr_item_kind;
typedef struct kr_item { int32_t kind, arg; } kr_item; /* END: of an alternative */
typedef struct kr_byte_set { uint64_t bits[4]; } kr_byte_set;
/* Alternatives of rule r: alt[first[r]] ... alt[first[r] + n_alts[r] - 1], each the index of its first item. */
typedef struct kr_rules {
    kr_item *item;
    kr_byte_set *set;
    int32_t *alt, *first, *n_alts;
    int32_t n_items, n_sets, n_all_alts, n, root;
} kr_rules;

/* gbnf.c */
kr_status kr_rules_parse(kr_rules *g, const char *text, size_t n);
void kr_rules_free(kr_rules *g);
/* rules.c: KR_ERR_FORMAT where a rule begins with itself: no stack would hold that. */
kr_status kr_rules_check(const kr_rules *g, char *const *names);

/* --- states -------------------------------------------------------------------------------- */

typedef struct kr_stack { int32_t item, below, depth; uint32_t seen, worked; } kr_stack; /* item -1: the text may end; marks of a step */
typedef struct kr_ways { int32_t at, n; int32_t *next; uint64_t *mask; } kr_ways; /* stacks way[at ... at + n) */
typedef struct kr_table { int32_t *slot; int32_t n; } kr_table;                 /* open addressing; -1: empty */

struct kr_grammar {
    atomic_int n_owners;
    pthread_mutex_t lock;
    kr_rules rules;
    int64_t V;
    int32_t n_tokens;          /* with text, sorted by it */
    int32_t *token;
    const char **text;         /* the model's */
    uint32_t *length, *common; /* bytes shared with the token before */
    kr_stack *stack;
    int32_t n_stacks, room_stacks;
    kr_ways *state;            /* 0: no way is left */
    int32_t n_states, room_states, start, n_masks;
    int32_t *way;
    int64_t n_ways, room_ways;
    kr_table stacks, states;
    int32_t *work, n_work;     /* [KR_MAX_WAYS] */
    int32_t *seen, n_seen;     /* stacks looked into on the way */
    uint32_t round;            /* of marks */
    int64_t n_looks;
    int64_t n_inside;          /* who have a place in it */
};

/* matcher.c; all lock.  A state that cannot be held is KR_ERR_NOMEM. */
/* Whoever keeps a state of it says so, before taking `start`: while nobody does, a grammar that has grown large forgets all its
 * states, so that one which is shared for long does not fill up. */
void kr_grammar_enter(kr_grammar *g);
void kr_grammar_leave(kr_grammar *g); /* takes NULL */
/* allowed: [(V + 63) / 64]; *may_end: the text may end here. */
kr_status kr_grammar_allowed(kr_grammar *g, int32_t state, uint64_t *allowed, bool *may_end);
/* The state after a token's bytes; 0: it does not fit. */
kr_status kr_grammar_step(kr_grammar *g, int32_t *state, const char *bytes, size_t n);
/* The same for a token, and for drawing: the end of the text is allowed where the grammar may end. */
kr_status kr_grammar_take(kr_grammar *g, int32_t *state, const kr_model *m, int32_t tok);
kr_status kr_grammar_choices(kr_grammar *g, int32_t state, int32_t eos, uint64_t *allowed);
#endif
