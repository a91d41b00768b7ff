/* run.c - goes over a template's tree: expressions to values, statements to text. */
#include <math.h>
#include <string.h>

#include "text/jinja/jinja.h"

typedef kr_j_run run;
typedef kr_j_value value;
typedef kr_j_node node;
typedef kr_j_scope scope;

typedef enum flow { GOES_ON, BREAKS, CONTINUES } flow;

static value eval(run *r, scope *s, const node *n);
static flow exec(run *r, scope *s, const node *n);
static value nothing(void) { return (value){0}; }

/* --- names --------------------------------------------------------------------------------- */

static kr_j_variable *find_in(run *r, const scope *s, const char *name, size_t n) {
    kr_j_variable *v = s->first;
    size_t seen = 0;
    for (; v && (v->n != n || memcmp(v->name, name, n) != 0); v = v->next) seen++;
    return kr_j_step(r, seen / 8) ? v : NULL;
}

static void define(run *r, scope *s, const char *name, size_t n, value v) { /* that is not there yet */
    kr_j_variable *own = kr_j_new(r, sizeof *own);
    if (own) *own = (kr_j_variable){.name = name, .n = n, .value = v, .next = s->first}, s->first = own;
}

static void assign(run *r, scope *s, const char *name, size_t n, value v) {
    kr_j_variable *old = find_in(r, s, name, n);
    if (old) old->value = v;
    else define(r, s, name, n, v);
}

static value lookup(run *r, scope *s, const node *n) {
    for (; s && kr_j_step(r, 1); s = s->outer) {
        const kr_j_variable *v = find_in(r, s, n->text, n->n);
        if (v) return v->value;
    }
    value v = kr_j_global(n->text, n->n);
    if (v.kind == KR_J_UNDEFINED) v.s = n->text, v.n = n->n;
    return v;
}

static scope *inner(run *r, scope *outer) {
    scope *s = kr_j_new(r, sizeof *s);
    if (s) s->outer = outer;
    return s;
}

/* for a, b in ...: a list of as many. */
static void assign_all(run *r, scope *s, const node *names, value v) {
    if (!names || r->st != KR_OK) return;
    if (!names->next && names->kind == KR_J_MAKE_LIST) { assign_all(r, s, names->b, v); return; }
    if (!names->next && !names->a && !names->op) { assign(r, s, names->text, names->n, v); return; }
    if (!names->next && !names->op) { /* namespace.field */
        value space = lookup(r, s, names);
        if (space.kind != KR_J_NAMESPACE) kr_j_bad(r, KR_ERR_ARG, "%.*s is %s, and only fields of a namespace can be set", (int)names->n, names->text, kr_j_kind_text(space));
        else kr_j_put(r, space.dict, kr_j_text(names->a->text, names->a->n), v);
        return;
    }
    kr_j_list *l = kr_j_items(r, v);
    size_t i = 0;
    for (; names && l && i < l->n && r->st == KR_OK; names = names->next, i++) {
        node one = *names;
        one.next = NULL, one.op = KR_J_ADD;
        assign_all(r, s, &one, l->at[i]);
    }
    if (l && r->st == KR_OK && (names || i < l->n)) kr_j_bad(r, KR_ERR_ARG, "a list of %zu does not fit its names", l->n);
}

/* --- parts of values --------------------------------------------------------------------------- */

static value missing(const char *name, size_t n) { return (value){.n = n, .s = name}; }

