/* jinja.h - the part of Jinja that chat templates use: parsed once, run in bounds.
 *
 * A template is parsed into a tree (parse.c, over the tokens of lex.c) and run over that tree
 * (run.c, calls.c) with values (value.c) that live in one arena of the run.  Spaces around
 * tags, names, tests and errors are as `transformers` sets its environment: trim_blocks,
 * lstrip_blocks, loop controls, lists and mappings that cannot be changed.
 *
 * Whoever wrote the template is not trusted: a run ends with KR_ERR_NUMERIC at its bounds of
 * steps, depth and memory.  The first failure of a run sticks; what is computed after it is
 * undefined and thrown away. */
#ifndef KR_TEXT_JINJA_H
#define KR_TEXT_JINJA_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

enum {
    KR_J_MAX_TEXT = 1 << 20,      /* bytes of a template */
    KR_J_MAX_NEST = 100,          /* of brackets and blocks in it */
    KR_J_MAX_DEPTH = 500,         /* of a run: operators, blocks and macros in each other */
    KR_J_MAX_STEPS = 20000000,
    KR_J_MAX_BYTES = 256 << 20,   /* that a run takes, in all */
    KR_J_MAX_RANGE = 100000,
};

/* --- values ---------------------------------------------------------------------------- */

typedef enum kr_j_kind {
    KR_J_UNDEFINED, KR_J_NONE, KR_J_BOOL, KR_J_INT, KR_J_REAL, KR_J_TEXT, KR_J_LIST, KR_J_DICT,
    KR_J_NAMESPACE, KR_J_MACRO, KR_J_LOOP, KR_J_FUNCTION
} kr_j_kind;

typedef struct kr_j_value {
    kr_j_kind kind;
    size_t n;                       /* bytes of a text; of what is undefined: of its name */
    union {
        bool b;
        int64_t i;                  /* a number; which function */
        double f;
        const char *s;              /* no zero at its end */
        struct kr_j_list *list;
        struct kr_j_dict *dict;     /* of a namespace too */
        const struct kr_j_macro *macro;
        struct kr_j_loop *loop;
    };
} kr_j_value;

typedef struct kr_j_list { kr_j_value *at; size_t n, room; bool tuple, group; } kr_j_list; /* a tuple is written (1, 2); one of groupby has grouper and list */
typedef struct kr_j_pair { kr_j_value key, value; } kr_j_pair;
typedef struct kr_j_dict { kr_j_pair *at; size_t n, room; } kr_j_dict; /* in the order of adding */

/* --- the tree ---------------------------------------------------------------------------- */

typedef enum kr_j_op {
    KR_J_ADD, KR_J_SUB, KR_J_MUL, KR_J_DIV, KR_J_FLOOR_DIV, KR_J_MOD, KR_J_POW, KR_J_CONCAT,
    KR_J_EQ, KR_J_NE, KR_J_LT, KR_J_LE, KR_J_GT, KR_J_GE, KR_J_IN, KR_J_NOT_IN
} kr_j_op;

typedef enum kr_j_node_kind {
    /* expressions */
    KR_J_LITERAL, KR_J_NAME,   /* value; text */
    KR_J_MAKE_LIST,            /* a: elements by next; op: is a tuple */
    KR_J_MAKE_DICT,            /* a: keys by next, each one's a its value */
    KR_J_ATTR, KR_J_INDEX,     /* a.text; a[b] */
    KR_J_SLICE,                /* a[b:c:d] */
    KR_J_CALL,                 /* a(b...): arguments by next, text is a keyword's name */
    KR_J_FILTER, KR_J_TEST,    /* a|text(b...), a is text(b...); a may be NULL in map("text") */
    KR_J_NOT, KR_J_NEG, KR_J_POS, KR_J_AND, KR_J_OR,
    KR_J_BINARY,               /* a op b */
    KR_J_COMPARE,              /* a, then by next of b: op b */
    KR_J_CHOOSE,               /* a if b else c; c may be NULL */
    KR_J_ARG,                  /* a; text: its keyword, NULL: by place; op: KR_J_MUL is *a, KR_J_POW **a */
    /* statements */
    KR_J_DATA, KR_J_PRINT,     /* text; a */
    KR_J_IF,                   /* a: condition (NULL: else), b: body, c: the next branch */
    KR_J_FOR,                  /* for a (see targets in parse.c) in b if d: body c, else e */
    KR_J_SET,                  /* a (the same) = b; b NULL: body c, filters in d over a hole */
    KR_J_MACRO_DEF,            /* text: name; a: parameters by next (their a: default); b: body */
    KR_J_FILTER_BLOCK,         /* d over the output of body c */
    KR_J_CALL_BLOCK,           /* a: a call whose caller() is the body c */
    KR_J_BREAK, KR_J_CONTINUE,
    KR_J_HOLE                  /* where a block's output goes into its filters */
} kr_j_node_kind;

