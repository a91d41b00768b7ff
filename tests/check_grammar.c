/* check_grammar.c - grammars: what they take, which tokens they allow, what is refused.
 *
 *   texts     taken or not, byte by byte, also where they end
 *   masks     the tokens allowed are those whose bytes fit, one by one
 *   schemas   documents that fit and that do not; what a model writes is valid JSON
 *   hostile   what would take forever or all memory ends with a sentence */
#include "infer/engine.h"
#include "infer/session.h"
#include "model_case.h"

static kr_model *model(void) {
    kr_model *m = model_of("{'model_type': 'krait', 'd_model': 8, 'n_layer': 1, 'vocab_size': 430, 'eos_token_id': 0, 'mixer': {'type': 'mamba1', 'd_state': 3}}", 4);
    if (kr_tokenizer_open(&m->tokenizer, KRAIT_SOURCE_DIR "/tests/data/tokenizer.json") != KR_OK) fail_msg("%s", kr_error());
    return m;
}

static kr_grammar *grammar_of(const kr_model *m, const char *text) {
    kr_grammar *g;
    if (kr_grammar_new(&g, m, text, -1) != KR_OK) fail_msg("%s: %s", text, kr_error());
    return g;
}

/* Is the whole text one of the grammar's? */
static bool fits(kr_grammar *g, const char *text) {
    int32_t s = g->start;
    bool may_end;
    uint64_t allowed[8];
    if (kr_grammar_step(g, &s, text, strlen(text)) != KR_OK) fail_msg("%s", kr_error());
    if (s == 0) return false;
    assert_int_equal(kr_grammar_allowed(g, s, allowed, &may_end), KR_OK);
    return may_end;
}

/* Texts that fit, then, behind NULL, some that do not. */
static const struct { const char *gbnf, *texts[16]; } cases[] = {
    {"root ::= \"yes\" | \"no\"", {"yes", "no", NULL, "", "y", "yesno", "maybe"}},
    {"root ::= [a-c]+ # some\n", {"a", "abccba", NULL, "", "abd", "A"}},
    {"root ::= item (\",\" item)*\nitem ::= [0-9]{2,4}", {"12", "123,4567,89", NULL, "1", "12,", "12345", ",12"}},
    {"root ::= \"a\"? \"b\"* \"c\"", {"c", "ac", "abbbc", "bc", NULL, "aac", "ab", ""}},
    {"root ::= (\"a\" | \"b\")\n", {"a", "b", NULL, "ab"}},
    {"root ::= (\n  \"a\" # one\n  | \"b\"\n)", {"a", "b", NULL, "c"}},
    {"root ::= \"a\" |\n \"b\"\nother ::= \"c\"", {"a", "b", NULL, "c"}},
    {"root ::= x\nx ::= \"(\" x \")\" | \"\"", {"", "()", "((()))", NULL, "(", "())", ")"}},
    {"root ::= [^\"\\n]*", {"", "caf\xc3\xa9", "\xf0\x9f\x98\x80!", NULL, "a\"", "a\n", "\xc3", "\xff", "\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80"}},
    {"root ::= [\xc3\xa0-\xc3\xbf\\u4e00-\\u9fff]+", {"\xc3\xa9", "\xe4\xb8\xad\xe6\x96\x87", NULL, "e", "\xc3\x9f", "\xc3", "\xe3\x81\x82"}},
    {"root ::= .{2}", {"ab", "\xc3\xa9\xf0\x9f\x98\x80", "\n\n", NULL, "a", "abc", "\xc3\xa9"}},
    {"root ::= \"\\x41\\u00e9\\U0001F600\\\"\\\\\\n\"", {"A\xc3\xa9\xf0\x9f\x98\x80\"\\\n", NULL, "A"}},
    {"root ::= [a\\-\\]^z-]", {"a", "-", "]", "^", "z", NULL, "b"}},
    {"root ::= [-+]? [1-9]", {"+1", "-2", "3", NULL, "0", "+-1"}},
    {"root ::= \"a\"{0} \"b\"{0,2} \"c\"{2,}", {"cc", "bcc", "bbccccc", NULL, "c", "bbbcc", "acc"}},
    {"root ::= (\"ab\"){2}", {"abab", NULL, "ab", "aabb"}},
    {"root ::= \"ab\"+", {"ab", "abab", NULL, "abb", "aab"}},
    {"root ::= list\nlist ::= \"x\" | \"x,\" list", {"x", "x,x,x", NULL, "x,"}},
    {"root ::= (\"\" | \"a\")* \"b\"", {"b", "aab", NULL, "a"}},
    {"a-1 ::= \"q\"\nroot ::= a-1 a-1\r\n", {"qq", NULL, "q"}},
    {"root ::= (((\"a\")?)*)+", {"", "a", "aa", NULL, "b"}},
    {"root ::= [] | \"z\"", {"z", NULL, "", "a"}},
};