static value loop_field(run *r, const kr_j_loop *l, const char *name, size_t n) {
    value k = kr_j_text(name, n);
    int64_t at = (int64_t)l->at, count = (int64_t)l->items->n;
    if (kr_j_is(k, "index")) return kr_j_int(at + 1);
    if (kr_j_is(k, "index0")) return kr_j_int(at);
    if (kr_j_is(k, "first")) return kr_j_bool(at == 0);
    if (kr_j_is(k, "last")) return kr_j_bool(at + 1 == count);
    if (kr_j_is(k, "length")) return kr_j_int(count);
    if (kr_j_is(k, "revindex")) return kr_j_int(count - at);
    if (kr_j_is(k, "revindex0")) return kr_j_int(count - at - 1);
    if (kr_j_is(k, "depth")) return kr_j_int(l->depth);
    if (kr_j_is(k, "depth0")) return kr_j_int(l->depth - 1);
    if (kr_j_is(k, "previtem")) return at > 0 ? l->items->at[at - 1] : missing(name, n);
    if (kr_j_is(k, "nextitem")) return at + 1 < count ? l->items->at[at + 1] : missing(name, n);
    (void)r;
    return missing(name, n);
}

value kr_j_attribute(run *r, value of, const char *name, size_t n) {
    if (of.kind == KR_J_LOOP) return loop_field(r, of.loop, name, n);
    if (of.kind == KR_J_UNDEFINED) return kr_j_bad(r, KR_ERR_ARG, "%.*s is not defined, so it has no %.*s", of.n ? (int)of.n : 9, of.n ? of.s : "something", (int)n, name);
    const value *v = of.kind == KR_J_DICT || of.kind == KR_J_NAMESPACE ? kr_j_get(r, of.dict, kr_j_text(name, n)) : NULL;
    if (of.kind == KR_J_LIST && of.list->group && of.list->n == 2) {
        if (kr_j_is(kr_j_text(name, n), "grouper")) return of.list->at[0];
        if (kr_j_is(kr_j_text(name, n), "list")) return of.list->at[1];
    }
    return v ? *v : missing(name, n);
}

static value not_there(run *r, value of) { return kr_j_bad(r, KR_ERR_ARG, "%.*s is not defined, so it has no parts", of.n ? (int)of.n : 9, of.n ? of.s : "something"); }

value kr_j_subscript(run *r, value of, value key) {
    int64_t i;
    if (of.kind == KR_J_DICT) {
        const value *v = kr_j_get(r, of.dict, key);
        return v ? *v : key.kind == KR_J_TEXT ? missing(key.s, key.n) : nothing();
    }
    if (key.kind == KR_J_TEXT) return kr_j_attribute(r, of, key.s, key.n);
    if (of.kind == KR_J_UNDEFINED) return not_there(r, of);
    if ((of.kind != KR_J_LIST && of.kind != KR_J_TEXT) || !kr_j_whole(key, &i)) return nothing();
    int64_t n = of.kind == KR_J_LIST ? (int64_t)of.list->n : (int64_t)kr_j_letters(of);
    if (of.kind == KR_J_TEXT && !kr_j_step(r, of.n / 16)) return nothing();
    if (i < 0) i += n;
    if (i < 0 || i >= n) return nothing();
    if (of.kind == KR_J_LIST) return of.list->at[i];
    size_t at = kr_j_letter_at(of, (size_t)i), end = at + 1;
    while (end < of.n && ((unsigned char)of.s[end] & 0xC0) == 0x80) end++;
    return kr_j_text(of.s + at, end - at);
}

