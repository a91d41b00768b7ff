/* check_chat.c - chat templates: what jinja2 makes of them, where they come from, what they may not do.
 *
 *   table      tests/data/chat.json (tests/chat_oracle.py made it with jinja2), case by case
 *   builtins   the forms of models that Krait knows by name
 *   models     a folder's template, its special tokens and what ends an answer
 *   hostile    what would run long, deep or large ends with a sentence
 *   memory     every allocation in turn fails */
#include "base/file.h"
#include "base/mem_test.h"
#include "base/str.h"
#include "krait/chat.h"
#include "model/gguf.h"
#include "model_case.h"

static void table(void **state) {
    json_t *j;
    const json_t *one;
    size_t i, bad = 0;
    (void)state;
    if (kr_json_load(&j, KRAIT_SOURCE_DIR "/tests/data/chat.json") != KR_OK) fail_msg("%s", kr_error());
    json_array_foreach(json_object_get(j, "cases"), i, one) {
        const char *template = json_string_value(json_object_get(one, "template")), *want = json_string_value(json_object_get(one, "want"));
        const json_t *input = json_object_get(one, "input");
        char *given = json_dumps(json_is_string(input) ? json_object_get(j, "values") : input, 0), *text = NULL;
        kr_chat *c = NULL;
        kr_status st = kr_chat_parse(&c, template, -1);
        if (st == KR_OK) st = kr_chat_render_json(c, given, -1, &text);
        if (want ? st != KR_OK || strcmp(text, want) != 0 : st != KR_ERR_ARG && st != KR_ERR_FORMAT) {
            print_message("%s\n  gave %s\n  want %s\n", template, st == KR_OK ? text : kr_error(), want ? want : "a refusal");
            bad++;
        }
        if (st == KR_OK) kr_chat_text_free(text);
        kr_chat_free(c);
        kr_mem_free(given);
    }
    assert_true(i > 90);
    json_decref(j);
    assert_int_equal(bad, 0);
}

static void builtins(void **state) {
    static const kr_chat_message say[] = {{"system", "Be brief."}, {"user", "Hi\xff!"}, {"assistant", "Yes?"}, {"user", "Bye"}};
    static const struct { const char *name, *want, *stop; } forms[] = {
        {"chatml", "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi\xef\xbf\xbd!<|im_end|>\n<|im_start|>assistant\nYes?<|im_end|>\n"
                   "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>"},
        {"zephyr", "<|system|>\nBe brief.</s>\n<|user|>\nHi\xef\xbf\xbd!</s>\n<|assistant|>\nYes?</s>\n<|user|>\nBye</s>\n<|assistant|>\n", "</s>"},
        {"tulu", "<|system|>\nBe brief.\n<|user|>\nHi\xef\xbf\xbd!\n<|assistant|>\nYes?</s>\n<|user|>\nBye\n<|assistant|>\n", "</s>"},
        {"llama3", "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi\xef\xbf\xbd!<|eot_id|>"
                   "<|start_header_id|>assistant<|end_header_id|>\n\nYes?<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
                   "<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"},
        {"plain", "System: Be brief.\n\nUser: Hi\xef\xbf\xbd!\n\nAssistant: Yes?\n\nUser: Bye\n\nAssistant:", "\nUser:"}};
    kr_chat *c;
    char *text;
    (void)state;
    for (int i = 0; i < 5; i++) {
        assert_string_equal(kr_chat_builtin(i), forms[i].name);
        assert_int_equal(kr_chat_open(&c, NULL, forms[i].name), KR_OK);
        assert_string_equal(kr_chat_name(c), forms[i].name);
        assert_int_equal(kr_chat_render(c, say, 4, true, &text), KR_OK);
        assert_string_equal(text, forms[i].want);
        assert_string_equal(kr_chat_stop(c, 0), forms[i].stop);
        assert_null(kr_chat_stop(c, 99));
        kr_chat_text_free(text);
        kr_chat_free(c);
    }
    assert_null(kr_chat_builtin(5));
    assert_int_equal(kr_chat_open(&c, NULL, "chatlm"), KR_ERR_MISSING);
    assert_non_null(strstr(kr_error(), "chatlm"));
    assert_int_equal(kr_chat_open(&c, NULL, NULL), KR_ERR_MISSING);
    assert_int_equal(kr_chat_open(&c, "/nowhere/at/all", NULL), KR_ERR_IO);
}

/* --- models -------------------------------------------------------------------------------------- */

static char folder[] = "/tmp/check_chat.XXXXXX";

static void put(const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(kr_file_write(path, text, strlen(text)), KR_OK);
}