static void test_texts(void **state) {
    (void)state;
    kr_model *m = model();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kr_grammar *g = grammar_of(m, cases[i].gbnf);
        bool good = true;
        for (int k = 0; k < 16 && (good || cases[i].texts[k]); k++) {
            if (!cases[i].texts[k]) good = false;
            else if (fits(g, cases[i].texts[k]) != good) fail_msg("%s: \"%s\" is %s", cases[i].gbnf, cases[i].texts[k], good ? "refused" : "taken");
        }
        kr_grammar_free(g);
    }
    kr_model_release(m);
}

/* --- masks ------------------------------------------------------------------------------------- */

static void check_mask(kr_grammar *g, const kr_model *m, int32_t s, const char *what) {
    uint64_t allowed[8];
    bool may_end;
    if (kr_grammar_allowed(g, s, allowed, &may_end) != KR_OK) fail_msg("%s", kr_error());
    for (int32_t t = 0; t < g->V; t++) {
        int64_t n = 0;
        const char *text = kr_token_text(m, t, &n);
        int32_t to = s;
        bool fit = text && n > 0 && !kr_tokenizer_is_special(m->tokenizer, t) && kr_grammar_step(g, &to, text, (size_t)n) == KR_OK && to != 0;
        if (fit != (allowed[t >> 6] >> (t & 63) & 1)) fail_msg("%s: token %d \"%s\" is %s", what, t, text ? text : "", fit ? "forbidden" : "allowed");
    }
}

static const char json_schema[] = "{\"type\": \"object\", \"properties\": {\"name\": {\"type\": \"string\", \"maxLength\": 12}, \"tags\": {\"type\": \"array\","
                                  " \"items\": {\"enum\": [\"a\", \"caf\xc3\xa9\", 3, null]}, \"maxItems\": 3}, \"n\": {\"type\": \"integer\", \"minimum\": -20, \"maximum\": 300},"
                                  " \"more\": {\"$ref\": \"#\"}}, \"required\": [\"n\"]}";

static void test_masks(void **state) {
    (void)state;
    kr_model *m = model();
    char *json;
    assert_int_equal(kr_schema_to_gbnf(&json, json_schema, -1), KR_OK);
    for (size_t i = 0; i <= sizeof cases / sizeof *cases; i++) {
        const char *what = i < sizeof cases / sizeof *cases ? cases[i].gbnf : json;
        kr_grammar *g = grammar_of(m, what);
        kr_rng r = {i, 3, 0};
        for (int walk = 0; walk < 6; walk++) { /* where a text goes at random */
            int32_t s = g->start;
            for (int at = 0; at < 25; at++) {
                uint64_t allowed[8];
                bool may_end;
                int32_t some[430], n = 0;
                check_mask(g, m, s, what);
                assert_int_equal(kr_grammar_allowed(g, s, allowed, &may_end), KR_OK);
                for (int32_t t = 0; t < g->V; t++)
                    if (allowed[t >> 6] >> (t & 63) & 1) some[n++] = t;
                if (n == 0) break;
                assert_int_equal(kr_grammar_take(g, &s, m, some[kr_rng_below(&r, n)]), KR_OK);
                assert_true(s > 0);
            }
        }
        kr_grammar_free(g);
    }
    kr_text_free(json);
    kr_model_release(m);
}