static value slice(run *r, scope *s, const node *n) {
    value of = eval(r, s, n->a);
    const node *part[3] = {n->b, n->c, n->d};
    int64_t x[3] = {0, 0, 1}, first, count;
    bool given[3] = {0};
    for (int i = 0; i < 3; i++) {
        value v = part[i] ? eval(r, s, part[i]) : kr_j_none();
        if (v.kind != KR_J_NONE && !(given[i] = kr_j_whole(v, &x[i]))) return kr_j_bad(r, KR_ERR_ARG, "a slice wants integers, not %s", kr_j_kind_text(v));
    }
    if (r->st != KR_OK) return nothing();
    if (given[2] && x[2] == 0) return kr_j_bad(r, KR_ERR_ARG, "a slice of step 0");
    if (of.kind == KR_J_UNDEFINED) return not_there(r, of);
    if (of.kind != KR_J_LIST && of.kind != KR_J_TEXT) return kr_j_bad(r, KR_ERR_ARG, "%s has no slices", kr_j_kind_text(of));
    if (of.kind == KR_J_TEXT && !kr_j_step(r, of.n / 16)) return nothing();
    for (int i = 0; i < 3; i++) x[i] = x[i] > (int64_t)1 << 40 ? (int64_t)1 << 40 : x[i] < -((int64_t)1 << 40) ? -((int64_t)1 << 40) : x[i];
    kr_j_list *l = of.kind == KR_J_LIST ? of.list : NULL;
    int64_t size = l ? (int64_t)l->n : (int64_t)kr_j_letters(of), step = given[2] ? x[2] : 1;
    kr_j_slice_range(size, given[0] ? &x[0] : NULL, given[1] ? &x[1] : NULL, step, &first, &count);
    if (!l && step == 1) {
        size_t from = kr_j_letter_at(of, (size_t)first), to = kr_j_letter_at(of, (size_t)(first + count));
        return kr_j_text(of.s + from, to - from);
    }
    if (!l && !(l = kr_j_items(r, of))) return nothing();
    value out = kr_j_new_list(r);
    for (int64_t i = 0; i < count && r->st == KR_OK; i++) kr_j_push(r, out.list, l->at[first + i * step]);
    if (r->st == KR_OK) out.list->tuple = l->tuple;
    if (of.kind == KR_J_LIST || r->st != KR_OK) return out;
    kr_str text = {0};
    for (size_t i = 0; i < out.list->n; i++) kr_j_write(r, &text, out.list->at[i]);
    return kr_j_taken(r, &text);
}

/* --- operators -------------------------------------------------------------------------------------- */

static value repeat(run *r, value v, int64_t times) {
    kr_str s = {0};
    if (v.kind == KR_J_TEXT) {
        for (int64_t i = 0; i < times && v.n && r->st == KR_OK; i++) kr_j_write(r, &s, v);
        return kr_j_taken(r, &s);
    }
    value l = kr_j_new_list(r);
    for (int64_t i = 0; i < times && v.list->n && r->st == KR_OK; i++)
        for (size_t k = 0; k < v.list->n && r->st == KR_OK; k++) kr_j_push(r, l.list, v.list->at[k]);
    if (r->st == KR_OK) l.list->tuple = v.list->tuple;
    return l;
}

static value add_sequences(run *r, value a, value b) {
    kr_str s = {0};
    if (a.kind == KR_J_TEXT) {
        kr_j_write(r, &s, a);
        kr_j_write(r, &s, b);
        return kr_j_taken(r, &s);
    }
    value l = kr_j_new_list(r);
    for (size_t i = 0; i < a.list->n && r->st == KR_OK; i++) kr_j_push(r, l.list, a.list->at[i]);
    for (size_t i = 0; i < b.list->n && r->st == KR_OK; i++) kr_j_push(r, l.list, b.list->at[i]);
    if (r->st == KR_OK) l.list->tuple = a.list->tuple;
    return l;
}

static value whole_arithmetic(run *r, kr_j_op op, int64_t a, int64_t b) {
    int64_t x = 0;
    bool over = false;
    if ((op == KR_J_FLOOR_DIV || op == KR_J_MOD || op == KR_J_DIV) && b == 0) return kr_j_bad(r, KR_ERR_ARG, "a division by zero");
    if (op == KR_J_ADD) over = __builtin_add_overflow(a, b, &x);
    else if (op == KR_J_SUB) over = __builtin_sub_overflow(a, b, &x);
    else if (op == KR_J_MUL) over = __builtin_mul_overflow(a, b, &x);
    else if (op == KR_J_DIV) return kr_j_real((double)a / (double)b);
    else if (op == KR_J_POW && b < 0) return kr_j_real(pow((double)a, (double)b));
    else if (op == KR_J_POW) {
        for (x = 1; b > 0 && !over && kr_j_step(r, 1); b--) over = __builtin_mul_overflow(x, a, &x);
    } else if (b == -1) over = op == KR_J_FLOOR_DIV && __builtin_sub_overflow(0, a, &x);
    else {
        int64_t rest = a % b, down = rest && (rest < 0) != (b < 0);
        x = op == KR_J_MOD ? rest + (down ? b : 0) : a / b - down;
    }
    return over ? kr_j_bad(r, KR_ERR_ARG, "a number too large") : kr_j_int(x);
}

