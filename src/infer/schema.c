/* schema.c - a JSON schema as a grammar: a rule for each schema in it.
 *
 * What JSON Schema leaves open is narrowed where a grammar must: properties come in the order
 * of the schema, others only where additionalProperties says so.  Whatever the grammar allows
 * is valid by the schema; what could not be kept to is refused by name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "infer/grammar.h"

enum { MAX_SCHEMA_DEPTH = 64, MAX_GBNF = 1 << 20, MAX_REFS = 512, MAX_MERGES = 10000, MAX_COMPARED = 1000000 };

static const char basics[] =
    "ws ::= | \" \" | \"\\n\" [ \\t]{0,20}\n"
    "char ::= [^\"\\\\\\x00-\\x1F\\x7F] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" [0-9a-fA-F]{4})\n"
    "string ::= \"\\\"\" char* \"\\\"\"\n"
    "digits ::= \"0\" | [1-9] [0-9]{0,15}\n"
    "fraction ::= (\".\" [0-9]{1,16})? ([eE] [-+]? [0-9]{1,3})?\n"
    "integer ::= \"-\"? digits\n"
    "number ::= \"-\"? digits fraction\n"
    "boolean ::= \"true\" | \"false\"\n"
    "null ::= \"null\"\n"
    "value ::= object | array | string | number | boolean | null\n"
    "member ::= string ws \":\" ws value\n"
    "object ::= \"{\" ws (member (ws \",\" ws member)*)? ws \"}\"\n"
    "array ::= \"[\" ws (value (ws \",\" ws value)*)? ws \"]\"\n"
    "year ::= [0-9]{4}\n"
    "date ::= year \"-\" (\"0\" [1-9] | \"1\" [0-2]) \"-\" (\"0\" [1-9] | [12] [0-9] | \"3\" [01])\n"
    "time ::= ([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9] \":\" [0-5] [0-9] (\".\" [0-9]{1,9})? (\"Z\" | [-+] ([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9])\n"
    "uuid ::= [0-9a-fA-F]{8} \"-\" [0-9a-fA-F]{4} \"-\" [0-9a-fA-F]{4} \"-\" [0-9a-fA-F]{4} \"-\" [0-9a-fA-F]{12}\n";

typedef struct named_ref { const char *path; int rule; } named_ref;
typedef struct converter {
    kr_str out;
    const json_t *root;
    int n_rules, n_refs, n_merges;
    size_t n_compared;          /* of values, by the checks of oneOf */
    named_ref ref[MAX_REFS];
    json_t *made;               /* schemas that were put together here, until the end */
} converter;

static kr_status visit(converter *c, const json_t *schema, int rule, int depth);

static kr_status new_schema(converter *c, const json_t *schema, int depth, int *rule) {
    *rule = c->n_rules++;
    return visit(c, schema, *rule, depth + 1);
}

static const json_t *get(const json_t *s, const char *key) { return json_object_get(s, key); }

/* A literal of GBNF. */
static void put_literal(kr_str *to, const char *text) {
    kr_str_append_char(to, '"');
    for (const char *p = text; *p; p++) {
        if (*p == '"' || *p == '\\') kr_str_appendf(to, "\\%c", *p);
        else if ((unsigned char)*p < 32) kr_str_appendf(to, "\\x%02X", *p);
        else kr_str_append_char(to, *p);
    }
    kr_str_append_char(to, '"');
}

static kr_status put_json(kr_str *to, const json_t *value) {
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text) return kr_fail(KR_ERR_NOMEM, "out of memory writing a value of the schema");
    put_literal(to, text);
    kr_mem_free(text);
    return KR_OK;
}

/* --- by type ------------------------------------------------------------------------------------- */

static kr_status count_of(const json_t *s, const char *key, int64_t none, int64_t *n) {
    const json_t *v = get(s, key);
    *n = none;
    if (!v) return KR_OK;
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > KR_MAX_REPEAT)
        KR_FAIL(KR_ERR_CONFIG, "the schema's %s wants a count from 0 to %d", key, KR_MAX_REPEAT);
    *n = json_integer_value(v);
    return KR_OK;
}

