/* parse.c - a template's tree, by recursive descent with Jinja's own precedences. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text/jinja/jinja.h"
#include "text/unicode.h"

typedef struct parser {
    kr_jinja *t;
    kr_j_lexer x;
    kr_j_token now;
    int nest, loops;
    kr_status st;
    kr_j_node spare;   /* see make */
} parser;

typedef kr_j_node node;

static void bad(parser *p, const char *fmt, ...) KR_PRINTF(2, 3);
static void bad(parser *p, const char *fmt, ...) {
    char what[256];
    va_list ap;
    if (p->st != KR_OK) return;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    p->st = kr_fail(KR_ERR_FORMAT, "%s: line %d: %s", p->x.name, p->now.line, what);
}

static void next(parser *p) {
    if (p->st == KR_OK) p->st = kr_j_next_token(&p->x, &p->now);
    if (p->st != KR_OK) p->now = (kr_j_token){.kind = KR_J_T_END, .line = p->now.line}; /* every loop ends here */
}

static bool deeper(parser *p) {
    if (p->nest < KR_J_MAX_NEST) return p->nest++, p->st == KR_OK;
    return bad(p, "nested more than %d deep", KR_J_MAX_NEST), false;
}

/* Never NULL: after a failure a node that nobody keeps. */
static node *make(parser *p, kr_j_node_kind kind) {
    node *n = kr_arena_new(&p->t->arena, sizeof *n);
    if (!n) {
        p->st = KR_ERR_NOMEM;
        p->spare = (node){0};
        return &p->spare;
    }
    n->kind = kind, n->line = p->now.line;
    return n;
}

static bool is(const kr_j_token *t, kr_j_token_kind kind, const char *text) { return t->kind == kind && t->n == strlen(text) && memcmp(t->text, text, t->n) == 0; }
static bool sign(parser *p, const char *text) { return is(&p->now, KR_J_T_SIGN, text); }
static bool name(parser *p, const char *text) { return is(&p->now, KR_J_T_NAME, text); }
static bool take_sign(parser *p, const char *text) { return sign(p, text) ? next(p), true : false; }
static bool take_name(parser *p, const char *text) { return name(p, text) ? next(p), true : false; }

static const char *shown(parser *p, char to[48]) {
    const kr_j_token *t = &p->now;
    if (t->kind == KR_J_T_CLOSE) return "the end of the tag";
    if (t->kind == KR_J_T_TEXT) return "a text";
    if (t->kind == KR_J_T_INT || t->kind == KR_J_T_REAL) return "a number";
    if (t->kind != KR_J_T_NAME && t->kind != KR_J_T_SIGN) return "the end of the template";
    snprintf(to, 48, "\"%.*s\"", t->n > 40 ? 40 : (int)t->n, t->text);
    return to;
}

static void want_sign(parser *p, const char *text) {
    char what[48];
    if (!take_sign(p, text)) bad(p, "found %s, want \"%s\"", shown(p, what), text);
}
static void want_name(parser *p, const char *text) {
    char what[48];
    if (!take_name(p, text)) bad(p, "found %s, want \"%s\"", shown(p, what), text);
}
static void want_close(parser *p) {
    char what[48];
    if (p->now.kind == KR_J_T_CLOSE) next(p);
    else bad(p, "found %s, want the end of the tag", shown(p, what));
}

static void take_word(parser *p, node *n) { /* a name into n */
    char what[48];
    if (p->now.kind != KR_J_T_NAME) { bad(p, "found %s, want a name", shown(p, what)); return; }
    char *copy = kr_arena_new(&p->t->arena, p->now.n + 1);
    if (!copy) { p->st = KR_ERR_NOMEM; return; }
    memcpy(copy, p->now.text, p->now.n);
    n->text = copy, n->n = p->now.n;
    next(p);
}

/* --- expressions ----------------------------------------------------------------------------- */

static node *expression(parser *p);
static node *unary(parser *p, bool with_filters);
static node *condition(parser *p);