/* --- schemas ------------------------------------------------------------------------------------ */

static const struct { const char *schema, *texts[14]; } schemas[] = {
    {"{}", {"1", "\"a\"", "[1, {\"a\": null}]", "true", "-1.5e3", NULL, "", "01", "[1,]", "{a:1}", "nul"}},
    {"{'type': 'string'}", {"\"\"", "\"a\\n\\u00e9\"", NULL, "a", "\"\n\"", "\"\\x\""}},
    {"{'type': 'string', 'minLength': 2, 'maxLength': 3}", {"\"ab\"", "\"a\xc3\xa9z\"", NULL, "\"a\"", "\"abcd\""}},
    {"{'type': 'string', 'format': 'date'}", {"\"2024-12-31\"", NULL, "\"2024-13-01\"", "\"x\""}},
    {"{'type': 'integer', 'minimum': 0}", {"0", "7", "12345", NULL, "-1", "1.0", "00"}},
    {"{'type': 'integer', 'minimum': 7, 'maximum': 1203}", {"7", "9", "10", "99", "100", "999", "1000", "1199", "1203", NULL, "6", "1204", "0", "2000"}},
    {"{'type': 'integer', 'minimum': -12, 'exclusiveMaximum': 5}", {"-12", "-9", "-1", "0", "4", NULL, "5", "-13", "-0", "-20", "40"}},
    {"{'type': 'integer', 'minimum': -35, 'maximum': -14}", {"-35", "-14", "-20", NULL, "-36", "-13", "0", "14"}},
    {"{'type': 'number', 'minimum': 0}", {"0.5", "1e-3", NULL, "-1"}},
    {"{'enum': ['a\\\"b', 1, null, [1, {'x': 2}]]}", {"\"a\\\"b\"", "1", "null", "[1,{\"x\":2}]", NULL, "2"}},
    {"{'const': {'a': 1}}", {"{\"a\":1}", NULL, "{}"}},
    {"{'type': 'array', 'items': {'type': 'boolean'}, 'minItems': 1, 'maxItems': 2}", {"[true]", "[false, true]", NULL, "[]", "[true,true,true]", "[1]"}},
    {"{'type': 'array', 'maxItems': 0}", {"[]", NULL, "[1]"}},
    {"{'prefixItems': [{'type': 'null'}, {'type': 'integer'}], 'items': {'type': 'string'}}", {"[null, 3]", "[null,3,\"a\",\"b\"]", NULL, "[null]", "[3, null]"}},
    {"{'properties': {'a': {'type': 'integer'}, 'b': {'type': 'null'}, 'c': true}, 'required': ['b']}",
     {"{\"b\": null}", "{\"a\":1,\"b\":null}", "{\"a\": 1, \"b\": null, \"c\": []}", "{\"b\":null,\"c\":{}}", NULL, "{}", "{\"a\":1}", "{\"b\":null,}", "{\"b\":null,\"d\":1}", "{,\"b\":null}"}},
    {"{'properties': {'a': {'type': 'integer'}, 'b': {'type': 'integer'}}}", {"{}", "{\"a\":1}", "{\"b\":1}", "{\"a\":1,\"b\":2}", NULL, "{\"a\":1 \"b\":2}", "{\"b\":1,\"a\":2}"}},
    {"{'type': 'object', 'additionalProperties': {'type': 'integer'}}", {"{}", "{\"x\": 1, \"y\": 2}", NULL, "{\"x\": \"y\"}"}},
    {"{'properties': {'a': {'type': 'integer'}}, 'additionalProperties': true}", {"{\"a\":1,\"z\":[]}", "{\"z\":1}", NULL, "{\"z\":1,}"}},
    {"{'type': ['integer', 'null']}", {"1", "null", NULL, "\"1\""}},
    {"{'type': 'string', 'enum': ['a', 1, null]}", {"\"a\"", NULL, "1", "null"}},
    {"{'type': ['integer', 'null'], 'enum': ['a', 1, null, 1.5]}", {"1", "null", NULL, "\"a\"", "1.5"}},
    {"{'enum': [1, 2], 'const': 2}", {"2", NULL, "1"}},
    {"{'$ref': '#/$defs/a', 'maximum': 5, 'description': 'x', '$defs': {'a': {'type': 'integer', 'minimum': 3}}}", {"3", "5", NULL, "2", "6"}},
    {"{'oneOf': [{'type': 'integer'}, {'type': 'null'}]}", {"1", "null", NULL, "\"a\""}},
    {"{'oneOf': [{'$ref': '#/$defs/a'}, {'$ref': '#/$defs/b'}], '$defs': {'a': {'type': 'object', 'properties': {'t': {'const': 'a'}, 'x': {'type': 'null'}}, 'required': ['t', 'x']},"
     " 'b': {'type': 'object', 'properties': {'t': {'const': 'b'}}, 'required': ['t']}}}", {"{\"t\":\"a\",\"x\":null}", "{\"t\":\"b\"}", NULL, "{\"t\":\"b\",\"x\":null}", "{\"t\":\"c\"}"}},
    {"{'anyOf': [{'type': 'integer'}, {'type': 'array', 'items': {'$ref': '#'}}]}", {"1", "[]", "[1, [2, []]]", NULL, "[null]"}},
    {"{'$ref': '#/$defs/tree', '$defs': {'tree': {'properties': {'kids': {'type': 'array', 'items': {'$ref': '#/$defs/tree'}}}}}}",
     {"{}", "{\"kids\": [{}, {\"kids\": []}]}", NULL, "{\"kids\": [1]}"}},
    {"{'allOf': [{'properties': {'a': {'type': 'null'}}, 'required': ['a']}, {'$ref': '#/$defs/b'}], '$defs': {'b': {'properties': {'b': {'type': 'null'}}}}}",
     {"{\"a\":null}", "{\"a\":null,\"b\":null}", NULL, "{\"b\":null}"}},
};