static value arithmetic(run *r, kr_j_op op, value a, value b) {
    static const char *const signs[] = {"+", "-", "*", "/", "//", "%", "**"};
    int64_t i, k;
    double x, y;
    if (kr_j_whole(a, &i) && kr_j_whole(b, &k)) return whole_arithmetic(r, op, i, k);
    if (kr_j_number(a, &x) && kr_j_number(b, &y)) {
        if ((op == KR_J_DIV || op == KR_J_FLOOR_DIV || op == KR_J_MOD) && y == 0) return kr_j_bad(r, KR_ERR_ARG, "a division by zero");
        double rest = op == KR_J_MOD ? fmod(x, y) : 0;
        if (rest && (rest < 0) != (y < 0)) rest += y;
        return kr_j_real(op == KR_J_ADD ? x + y : op == KR_J_SUB ? x - y : op == KR_J_MUL ? x * y : op == KR_J_DIV ? x / y
                         : op == KR_J_FLOOR_DIV ? floor(x / y) : op == KR_J_MOD ? rest : pow(x, y));
    }
    if (op == KR_J_MOD && a.kind == KR_J_TEXT) return kr_j_percent(r, a, b);
    if (op == KR_J_ADD && a.kind == b.kind && (a.kind == KR_J_TEXT || a.kind == KR_J_LIST)) return add_sequences(r, a, b);
    if (op == KR_J_MUL && (a.kind == KR_J_TEXT || a.kind == KR_J_LIST) && kr_j_whole(b, &k)) return repeat(r, a, k);
    if (op == KR_J_MUL && (b.kind == KR_J_TEXT || b.kind == KR_J_LIST) && kr_j_whole(a, &k)) return repeat(r, b, k);
    value gone = a.kind == KR_J_UNDEFINED ? a : b;
    if (gone.kind == KR_J_UNDEFINED && gone.n) return kr_j_bad(r, KR_ERR_ARG, "%.*s is not defined", gone.n > 80 ? 80 : (int)gone.n, gone.s);
    return kr_j_bad(r, KR_ERR_ARG, "%s %s %s makes no sense", kr_j_kind_text(a), signs[op], kr_j_kind_text(b));
}

static value concat(run *r, value a, value b) {
    kr_str s = {0};
    kr_j_write(r, &s, a);
    kr_j_write(r, &s, b);
    return kr_j_taken(r, &s);
}

static bool is_in(run *r, value a, value b) {
    if (b.kind == KR_J_TEXT) {
        if (a.kind != KR_J_TEXT) return kr_j_bad(r, KR_ERR_ARG, "%s in a text makes no sense", kr_j_kind_text(a)), false;
        return kr_j_step(r, b.n / 32) && (a.n == 0 || memmem(b.s, b.n, a.s, a.n) != NULL);
    }
    if (b.kind == KR_J_DICT || b.kind == KR_J_NAMESPACE) return kr_j_get(r, b.dict, a) != NULL;
    kr_j_list *l = kr_j_items(r, b);
    for (size_t i = 0; l && i < l->n && kr_j_step(r, 1); i++)
        if (kr_j_equal(r, l->at[i], a)) return true;
    return false;
}

static bool holds(run *r, kr_j_op op, value a, value b) {
    switch (op) {
    case KR_J_EQ: return kr_j_equal(r, a, b);
    case KR_J_NE: return !kr_j_equal(r, a, b);
    case KR_J_LT: return kr_j_compare(r, a, b) < 0;
    case KR_J_LE: return kr_j_compare(r, a, b) <= 0;
    case KR_J_GT: return kr_j_compare(r, a, b) > 0;
    case KR_J_GE: return kr_j_compare(r, a, b) >= 0;
    case KR_J_IN: return is_in(r, a, b);
    default: return !is_in(r, a, b);
    }
}