static void gives(const char *use, const char *want) {
    static const kr_chat_message say[] = {{"user", "Hi"}};
    kr_chat *c;
    char *text;
    if (kr_chat_open(&c, folder, use) != KR_OK) fail_msg("%s", kr_error());
    if (kr_chat_render(c, say, 1, true, &text) != KR_OK) fail_msg("%s", kr_error());
    assert_string_equal(text, want);
    kr_chat_text_free(text);
    kr_chat_free(c);
}

static void models(void **state) {
    kr_chat *c;
    char path[256];
    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(kr_chat_open(&c, folder, NULL), KR_ERR_MISSING);
    put("tokenizer_config.json", "{\"eos_token\": {\"content\": \"<end>\"}, \"bos_token\": \"<s>\", \"unk_token\": null, \"chat_template\": "
                                 "\"{{bos_token}}{{messages[0].content}}{{eos_token}}{{ unk_token is defined }}{{ tools is none }}<|im_end|>\\n\"}");
    gives(NULL, "<s>Hi<end>FalseTrue<|im_end|>");
    gives("zephyr", "<|user|>\nHi<end>\n<|assistant|>\n");
    assert_int_equal(kr_chat_open(&c, folder, NULL), KR_OK);
    assert_string_equal(kr_chat_stop(c, 0), "<|im_end|>");
    assert_string_equal(kr_chat_stop(c, 1), "<end>");
    assert_null(kr_chat_stop(c, 2));
    kr_chat_free(c);
    put("tokenizer_config.json", "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"T\"}, {\"name\": \"default\", \"template\": \"D\"}]}");
    gives(NULL, "D");
    put("chat_template.jinja", "J{{ messages | length }}\n");
    gives(NULL, "J1");
    snprintf(path, sizeof path, "%s/chat_template.jinja", folder);
    assert_int_equal(kr_chat_open(&c, NULL, path), KR_OK);
    assert_string_equal(kr_chat_source(c), "J{{ messages | length }}\n");
    kr_chat_free(c);
    put("chat_template.jinja", "\n\n{{ messages | nonsense }}");
    assert_int_equal(kr_chat_open(&c, folder, NULL), KR_ERR_FORMAT);
    assert_non_null(strstr(kr_error(), "line 3"));
    assert_non_null(strstr(kr_error(), "nonsense"));
    put("tokenizer_config.json", "{\"chat_template\": ");
    assert_int_equal(kr_chat_open(&c, folder, NULL), KR_ERR_FORMAT);
    kr_dir_remove(folder);
}

/* A template goes with its model from a folder into a GGUF file and back. */
static void kept(void **state) {
    static const kr_chat_message say[] = {{"user", "Hi"}};
    kr_chat *c;
    char *text, from[256], to[256];
    (void)state;
    strcpy(folder, "/tmp/check_chat.XXXXXX");
    assert_non_null(mkdtemp(folder));
    put("chat_template.jinja", "T{{ messages[0].content }}{# \xc3\xa4 #}");
    kr_model *m = model_of("{'model_type': 'krait', 'd_model': 8, 'n_layer': 1, 'vocab_size': 256, 'mixer': {'type': 'mamba1', 'd_state': 4}}", 1);
    assert_int_equal(kr_model_read_chat(&m->chat_template, folder), KR_OK);
    snprintf(to, sizeof to, "%s/model.gguf", folder);
    assert_int_equal(kr_gguf_save(m, to, KR_F32), KR_OK);
    kr_model_release(m);
    snprintf(from, sizeof from, "%s/back", folder);
    if (kr_model_convert(to, from, "float32") != KR_OK) fail_msg("%s", kr_error());
    for (int i = 0; i < 2; i++) {
        if (kr_chat_open(&c, i ? from : to, NULL) != KR_OK) fail_msg("%s", kr_error());
        assert_int_equal(kr_chat_render(c, say, 1, true, &text), KR_OK);
        assert_string_equal(text, "THi");
        kr_chat_text_free(text);
        kr_chat_free(c);
    }
    kr_dir_remove(folder);
}