/* a, b, ... or one alone, as a list where there is a comma. */
static node *tuple(parser *p, node *(*one)(parser *p)) {
    node *first = one(p), **last = &first->next;
    if (!sign(p, ",")) return first;
    node *l = make(p, KR_J_MAKE_LIST);
    l->a = first, l->op = true;
    while (p->st == KR_OK && take_sign(p, ",")) {
        if (p->now.kind == KR_J_T_CLOSE || sign(p, ")")) break;
        *last = one(p);
        last = &(*last)->next;
    }
    return l;
}

static node *list_literal(parser *p) {
    node *l = make(p, KR_J_MAKE_LIST), **last = &l->a;
    while (p->st == KR_OK && !sign(p, "]")) {
        *last = expression(p);
        last = &(*last)->next;
        if (!take_sign(p, ",")) break;
    }
    want_sign(p, "]");
    return l;
}

static node *dict_literal(parser *p) {
    node *d = make(p, KR_J_MAKE_DICT), **last = &d->a;
    while (p->st == KR_OK && !sign(p, "}")) {
        node *pair = make(p, KR_J_MAKE_DICT);
        pair->a = expression(p);
        want_sign(p, ":");
        pair->b = expression(p);
        *last = pair;
        last = &pair->next;
        if (!take_sign(p, ",")) break;
    }
    want_sign(p, "}");
    return d;
}

static node *text_literal(parser *p) {
    node *n = make(p, KR_J_LITERAL);
    kr_str all = {0};
    n->value = kr_j_text(p->now.text, p->now.n);
    next(p);
    if (p->now.kind != KR_J_T_TEXT) return n;
    kr_str_append_n(&all, n->value.s, n->value.n); /* "a" "b" is "ab" */
    for (; p->now.kind == KR_J_T_TEXT; next(p)) kr_str_append_n(&all, p->now.text, p->now.n);
    char *copy = all.failed ? NULL : kr_arena_new(&p->t->arena, all.n + 1);
    if (copy) memcpy(copy, kr_str_text(&all), all.n), n->value = kr_j_text(copy, all.n);
    else p->st = KR_ERR_NOMEM;
    kr_str_free(&all);
    return n;
}

static node *literal(parser *p, kr_j_value v) {
    node *n = make(p, KR_J_LITERAL);
    n->value = v;
    next(p);
    return n;
}

static node *primary(parser *p) {
    char what[48];
    const kr_j_token *t = &p->now;
    if (t->kind == KR_J_T_TEXT) return text_literal(p);
    if (t->kind == KR_J_T_INT) return literal(p, kr_j_int(t->i));
    if (t->kind == KR_J_T_REAL) return literal(p, kr_j_real(t->f));
    if (name(p, "true") || name(p, "True")) return literal(p, kr_j_bool(true));
    if (name(p, "false") || name(p, "False")) return literal(p, kr_j_bool(false));
    if (name(p, "none") || name(p, "None")) return literal(p, kr_j_none());
    if (t->kind == KR_J_T_NAME) {
        node *n = make(p, KR_J_NAME);
        take_word(p, n);
        return n;
    }
    if (take_sign(p, "[")) return list_literal(p);
    if (take_sign(p, "{")) return dict_literal(p);
    if (take_sign(p, "(")) {
        bool empty = sign(p, ")");
        node *n = empty ? make(p, KR_J_MAKE_LIST) : tuple(p, expression);
        if (empty) n->op = true;
        want_sign(p, ")");
        return n;
    }
    bad(p, "found %s, want a value", shown(p, what));
    return make(p, KR_J_LITERAL);
}

/* (a, b, name=c) after its "(": a list by next. */
static node *arguments(parser *p) {
    node *first = NULL, **last = &first;
    while (p->st == KR_OK && !sign(p, ")")) {
        node *arg = make(p, KR_J_ARG);
        arg->op = take_sign(p, "*") ? KR_J_MUL : take_sign(p, "**") ? KR_J_POW : KR_J_ADD;
        arg->a = expression(p);
        if (arg->a->kind == KR_J_NAME && take_sign(p, "=")) {
            arg->text = arg->a->text, arg->n = arg->a->n;
            arg->a = expression(p);
        }
        *last = arg;
        last = &arg->next;
        if (!take_sign(p, ",")) break;
    }
    want_sign(p, ")");
    return first;
}