static void put_times(kr_str *to, int64_t min, int64_t max) {
    if (max < 0) kr_str_appendf(to, "{%lld,}", (long long)min);
    else kr_str_appendf(to, "{%lld,%lld}", (long long)min, (long long)max);
}

static kr_status put_string(const json_t *s, kr_str *to) {
    static const char *const formats[] = {"date", "time", "date-time", "uuid"};
    static const char *const as[] = {"date", "time", "date \"T\" time", "uuid"};
    const char *format = json_string_value(get(s, "format"));
    int64_t min, max;
    KR_TRY(count_of(s, "minLength", 0, &min));
    KR_TRY(count_of(s, "maxLength", -1, &max));
    if (max >= 0 && max < min) KR_FAIL(KR_ERR_CONFIG, "the schema's maxLength is less than its minLength");
    for (int i = 0; i < 4 && format; i++)
        if (strcmp(format, formats[i]) == 0) return kr_str_appendf(to, "\"\\\"\" %s \"\\\"\"", as[i]), KR_OK;
    if (min == 0 && max < 0) return kr_str_append(to, "string"), KR_OK;
    kr_str_append(to, "\"\\\"\" char");
    put_times(to, min, max);
    kr_str_append(to, " \"\\\"\"");
    return KR_OK;
}

/* Whole numbers from a to b, both of n digits: by the first digit that differs. */
static void put_digits(kr_str *to, const char *a, const char *b, int n) {
    int same = 0;
    while (same < n && a[same] == b[same]) same++;
    if (same) kr_str_appendf(to, "\"%.*s\" ", same, a);
    a += same, b += same, n -= same;
    if (n == 0) return;
    if (n == 1) {
        kr_str_appendf(to, "[%c-%c]", *a, *b);
        return;
    }
    bool low = strspn(a + 1, "0") >= (size_t)(n - 1), high = strspn(b + 1, "9") >= (size_t)(n - 1), any = false;
    char nines[32] = "", zeros[32] = "";
    memset(nines, '9', 31), memset(zeros, '0', 31);
    kr_str_append(to, "(");
    if (!low) kr_str_appendf(to, "\"%c\" (", *a), put_digits(to, a + 1, nines, n - 1), kr_str_append(to, ")"), any = true;
    char from = (char)(*a + !low), until = (char)(*b - !high);
    if (from <= until) kr_str_appendf(to, "%s[%c-%c] [0-9]{%d}", any ? " | " : "", from, until, n - 1), any = true;
    if (!high) kr_str_appendf(to, "%s\"%c\" (", any ? " | " : "", *b), put_digits(to, zeros, b + 1, n - 1), kr_str_append(to, ")");
    kr_str_append(to, ")");
}

/* From a to b, 0 <= a <= b. */
static void put_natural(kr_str *to, int64_t a, int64_t b) {
    int64_t ten = 10;
    for (int n = 1;; n++, ten *= 10) {
        char x[24], y[24];
        int64_t last = n == 18 || b < ten ? b : ten - 1;
        if (a <= last) {
            snprintf(x, sizeof x, "%lld", (long long)a);
            snprintf(y, sizeof y, "%lld", (long long)last);
            put_digits(to, x, y, n);
            if (last == b) return;
            kr_str_append(to, " | ");
            a = last + 1;
        }
    }
}

static kr_status bound_of(const json_t *s, const char *key, const char *beyond, int64_t step, bool *is, int64_t *x) {
    const json_t *v = get(s, key), *w = get(s, beyond);
    *is = v || w;
    if (!*is) return KR_OK;
    if ((v && w) || !json_is_integer(v ? v : w) || json_integer_value(v ? v : w) > 999999999999999 || json_integer_value(v ? v : w) < -999999999999999)
        KR_FAIL(KR_ERR_CONFIG, "the schema's %s wants one whole number of at most 15 digits", v ? key : beyond);
    *x = v ? json_integer_value(v) : json_integer_value(w) + step;
    return KR_OK;
}

