/* keys_test.c - the option table: defaults, every type, every refusal. */
#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/keys.h"
#include "base/mem.h"

typedef struct opts {
    int64_t length;
    double rate;
    bool shuffle;
    const char *name;
    int mode;
    const json_t *paths;
} opts;

static const kr_key keys[] = {
    KR_KEY_INT(opts, length, 256, 1, 1e6, "steps of a row"),
    KR_KEY_REAL(opts, rate, 0.05, 0, 1, "share"),
    KR_KEY_BOOL(opts, shuffle, true, "shuffle"),
    KR_KEY_TEXT(opts, name, NULL, "a name"),
    KR_KEY_CHOICE(opts, mode, "random|packed|carry", "how rows are cut"),
    KR_KEY_LIST(opts, paths, "files"),
    KR_KEY_END,
};

static kr_status read_text(const char *text, json_t **j, opts *o) {
    *j = NULL;
    assert_int_equal(kr_json_parse(j, text, strlen(text), "test"), KR_OK);
    return kr_keys_read(keys, *j, "data", o);
}

static void test_defaults(void **state) {
    (void)state;
    opts o;
    assert_int_equal(kr_keys_read(keys, NULL, "data", &o), KR_OK);
    assert_int_equal(o.length, 256);
    assert_true(o.rate == 0.05 && o.shuffle && !o.name && o.mode == 0 && !o.paths);
    const char *want[] = {"256", "0.05", "true", "none", "\"random\"", "[]"};
    for (int i = 0; i < 6; i++) {
        char text[32];
        kr_key_default(&keys[i], text, sizeof text);
        assert_string_equal(text, want[i]);
    }
}

static void test_values(void **state) {
    (void)state;
    json_t *j;
    opts o;
    assert_int_equal(read_text("{\"length\": 1e3, \"rate\": 1, \"shuffle\": false, \"name\": \"x\","
                               " \"mode\": \"carry\", \"paths\": [\"a\", \"b\"]}", &j, &o), KR_OK);
    assert_int_equal(o.length, 1000);
    assert_true(o.rate == 1 && !o.shuffle && o.mode == 2);
    assert_string_equal(o.name, "x");
    assert_int_equal(json_array_size(o.paths), 2);
    json_decref(j);
}