static node *subscript(parser *p, node *of) {
    node *n = make(p, KR_J_INDEX), *part[3] = {0};
    int at = 0;
    n->a = of;
    while (p->st == KR_OK && !sign(p, "]")) {
        if (take_sign(p, ":")) {
            n->kind = KR_J_SLICE;
            if (++at > 2) bad(p, "a slice has at most two \":\"");
            if (at > 2) break;
        } else if (!part[at]) part[at] = n->kind == KR_J_SLICE ? expression(p) : tuple(p, expression);
        else break;
    }
    want_sign(p, "]");
    n->b = part[0], n->c = part[1], n->d = part[2];
    if (n->kind == KR_J_INDEX && !n->b) bad(p, "an index is missing");
    return n;
}

static node *call(parser *p, node *f) {
    node *n = make(p, KR_J_CALL);
    n->a = f;
    n->b = arguments(p);
    return n;
}

static node *postfix(parser *p, node *n) {
    while (p->st == KR_OK) {
        if (take_sign(p, ".")) {
            node *of = n;
            if (p->now.kind == KR_J_T_INT) {
                n = make(p, KR_J_INDEX);
                n->a = of, n->b = literal(p, kr_j_int(p->now.i));
                continue;
            }
            n = make(p, KR_J_ATTR);
            n->a = of;
            take_word(p, n);
        } else if (take_sign(p, "[")) n = subscript(p, n);
        else if (take_sign(p, "(")) n = call(p, n);
        else break;
    }
    return n;
}

static node *filter(parser *p, node *of) {
    node *n = make(p, KR_J_FILTER);
    n->a = of;
    take_word(p, n);
    if (p->st == KR_OK && !kr_j_filter_known(n->text, n->n)) bad(p, "the filter \"%.*s\" is not known", (int)(n->n > 60 ? 60 : n->n), n->text);
    if (take_sign(p, "(")) n->b = arguments(p);
    return n;
}

static node *test(parser *p, node *of) {
    node *n = make(p, KR_J_TEST), *not = NULL;
    if (take_name(p, "not")) not = make(p, KR_J_NOT);
    n->a = of;
    take_word(p, n);
    if (p->st == KR_OK && !kr_j_test_known(n->text, n->n)) bad(p, "the test \"%.*s\" is not known", (int)(n->n > 60 ? 60 : n->n), n->text);
    bool starts = p->now.kind == KR_J_T_TEXT || p->now.kind == KR_J_T_INT || p->now.kind == KR_J_T_REAL || sign(p, "[") || sign(p, "{") ||
                  (p->now.kind == KR_J_T_NAME && !name(p, "else") && !name(p, "or") && !name(p, "and") && !name(p, "is") && !name(p, "if") && !name(p, "in") && !name(p, "not"));
    if (take_sign(p, "(")) n->b = arguments(p);
    else if (starts) {
        n->b = make(p, KR_J_ARG);
        n->b->a = postfix(p, primary(p));
    }
    if (!not) return n;
    not->a = n;
    return not;
}

static node *filters(parser *p, node *n) {
    while (p->st == KR_OK) {
        if (take_sign(p, "|")) n = filter(p, n);
        else if (take_name(p, "is")) n = test(p, n);
        else if (take_sign(p, "(")) n = call(p, n);
        else break;
    }
    return n;
}

static node *unary(parser *p, bool with_filters) {
    node *n;
    if (!deeper(p)) return make(p, KR_J_LITERAL);
    if (sign(p, "-") || sign(p, "+")) {
        n = make(p, sign(p, "-") ? KR_J_NEG : KR_J_POS);
        next(p);
        n->a = unary(p, false);
    } else n = primary(p);
    n = postfix(p, n);
    if (with_filters) n = filters(p, n);
    p->nest--;
    return n;
}