static kr_status put_integer(const json_t *s, kr_str *to) {
    const int64_t most = 999999999999999;
    int64_t min = -most, max = most;
    bool low, high;
    KR_TRY(bound_of(s, "minimum", "exclusiveMinimum", 1, &low, &min));
    KR_TRY(bound_of(s, "maximum", "exclusiveMaximum", -1, &high, &max));
    if (!low && !high) return kr_str_append(to, "integer"), KR_OK;
    if (max < min) KR_FAIL(KR_ERR_CONFIG, "the schema's maximum is less than its minimum");
    if (min < 0) {
        kr_str_append(to, "\"-\" (");
        put_natural(to, max < 0 ? -max : 1, -min);
        kr_str_append(to, max >= 0 ? ") | " : ")");
    }
    if (max >= 0) put_natural(to, min > 0 ? min : 0, max);
    return KR_OK;
}

static kr_status put_number(const json_t *s, kr_str *to) {
    static const char *const bounds[] = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"};
    bool positive = false;
    for (int i = 0; i < 4; i++) {
        const json_t *v = get(s, bounds[i]);
        if (!v) continue;
        if (i != 0 || json_number_value(v) != 0) KR_FAIL(KR_ERR_CONFIG, "the schema's %s of a number cannot be kept to by a grammar; only minimum 0 can", bounds[i]);
        positive = true;
    }
    kr_str_append(to, positive ? "digits fraction" : "number");
    return KR_OK;
}

static kr_status put_array(converter *c, const json_t *s, kr_str *to, int depth) {
    const json_t *items = get(s, "items"), *first = get(s, "prefixItems");
    int64_t min, max, n = (int64_t)json_array_size(first);
    int rule = -1;
    KR_TRY(count_of(s, "minItems", 0, &min));
    KR_TRY(count_of(s, "maxItems", -1, &max));
    if (max >= 0 && max < min) KR_FAIL(KR_ERR_CONFIG, "the schema's maxItems is less than its minItems");
    if (first && !json_is_array(first)) KR_FAIL(KR_ERR_CONFIG, "the schema's prefixItems wants an array");
    if (items && json_is_array(items)) KR_FAIL(KR_ERR_CONFIG, "the schema's items is an array; write prefixItems");
    if (n > 0 && (min > n || (max >= 0 && max < n))) KR_FAIL(KR_ERR_CONFIG, "the schema's prefixItems go with neither minItems nor maxItems beyond their number");
    if (!json_is_false(items) && !(n > 0 && !items)) {
        if (!items) items = json_true();
        KR_TRY(new_schema(c, items, depth, &rule));
    }
    kr_str_append(to, "\"[\" ws ");
    for (int64_t i = 0; i < n; i++) {
        int one;
        KR_TRY(new_schema(c, json_array_get(first, (size_t)i), depth, &one));
        kr_str_appendf(to, "%sr%d ", i ? "ws \",\" ws " : "", one);
    }
    if (n > 0 && rule >= 0 && max < 0) kr_str_appendf(to, "(ws \",\" ws r%d)* ", rule);
    if (n == 0 && rule >= 0 && max != 0) {
        kr_str_appendf(to, min == 0 ? "(r%d (ws \",\" ws r%d)" : "r%d (ws \",\" ws r%d)", rule, rule);
        put_times(to, min > 0 ? min - 1 : 0, max < 0 ? -1 : max - 1);
        kr_str_append(to, min == 0 ? ")? " : " ");
    }
    kr_str_append(to, "ws \"]\"");
    return KR_OK;
}

static bool is_required(const json_t *s, const char *key) {
    const json_t *list = get(s, "required");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (name && strcmp(name, key) == 0) return true;
    }
    return false;
}

/* Two rules a property, for when none was written before it and for when one was:
 *
 *     first_i ::= member_i next_i+1 | first_i+1     (the second way where it is not required)
 *     next_i  ::= "," member_i next_i+1 | next_i+1 */
