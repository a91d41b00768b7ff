/* keys_test.c - the option table: defaults, every type, every refusal. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/keys.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
