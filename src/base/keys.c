/* keys.c - reading a JSON object through a table of keys. */
#include "base/keys.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *field(const kr_key *k, void *out) { return (char *)out + k->offset; }

/* The n-th of "a|b|c": its start and length; false past the end. */
static bool choice(const char *choices, int n, const char **at, size_t *len) {
    for (; n > 0; n--) {
        choices = strchr(choices, '|');
        if (!choices) return false;
        choices++;
    }
    *at = choices;
    *len = strcspn(choices, "|");
    return true;
}

static void set_default(const kr_key *k, void *out) {
    switch (k->type) {
    case KR_KEY_INT: *(int64_t *)field(k, out) = (int64_t)k->def; break;
    case KR_KEY_REAL: *(double *)field(k, out) = k->def; break;
    case KR_KEY_BOOL: *(bool *)field(k, out) = k->def != 0; break;
    case KR_KEY_TEXT: *(const char **)field(k, out) = k->text; break;
    case KR_KEY_CHOICE: *(int *)field(k, out) = (int)k->def; break;
    case KR_KEY_LIST: *(const json_t **)field(k, out) = NULL; break;
    }
}

/* Hugging Face writes an infinity as {"__float__": "Infinity"}. */
static double infinity_of(const json_t *v) {
    const char *s = json_string_value(json_object_get(v, "__float__"));
    return s && !strcmp(s, "Infinity") ? INFINITY : s && !strcmp(s, "-Infinity") ? -INFINITY : NAN;
}

static kr_status read_number(const kr_key *k, const json_t *v, const char *where, void *out) {
    bool whole = k->type == KR_KEY_INT;
    double x = json_is_object(v) ? infinity_of(v) : json_number_value(v);
    if (!whole && isinf(x)) v = NULL;
    if (whole && json_is_real(v) && x == floor(x) && fabs(x) < 0x1p53) v = NULL; /* 1e6 is a whole number too */
    if (v && (whole ? !json_is_integer(v) : !json_is_number(v)))
        KR_FAIL(KR_ERR_CONFIG, "%s.%s wants %s", where, k->name, whole ? "a whole number" : "a number");
    if (!(x >= k->min && x <= k->max))
        KR_FAIL(KR_ERR_CONFIG, "%s.%s is %.17g, want %.17g to %.17g", where, k->name, x, k->min, k->max);
    if (whole)
        *(int64_t *)field(k, out) = v ? (int64_t)json_integer_value(v) : (int64_t)x;
    else
        *(double *)field(k, out) = x;
    return KR_OK;
}

static kr_status read_choice(const kr_key *k, const json_t *v, const char *where, void *out) {
    const char *at, *got = json_string_value(v);
    size_t len;
    for (int i = 0; got && choice(k->choices, i, &at, &len); i++)
        if (strlen(got) == len && !memcmp(got, at, len)) {
            *(int *)field(k, out) = i;
            return KR_OK;
        }
    KR_FAIL(KR_ERR_CONFIG, "%s.%s is %s%s%s, want one of %s", where, k->name, got ? "\"" : "", got ? got : "not text",
            got ? "\"" : "", k->choices);
}

static kr_status read_list(const kr_key *k, const json_t *v, const char *where, void *out) {
    bool good = json_is_string(v) || json_is_array(v);
    for (size_t i = 0; i < json_array_size(v); i++) good = good && json_is_string(json_array_get(v, i));
    if (!good) KR_FAIL(KR_ERR_CONFIG, "%s.%s wants a string or an array of strings", where, k->name);
    *(const json_t **)field(k, out) = v;
    return KR_OK;
}

static kr_status read_one(const kr_key *k, const json_t *v, const char *where, void *out) {
    switch (k->type) {
    case KR_KEY_INT:
    case KR_KEY_REAL: return read_number(k, v, where, out);
    case KR_KEY_CHOICE: return read_choice(k, v, where, out);
    case KR_KEY_LIST: return read_list(k, v, where, out);
    case KR_KEY_BOOL:
        if (!json_is_boolean(v)) KR_FAIL(KR_ERR_CONFIG, "%s.%s wants true or false", where, k->name);
        *(bool *)field(k, out) = json_is_true(v);
        return KR_OK;
    case KR_KEY_TEXT:
        if (!json_is_string(v)) KR_FAIL(KR_ERR_CONFIG, "%s.%s wants a string", where, k->name);
        *(const char **)field(k, out) = json_string_value(v);
        return KR_OK;
    }
    return KR_OK;
}