static char *quoted(const char *text) { /* ' for " */
    char *t = kr_mem_strdup(text);
    assert_non_null(t);
    for (char *p = t; *p; p++)
        if (*p == '\'') *p = '"';
    return t;
}

static void test_schemas(void **state) {
    (void)state;
    kr_model *m = model();
    for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++) {
        char *text = quoted(schemas[i].schema);
        kr_grammar *g;
        bool good = true;
        if (kr_grammar_from_schema(&g, m, text, -1) != KR_OK) fail_msg("%s: %s", text, kr_error());
        for (int k = 0; k < 14 && (good || schemas[i].texts[k]); k++) {
            if (!schemas[i].texts[k]) good = false;
            else if (fits(g, schemas[i].texts[k]) != good) fail_msg("%s: %s is %s", text, schemas[i].texts[k], good ? "refused" : "taken");
        }
        kr_grammar_free(g);
        kr_mem_free(text);
    }
    kr_model_release(m);
}

/* All whole numbers between bounds, and no others. */
static void test_numbers(void **state) {
    (void)state;
    kr_model *m = model();
    kr_rng r = {5, 5, 0};
    for (int round = 0; round < 40; round++) {
        char text[200];
        int64_t a = kr_rng_below(&r, 2400) - 1200, b = a + kr_rng_below(&r, round % 2 ? 30 : 1500);
        kr_grammar *g;
        snprintf(text, sizeof text, "{\"type\": \"integer\", \"minimum\": %d, \"maximum\": %d}", (int)a, (int)b);
        if (kr_grammar_from_schema(&g, m, text, -1) != KR_OK) fail_msg("%s: %s", text, kr_error());
        for (int x = -1500; x <= 3000; x++) {
            char number[20];
            snprintf(number, sizeof number, "%d", x);
            if (fits(g, number) != (x >= a && x <= b)) fail_msg("%s: %d", text, x);
        }
        kr_grammar_free(g);
    }
    kr_model_release(m);
}

