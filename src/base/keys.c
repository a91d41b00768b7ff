/* keys.c - tables of options. */
#include "base/keys.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *field(const kr_key *k, const void *opt) { return (char *)opt + k->offset; }

/* The index of a word in "a|b|c", or -1. */
static int64_t choice_index(const char *choices, const char *word) {
    size_t n = strlen(word);
    int64_t i = 0;
    for (const char *p = choices; p; i++) {
        const char *bar = strchr(p, '|');
        size_t len = bar ? (size_t)(bar - p) : strlen(p);
        if (len == n && memcmp(p, word, n) == 0) return i;
        p = bar ? bar + 1 : NULL;
    }
    return -1;
}

static void choice_word(const char *choices, int64_t i, char *to, size_t size) {
    const char *p = choices;
    while (i-- > 0) {
        p = strchr(p, '|');
        KR_ASSERT(p != NULL);
        p++;
    }
    snprintf(to, size, "%.*s", (int)strcspn(p, "|"), p);
}

void kr_keys_defaults(const kr_key *keys, void *opt) {
    for (const kr_key *k = keys; k->name; k++) switch (k->type) {
        case KR_KEY_T_INT: *(int64_t *)field(k, opt) = (int64_t)k->def; break;
        case KR_KEY_T_REAL: *(double *)field(k, opt) = k->def; break;
        case KR_KEY_T_BOOL: *(bool *)field(k, opt) = k->def != 0; break;
        case KR_KEY_T_CHOICE: *(int64_t *)field(k, opt) = choice_index(k->choices, k->text); break;
        case KR_KEY_T_TEXT: snprintf(field(k, opt), k->size, "%s", k->text); break;
    }
}

const kr_key *kr_keys_find(const kr_key *keys, const char *name) {
    for (const kr_key *k = keys; k->name; k++)
        if (strcmp(k->name, name) == 0) return k;
    return NULL;
}