static kr_status put_object(converter *c, const json_t *s, kr_str *to, int depth) {
    const json_t *properties = get(s, "properties"), *others = get(s, "additionalProperties");
    int id = c->n_rules++, any = -1, i = 0, n = (int)json_object_size(properties);
    const char *key;
    json_t *value;
    if (properties && !json_is_object(properties)) KR_FAIL(KR_ERR_CONFIG, "the schema's properties wants an object");
    for (size_t k = 0; k < json_array_size(get(s, "required")); k++) {
        const char *name = json_string_value(json_array_get(get(s, "required"), k));
        if (!name || !json_object_get(properties, name)) KR_FAIL(KR_ERR_CONFIG, "the schema requires \"%.60s\" and has no such property", name ? name : "(no text)");
    }
    if (n == 0 && !others) others = json_true();
    if (others && !json_is_false(others)) KR_TRY(new_schema(c, others, depth, &any));
    json_object_foreach((json_t *)properties, key, value) {
        int rule;
        bool needed = is_required(s, key);
        KR_TRY(new_schema(c, value, depth, &rule));
        json_t *name = json_string(key);
        kr_str_appendf(&c->out, "m%d-%d ::= ", id, i);
        kr_status st = name ? put_json(&c->out, name) : KR_ERR_NOMEM;
        json_decref(name);
        KR_TRY(st);
        kr_str_appendf(&c->out, " ws \":\" ws r%d\n", rule);
        kr_str_appendf(&c->out, needed ? "f%d-%d ::= m%d-%d n%d-%d\n" : "f%d-%d ::= m%d-%d n%d-%d | f%d-%d\n", id, i, id, i, id, i + 1, id, i + 1);
        kr_str_appendf(&c->out, needed ? "n%d-%d ::= ws \",\" ws m%d-%d n%d-%d\n" : "n%d-%d ::= ws \",\" ws m%d-%d n%d-%d | n%d-%d\n", id, i, id, i, id, i + 1, id, i + 1);
        i++;
    }
    if (any >= 0) {
        kr_str_appendf(&c->out, "o%d ::= string ws \":\" ws r%d\n", id, any);
        kr_str_appendf(&c->out, "f%d-%d ::= (o%d (ws \",\" ws o%d)*)?\nn%d-%d ::= (ws \",\" ws o%d)*\n", id, n, id, id, id, n, id);
    } else {
        kr_str_appendf(&c->out, "f%d-%d ::= \"\"\nn%d-%d ::= \"\"\n", id, n, id, n);
    }
    kr_str_appendf(to, "\"{\" ws f%d-0 ws \"}\"", id);
    return KR_OK;
}

/* --- any schema ------------------------------------------------------------------------------------ */

static kr_status put_type(converter *c, const json_t *s, const char *type, kr_str *to, int depth) {
    if (strcmp(type, "object") == 0) return put_object(c, s, to, depth);
    if (strcmp(type, "array") == 0) return put_array(c, s, to, depth);
    if (strcmp(type, "string") == 0) return put_string(s, to);
    if (strcmp(type, "integer") == 0) return put_integer(s, to);
    if (strcmp(type, "number") == 0) return put_number(s, to);
    if (strcmp(type, "boolean") == 0 || strcmp(type, "null") == 0) return kr_str_append(to, type), KR_OK;
    KR_FAIL(KR_ERR_CONFIG, "the schema's type \"%.60s\" is none", type);
}