/* Drawn at a high temperature, so that only the grammar makes sense of it. */
static void test_writing(void **state) {
    (void)state;
    kr_model *m = model();
    kr_grammar *g;
    kr_engine *e;
    int32_t prompt = 40;
    int whole = 0;
    if (kr_grammar_from_schema(&g, m, json_schema, -1) != KR_OK) fail_msg("%s", kr_error());
    if (kr_engine_new(&e, m, &(kr_engine_options){.n_slots = 4, .n_threads = 1}) != KR_OK) fail_msg("%s", kr_error());
    kr_request *r[24];
    kr_sampler_options how = {.temperature = 3};
    for (int i = 0; i < 24; i++) {
        how.seed = (uint64_t)i;
        kr_request_options o = {.prompt = &prompt, .n_prompt = 1, .max_tok = 300, .sampler = how, .grammar = i % 4 == 3 ? NULL : g};
        assert_int_equal(kr_engine_submit(e, &o, &r[i]), KR_OK);
    }
    kr_session *s, *f;
    assert_int_equal(kr_session_new(&s, m, &(kr_session_options){.sampler = &how, .n_threads = 1}), KR_OK);
    for (int i = 0; i < 24; i++) {
        kr_str text = {0};
        kr_event ev;
        while (kr_request_next(r[i], &ev, -1)) {
            kr_str_append_n(&text, ev.text, (size_t)ev.n_bytes);
            if (ev.finish != KR_GOES_ON) break;
        }
        if (i % 4 != 3 && ev.finish == KR_FINISH_END) {
            json_t *j;
            if (kr_json_parse(&j, text.text, text.n, "written") != KR_OK) fail_msg("%s: %s", text.text, kr_error());
            assert_true(json_is_integer(json_object_get(j, "n")));
            json_decref(j);
            whole++;
        } else if (i % 4 != 3) {
            assert_int_equal(ev.finish, KR_FINISH_LENGTH);
        }
        kr_str_free(&text);
        kr_request_free(r[i]);
    }
    assert_true(whole > 5);
    /* a session: its own tokens keep to it, a fork goes on where it is */
    assert_int_equal(kr_session_feed(s, &prompt, 1), KR_OK);
    assert_int_equal(kr_session_set_grammar(s, g), KR_OK);
    kr_str text[2] = {{0}, {0}};
    for (int i = 0; i < 400; i++) {
        if (i == 5) assert_int_equal(kr_session_fork(&f, s), KR_OK);
        for (int k = 0; k < (i >= 5 ? 2 : 1); k++) {
            kr_session *one = k ? f : s;
            int32_t t = kr_session_sample(one);
            int64_t n;
            if (t == KR_END) continue;
            const char *bytes = kr_token_text(m, t, &n);
            for (int c = k; c < (i < 5 ? 2 : k + 1); c++) kr_str_append_n(&text[c], bytes, (size_t)n);
            assert_int_equal(kr_session_feed(one, &t, 1), KR_OK);
        }
    }
    assert_string_equal(kr_str_text(&text[0]), kr_str_text(&text[1]));
    int32_t place = g->start;
    assert_int_equal(kr_grammar_step(g, &place, text[0].text, text[0].n), KR_OK);
    assert_true(place > 0);
    kr_str_free(&text[0]);
    kr_str_free(&text[1]);
    kr_session_free(s);
    kr_session_free(f);
    kr_engine_free(e);
    kr_grammar_free(g);
    kr_model_release(m);
}

/* --- refused ---------------------------------------------------------------------------------------- */