static void refusals(void **state) {
    kr_chat *c;
    char *text;
    (void)state;
    assert_int_equal(kr_chat_parse(&c, "a\n{{ raise_exception('only ' ~ 1) }}", -1), KR_OK);
    assert_int_equal(kr_chat_render_json(c, "{\"messages\": []}", -1, &text), KR_ERR_ARG);
    assert_string_equal(kr_error(), "the chat template refuses: only 1");
    assert_int_equal(kr_chat_render_json(c, "{\"messages\": {}}", -1, &text), KR_ERR_ARG);
    assert_int_equal(kr_chat_render_json(c, "{\"messages\": [}", -1, &text), KR_ERR_FORMAT);
    kr_chat_free(c);
    assert_int_equal(kr_chat_parse(&c, "\n{{ messages[0].content.x.y }}", -1), KR_OK);
    assert_int_equal(kr_chat_render_json(c, "{\"messages\": [{\"content\": \"\"}]}", -1, &text), KR_ERR_ARG);
    assert_string_equal(kr_error(), "chat template: line 2: x is not defined, so it has no y");
    kr_chat_free(c);
}

/* --- hostile ----------------------------------------------------------------------------------------- */

static char *repeated(const char *piece, int n) {
    size_t len = strlen(piece);
    char *text = malloc(len * (size_t)n + 1);
    for (int i = 0; i < n; i++) memcpy(text + (size_t)i * len, piece, len);
    text[len * (size_t)n] = 0;
    return text;
}

static void ends(const char *template, kr_status want) {
    kr_chat *c;
    char *text;
    kr_status st = kr_chat_parse(&c, template, -1);
    if (st == KR_OK) {
        st = kr_chat_render_json(c, "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}", -1, &text);
        if (st == KR_OK) kr_chat_text_free(text);
        kr_chat_free(c);
    }
    if (st != want) fail_msg("%.60s: %d %s", template, st, st == KR_OK ? "done" : kr_error());
}

/* Few steps over large texts, or over many names: they cost what they take. */
static void slow(void) {
    static const char large[] = "{% set a = 'a' * 1000 * 20000 %}";
    static const char *const uses[] = {"{{ a.rfind('a' * 1000 * 5000 ~ 'ba' ~ 'a' * 1000 * 4999) }}", "{{ ('x' * 100000).strip(a ~ 'x') }}",
                                       "{% for i in range(30000) %}{% set x = a.isdigit() or a.islower() and a.splitlines() %}{% endfor %}",
                                       "{% for i in range(30000) %}{% set x = 'c' is in a %}{% endfor %}",
                                       "{% for i in range(30000) %}{% set x = a.startswith((a, a)) %}{% endfor %}",
                                       "{% for i in range(30000) %}{% set x = a | truncate(9) %}{% endfor %}", "{% for i in range(30000) %}{% set x = a | wordcount %}{% endfor %}",
                                       "{% for i in range(30000) %}{% set x = a.center(3) %}{% endfor %}", "{% for i in range(30000) %}{% set x = '%.1s' % a %}{% endfor %}"};
    char all[400];
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
        snprintf(all, sizeof all, "%s%s", large, uses[i]);
        ends(all, KR_ERR_NUMERIC);
    }
    kr_str names = {0};
    for (int i = 0; i < 4000; i++) kr_str_appendf(&names, "{%%set v%d=1%%}", i);
    kr_str_append(&names, "{% for i in range(90000) %}{% set x = nope is defined %}{% endfor %}");
    ends(kr_str_text(&names), KR_ERR_NUMERIC);
    kr_str_free(&names);
}