typedef struct kr_j_node {
    kr_j_node_kind kind;
    int line;
    kr_j_op op;
    const char *text; size_t n;
    kr_j_value value;
    struct kr_j_node *a, *b, *c, *d, *e, *next;
} kr_j_node;

typedef struct kr_jinja {
    kr_arena arena;
    const char *name;             /* in messages */
    const kr_j_node *body;
} kr_jinja;

/* KR_ERR_FORMAT, KR_ERR_NOMEM.  The template keeps no pointer to text or name. */
kr_status kr_jinja_parse(kr_jinja *t, const char *text, size_t n, const char *name);
void kr_jinja_free(kr_jinja *t);
/* The variables are the keys of two JSON objects, the first counts before the second (may be NULL).
 * Appends to `out` in any case.  KR_ERR_ARG, KR_ERR_NUMERIC, KR_ERR_NOMEM. */
kr_status kr_jinja_run(const kr_jinja *t, const json_t *variables, const json_t *more, kr_str *out);

/* --- lex.c ---------------------------------------------------------------------------------- */

typedef enum kr_j_token_kind { KR_J_T_END, KR_J_T_DATA, KR_J_T_OPEN_PRINT, KR_J_T_OPEN_TAG, KR_J_T_CLOSE, KR_J_T_NAME, KR_J_T_TEXT, KR_J_T_INT, KR_J_T_REAL, KR_J_T_SIGN } kr_j_token_kind;

typedef struct kr_j_token {
    kr_j_token_kind kind;
    int line;
    const char *text; size_t n;   /* of a name, a sign, a text (unescaped), data */
    int64_t i;
    double f;
} kr_j_token;

typedef struct kr_j_lexer {
    kr_arena *arena;
    const char *name, *p, *end;
    int line, brackets;
    bool inside, line_start, trim, in_print;
} kr_j_lexer;

kr_status kr_j_next_token(kr_j_lexer *x, kr_j_token *t);

/* --- run.c, value.c, calls.c: a run ------------------------------------------------------------ */

typedef struct kr_j_variable { const char *name; size_t n; kr_j_value value; struct kr_j_variable *next; } kr_j_variable;
typedef struct kr_j_scope { struct kr_j_scope *outer; kr_j_variable *first; } kr_j_scope;
typedef struct kr_j_macro { const kr_j_node *def; kr_j_scope *scope; } kr_j_macro;
typedef struct kr_j_loop { kr_j_list *items; size_t at; int depth; kr_j_value last_seen; const kr_j_node *node; kr_j_scope *scope; } kr_j_loop;

typedef struct kr_j_run {
    const kr_jinja *t;
    kr_arena arena;
    size_t n_bytes;
    int64_t n_steps;
    int depth, line, loops;
    kr_str *out;
    kr_j_value hole;
    kr_status st;
} kr_j_run;

/* Arguments of a call, by place and by name. */
typedef struct kr_j_args { kr_j_value *at; size_t n; kr_j_pair *named; size_t n_named; } kr_j_args;

/* Records the first failure; returns what is undefined. */
kr_j_value kr_j_bad(kr_j_run *r, kr_status st, const char *fmt, ...) KR_PRINTF(3, 4);
/* False once the run has failed or is out of bounds. */
bool kr_j_step(kr_j_run *r, size_t n);
bool kr_j_enter(kr_j_run *r);
void *kr_j_new(kr_j_run *r, size_t bytes); /* NULL: failed */

kr_j_value kr_j_none(void);
kr_j_value kr_j_bool(bool b);
kr_j_value kr_j_int(int64_t i);
kr_j_value kr_j_real(double f);
kr_j_value kr_j_text(const char *s, size_t n);              /* s is kept */
kr_j_value kr_j_copy(kr_j_run *r, const char *s, size_t n); /* s is copied */
kr_j_value kr_j_new_list(kr_j_run *r);
kr_j_value kr_j_pair_of(kr_j_run *r, kr_j_value a, kr_j_value b); /* a tuple */
kr_j_value kr_j_new_dict(kr_j_run *r);
void kr_j_push(kr_j_run *r, kr_j_list *l, kr_j_value v);
void kr_j_put(kr_j_run *r, kr_j_dict *d, kr_j_value key, kr_j_value v);
const kr_j_value *kr_j_get(kr_j_run *r, const kr_j_dict *d, kr_j_value key); /* NULL: none */
kr_j_value kr_j_from_json(kr_j_run *r, const json_t *j);