/* Operators of one level, to the left, the tighter first. */
static node *binary(parser *p, int level) {
    static const struct { int level; const char *text; kr_j_op op; } ops[] = {
        {0, "+", KR_J_ADD}, {0, "-", KR_J_SUB}, {1, "~", KR_J_CONCAT}, {2, "*", KR_J_MUL}, {2, "/", KR_J_DIV}, {2, "//", KR_J_FLOOR_DIV}, {2, "%", KR_J_MOD}, {3, "**", KR_J_POW}};
    node *left = level == 3 ? unary(p, true) : binary(p, level + 1);
    for (size_t i = 0; i < sizeof ops / sizeof *ops && p->st == KR_OK;) {
        if (ops[i].level != level || !sign(p, ops[i].text)) { i++; continue; }
        node *n = make(p, KR_J_BINARY);
        n->op = ops[i].op;
        next(p);
        n->a = left;
        n->b = level == 3 ? unary(p, true) : binary(p, level + 1);
        left = n, i = 0;
    }
    return left;
}

static bool comparison(parser *p, kr_j_op *op) {
    static const struct { const char *text; kr_j_op op; } signs[] = {{"==", KR_J_EQ}, {"!=", KR_J_NE}, {"<", KR_J_LT}, {"<=", KR_J_LE}, {">", KR_J_GT}, {">=", KR_J_GE}};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (take_sign(p, signs[i].text)) return *op = signs[i].op, true;
    if (take_name(p, "in")) return *op = KR_J_IN, true;
    if (!name(p, "not")) return false;
    next(p);
    want_name(p, "in");
    *op = KR_J_NOT_IN;
    return true;
}

static node *compare(parser *p) {
    node *first = binary(p, 0), *n = NULL, **last = NULL;
    for (kr_j_op op; p->st == KR_OK && comparison(p, &op);) {
        if (!n) n = make(p, KR_J_COMPARE), n->a = first, last = &n->b;
        node *term = make(p, KR_J_BINARY);
        term->op = op;
        term->a = binary(p, 0);
        *last = term;
        last = &term->next;
    }
    return n ? n : first;
}

static node *negation(parser *p) {
    if (!name(p, "not")) return compare(p);
    if (!deeper(p)) return make(p, KR_J_LITERAL);
    node *n = make(p, KR_J_NOT);
    next(p);
    n->a = negation(p);
    p->nest--;
    return n;
}

static node *logic(parser *p, bool or) {
    node *left = or ? logic(p, false) : negation(p);
    while (p->st == KR_OK && take_name(p, or ? "or" : "and")) {
        node *n = make(p, or ? KR_J_OR : KR_J_AND);
        n->a = left;
        n->b = or ? logic(p, false) : negation(p);
        left = n;
    }
    return left;
}

static node *condition(parser *p) { return logic(p, true); } /* without "if ... else" */

static node *expression(parser *p) {
    if (!deeper(p)) return make(p, KR_J_LITERAL);
    node *left = condition(p);
    while (p->st == KR_OK && take_name(p, "if")) {
        node *n = make(p, KR_J_CHOOSE);
        n->a = left;
        n->b = condition(p);
        if (take_name(p, "else")) n->c = expression(p);
        left = n;
    }
    p->nest--;
    return left;
}

/* --- statements -------------------------------------------------------------------------------- */

static node *body(parser *p, const char *const *ends);

/* Names to assign to, by next; of ns.field the field is in a, of those in brackets all are in b.  One with a
 * comma behind it is told by op. */
static node *targets(parser *p, bool fields) {
    node *first = NULL, **last = &first;
    bool comma = false;
    if (!deeper(p)) return NULL;
    do {
        if (first && sign(p, ")")) break;
        bool bracket = take_sign(p, "(");
        node *n = make(p, bracket ? KR_J_MAKE_LIST : KR_J_NAME);
        if (bracket) n->b = targets(p, fields), want_sign(p, ")");
        else take_word(p, n);
        if (!bracket && fields && take_sign(p, ".")) {
            n->a = make(p, KR_J_NAME);
            take_word(p, n->a);
        }
        *last = n;
        last = &n->next;
    } while (p->st == KR_OK && (comma = take_sign(p, ",")));
    first->op = !first->next && comma;
    p->nest--;
    return first;
}