/* What is said, by a key that goes with one type only. */
static const char *implied_type(const json_t *s) {
    static const char *const keys[][2] = {{"properties", "object"}, {"additionalProperties", "object"}, {"required", "object"}, {"items", "array"},
                                          {"prefixItems", "array"}, {"minItems", "array"}, {"maxItems", "array"}, {"minLength", "string"}, {"maxLength", "string"},
                                          {"format", "string"}, {"minimum", "number"}, {"maximum", "number"},
                                          {"exclusiveMinimum", "number"}, {"exclusiveMaximum", "number"}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (get(s, keys[i][0])) return keys[i][1];
    return NULL;
}

static kr_status check_keys(const json_t *s) {
    static const char *const known[] = {
        "type", "properties", "required", "additionalProperties", "items", "prefixItems", "minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum",
        "exclusiveMinimum", "exclusiveMaximum", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "$defs", "definitions", "format", "title", "description", "default",
        "examples", "$schema", "$id", "$comment", "deprecated", "readOnly", "writeOnly", "nullable", "strict", "name"};
    const char *key;
    const json_t *value;
    json_object_foreach((json_t *)s, key, value) {
        size_t i = 0, n = sizeof known / sizeof *known;
        while (i < n && strcmp(key, known[i]) != 0) i++;
        if (i == n) KR_FAIL(KR_ERR_CONFIG, "the schema's \"%.60s\" cannot be kept to by a grammar", key);
    }
    return KR_OK;
}

static kr_status find_ref(const converter *c, const char *path, const json_t **out) {
    const json_t *at = c->root;
    const char *p = path;
    if (*p != '#') KR_FAIL(KR_ERR_CONFIG, "the schema refers to \"%.60s\", which is not in it", path);
    for (p++; *p && at;) {
        char name[256];
        size_t n = 0;
        if (*p++ != '/') break;
        for (; *p && *p != '/' && n < sizeof name - 1; p++) {
            if (p[0] == '~' && (p[1] == '0' || p[1] == '1')) name[n++] = *++p == '0' ? '~' : '/';
            else name[n++] = *p;
        }
        name[n] = 0;
        at = json_is_array(at) ? json_array_get(at, strtoul(name, NULL, 10)) : json_object_get(at, name);
    }
    if (!at || *p) KR_FAIL(KR_ERR_CONFIG, "the schema refers to \"%.60s\", which is not in it", path);
    *out = at;
    return KR_OK;
}

static kr_status put_ref(converter *c, const char *path, kr_str *to, int depth) {
    const json_t *target;
    for (int i = 0; i < c->n_refs; i++)
        if (strcmp(c->ref[i].path, path) == 0) return kr_str_appendf(to, "r%d", c->ref[i].rule), KR_OK;
    KR_TRY(find_ref(c, path, &target));
    if (c->n_refs == MAX_REFS) KR_FAIL(KR_ERR_CONFIG, "the schema has more than %d references", MAX_REFS);
    int rule = c->n_rules++;
    c->ref[c->n_refs++] = (named_ref){path, rule};
    KR_TRY(visit(c, target, rule, depth + 1));
    kr_str_appendf(to, "r%d", rule);
    return KR_OK;
}

/* allOf: one object of all keys; properties and required add up. */
static kr_status merge(converter *c, json_t *to, const json_t *from, int depth) {
    const char *key;
    json_t *value;
    if (depth > MAX_SCHEMA_DEPTH || c->n_merges++ > MAX_MERGES) KR_FAIL(KR_ERR_CONFIG, "the schema is nested too deep");
    if (!json_is_object(from)) KR_FAIL(KR_ERR_CONFIG, "the schema's allOf wants schemas that are objects");
    if (get(from, "$ref")) {
        const json_t *target;
        KR_TRY(find_ref(c, json_is_string(get(from, "$ref")) ? json_string_value(get(from, "$ref")) : "", &target));
        KR_TRY(merge(c, to, target, depth + 1));
    }
    json_object_foreach((json_t *)from, key, value) {
        json_t *have = json_object_get(to, key);
        int bad = 0;
        size_t i;
        json_t *one;
        if (strcmp(key, "$ref") == 0) continue;
        if (strcmp(key, "allOf") == 0) {
            json_array_foreach(value, i, one) KR_TRY(merge(c, to, one, depth + 1));
        } else if (have && strcmp(key, "properties") == 0 && json_is_object(have) && json_is_object(value)) {
            bad = json_object_update_missing(have, value);
        } else if (have && strcmp(key, "required") == 0 && json_is_array(have)) {
            bad = json_array_extend(have, value);
        } else if (!have) {
            json_t *copy = json_copy(value);
            bad = !copy || json_object_set_new(to, key, copy);
        } else if (!json_equal(have, value) && strcmp(key, "title") != 0 && strcmp(key, "description") != 0) {
            KR_FAIL(KR_ERR_CONFIG, "the schema's allOf says two things of \"%.60s\"", key);
        }
        if (bad) return kr_fail(KR_ERR_NOMEM, "out of memory joining the schema's allOf");
    }
    return KR_OK;
}

static kr_status put_all_of(converter *c, const json_t *s, int rule, int depth) {
    json_t *all = json_object();
    if (!all || json_array_append_new(c->made, all) != 0) return kr_fail(KR_ERR_NOMEM, "out of memory joining the schema's allOf");
    KR_TRY(merge(c, all, s, depth));
    return visit(c, all, rule, depth + 1);
}

/* Do other keys beside a $ref say something of the value? */
static bool says_more(const json_t *s) {
    static const char *const silent[] = {"$ref", "title", "description", "default", "examples", "$schema", "$id", "$comment", "$defs", "definitions", "deprecated", "readOnly", "writeOnly", "strict", "name"};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)s, key, value) {
        size_t i = 0, n = sizeof silent / sizeof *silent;
        while (i < n && strcmp(key, silent[i]) != 0) i++;
        if (i == n) return true;
    }
    return false;
}