/* Levenshtein distance, for names below 64 characters. */
static int distance(const char *a, const char *b) {
    int row[64], n = (int)strlen(b);
    if (n > 63) return 99;
    for (int j = 0; j <= n; j++) row[j] = j;
    for (int i = 1; *a; a++, i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int best = diagonal + (*a != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

const char *kr_keys_nearest(const kr_key *keys, const char *name) {
    const char *best = NULL;
    int least = (int)strlen(name) / 2 + 1;
    for (const kr_key *k = keys; k->name; k++) {
        int d = distance(k->name, name);
        if (d < least) least = d, best = k->name;
    }
    return best;
}

static kr_status out_of_range(const kr_key *k, double x) {
    KR_FAIL(KR_ERR_CONFIG, "%s is %g, want %g to %g (%s)", k->name, x, k->min, k->max, k->help);
}

static kr_status set_number(const kr_key *k, void *opt, double x) {
    if (!(x >= k->min && x <= k->max)) return out_of_range(k, x);
    if (k->type == KR_KEY_T_REAL) *(double *)field(k, opt) = x;
    else *(int64_t *)field(k, opt) = (int64_t)x;
    return KR_OK;
}

static kr_status set_text(const kr_key *k, void *opt, const char *s) {
    if (k->type == KR_KEY_T_CHOICE) {
        int64_t i = choice_index(k->choices, s);
        if (i < 0) KR_FAIL(KR_ERR_CONFIG, "%s is \"%s\", want one of %s (%s)", k->name, s, k->choices, k->help);
        *(int64_t *)field(k, opt) = i;
        return KR_OK;
    }
    if (strlen(s) >= k->size) KR_FAIL(KR_ERR_CONFIG, "%s is longer than %zu bytes", k->name, k->size - 1);
    snprintf(field(k, opt), k->size, "%s", s);
    return KR_OK;
}

/* HF writes an infinity as {"__float__": "Infinity"}. */
static bool real_of(const json_t *v, double *x) {
    const char *s = json_string_value(json_is_object(v) ? json_object_get(v, "__float__") : v);
    if (json_is_number(v)) *x = json_number_value(v);
    else if (s && strcmp(s, "Infinity") == 0) *x = INFINITY;
    else if (s && strcmp(s, "-Infinity") == 0) *x = -INFINITY;
    else return false;
    return true;
}

static kr_status read_one(const kr_key *k, void *opt, const json_t *v) {
    double x;
    switch (k->type) {
    case KR_KEY_T_INT:
        if (!json_is_integer(v)) KR_FAIL(KR_ERR_CONFIG, "%s is not an integer (%s)", k->name, k->help);
        if (json_integer_value(v) < (json_int_t)k->min || (double)json_integer_value(v) > k->max)
            return out_of_range(k, (double)json_integer_value(v));
        *(int64_t *)field(k, opt) = json_integer_value(v);
        return KR_OK;
    case KR_KEY_T_REAL:
        if (!real_of(v, &x)) KR_FAIL(KR_ERR_CONFIG, "%s is not a number (%s)", k->name, k->help);
        return set_number(k, opt, x);
    case KR_KEY_T_BOOL:
        if (!json_is_boolean(v)) KR_FAIL(KR_ERR_CONFIG, "%s is not true or false (%s)", k->name, k->help);
        *(bool *)field(k, opt) = json_is_true(v);
        return KR_OK;
    default:
        if (!json_is_string(v)) KR_FAIL(KR_ERR_CONFIG, "%s is not a text (%s)", k->name, k->help);
        return set_text(k, opt, json_string_value(v));
    }
}

static bool listed(const char *const *also, const char *name) {
    for (; also && *also; also++)
        if (strcmp(*also, name) == 0) return true;
    return false;
}

kr_status kr_keys_read(const kr_key *keys, void *opt, const json_t *object, const char *where, const char *const *also) {
    const char *name;
    json_t *v;
    if (!json_is_object(object)) KR_FAIL(KR_ERR_CONFIG, "%s is not a JSON object", where);
    json_object_foreach((json_t *)object, name, v) {
        const kr_key *k = kr_keys_find(keys, name);
        if (k) {
            kr_status st = read_one(k, opt, v);
            if (st != KR_OK) return kr_fail_in(st, where);
        } else if (!listed(also, name)) {
            const char *near = kr_keys_nearest(keys, name);
            if (near) KR_FAIL(KR_ERR_CONFIG, "%s: there is no key \"%s\"; did you mean \"%s\"?", where, name, near);
            KR_FAIL(KR_ERR_CONFIG, "%s: there is no key \"%s\"", where, name);
        }
    }
    return KR_OK;
}

kr_status kr_keys_set(const kr_key *keys, void *opt, const char *name, const char *value) {
    const kr_key *k = kr_keys_find(keys, name);
    char *end;
    if (!k) {
        const char *near = kr_keys_nearest(keys, name);
        if (near) KR_FAIL(KR_ERR_CONFIG, "there is no key \"%s\"; did you mean \"%s\"?", name, near);
        KR_FAIL(KR_ERR_CONFIG, "there is no key \"%s\"", name);
    }
    if (k->type == KR_KEY_T_BOOL) {
        bool yes = strcmp(value, "true") == 0 || strcmp(value, "1") == 0;
        if (!yes && strcmp(value, "false") != 0 && strcmp(value, "0") != 0)
            KR_FAIL(KR_ERR_CONFIG, "%s is \"%s\", want true or false (%s)", name, value, k->help);
        *(bool *)field(k, opt) = yes;
        return KR_OK;
    }
    if (k->type != KR_KEY_T_INT && k->type != KR_KEY_T_REAL) return set_text(k, opt, value);
    errno = 0;
    double x = strtod(value, &end);
    if (end == value || *end || errno || (k->type == KR_KEY_T_INT && x != floor(x)))
        KR_FAIL(KR_ERR_CONFIG, "%s is \"%s\", want %s (%s)", name, value, k->type == KR_KEY_T_INT ? "an integer" : "a number", k->help);
    return set_number(k, opt, x);
}

static json_t *value_of(const kr_key *k, const void *opt) {
    char word[64];
    switch (k->type) {
    case KR_KEY_T_INT: return json_integer(*(int64_t *)field(k, opt));
    case KR_KEY_T_REAL: {
        double x = *(double *)field(k, opt);
        return isinf(x) ? json_pack("{s:s}", "__float__", x > 0 ? "Infinity" : "-Infinity") : json_real(x);
    }
    case KR_KEY_T_BOOL: return json_boolean(*(bool *)field(k, opt));
    case KR_KEY_T_CHOICE: choice_word(k->choices, *(int64_t *)field(k, opt), word, sizeof word); return json_string(word);
    default: return json_string(field(k, opt));
    }
}

static bool at_default(const kr_key *k, const void *opt) {
    switch (k->type) {
    case KR_KEY_T_INT: return *(int64_t *)field(k, opt) == (int64_t)k->def;
    case KR_KEY_T_REAL: return *(double *)field(k, opt) == k->def;
    case KR_KEY_T_BOOL: return *(bool *)field(k, opt) == (k->def != 0);
    case KR_KEY_T_CHOICE: return *(int64_t *)field(k, opt) == choice_index(k->choices, k->text);
    default: return strcmp(field(k, opt), k->text) == 0;
    }
}

kr_status kr_keys_write(const kr_key *keys, const void *opt, json_t *object, bool all) {
    for (const kr_key *k = keys; k->name; k++) {
        if (!all && at_default(k, opt)) continue;
        if (json_object_set_new(object, k->name, value_of(k, opt)) != 0) KR_FAIL(KR_ERR_NOMEM, "out of memory writing %s", k->name);
    }
    return KR_OK;
}

void kr_key_print_default(const kr_key *k, char *to, size_t size) {
    switch (k->type) {
    case KR_KEY_T_INT:
    case KR_KEY_T_REAL: snprintf(to, size, "%g", k->def); break;
    case KR_KEY_T_BOOL: snprintf(to, size, "%s", k->def != 0 ? "true" : "false"); break;
    case KR_KEY_T_CHOICE: snprintf(to, size, "%s (%s)", k->choices, k->text); break;
    case KR_KEY_T_TEXT: snprintf(to, size, "\"%s\"", k->text); break;
    }
}

const char *kr_key_choice(const kr_key *keys, const char *name, int64_t value, char *to, size_t size) {
    choice_word(kr_keys_find(keys, name)->choices, value, to, size);
    return to;
}