static value compare(run *r, scope *s, const node *n) {
    value left = eval(r, s, n->a);
    for (const node *t = n->b; t && r->st == KR_OK; t = t->next) {
        value right = eval(r, s, t->a);
        if (r->st != KR_OK || !holds(r, t->op, left, right)) return kr_j_bool(false);
        left = right;
    }
    return kr_j_bool(true);
}

/* --- calls -------------------------------------------------------------------------------------------- */

static bool arguments(run *r, scope *s, const node *args, kr_j_args *a) {
    kr_j_list at = {0};
    kr_j_dict named = {0};
    for (const node *x = args; x && r->st == KR_OK; x = x->next) {
        value v = eval(r, s, x->a);
        if (r->st != KR_OK) break;
        if (x->op == KR_J_POW && v.kind != KR_J_DICT) kr_j_bad(r, KR_ERR_ARG, "** wants a mapping, not %s", kr_j_kind_text(v));
        else if (x->op == KR_J_POW)
            for (size_t i = 0; i < v.dict->n; i++) kr_j_put(r, &named, v.dict->at[i].key, v.dict->at[i].value);
        else if (x->op == KR_J_MUL) {
            kr_j_list *all = kr_j_items(r, v);
            for (size_t i = 0; all && i < all->n && r->st == KR_OK; i++) kr_j_push(r, &at, all->at[i]);
        } else if (x->text) kr_j_put(r, &named, kr_j_text(x->text, x->n), v);
        else kr_j_push(r, &at, v);
    }
    *a = (kr_j_args){.at = at.at, .n = at.n, .named = named.at, .n_named = named.n};
    return r->st == KR_OK;
}

/* What statements write, as a value; how they ended in *how. */
static value captured(run *r, scope *s, const node *body, flow *how) {
    kr_str text = {0}, *before = r->out;
    r->out = &text;
    *how = exec(r, s, body);
    r->out = before;
    return kr_j_taken(r, &text);
}

static value call_macro(run *r, const kr_j_macro *m, const kr_j_args *a, const value *caller) {
    scope *s = inner(r, m->scope);
    size_t i = 0, used = 0;
    flow how;
    if (!s || !kr_j_enter(r)) return nothing();
    for (const node *p = m->def->a; p && r->st == KR_OK; p = p->next, i++) {
        const value *given = i < a->n ? &a->at[i] : NULL;
        for (size_t k = 0; k < a->n_named && !given; k++)
            if (a->named[k].key.kind == KR_J_TEXT && a->named[k].key.n == p->n && memcmp(a->named[k].key.s, p->text, p->n) == 0) given = &a->named[k].value, used++;
        assign(r, s, p->text, p->n, given ? *given : p->a ? eval(r, s, p->a) : missing(p->text, p->n));
    }
    if (caller) assign(r, s, "caller", 6, *caller);
    if (r->st == KR_OK && (a->n > i || used < a->n_named)) kr_j_bad(r, KR_ERR_ARG, "the macro %.*s takes no such arguments", (int)m->def->n, m->def->text);
    value v = r->st == KR_OK ? captured(r, s, m->def->b, &how) : nothing();
    r->depth--;
    return v;
}

static value call_loop(run *r, kr_j_loop *l, const kr_j_args *a);

static value loop_method(run *r, kr_j_loop *l, const node *f, const kr_j_args *a, bool *known) {
    *known = true;
    if (f->n == 5 && memcmp(f->text, "cycle", 5) == 0) return a->n ? a->at[l->at % a->n] : nothing();
    if (f->n == 7 && memcmp(f->text, "changed", 7) == 0) {
        value now = kr_j_new_list(r);
        for (size_t i = 0; i < a->n && r->st == KR_OK; i++) kr_j_push(r, now.list, a->at[i]);
        bool same = r->st != KR_OK || (l->last_seen.kind == KR_J_LIST && kr_j_equal(r, now, l->last_seen));
        l->last_seen = now;
        return kr_j_bool(!same);
    }
    *known = false;
    return nothing();
}