static void test_refusals(void **state) {
    (void)state;
    const char *const cases[][2] = {
        {"[]", "data wants an object"},
        {"{\"lenght\": 3}", "did you mean \"length\""},
        {"{\"zebra\": 3}", "its keys are length, rate"},
        {"{\"length\": 1.5}", "data.length wants a whole number"},
        {"{\"length\": \"3\"}", "data.length wants a whole number"},
        {"{\"length\": 0}", "data.length is 0, want 1 to 1000000"},
        {"{\"rate\": 2}", "data.rate is 2, want 0 to 1"},
        {"{\"rate\": null}", "data.rate wants a number"},
        {"{\"shuffle\": 1}", "true or false"},
        {"{\"name\": 1}", "data.name wants a string"},
        {"{\"mode\": \"rand\"}", "\"rand\", want one of random|packed|carry"},
        {"{\"mode\": 1}", "not text, want one of"},
        {"{\"paths\": [1]}", "array of strings"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *j;
        opts o;
        assert_int_equal(read_text(cases[i][0], &j, &o), KR_ERR_CONFIG);
        if (!strstr(kr_error(), cases[i][1])) fail_msg("%s: said: %s", cases[i][0], kr_error());
        json_decref(j);
    }
}

/* Texts as from a command line: the value the key wants, or a refusal that names it. */
static void test_parse(void **state) {
    (void)state;
    static const struct { int key; const char *text, *json; } cases[] = {
        {0, "12", "12"}, {0, "1e3", "1000"}, {0, "-3", "-3"}, {0, "1.5", "1.5"}, {1, "0.25", "0.25"}, {1, "1e-3", "0.001"},
        {1, "inf", "{\"__float__\": \"Infinity\"}"}, {1, "-inf", "{\"__float__\": \"-Infinity\"}"}, {2, "true", "true"}, {2, "false", "false"},
        {3, "a \"b\" \xc3\xa9", "\"a \\\"b\\\" \xc3\xa9\""}, {3, "", "\"\""}, {4, "carry", "\"carry\""}, {5, "a.txt", "\"a.txt\""},
    };
    static const struct { int key; const char *text, *says; } bad[] = {
        {0, "ten", "data.length is \"ten\", want a number"}, {0, "", "data.length is \"\""}, {0, "3 x", "\"3 x\""}, {1, "nan", "\"nan\""},
        {2, "yes", "data.shuffle is \"yes\", want true or false"}, {3, "\xff", "data.name"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *j = NULL;
        assert_int_equal(kr_key_parse(&keys[cases[i].key], cases[i].text, "data", &j), KR_OK);
        char *text = json_dumps(j, JSON_ENCODE_ANY);
        assert_string_equal(text, cases[i].json);
        kr_mem_free(text);
        json_decref(j);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *j = NULL;
        assert_true(kr_key_parse(&keys[bad[i].key], bad[i].text, "data", &j) < 0);
        if (!strstr(kr_error(), bad[i].says)) fail_msg("%s: said: %s", bad[i].text, kr_error());
        assert_null(j);
    }
}

/* What was read is written, what was left alone only if all is wanted, and it reads the same again. */
static void test_write(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"{}", "{}"},
        {"{\"length\": 256, \"rate\": 0.05, \"shuffle\": true, \"mode\": \"random\"}", "{}"},
        {"{\"length\": 7, \"rate\": 0.1, \"shuffle\": false, \"name\": \"x\", \"mode\": \"packed\", \"paths\": [\"a\"]}",
         "{\"length\": 7, \"rate\": 0.1, \"shuffle\": false, \"name\": \"x\", \"mode\": \"packed\", \"paths\": [\"a\"]}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *j, *want, *some = json_object(), *all = json_object();
        opts o, again;
        assert_int_equal(read_text(cases[i][0], &j, &o), KR_OK);
        assert_int_equal(kr_json_parse(&want, cases[i][1], strlen(cases[i][1]), "test"), KR_OK);
        assert_int_equal(kr_keys_write(keys, &o, some, false), KR_OK);
        assert_true(json_equal(some, want));
        assert_int_equal(kr_keys_write(keys, &o, all, true), KR_OK);
        assert_int_equal(json_object_size(all), o.name ? 6 : 5); /* a text without default is left out */
        assert_int_equal(kr_keys_read(keys, all, "data", &again), KR_OK);
        assert_true(again.length == o.length && again.rate == o.rate && again.shuffle == o.shuffle && again.mode == o.mode);
        json_decref(j);
        json_decref(want);
        json_decref(some);
        json_decref(all);
    }
    kr_key limits[] = {KR_KEY_REAL(opts, rate, 1, -INFINITY, INFINITY, "any number"), KR_KEY_END};
    for (int sign = -1; sign <= 1; sign += 2) { /* infinities, as Hugging Face writes them */
        json_t *j = json_object();
        opts o = {.rate = sign * INFINITY}, again;
        assert_int_equal(kr_keys_write(limits, &o, j, false), KR_OK);
        assert_int_equal(kr_keys_read(limits, j, "data", &again), KR_OK);
        assert_true(again.rate == o.rate);
        json_decref(j);
    }
}

static void test_read_with(void **state) {
    (void)state;
    static const char *const also[] = {"type", "zebra", NULL};
    opts o;
    json_t *j;
    const char *text = "{\"type\": 3, \"zebra\": {}, \"length\": 9}";
    assert_int_equal(kr_json_parse(&j, text, strlen(text), "test"), KR_OK);
    assert_int_equal(kr_keys_read_with(keys, j, "data", also, &o), KR_OK);
    assert_int_equal(o.length, 9);
    assert_int_equal(kr_keys_read(keys, j, "data", &o), KR_ERR_CONFIG);
    json_decref(j);
    assert_string_equal(kr_keys_nearest(keys, "shufle"), "shuffle");
    assert_null(kr_keys_nearest(keys, "nothing_like_it"));
    assert_string_equal(kr_key_find(keys, "mode")->name, "mode");
    assert_null(kr_key_find(keys, "mod"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_read_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