/* A grammar that is shared for long does not fill up: it forgets its states while nobody has one. */
static void test_forgets(void **state) {
    (void)state;
    kr_model *m = model();
    kr_grammar *g;
    uint64_t allowed[8] = {0}, before[8] = {0}; /* of 430 tokens */
    bool end;
    assert_int_equal(kr_grammar_new(&g, m, "root ::= (\"a\" root \"x\" | \"b\" root \"y\")?", -1), KR_OK);
    assert_int_equal(kr_grammar_allowed(g, g->start, before, &end), KR_OK);
    int32_t most = 0;
    for (int round = 0; round < 60; round++) {
        kr_grammar_enter(g);
        int32_t at = g->start, held = g->n_states;
        kr_rng r = {(uint64_t)round, 1, 0};
        for (int i = 0; i < 1500; i++) {
            char c = "ab"[kr_rng_below(&r, 2)];
            assert_int_equal(kr_grammar_step(g, &at, &c, 1), KR_OK);
            assert_true(at > 0);
        }
        kr_grammar_enter(g); /* not while somebody has a place */
        assert_true(g->n_states >= held + 1400);
        kr_grammar_leave(g);
        kr_grammar_leave(g);
        most = g->n_states > most ? g->n_states : most;
    }
    assert_true(most < KR_MAX_STATES / 4);
    kr_grammar_enter(g);
    assert_int_equal(kr_grammar_allowed(g, g->start, allowed, &end), KR_OK);
    assert_memory_equal(allowed, before, sizeof allowed);
    assert_true(end);
    kr_grammar_leave(g);
    kr_grammar_free(g);
    kr_model_release(m);
}

static void test_refused(void **state) {
    static const char *const bad[][2] = {
        {"", "no rule \"root\""}, {"root ::= x", "\"x\" is used and not there"}, {"root ::= \"a", "no end"}, {"root ::= [a", "no end"}, {"root ::= (\"a\"", "no end"},
        {"root ::= \"a\"\nroot ::= \"b\"", "twice"}, {"root = \"a\"", "::="}, {"root ::= *", "repetition of nothing"}, {"root ::= \"a\"{3,2}", "{m,n}"},
        {"root ::= \"a\"{99999}", "more than 2000"}, {"root ::= [z-a]", "backwards"}, {"root ::= \"\\q\"", "escape"}, {"root ::= \"\\uD800\"", "no character"},
        {"root ::= \"\xff\"", "UTF-8"}, {"root ::= root \"a\" | \"b\"", "begins with itself"}, {"root ::= a \"x\"\na ::= \"b\"? root", "begins with itself"},
        {"root ::= \"a\"\nroot2", "::="}, {"root ::= \"a\" )", "end of the line"}, {"root ::= x\nx ::= y \"a\"\ny ::= \"\" x", "begins with itself"},
        {"root ::= \"a\" ::= \"b\"", "end of the line"}};
    static const char *const schemas_bad[][2] = {
        {"[]", "no schema"}, {"{'type': 'string', 'pattern': 'a'}", "\"pattern\""}, {"{'not': {}}", "\"not\""}, {"{'type': 'thing'}", "\"thing\""},
        {"{'$ref': '#/nowhere'}", "not in it"}, {"{'$ref': 'http://x'}", "not in it"}, {"{'type': 'integer', 'minimum': 3, 'maximum': 1}", "less than"},
        {"{'type': 'number', 'maximum': 3}", "number"}, {"{'exclusiveMinimum': 3}", "number"},
        {"{'anyOf': [{'type': 'object'}], 'required': ['a']}", "beside anyOf"}, {"{'anyOf': [{}], 'oneOf': [{}]}", "both"}, {"{'enum': []}", "enum"}, {"{'anyOf': []}", "choices"}, {"{'required': ['a']}", "no such property"},
        {"{'allOf': [{'type': 'string'}, {'type': 'null'}]}", "two things"}, {"{'items': [{}]}", "prefixItems"}, {"false", "schema"}, {"{", "schema"},
        {"{'type': 'null', 'enum': [1, 'a']}", "no value of the type"}, {"{'enum': ['a'], 'minLength': 2}", "once more"}, {"{'type': 'object', 'anyOf': [{}]}", "beside anyOf"},
        {"{'oneOf': [{'type': 'integer'}, {'type': 'number'}]}", "twice"}, {"{'oneOf': [{'type': 'object', 'properties': {'a': {}}}, {'type': 'object', 'properties': {'b': {}}}]}", "twice"},
        {"{'oneOf': [{'enum': [1, 2]}, {'const': 2}]}", "twice (1 and 2)"}, {"{'$ref': '#/$defs/a', 'type': 'null', '$defs': {'a': {'type': 'string'}}}", "two things"},
        {"{'minItems': -1}", "count"}, {"{'$ref': '#'}", "no text"}, {"{'anyOf': [{'$ref': '#/$defs/a'}], '$defs': {'a': {'$ref': '#/$defs/b'}, 'b': {'$ref': '#/$defs/a'}}}", ""}};
    (void)state;
    kr_model *m = model();
    kr_grammar *g;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        kr_status st = kr_grammar_new(&g, m, bad[i][0], -1);
        if (st != KR_ERR_FORMAT || !strstr(kr_error(), bad[i][1])) fail_msg("%s: %s", bad[i][0], st == KR_OK ? "taken" : kr_error());
    }
    for (size_t i = 0; i < sizeof schemas_bad / sizeof *schemas_bad; i++) {
        char *text = quoted(schemas_bad[i][0]);
        kr_status st = kr_grammar_from_schema(&g, m, text, -1);
        if (st == KR_OK && *schemas_bad[i][1] == 0) kr_grammar_free(g); /* of nothing */
        else if (st == KR_OK || !strstr(kr_error(), schemas_bad[i][1])) fail_msg("%s: %s", text, st == KR_OK ? "taken" : kr_error());
        kr_mem_free(text);
    }
    kr_model_release(m);
}