/* Is a value of the type, or of one of the types, that a schema names? */
static bool is_of_type(const json_t *type, const json_t *value) {
    static const struct { const char *name; json_type type; } names[] = {{"object", JSON_OBJECT}, {"array", JSON_ARRAY}, {"string", JSON_STRING}, {"integer", JSON_INTEGER},
        {"number", JSON_INTEGER}, {"number", JSON_REAL}, {"boolean", JSON_TRUE}, {"boolean", JSON_FALSE}, {"null", JSON_NULL}};
    const json_t *one;
    size_t i;
    if (!type) return true;
    json_array_foreach((json_t *)type, i, one)
        if (is_of_type(one, value)) return true;
    for (i = 0; i < sizeof names / sizeof *names; i++)
        if (json_is_string(type) && strcmp(json_string_value(type), names[i].name) == 0 && json_typeof(value) == names[i].type) return true;
    return false;
}

/* Of the values of enum or const those that are of the type beside it. */
static kr_status put_values(const json_t *s, kr_str *to) {
    const json_t *list = get(s, "enum"), *only = get(s, "const"), *type = get(s, "type");
    int n = 0;
    for (size_t i = 0; i < (only ? 1 : json_array_size(list)); i++) {
        const json_t *value = only ? only : json_array_get(list, i);
        bool listed = !only || !list;
        for (size_t k = 0; !listed && k < json_array_size(list); k++) listed = json_equal(json_array_get(list, k), only);
        if (!listed || !is_of_type(type, value)) continue;
        if (n++) kr_str_append(to, " | ");
        KR_TRY(put_json(to, value));
    }
    if (n == 0) KR_FAIL(KR_ERR_CONFIG, "the schema's %s has no value%s", only ? "const" : "enum", type ? " of the type beside it" : "");
    if (get(s, "anyOf") || get(s, "oneOf") || implied_type(s)) KR_FAIL(KR_ERR_CONFIG, "the schema bounds the values of its %s once more; leave out those that do not fit", only ? "const" : "enum");
    return KR_OK;
}

/* --- oneOf: choices of which no value can fit two ------------------------------------------------------- */

/* What a choice refers to. */
static const json_t *target_of(const converter *c, const json_t *s) {
    for (int i = 0; i < MAX_SCHEMA_DEPTH && json_is_string(get(s, "$ref")); i++)
        if (find_ref(c, json_string_value(get(s, "$ref")), &s) != KR_OK) return NULL;
    return s;
}

static const char *type_of(const json_t *s) {
    const json_t *type = get(s, "type");
    return type ? json_string_value(type) : implied_type(s);
}

/* Checks of oneOf go by pairs, so they are counted; false: too many, and all that asks further fails too. */
static bool spend(converter *c, size_t n) { return (c->n_compared += n) <= MAX_COMPARED; }