static value call(run *r, scope *s, const node *n, const value *caller) {
    kr_j_args a;
    value of = nothing(), f;
    bool known;
    if (n->a->kind == KR_J_ATTR) {
        of = eval(r, s, n->a->a);
        if (!arguments(r, s, n->b, &a)) return nothing();
        r->line = n->line;
        if (of.kind == KR_J_LOOP) {
            value v = loop_method(r, of.loop, n->a, &a, &known);
            if (known) return v;
        }
        if (kr_j_has_method(of, n->a->text, n->a->n)) return kr_j_method(r, of, n->a->text, n->a->n, &a);
        f = kr_j_attribute(r, of, n->a->text, n->a->n);
    } else {
        f = eval(r, s, n->a);
        if (!arguments(r, s, n->b, &a)) return nothing();
    }
    r->line = n->line;
    if (r->st != KR_OK) return nothing();
    if (f.kind == KR_J_MACRO) return call_macro(r, f.macro, &a, caller);
    if (f.kind == KR_J_FUNCTION) return kr_j_function(r, f, &a);
    if (f.kind == KR_J_LOOP) return call_loop(r, f.loop, &a);
    if (n->a->kind == KR_J_ATTR) return kr_j_bad(r, KR_ERR_ARG, "%s has no method %.*s that Krait knows", kr_j_kind_text(of), n->a->n > 80 ? 80 : (int)n->a->n, n->a->text);
    return kr_j_bad(r, KR_ERR_ARG, "%.*s is %s, nothing to call", f.n && f.kind == KR_J_UNDEFINED && f.n < 80 ? (int)f.n : 4, f.n && f.kind == KR_J_UNDEFINED && f.n < 80 ? f.s : "this", kr_j_kind_text(f));
}

/* --- expressions -------------------------------------------------------------------------------------- */

static value make_list(run *r, scope *s, const node *n) {
    value l = kr_j_new_list(r);
    for (const node *x = n->a; x && r->st == KR_OK; x = x->next) {
        value v = eval(r, s, x);
        kr_j_push(r, l.list, v);
    }
    if (r->st == KR_OK) l.list->tuple = n->op;
    return l;
}

static value make_dict(run *r, scope *s, const node *n) {
    value d = kr_j_new_dict(r);
    for (const node *x = n->a; x && r->st == KR_OK; x = x->next) {
        value k = eval(r, s, x->a), v = eval(r, s, x->b);
        if ((k.kind == KR_J_LIST && !k.list->tuple) || k.kind == KR_J_DICT) return kr_j_bad(r, KR_ERR_ARG, "%s cannot be a key", kr_j_kind_text(k));
        kr_j_put(r, d.dict, k, v);
    }
    return d;
}

static value signed_number(run *r, value v, bool minus) {
    if (v.kind == KR_J_REAL) return kr_j_real(minus ? -v.f : v.f);
    int64_t i;
    if (!kr_j_whole(v, &i)) return kr_j_bad(r, KR_ERR_ARG, "%s has no sign", kr_j_kind_text(v));
    return minus ? whole_arithmetic(r, KR_J_SUB, 0, i) : kr_j_int(i);
}