bool kr_j_is(kr_j_value v, const char *text);     /* a text of these bytes */
bool kr_j_true(kr_j_value v);
bool kr_j_equal(kr_j_run *r, kr_j_value a, kr_j_value b);
int kr_j_compare(kr_j_run *r, kr_j_value a, kr_j_value b); /* -1, 0, 1 */
bool kr_j_number(kr_j_value v, double *x);
bool kr_j_whole(kr_j_value v, int64_t *i);        /* an integer or a bool */
const char *kr_j_kind_text(kr_j_value v);
/* As Python's str, repr and json.dumps. */
void kr_j_write(kr_j_run *r, kr_str *to, kr_j_value v);
void kr_j_write_repr(kr_j_run *r, kr_str *to, kr_j_value v);
typedef struct kr_j_json { kr_j_value indent, comma, colon; bool ascii, sort; } kr_j_json; /* indent no text: one line */
void kr_j_write_json(kr_j_run *r, kr_str *to, kr_j_value v, const kr_j_json *how, int64_t depth);
/* What was written to a text of the run's own; frees it. */
kr_j_value kr_j_taken(kr_j_run *r, kr_str *s);
kr_j_value kr_j_str(kr_j_run *r, kr_j_value v);   /* a text as it is, else written */
/* A list of what a loop over v would see. */
kr_j_list *kr_j_items(kr_j_run *r, kr_j_value v);
/* Letters, not bytes: at i (from 0), and how many. */
size_t kr_j_letters(kr_j_value text);
size_t kr_j_letter_at(kr_j_value text, size_t i); /* its byte */
/* Where Python's slice goes; step is not 0. */
void kr_j_slice_range(int64_t n, const int64_t *from, const int64_t *to, int64_t step, int64_t *first, int64_t *count);
/* Bytes of the space at p, or that ends at p, as Python's isspace tells them; 0: none is there. */
size_t kr_j_space(const char *p, const char *end);
size_t kr_j_space_before(const char *from, const char *p);
/* In order, equal ones as they stood; by a part of each if there is a path, for those without it by `other` (may be NULL); great
 * letters count as small ones unless exact. */
kr_j_value kr_j_sorted(kr_j_run *r, kr_j_list *l, const kr_j_value *path, const kr_j_value *other, bool exact, bool down);

/* calls.c: methods, functions and filters by name; filters.c */
kr_j_value kr_j_method(kr_j_run *r, kr_j_value of, const char *name, size_t n, const kr_j_args *a);
bool kr_j_has_method(kr_j_value of, const char *name, size_t n);
kr_j_value kr_j_filter(kr_j_run *r, const char *name, size_t n, kr_j_value of, const kr_j_args *a);
bool kr_j_test(kr_j_run *r, const char *name, size_t n, kr_j_value of, const kr_j_args *a);
bool kr_j_filter_known(const char *name, size_t n);
bool kr_j_test_known(const char *name, size_t n);
/* A function that every template can call; undefined if none is so called. */
kr_j_value kr_j_global(const char *name, size_t n);
kr_j_value kr_j_function(kr_j_run *r, kr_j_value f, const kr_j_args *a);
/* The i-th argument by place or by name; NULL: not given. */
const kr_j_value *kr_j_arg(kr_j_run *r, const kr_j_args *a, size_t i, const char *name);

/* format.c: Python's text % with, where `with` may be a tuple or a mapping; the filter format; a text among `with`s, l(eft), r(ight) or c(entred). */
kr_j_value kr_j_percent(kr_j_run *r, kr_j_value text, kr_j_value with);
kr_j_value kr_j_format(kr_j_run *r, kr_j_value v, const kr_j_args *a);
kr_j_value kr_j_justified(kr_j_run *r, kr_j_value text, int64_t width, const char *with, char where);

/* run.c */
kr_j_value kr_j_attribute(kr_j_run *r, kr_j_value of, const char *name, size_t n);
kr_j_value kr_j_subscript(kr_j_run *r, kr_j_value of, kr_j_value key);
#endif