static void hostile(void **state) {
    static const char *const deep[] = {"(", "[", "{'a':", "-", "not ", "a[", "{% if a %}", "{% for a in b %}", "a if b else "};
    (void)state;
    ends("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", KR_ERR_NUMERIC);
    ends("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", KR_ERR_NUMERIC);
    ends("{% macro f(n) %}{{ f(n) ~ f(n) }}{% endmacro %}{{ f(1) }}", KR_ERR_NUMERIC);
    ends("{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(99999) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}", KR_ERR_NUMERIC);
    ends("{{ 'a' * 999999999999 }}", KR_ERR_NUMERIC);
    ends("{{ [1] * 999999999999 }}", KR_ERR_NUMERIC);
    ends("{% for i in range(99999) %}{{ 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' * 1000 }}{% endfor %}", KR_ERR_NUMERIC);
    ends("{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}", KR_ERR_NUMERIC);
    ends("{% set ns = namespace(x=[1]) %}{% for i in range(40) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | tojson }}", KR_ERR_NUMERIC);
    ends("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns.me.me.me == ns }}", KR_OK);
    ends("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}", KR_ERR_ARG);
    ends("{{ range(100001) }}", KR_ERR_NUMERIC);
    ends("{{ '%999999999d' % 1 }}", KR_ERR_NUMERIC);
    ends("{{ '%.999999999d' % 1 }}", KR_ERR_NUMERIC);
    ends("{{ '%*s' % (-2147483647 - 1, 1) }}", KR_ERR_NUMERIC);
    ends("{{ '%99999999999d' % 1 }}", KR_ERR_ARG);
    ends("{{ '%.301f' % 1 }}", KR_ERR_ARG);
    ends("{{ '%.300f|%#.300g' % (1e308, -1e308) }}", KR_OK);
    ends("{{ [1] | slice(999999999) | length }}", KR_ERR_NUMERIC);
    ends("{{ [1] | batch(999999999, 0) | length }}", KR_ERR_NUMERIC);
    ends("{{ 'a'.center(999999999) }}{{ 'a'.center(-9223372036854775807) }}", KR_ERR_NUMERIC);
    ends("{{ range(99999) | reverse | groupby('a', range(9)) | length }}", KR_OK);
    ends("{{ range(-9223372036854775807, 9223372036854775807) }}", KR_ERR_NUMERIC);
    ends("{{ 7 ** 999999999 }}", KR_ERR_ARG);
    ends("{{ (-9223372036854775 * 1000 - 807) // -1 }}{{ (0 - 4611686018427387904 * 2) // -1 }}", KR_ERR_ARG);
    ends("{{ (0 - 4611686018427387904 * 2) % -1 }}", KR_ERR_ARG);
    ends("{{ 'x'[::-9000000000000000000] }}{{ 'abc'[-9000000000000000000:9000000000000000000:8999999999999999999] }}", KR_OK);
    ends("{{ range(-9000000000000000000, 9000000000000000000, 6000000000000000000) }}", KR_OK);
    ends("{{ 'a-b'.rsplit('-', -9223372036854775807 - 1) }}{{ 'a-b'.replace('-', '+', -9223372036854775807 - 1) }}{{ 'ab'.find('b', -9223372036854775807 - 1, 9223372036854775807) }}", KR_OK);
    ends("{{ messages.__class__.__mro__ }}", KR_ERR_ARG);
    ends("{{ ''.__class__ }}{{ self }}{{ cycler }}{{ open }}{{ config }}", KR_OK);
    ends("{% include '/etc/passwd' %}", KR_ERR_FORMAT);
    ends("{% import 'os' as os %}", KR_ERR_FORMAT);
    slow();
    for (size_t i = 0; i < sizeof deep / sizeof *deep; i++) {
        char *many = repeated(deep[i], 60000), *tag = malloc(strlen(many) + 8);
        sprintf(tag, strncmp(deep[i], "{%", 2) == 0 ? "%s" : "{{ %s", many);
        ends(tag, KR_ERR_FORMAT);
        free(many), free(tag);
    }
    char *sum = repeated("1+", 50000), *all = malloc(strlen(sum) + 16);
    sprintf(all, "{{ %s1 }}", sum);
    ends(all, KR_ERR_NUMERIC);
    free(sum), free(all);
    char *brackets = repeated("(", 60000), *names = malloc(60100);
    sprintf(names, "{%% for %s", brackets);
    ends(names, KR_ERR_FORMAT);
    free(brackets), free(names);
    for (int n = 50; n < 70; n++) { /* digits up to the end of what holds them, and a power behind */
        char number[100];
        sprintf(number, "{{ %0*de5 }}", n, 1);
        ends(number, n < 60 ? KR_OK : KR_ERR_FORMAT);
    }
    char *large = repeated("x", (1 << 20) + 1);
    ends(large, KR_ERR_FORMAT);
    free(large);
}

/* --- memory -------------------------------------------------------------------------------------------- */

static kr_status once(void *user) {
    static const char template[] = "{% macro m(a) %}{{ a | upper }}{% endmacro %}{% set ns = namespace(l=[]) %}{% for m_ in messages %}{% set ns.l = ns.l + [m_.content] %}"
                                   "{{ m(m_.role) ~ m_.content[::-1] | tojson(sort_keys=true) }}{% endfor %}{{ ns.l | join('-') }}{{ 'a b'.split() | sort }}{{ {'x': 'y'} | tojson }}";
    static const kr_chat_message say[] = {{"user", "Hi"}, {"assistant", "\xff"}};
    kr_chat *c;
    char *text;
    (void)user;
    kr_status st = kr_chat_parse(&c, template, -1);
    if (st != KR_OK) return st;
    st = kr_chat_render(c, say, 2, true, &text);
    if (st == KR_OK) kr_chat_text_free(text);
    kr_chat_free(c);
    return st;
}

static void memory(void **state) {
    (void)state;
    until_it_works(once, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(table),    cmocka_unit_test(builtins), cmocka_unit_test(models), cmocka_unit_test(kept),
                                       cmocka_unit_test(refusals), cmocka_unit_test(hostile),  cmocka_unit_test(memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