static value eval_deeper(run *r, scope *s, const node *n) {
    kr_j_args a;
    value v, w;
    switch (n->kind) {
    case KR_J_MAKE_LIST: return make_list(r, s, n);
    case KR_J_MAKE_DICT: return make_dict(r, s, n);
    case KR_J_ATTR: return v = eval(r, s, n->a), r->line = n->line, kr_j_attribute(r, v, n->text, n->n);
    case KR_J_INDEX: return v = eval(r, s, n->a), w = eval(r, s, n->b), r->line = n->line, kr_j_subscript(r, v, w);
    case KR_J_SLICE: return slice(r, s, n);
    case KR_J_CALL: return call(r, s, n, NULL);
    case KR_J_FILTER:
    case KR_J_TEST:
        v = eval(r, s, n->a);
        if (!arguments(r, s, n->b, &a)) return nothing();
        r->line = n->line;
        return n->kind == KR_J_FILTER ? kr_j_filter(r, n->text, n->n, v, &a) : kr_j_bool(kr_j_test(r, n->text, n->n, v, &a));
    case KR_J_NOT: return kr_j_bool(!kr_j_true(eval(r, s, n->a)));
    case KR_J_NEG: case KR_J_POS: return signed_number(r, eval(r, s, n->a), n->kind == KR_J_NEG);
    case KR_J_AND: return v = eval(r, s, n->a), kr_j_true(v) ? eval(r, s, n->b) : v;
    case KR_J_OR: return v = eval(r, s, n->a), kr_j_true(v) ? v : eval(r, s, n->b);
    case KR_J_COMPARE: return compare(r, s, n);
    case KR_J_CHOOSE: return kr_j_true(eval(r, s, n->b)) ? eval(r, s, n->a) : n->c ? eval(r, s, n->c) : nothing();
    case KR_J_BINARY:
        v = eval(r, s, n->a), w = eval(r, s, n->b);
        if (r->st != KR_OK) return nothing();
        r->line = n->line;
        return n->op == KR_J_CONCAT ? concat(r, v, w) : arithmetic(r, n->op, v, w);
    default: return nothing();
    }
}

static value eval(run *r, scope *s, const node *n) {
    if (!kr_j_step(r, 1)) return nothing();
    if (n->kind == KR_J_LITERAL) return n->value;
    if (n->kind == KR_J_NAME) return lookup(r, s, n);
    if (n->kind == KR_J_HOLE) return r->hole;
    if (!kr_j_enter(r)) return nothing();
    value v = eval_deeper(r, s, n);
    r->depth--;
    return r->st == KR_OK ? v : nothing();
}

/* --- statements ------------------------------------------------------------------------------------------ */

/* Those of which the loop's condition holds. */
static kr_j_list *chosen(run *r, scope *s, const node *n, kr_j_list *all) {
    if (!n->d || !all) return all;
    value l = kr_j_new_list(r);
    for (size_t i = 0; i < all->n && r->st == KR_OK; i++) {
        scope *one = inner(r, s);
        if (!one) return NULL;
        assign_all(r, one, n->a, all->at[i]);
        if (kr_j_true(eval(r, one, n->d))) kr_j_push(r, l.list, all->at[i]);
    }
    return r->st == KR_OK ? l.list : NULL;
}

static void loop_over(run *r, scope *s, const node *n, value over, int depth) {
    kr_j_list *items = chosen(r, s, n, kr_j_items(r, over));
    if (r->st != KR_OK || !items) return;
    if (items->n == 0 && n->e) {
        scope *own = inner(r, s);
        if (own) exec(r, own, n->e);
        return;
    }
    kr_j_loop *l = kr_j_new(r, sizeof *l);
    if (!l) return;
    *l = (kr_j_loop){.items = items, .depth = depth, .node = n, .scope = s};
    for (; l->at < items->n && kr_j_step(r, 1); l->at++) {
        scope *one = inner(r, s);
        if (!one) return;
        assign(r, one, "loop", 4, (value){.kind = KR_J_LOOP, .loop = l});
        assign_all(r, one, n->a, items->at[l->at]);
        if (exec(r, one, n->c) == BREAKS) break;
    }
}

/* loop(items) in a recursive loop: what its body writes for those. */
static value call_loop(run *r, kr_j_loop *l, const kr_j_args *a) {
    kr_str text = {0}, *before = r->out;
    if (!l->node->op || a->n != 1) return kr_j_bad(r, KR_ERR_ARG, "only a recursive loop can be called, with one list");
    if (!kr_j_enter(r)) return nothing();
    r->out = &text;
    loop_over(r, l->scope, l->node, a->at[0], l->depth + 1);
    r->out = before;
    r->depth--;
    return kr_j_taken(r, &text);
}