/* What a value costs to compare, about. */
static size_t weight(const json_t *j) {
    size_t n = 1 + json_string_length(j) / 64, i;
    const char *key;
    json_t *value;
    json_array_foreach((json_t *)j, i, value) n += weight(value);
    json_object_foreach((json_t *)j, key, value) n += 1 + weight(value);
    return n;
}

/* No value is among both. */
static bool differ_in_values(converter *c, const json_t *a, const json_t *b) {
    const json_t *only[2] = {get(a, "const"), get(b, "const")}, *list[2] = {get(a, "enum"), get(b, "enum")};
    size_t n = only[0] ? 1 : json_array_size(list[0]), m = only[1] ? 1 : json_array_size(list[1]);
    if (n == 0 || m == 0) return false;
    size_t left = weight(only[0] ? only[0] : list[0]), right = weight(only[1] ? only[1] : list[1]);
    if (!spend(c, left + right + (m * left < n * right ? m * left : n * right))) return false;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < m; k++)
            if (json_equal(only[0] ? only[0] : json_array_get(list[0], i), only[1] ? only[1] : json_array_get(list[1], k))) return false;
    return true;
}

/* Objects that must have a property which the other cannot have as it is there. */
static bool differ_in_property(converter *c, const json_t *a, const json_t *b) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)get(a, "properties"), key, value) {
        const json_t *other = get(get(b, "properties"), key), *mine = target_of(c, value);
        if (!spend(c, 1 + json_array_size(get(a, "required")) + json_array_size(get(b, "required")))) return false;
        if (!is_required(a, key)) continue;
        if (!other && json_is_false(get(b, "additionalProperties"))) return true;
        if (other && is_required(b, key) && mine && (other = target_of(c, other)) && differ_in_values(c, mine, other)) return true;
    }
    return false;
}

static bool cannot_both(converter *c, const json_t *a, const json_t *b) {
    const json_t *ref[2] = {get(a, "$ref"), get(b, "$ref")};
    size_t cost = 1;
    for (int i = 0; i < 2; i++)
        if (ref[i]) cost += 4 + json_string_length(ref[i]) / 8;
    if (!spend(c, cost)) return false;
    a = target_of(c, a), b = target_of(c, b);
    if (!a || !b) return false;
    const char *x = type_of(a), *y = type_of(b);
    bool numbers = x && y && (strcmp(x, "number") == 0 || strcmp(x, "integer") == 0) && (strcmp(y, "number") == 0 || strcmp(y, "integer") == 0);
    if (x && y && get(a, "type") && get(b, "type") && strcmp(x, y) != 0 && !numbers) return true;
    if (differ_in_values(c, a, b)) return true;
    bool objects = x && y && get(a, "type") && get(b, "type") && strcmp(x, "object") == 0 && strcmp(y, "object") == 0;
    return objects && (differ_in_property(c, a, b) || differ_in_property(c, b, a));
}

static kr_status check_one_of(converter *c, const json_t *list) {
    for (size_t i = 0; i < json_array_size(list); i++)
        for (size_t k = 0; k < i; k++) {
            if (cannot_both(c, json_array_get(list, k), json_array_get(list, i))) continue;
            if (c->n_compared > MAX_COMPARED) KR_FAIL(KR_ERR_CONFIG, "telling the choices of the schema's oneOf apart takes more than %d comparisons; write anyOf, or fewer values", MAX_COMPARED);
            KR_FAIL(KR_ERR_CONFIG, "a value may fit the schema's oneOf twice (%zu and %zu): tell them apart by type, or by const in a required property; or write anyOf", k + 1, i + 1);
        }
    return KR_OK;
}

static kr_status put_choices(converter *c, const json_t *list, kr_str *to, int depth) {
    size_t i;
    const json_t *one;
    if (json_array_size(list) == 0) KR_FAIL(KR_ERR_CONFIG, "the schema has an empty list of choices");
    json_array_foreach((json_t *)list, i, one) {
        int rule;
        KR_TRY(new_schema(c, one, depth, &rule));
        kr_str_appendf(to, "%sr%d", i ? " | " : "", rule);
    }
    return KR_OK;
}

