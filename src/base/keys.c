/* keys.c - reading a JSON object through a table of keys. */
#include "base/keys.h"

#include <math.h>
#include <stdio.h>
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

static kr_status read_number(const kr_key *k, const json_t *v, const char *where, void *out) {
    bool whole = k->type == KR_KEY_INT;
    double x = json_number_value(v);
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

static kr_status unknown(const kr_key *keys, const char *name, const char *where) {
    char known[512] = "";
    size_t used = 0;
    const char *near = NULL;
    int best = 3;
    for (const kr_key *k = keys; k->name; k++) {
        int d = distance(name, k->name);
        if (d < best) best = d, near = k->name;
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

kr_status kr_keys_read(const kr_key *keys, const json_t *object, const char *where, void *out) {
    for (const kr_key *k = keys; k->name; k++) set_default(k, out);
    if (!object) return KR_OK;
    if (!json_is_object(object)) KR_FAIL(KR_ERR_CONFIG, "%s wants an object: {...}", where);
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)object, name, v) {
        const kr_key *k = kr_key_find(keys, name);
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