static node *if_tag(parser *p) {
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    node *first = make(p, KR_J_IF), *n = first;
    n->a = tuple(p, expression);
    want_close(p);
    n->b = body(p, ends);
    while (p->st == KR_OK && !take_name(p, "endif")) {
        n = n->c = make(p, KR_J_IF);
        if (take_name(p, "elif")) n->a = tuple(p, expression);
        else want_name(p, "else");
        bool last = !n->a;
        want_close(p);
        n->b = body(p, last ? ends + 2 : ends);
    }
    want_close(p);
    return first;
}

static node *for_tag(parser *p) {
    static const char *const ends[] = {"else", "endfor", NULL};
    node *n = make(p, KR_J_FOR);
    n->a = targets(p, false);
    want_name(p, "in");
    n->b = tuple(p, condition);
    if (take_name(p, "if")) n->d = expression(p);
    n->op = take_name(p, "recursive");
    want_close(p);
    p->loops++;
    n->c = body(p, ends);
    p->loops--;
    if (take_name(p, "else")) {
        want_close(p);
        n->e = body(p, ends + 1);
    }
    want_name(p, "endfor");
    want_close(p);
    return n;
}

static node *set_tag(parser *p) {
    static const char *const ends[] = {"endset", NULL};
    node *n = make(p, KR_J_SET);
    n->a = targets(p, true);
    if (take_sign(p, "=")) {
        n->b = tuple(p, expression);
        want_close(p);
        return n;
    }
    node *hole = make(p, KR_J_HOLE);
    n->d = filters(p, hole);
    want_close(p);
    n->c = body(p, ends);
    want_name(p, "endset");
    want_close(p);
    return n;
}

static node *parameters(parser *p) {
    node *first = NULL, **last = &first;
    want_sign(p, "(");
    while (p->st == KR_OK && !sign(p, ")")) {
        node *n = make(p, KR_J_NAME);
        take_word(p, n);
        if (take_sign(p, "=")) n->a = expression(p);
        *last = n;
        last = &n->next;
        if (!take_sign(p, ",")) break;
    }
    want_sign(p, ")");
    return first;
}

static node *macro_tag(parser *p) {
    static const char *const ends[] = {"endmacro", NULL};
    node *n = make(p, KR_J_MACRO_DEF);
    int loops = p->loops;
    take_word(p, n);
    n->a = parameters(p);
    want_close(p);
    p->loops = 0;
    n->b = body(p, ends);
    p->loops = loops;
    want_name(p, "endmacro");
    if (p->now.kind == KR_J_T_NAME) next(p); /* its name again */
    want_close(p);
    return n;
}

static node *filter_tag(parser *p) {
    static const char *const ends[] = {"endfilter", NULL};
    node *n = make(p, KR_J_FILTER_BLOCK), *hole = make(p, KR_J_HOLE);
    n->d = filters(p, filter(p, hole));
    want_close(p);
    n->c = body(p, ends);
    want_name(p, "endfilter");
    want_close(p);
    return n;
}

static node *call_tag(parser *p) {
    static const char *const ends[] = {"endcall", NULL};
    node *n = make(p, KR_J_CALL_BLOCK), *caller = make(p, KR_J_MACRO_DEF);
    int loops = p->loops;
    caller->text = "caller", caller->n = 6;
    if (sign(p, "(")) caller->a = parameters(p);
    n->a = expression(p);
    if (p->st == KR_OK && n->a->kind != KR_J_CALL) bad(p, "{%% call %%} wants a call");
    want_close(p);
    p->loops = 0;
    caller->b = body(p, ends);
    p->loops = loops;
    n->c = caller;
    want_name(p, "endcall");
    want_close(p);
    return n;
}

/* transformers marks what a model has written so; the text is what is in it. */
static node *generation_tag(parser *p) {
    static const char *const ends[] = {"endgeneration", NULL};
    node *n = make(p, KR_J_IF);
    want_close(p);
    n->b = body(p, ends);
    want_name(p, "endgeneration");
    want_close(p);
    return n;
}