/* Deep nesting, many ways at once, long chains: bounded, and never wrong. */
static void test_hostile(void **state) {
    (void)state;
    kr_model *m = model();
    kr_str text = {0};
    kr_grammar *g;
    bool may_end;
    uint64_t allowed[8];
    for (int i = 0; i < 100000; i++) kr_str_append(&text, "(");
    kr_str_appendf(&text, "\"a\"");
    assert_int_equal(kr_grammar_new(&g, m, "root ::= ", 9), KR_OK);
    kr_grammar_free(g);
    char *deep = kr_mem_new(text.n + 20);
    sprintf(deep, "root ::= %s", text.text);
    assert_int_equal(kr_grammar_new(&g, m, deep, -1), KR_ERR_FORMAT);
    kr_mem_free(deep);
    kr_str_free(&text);
    g = grammar_of(m, "root ::= x\nx ::= \"(\" x \")\" | \"a\"");
    int32_t s = g->start;
    for (int i = 0; i < 10000 && s > 0; i++) assert_int_equal(kr_grammar_step(g, &s, "(", 1), KR_OK); /* no deeper than it can hold */
    assert_int_equal(s, 0);
    kr_grammar_free(g);
    /* every way of cutting a text in words of two lengths, each with its own end: too many at once */
    g = grammar_of(m, "root ::= x\nx ::= \"a\" x \"b\" | \"a\" x \"c\" | \"a\" x \"d\" | \"a\" x \"e\" | \"aa\" x \"f\" | \"\"");
    s = g->start;
    kr_status st = KR_OK;
    for (int i = 0; i < 60 && st == KR_OK; i++) {
        st = kr_grammar_allowed(g, s, allowed, &may_end);
        if (st == KR_OK) st = kr_grammar_step(g, &s, "a", 1);
    }
    assert_true(st == KR_OK || st == KR_ERR_NOMEM);
    kr_grammar_free(g);
    for (int i = 0; i < 30000; i++) kr_str_appendf(&text, "r%d ::= r%d | \"x\"\n", i, i + 1); /* a long chain */
    kr_str_append(&text, "r30000 ::= \"\"\nroot ::= r0\n");
    st = kr_grammar_new(&g, m, text.text, (int64_t)text.n);
    if (st == KR_OK) kr_grammar_free(g);
    assert_true(st == KR_OK || st == KR_ERR_NOMEM);
    kr_str_free(&text);
    kr_model_release(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts), cmocka_unit_test(test_masks), cmocka_unit_test(test_schemas), cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_writing), cmocka_unit_test(test_refused), cmocka_unit_test(test_hostile), cmocka_unit_test(test_forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