static kr_status put_schema(converter *c, const json_t *s, kr_str *to, int depth) {
    const json_t *type = get(s, "type"), *list;
    size_t i;
    KR_TRY(check_keys(s));
    if (get(s, "$ref")) return put_ref(c, json_is_string(get(s, "$ref")) ? json_string_value(get(s, "$ref")) : "", to, depth);
    if (get(s, "const") || get(s, "enum")) return put_values(s, to);
    if ((list = get(s, "anyOf")) || (list = get(s, "oneOf"))) {
        if (implied_type(s)) KR_FAIL(KR_ERR_CONFIG, "the schema has properties, items or bounds beside anyOf; put them into each choice");
        if (get(s, "anyOf") && get(s, "oneOf")) KR_FAIL(KR_ERR_CONFIG, "the schema has both anyOf and oneOf");
        if (get(s, "oneOf")) KR_TRY(check_one_of(c, list));
        if (type) KR_FAIL(KR_ERR_CONFIG, "the schema has a type beside anyOf; put it into each choice");
        return put_choices(c, list, to, depth);
    }
    for (i = 0; i < json_array_size(type); i++) {
        if (i) kr_str_append(to, " | ");
        if (!json_is_string(json_array_get(type, i))) KR_FAIL(KR_ERR_CONFIG, "the schema's type wants names");
        KR_TRY(put_type(c, s, json_string_value(json_array_get(type, i)), to, depth));
    }
    if (i > 0) return KR_OK;
    if (type && !json_is_string(type)) KR_FAIL(KR_ERR_CONFIG, "the schema's type wants a name");
    const char *name = type ? json_string_value(type) : implied_type(s);
    if (name) return put_type(c, s, name, to, depth);
    kr_str_append(to, "value");
    return KR_OK;
}

/* Writes the rule of a schema, after those of the schemas in it. */
static kr_status visit(converter *c, const json_t *s, int rule, int depth) {
    kr_str mine = {0};
    kr_status st;
    if (depth > MAX_SCHEMA_DEPTH) KR_FAIL(KR_ERR_CONFIG, "the schema is nested too deep");
    if (c->out.n > MAX_GBNF) KR_FAIL(KR_ERR_CONFIG, "the schema's grammar is too large");
    if (get(s, "allOf") || (get(s, "$ref") && says_more(s))) return put_all_of(c, s, rule, depth);
    if (json_is_object(s)) st = put_schema(c, s, &mine, depth);
    else if (json_is_true(s)) kr_str_append(&mine, "value"), st = KR_OK;
    else st = kr_fail(KR_ERR_CONFIG, "a part of the schema is no schema: want an object or true");
    kr_str_appendf(&c->out, "r%d ::= %s\n", rule, kr_str_text(&mine));
    if (st == KR_OK) st = kr_str_status(&mine);
    kr_str_free(&mine);
    return st;
}

kr_status kr_schema_to_gbnf(char **out, const char *schema, int64_t n_bytes) {
    converter c = {.n_rules = 1};
    json_t *root;
    KR_TRY(kr_json_parse(&root, schema, n_bytes < 0 ? strlen(schema) : (size_t)n_bytes, "schema"));
    c.root = root;
    kr_status st = (c.made = json_array()) ? KR_OK : kr_fail(KR_ERR_NOMEM, "out of memory reading the schema");
    kr_str_append(&c.out, "root ::= r0\n");
    if (st == KR_OK) st = visit(&c, root, 0, 0);
    kr_str_append(&c.out, basics);
    if (st == KR_OK) st = kr_str_status(&c.out);
    json_decref(c.made);
    json_decref(root);
    if (st == KR_OK && !(*out = kr_str_take(&c.out))) st = KR_ERR_NOMEM;
    kr_str_free(&c.out);
    return st;
}

kr_status kr_grammar_from_schema(kr_grammar **out, const kr_model *m, const char *schema, int64_t n_bytes) {
    char *text;
    KR_TRY(kr_schema_to_gbnf(&text, schema, n_bytes));
    kr_status st = kr_grammar_new(out, m, text, -1);
    kr_mem_free(text);
    return st;
}