static node *loop_control(parser *p, kr_j_node_kind kind) {
    node *n = make(p, kind);
    if (!p->loops) bad(p, "outside of a loop");
    want_close(p);
    return n;
}

static node *print_tag(parser *p) {
    node *n = make(p, KR_J_PRINT);
    n->a = tuple(p, expression);
    want_close(p);
    return n;
}

static node *tag(parser *p) {
    static const struct { const char *name; node *(*parse)(parser *p); } tags[] = {
        {"if", if_tag}, {"for", for_tag}, {"set", set_tag}, {"macro", macro_tag}, {"filter", filter_tag}, {"call", call_tag}, {"generation", generation_tag}};
    char what[48];
    if (take_name(p, "break")) return loop_control(p, KR_J_BREAK);
    if (take_name(p, "continue")) return loop_control(p, KR_J_CONTINUE);
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (take_name(p, tags[i].name)) return tags[i].parse(p);
    bad(p, "the tag %s is not known, or closes nothing", shown(p, what));
    return make(p, KR_J_DATA);
}

static bool at_end(parser *p, const char *const *ends) {
    for (; ends && *ends; ends++)
        if (name(p, *ends)) return true;
    return false;
}

/* Up to one of the tags `ends`, whose name is then the next token; or to the end of the template. */
static node *body(parser *p, const char *const *ends) {
    node *first = NULL, **last = &first;
    if (!deeper(p)) return NULL;
    while (p->st == KR_OK) {
        node *n = NULL;
        if (p->now.kind == KR_J_T_DATA) {
            n = make(p, KR_J_DATA);
            n->text = p->now.text, n->n = p->now.n;
            next(p);
        } else if (p->now.kind == KR_J_T_OPEN_PRINT) {
            next(p);
            n = print_tag(p);
        } else if (p->now.kind == KR_J_T_OPEN_TAG) {
            next(p);
            if (at_end(p, ends)) break;
            n = tag(p);
        } else if (ends) {
            bad(p, "the template ends where {%% %s %%} is wanted", ends[ends[1] ? (ends[2] ? 2 : 1) : 0]);
            break;
        } else break;
        *last = n;
        last = &n->next;
    }
    p->nest--;
    return first;
}

/* Newlines of all kinds are one; the last is not part of the template. */
static char *own_copy(kr_jinja *t, const char *text, size_t n, size_t *n_out) {
    char *to = kr_arena_new(&t->arena, n + 1);
    size_t k = 0;
    for (size_t i = 0; to && i < n; i++) {
        if (text[i] == '\r' && i + 1 < n && text[i + 1] == '\n') continue;
        to[k++] = text[i] == '\r' ? '\n' : text[i];
    }
    if (k && to[k - 1] == '\n') k--;
    *n_out = k;
    return to;
}

kr_status kr_jinja_parse(kr_jinja *t, const char *text, size_t n, const char *name_) {
    *t = (kr_jinja){0};
    if (n > KR_J_MAX_TEXT) KR_FAIL(KR_ERR_FORMAT, "%s: a template of %zu bytes, at most %d are read", name_, n, KR_J_MAX_TEXT);
    if (kr_utf8_valid(text, n) < n) KR_FAIL(KR_ERR_FORMAT, "%s: a template is UTF-8, and byte %zu is not", name_, kr_utf8_valid(text, n));
    char *copy = own_copy(t, text, n, &n);
    t->name = copy ? kr_arena_strdup(&t->arena, name_) : NULL;
    if (!t->name) return kr_jinja_free(t), KR_ERR_NOMEM;
    parser p = {.t = t, .x = {.arena = &t->arena, .name = t->name, .p = copy, .end = copy + n, .line = 1, .line_start = true}};
    next(&p);
    t->body = body(&p, NULL);
    if (p.st != KR_OK) kr_jinja_free(t);
    return p.st;
}

void kr_jinja_free(kr_jinja *t) {
    kr_arena_clear(&t->arena);
    *t = (kr_jinja){0};
}