/* What was captured goes through filters, unless its loop goes on elsewhere. */
static flow filtered(run *r, scope *s, const node *filters, const node *body, value *out) {
    scope *own = inner(r, s);
    flow how = GOES_ON;
    if (!own) return how;
    value text = captured(r, own, body, &how), before = r->hole;
    if (how != GOES_ON) return how;
    r->hole = text;
    *out = eval(r, s, filters);
    r->hole = before;
    return how;
}

static void make_macro(run *r, scope *s, const node *n, value *out) {
    kr_j_macro *m = kr_j_new(r, sizeof *m);
    if (!m) return;
    *m = (kr_j_macro){n, s};
    *out = (value){.kind = KR_J_MACRO, .macro = m};
}

static flow exec_one(run *r, scope *s, const node *n) {
    value v = {0};
    flow how;
    r->line = n->line;
    switch (n->kind) {
    case KR_J_DATA: kr_j_write(r, r->out, kr_j_text(n->text, n->n)); break;
    case KR_J_PRINT:
        v = eval(r, s, n->a);
        if (r->st == KR_OK) r->line = n->line, kr_j_write(r, r->out, v);
        break;
    case KR_J_IF:
        for (; n && r->st == KR_OK; n = n->c)
            if (!n->a || kr_j_true(eval(r, s, n->a))) return r->st == KR_OK ? exec(r, s, n->b) : GOES_ON;
        break;
    case KR_J_FOR:
        v = eval(r, s, n->b);
        if (r->st == KR_OK) loop_over(r, s, n, v, 1);
        break;
    case KR_J_SET:
        if (n->b) v = eval(r, s, n->b);
        else if ((how = filtered(r, s, n->d, n->c, &v)) != GOES_ON) return how;
        assign_all(r, s, n->a, v);
        break;
    case KR_J_MACRO_DEF:
        make_macro(r, s, n, &v);
        assign(r, s, n->text, n->n, v);
        break;
    case KR_J_FILTER_BLOCK:
        if ((how = filtered(r, s, n->d, n->c, &v)) != GOES_ON) return how;
        if (r->st == KR_OK) kr_j_write(r, r->out, v);
        break;
    case KR_J_CALL_BLOCK: {
        value caller = {0};
        make_macro(r, s, n->c, &caller);
        v = call(r, s, n->a, &caller);
        if (r->st == KR_OK) kr_j_write(r, r->out, v);
        break;
    }
    case KR_J_BREAK: return BREAKS;
    case KR_J_CONTINUE: return CONTINUES;
    default: break;
    }
    return GOES_ON;
}

static flow exec(run *r, scope *s, const node *n) {
    flow f = GOES_ON;
    if (!kr_j_enter(r)) return f;
    for (; n && f == GOES_ON && kr_j_step(r, 1); n = n->next) f = exec_one(r, s, n);
    r->depth--;
    return f;
}

static void add_variables(run *r, scope *s, const json_t *from) {
    const char *key;
    const json_t *v;
    json_object_foreach((json_t *)(uintptr_t)from, key, v) {
        value one = kr_j_from_json(r, v);
        if (r->st == KR_OK) define(r, s, key, strlen(key), one);
    }
}

kr_status kr_jinja_run(const kr_jinja *t, const json_t *variables, const json_t *more, kr_str *out) {
    run r = {.t = t, .out = out, .line = 1};
    scope outer = {0}, s = {.outer = &outer}, own = {.outer = &s};
    add_variables(&r, &outer, more);
    add_variables(&r, &s, variables);
    exec(&r, &own, t->body);
    kr_arena_clear(&r.arena);
    return r.st == KR_OK ? kr_str_status(out) : r.st;
}