/* Levenshtein distance of short names; 99 for long ones. */
static int distance(const char *a, const char *b) {
    enum { LONG = 40 };
    int row[LONG + 1], la = (int)strnlen(a, LONG + 1), lb = (int)strnlen(b, LONG + 1);
    if (la > LONG || lb > LONG) return 99;
    for (int j = 0; j <= lb; j++) row[j] = j;
    for (int i = 1; i <= la; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= lb; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[lb];
}

const char *kr_keys_nearest(const kr_key *keys, const char *name) {
    const char *near = NULL;
    int best = 3;
    for (const kr_key *k = keys; k->name; k++) {
        int d = distance(name, k->name);
        if (d < best) best = d, near = k->name;
    }
    return near;
}

static kr_status unknown(const kr_key *keys, const char *name, const char *where) {
    char known[512] = "";
    size_t used = 0;
    const char *near = kr_keys_nearest(keys, name);
    for (const kr_key *k = keys; k->name; k++) {
        int n = snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", k->name);
        if (n > 0 && used + (size_t)n < sizeof known) used += (size_t)n;
    }
    if (near) KR_FAIL(KR_ERR_CONFIG, "%s has no key \"%s\"; did you mean \"%s\"?", where, name, near);
    KR_FAIL(KR_ERR_CONFIG, "%s has no key \"%s\"; its keys are %s", where, name, known);
}

const kr_key *kr_key_find(const kr_key *keys, const char *name) {
    for (; keys->name; keys++)
        if (!strcmp(keys->name, name)) return keys;
    return NULL;
}

static bool listed(const char *const *names, const char *name) {
    for (; names && *names; names++)
        if (!strcmp(*names, name)) return true;
    return false;
}

kr_status kr_keys_read(const kr_key *keys, const json_t *object, const char *where, void *out) {
    return kr_keys_read_with(keys, object, where, NULL, out);
}

kr_status kr_keys_read_with(const kr_key *keys, const json_t *object, const char *where, const char *const *also, void *out) {
    for (const kr_key *k = keys; k->name; k++) set_default(k, out);
    if (!object) return KR_OK;
    if (!json_is_object(object)) KR_FAIL(KR_ERR_CONFIG, "%s wants an object: {...}", where);
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)object, name, v) {
        const kr_key *k = kr_key_find(keys, name);
        if (!k && listed(also, name)) continue;
        if (!k) return unknown(keys, name, where);
        KR_TRY(read_one(k, v, where, out));
    }
    return KR_OK;
}

void kr_key_default(const kr_key *k, char *out, size_t n_bytes) {
    const char *at = "";
    size_t len = 0;
    switch (k->type) {
    case KR_KEY_INT:
    case KR_KEY_REAL: snprintf(out, n_bytes, "%.15g", k->def); break;
    case KR_KEY_BOOL: snprintf(out, n_bytes, "%s", k->def != 0 ? "true" : "false"); break;
    case KR_KEY_TEXT:
        if (k->text)
            snprintf(out, n_bytes, "\"%s\"", k->text);
        else
            snprintf(out, n_bytes, "none");
        break;
    case KR_KEY_LIST: snprintf(out, n_bytes, "[]"); break;
    case KR_KEY_CHOICE:
        choice(k->choices, (int)k->def, &at, &len);
        snprintf(out, n_bytes, "\"%.*s\"", (int)len, at);
        break;
    }
}

static json_t *value_of(const kr_key *k, const void *opt) {
    const void *p = (const char *)opt + k->offset;
    const char *at;
    size_t len;
    switch (k->type) {
    case KR_KEY_INT: return json_integer(*(const int64_t *)p);
    case KR_KEY_BOOL: return json_boolean(*(const bool *)p);
    case KR_KEY_TEXT: return *(const char *const *)p ? json_string(*(const char *const *)p) : json_null();
    case KR_KEY_CHOICE: return choice(k->choices, *(const int *)p, &at, &len) ? json_stringn(at, len) : NULL;
    case KR_KEY_LIST: return *(json_t *const *)p ? json_incref(*(json_t *const *)p) : json_array();
    case KR_KEY_REAL: break;
    }
    double x = *(const double *)p;
    return isinf(x) ? json_pack("{s:s}", "__float__", x > 0 ? "Infinity" : "-Infinity") : json_real(x);
}

static bool at_default(const kr_key *k, const void *opt) {
    const void *p = (const char *)opt + k->offset;
    switch (k->type) {
    case KR_KEY_INT: return *(const int64_t *)p == (int64_t)k->def;
    case KR_KEY_REAL: return *(const double *)p == k->def;
    case KR_KEY_BOOL: return *(const bool *)p == (k->def != 0);
    case KR_KEY_CHOICE: return *(const int *)p == (int)k->def;
    case KR_KEY_LIST: return *(json_t *const *)p == NULL;
    case KR_KEY_TEXT: break;
    }
    const char *s = *(const char *const *)p;
    return s == k->text || (s && k->text && !strcmp(s, k->text));
}

kr_status kr_keys_write(const kr_key *keys, const void *opt, json_t *object, bool all) {
    for (const kr_key *k = keys; k->name; k++) {
        if (at_default(k, opt) && (!all || (k->type == KR_KEY_TEXT && !k->text))) continue;
        if (json_object_set_new(object, k->name, value_of(k, opt)) != 0)
            KR_FAIL(KR_ERR_NOMEM, "out of memory writing the key %s", k->name);
    }
    return KR_OK;
}

kr_status kr_key_parse(const kr_key *k, const char *text, const char *where, json_t **out) {
    char *end = NULL;
    double x = 0;
    json_t *v = NULL;
    switch (k->type) {
    case KR_KEY_INT:
    case KR_KEY_REAL:
        x = strtod(text, &end);
        if (end == text || *end || isnan(x)) KR_FAIL(KR_ERR_CONFIG, "%s.%s is \"%s\", want a number", where, k->name, text);
        if (isinf(x)) v = json_pack("{s:s}", "__float__", x > 0 ? "Infinity" : "-Infinity");
        else if (k->type == KR_KEY_INT && x == floor(x) && fabs(x) < 0x1p53) v = json_integer((json_int_t)x);
        else v = json_real(x);
        break;
    case KR_KEY_BOOL:
        if (strcmp(text, "true") && strcmp(text, "false"))
            KR_FAIL(KR_ERR_CONFIG, "%s.%s is \"%s\", want true or false", where, k->name, text);
        v = json_boolean(!strcmp(text, "true"));
        break;
    default: v = json_string(text); break;
    }
    if (!v) KR_FAIL(KR_ERR_NOMEM, "%s.%s: no memory, or not UTF-8", where, k->name);
    *out = v;
    return KR_OK;
}
