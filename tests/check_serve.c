/* check_serve.c - the server from outside, over its own sockets: answers, streams, refusals, load, the end (check_http.c: its HTTP).
 *
 * A server runs on a thread of this program, so that what is left behind shows: memory, connections, requests. */
#include "serve_case.h"

#include <sys/un.h>

#include "text/unicode.h"

/* --- answers --------------------------------------------------------------------------------------- */

/* What a session writes, greedily, as JSON shows it. */
static void greedy(const bench *b, const char *prompt, int64_t n, kr_str *to) {
    kr_session *s;
    kr_str raw = {0};
    int32_t tok[256];
    int64_t len = kr_encode(b->m, prompt, -1, tok, 256);
    assert_int_equal(kr_session_new(&s, b->m, &(kr_session_options){.n_threads = 1, .prefill_tok = 64}), KR_OK);
    assert_int_equal(kr_session_feed(s, tok, len), KR_OK);
    for (int64_t i = 0; i < n; i++) {
        int32_t t = kr_session_sample(s);
        kr_str_append_char(&raw, (char)t);
        assert_int_equal(kr_session_feed(s, &t, 1), KR_OK);
    }
    kr_utf8_repair(to, raw.text, raw.n);
    kr_str_free(&raw);
    kr_session_free(s);
}

static const char *text_in(const json_t *j, size_t i) { return json_string_value(json_object_get(json_array_get(json_object_get(j, "choices"), i), "text")); }

/* The texts of a stream's chunks one after another, by choice; the number of chunks. */
static int stream_text(const answer *a, int64_t choice, kr_str *to, json_t **usage) {
    int n = 0;
    for (char *p = strstr(a->body, "data: "); p; p = strstr(p, "data: ")) {
        p += 6;
        char *line = strstr(p, "\n\n");
        assert_non_null(line);
        if (memcmp(p, "[DONE]", 6) == 0) {
            assert_int_equal(line[2], 0);
            return n;
        }
        json_error_t e;
        json_t *j = json_loadb(p, (size_t)(line - p), JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &e);
        if (!j) fail_msg("%s: %s", e.text, p);
        json_t *c = json_array_get(json_object_get(j, "choices"), 0), *u = json_object_get(j, "usage");
        if (c && json_integer_value(json_object_get(c, "index")) == choice) {
            const json_t *text = json_object_get(c, "text");
            if (!text) text = json_object_get(json_object_get(c, "delta"), "content");
            kr_str_append_n(to, json_string_value(text), json_string_length(text));
        }
        if (usage && json_is_object(u)) *usage = json_incref(u);
        json_decref(j);
        n++;
    }
    fail_msg("no [DONE]: %s", a->body);
    return 0;
}

static void test_completions(void **state) {
    bench b = start((kr_server_options){0});
    kr_str want = {0}, got = {0};
    json_t *usage = NULL;
    (void)state;
    begin(&b);
    greedy(&b, "the krait", 60, &want);
    answer a = post(&b, "/v1/completions", "{'prompt': 'the krait', 'max_tokens': 60, 'temperature': 0, 'logprobs': 3}");
    assert_int_equal(a.status, 200);
    json_t *j = json_in(&a), *c = json_array_get(json_object_get(j, "choices"), 0), *l = json_object_get(c, "logprobs");
    const json_t *text = json_object_get(c, "text");
    assert_int_equal(json_string_length(text), want.n);
    assert_memory_equal(json_string_value(text), want.text, want.n);
    assert_string_equal(json_string_value(json_object_get(c, "finish_reason")), "length");
    assert_string_equal(json_string_value(json_object_get(j, "object")), "text_completion");
    assert_int_equal(json_array_size(json_object_get(l, "tokens")), 60);
    assert_int_equal(json_array_size(json_object_get(l, "token_logprobs")), 60);
    assert_int_equal(json_array_size(json_object_get(l, "top_logprobs")), 60);
    assert_int_equal(json_array_size(json_object_get(l, "text_offset")), 60);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "usage"), "prompt_tokens")), 9);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "usage"), "completion_tokens")), 60);
    json_decref(j);
    forget(&a);

    a = post(&b, "/v1/completions", "{'prompt': 'the krait', 'max_tokens': 60, 'temperature': 0, 'stream': true, 'stream_options': {'include_usage': true}}");
    assert_int_equal(a.status, 200);
    assert_non_null(strcasestr(a.head, "text/event-stream"));
    stream_text(&a, 0, &got, &usage);
    assert_int_equal(got.n, want.n);
    assert_memory_equal(got.text, want.text, want.n);
    assert_int_equal(json_integer_value(json_object_get(usage, "total_tokens")), 69);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(usage, "prompt_tokens_details"), "cached_tokens")), 9);
    json_decref(usage);
    forget(&a);

    /* a seed gives the same text, and n answers are those of n seeds; the same as tokens */
    a = post(&b, "/v1/completions", "{'prompt': ['ab', 'cd'], 'max_tokens': 12, 'seed': 7, 'n': 2}");
    j = json_in(&a);
    assert_int_equal(json_array_size(json_object_get(j, "choices")), 4);
    answer d = post(&b, "/v1/completions", "{'prompt': [99, 100], 'max_tokens': 12, 'seed': 8}");
    json_t *k = json_in(&d);
    assert_string_equal(text_in(j, 3), text_in(k, 0));
    assert_string_not_equal(text_in(j, 2), text_in(k, 0));
    json_decref(j);
    json_decref(k);
    forget(&a);
    forget(&d);

    /* a stop string ends the text and is not in it */
    kr_str stop = {0};
    kr_str_append(&stop, "{\"prompt\": \"the krait\", \"max_tokens\": 60, \"temperature\": 0, \"stop\": [\"nowhere\", ");
    kr_str_append_json_text(&stop, want.text + 30, 3);
    kr_str_append(&stop, "]}");
    if (kr_utf8_valid(want.text + 30, 3) == 3 && !strstr(want.text, "\xEF\xBF\xBD")) {
        a = once(&b, "POST", "/v1/completions", "", stop.text);
        j = json_in(&a);
        assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(j, "choices"), 0), "finish_reason")), "stop");
        json_decref(j);
        forget(&a);
    }
    kr_str_free(&stop);
    kr_str_free(&want);
    kr_str_free(&got);
    end(&b);
}

static void test_grammars(void **state) {
    bench b = start((kr_server_options){0});
    (void)state;
    begin(&b);
    static const char *const asks[] = {
        "{'prompt': 'x', 'max_tokens': 40, 'grammar': 'root ::= \\'yes\\' | \\'no\\''}",
        "{'prompt': 'x', 'max_tokens': 40, 'json_schema': {'enum': ['yes', 'no']}}",
        "{'prompt': 'x', 'max_tokens': 40, 'response_format': {'type': 'json_schema', 'json_schema': {'name': 'a', 'strict': true, 'schema': {'enum': ['yes', 'no']}}}}"};
    for (int i = 1; i < 3; i++) {
        answer a = post(&b, "/v1/completions", asks[i]);
        json_t *j = json_in(&a);
        assert_int_equal(a.status, 200);
        assert_true(strcmp(text_in(j, 0), "\"yes\"") == 0 || strcmp(text_in(j, 0), "\"no\"") == 0);
        json_decref(j);
        forget(&a);
    }
    answer a = once(&b, "POST", "/v1/completions", "", "{\"prompt\": \"x\", \"grammar\": \"root ::= [ab] [0-9]\"}");
    json_t *j = json_in(&a);
    assert_int_equal(strlen(text_in(j, 0)), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(j, "choices"), 0), "finish_reason")), "stop");
    json_decref(j);
    forget(&a);
    refused_by(post(&b, "/v1/completions", "{'prompt': 'x', 'grammar': 'root ::= ('}"), 400, "invalid_value", "grammar");
    refused_by(post(&b, "/v1/completions", "{'prompt': 'x', 'json_schema': {'type': 'string', 'pattern': 'a'}}"), 400, "invalid_value", "json_schema");
    refused_by(post(&b, "/v1/completions", "{'prompt': 'x', 'response_format': {'type': 'yaml'}}"), 400, "invalid_value", "response_format");
    refused_by(post(&b, "/v1/completions", "{'prompt': 'x', 'response_format': 7}"), 400, "invalid_value", "response_format");
    refused_by(post(&b, "/v1/completions", "{'prompt': 'x', 'grammar': 'root ::= [a]', 'json_schema': true}"), 400, "invalid_value", "response_format");
    end(&b);
}

static void test_refusals(void **state) {
    bench b = start((kr_server_options){.max_tok = 100, .max_prompt = 50, .max_n = 8, .max_embed = 50, .name = "small"});
    (void)state;
    begin(&b);
    static const struct { const char *body; int status; const char *code, *param; } cases[] = {
        {"", 400, "empty_body", NULL}, {"{", 400, "invalid_json", NULL}, {"[1]", 400, "invalid_json", NULL}, {"{'prompt': 'a', 'prompt': 'b'}", 400, "invalid_json", NULL},
        {"{'prompt': '\\u0000'}", 400, "invalid_json", NULL},
        {"{}", 400, "invalid_value", "prompt"}, {"{'prompt': 7}", 400, "invalid_value", "prompt"}, {"{'prompt': ''}", 400, "invalid_value", "prompt"},
        {"{'prompt': []}", 400, "invalid_value", "prompt"}, {"{'prompt': [256]}", 400, "invalid_value", "prompt"}, {"{'prompt': [1, 'a']}", 400, "invalid_value", "prompt"},
        {"{'prompt': [-1]}", 400, "invalid_value", "prompt"}, {"{'prompt': ['a', 7]}", 400, "invalid_value", "prompt"}, {"{'prompt': [[], []]}", 400, "invalid_value", "prompt"},
        {"{'prompt': 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'}", 400, "invalid_value", "prompt"},
        {"{'prompt': ['a', 'b', 'c'], 'n': 3}", 400, "invalid_value", "prompt"},
        {"{'prompt': 'a', 'model': 'big'}", 404, "model_not_found", "model"}, {"{'prompt': 'a', 'model': 7}", 400, "invalid_value", "model"},
        {"{'prompt': 'a', 'temprature': 1}", 400, "unknown_parameter", "temprature"}, {"{'prompt': 'a', 'zebra': 1}", 400, "unknown_parameter", "zebra"},
        {"{'prompt': 'a', 'temperature': 'hot'}", 400, "invalid_value", "temperature"}, {"{'prompt': 'a', 'temperature': -1}", 400, "invalid_value", "temperature"},
        {"{'prompt': 'a', 'top_p': 1.5}", 400, "invalid_value", "top_p"}, {"{'prompt': 'a', 'max_tokens': 101}", 400, "invalid_value", "max_tokens"},
        {"{'prompt': 'a', 'max_tokens': 1.5}", 400, "invalid_value", "max_tokens"}, {"{'prompt': 'a', 'max_tokens': 0}", 400, "invalid_value", "max_tokens"},
        {"{'prompt': 'a', 'n': 9}", 400, "invalid_value", "n"}, {"{'prompt': 'a', 'n': 0}", 400, "invalid_value", "n"},
        {"{'prompt': 'a', 'stream': 1}", 400, "invalid_value", "stream"}, {"{'prompt': 'a', 'stream_options': {}}", 400, "invalid_value", "stream_options"},
        {"{'prompt': 'a', 'stream': true, 'stream_options': {'usage': true}}", 400, "invalid_value", "stream_options"},
        {"{'prompt': 'a', 'logprobs': 21}", 400, "invalid_value", "logprobs"}, {"{'prompt': 'a', 'stop': ''}", 400, "invalid_value", "stop"},
        {"{'prompt': 'a', 'stop': [7]}", 400, "invalid_value", "stop"}, {"{'prompt': 'a', 'stop_token_ids': 7}", 400, "invalid_value", "stop_token_ids"},
        {"{'prompt': 'a', 'stop_token_ids': [300]}", 400, "invalid_value", "stop_token_ids"}, {"{'prompt': 'a', 'logit_bias': {'x': 1}}", 400, "invalid_value", "logit_bias"},
        {"{'prompt': 'a', 'logit_bias': {'1': 101}}", 400, "invalid_value", "logit_bias"}, {"{'prompt': 'a', 'logit_bias': [1]}", 400, "invalid_value", "logit_bias"},
        {"{'prompt': 'a', 'echo': true}", 400, "unsupported_parameter", "echo"}, {"{'prompt': 'a', 'suffix': 'b'}", 400, "unsupported_parameter", "suffix"},
        {"{'prompt': 'a', 'best_of': 2}", 400, "unsupported_parameter", "best_of"}, {"{'prompt': 'a', 'tools': [{}]}", 400, "unsupported_parameter", "tools"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) refused_by(post(&b, "/v1/completions", cases[i].body), cases[i].status, cases[i].code, cases[i].param);
    refused_by(once(&b, "GET", "/v1/completions", "", NULL), 405, "method_not_allowed", NULL);
    refused_by(once(&b, "GET", "/v1/nothing", "", NULL), 404, "unknown_url", NULL);
    refused_by(once(&b, "GET", "/v1/models/big", "", NULL), 404, "model_not_found", "model");
    refused_by(once(&b, "GET", "/v1/models/small/", "", NULL), 404, "unknown_url", NULL);
    refused_by(once(&b, "GET", "/../etc/passwd", "", NULL), 404, "unknown_url", NULL);
    refused_by(post(&b, "/v1/embeddings", "{'input': 'a', 'dimensions': 7}"), 400, "invalid_value", "dimensions");
    refused_by(post(&b, "/v1/embeddings", "{'input': 'a', 'encoding_format': 'hex'}"), 400, "invalid_value", "encoding_format");
    refused_by(post(&b, "/v1/embeddings", "{'inpt': 'a'}"), 400, "unknown_parameter", "inpt");
    refused_by(post(&b, "/tokenize", "{'content': 7}"), 400, "invalid_value", "content");
    refused_by(post(&b, "/detokenize", "{'tokens': 7}"), 400, "invalid_value", "tokens");
    /* deeper than anyone needs */
    char *deep = malloc(100001);
    memset(deep, '[', 100000), deep[100000] = 0;
    refused_by(once(&b, "POST", "/v1/completions", "", deep), 400, "invalid_json", NULL);
    free(deep);
    /* too much to take in, or to keep */
    kr_str many = {0};
    kr_str_append(&many, "{\"prompt\":[");
    for (int i = 0; i < 300000; i++) kr_str_append(&many, i % 3 ? "{}," : "\"\",");
    refused_by(once(&b, "POST", "/v1/completions", "", many.text), 400, "too_many_values", NULL);
    kr_str_cut(&many, 0); /* numbers and literals count too, but in lists of tokens */
    kr_str_append(&many, "{\"prompt\":\"a\",\"stop_token_ids\":[");
    for (int i = 0; i < 300000; i++) kr_str_append(&many, i % 3 ? "1," : "true,");
    refused_by(once(&b, "POST", "/v1/completions", "", many.text), 400, "too_many_values", NULL);
    kr_str_free(&many);
    refused_by(post(&b, "/v1/embeddings", "{'input': ['aaaaaaaaaaaaaaaaaaaaaaaaa', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb']}"), 400, "invalid_value", "input");
    /* choices whose values are to be compared by pairs */
    kr_str schema = {0};
    for (int k = 0; k < 2; k++) {
        kr_str_append(&schema, k ? "]},{\"enum\":[" : "{\"prompt\":\"a\",\"json_schema\":{\"oneOf\":[{\"enum\":[");
        for (int i = 0; i < 1500; i++) kr_str_appendf(&schema, "%s%d", i ? "," : "", 2 * i + k);
    }
    kr_str_append(&schema, "]}]}}");
    answer a = once(&b, "POST", "/v1/completions", "", schema.text);
    assert_non_null(strstr(a.body, "comparisons"));
    refused_by(a, 400, "invalid_value", "json_schema");
    kr_str_free(&schema);
    /* what says nothing is taken */
    a = post(&b, "/v1/completions", "{'prompt': 'a', 'model': 'small', 'echo': false, 'suffix': null, 'best_of': 1, 'user': 'u', 'stop': null, 'logit_bias': {}, 'max_tokens': 3, 'tools': []}");
    assert_int_equal(a.status, 200);
    forget(&a);
    end(&b);
}

/* A conversation is its template's text, continued; what ends a turn there ends the answer. */
static void test_chats(void **state) {
    kr_chat *chat;
    (void)state;
    assert_int_equal(kr_chat_open(&chat, NULL, "chatml"), KR_OK);
    bench b = start((kr_server_options){.chat = chat});
    kr_str want = {0}, got = {0};
    begin(&b);
    greedy(&b, "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n", 40, &want);
    answer a = post(&b, "/v1/chat/completions", "{'messages': [{'role': 'user', 'content': 'hi'}], 'max_tokens': 40, 'temperature': 0, 'logprobs': true, 'top_logprobs': 2}");
    json_t *j = json_in(&a), *c = json_array_get(json_object_get(j, "choices"), 0), *text = json_object_get(json_object_get(c, "message"), "content");
    assert_int_equal(json_string_length(text), want.n);
    assert_memory_equal(json_string_value(text), want.text, want.n);
    assert_int_equal(json_array_size(json_object_get(json_object_get(c, "logprobs"), "content")), 40);
    json_decref(j);
    forget(&a);
    a = post(&b, "/v1/chat/completions", "{'messages': [{'role': 'user', 'content': [{'type': 'text', 'text': 'h'}, {'type': 'text', 'text': 'i'}]}], 'max_completion_tokens': 40, 'temperature': 0, 'stream': true}");
    stream_text(&a, 0, &got, NULL);
    assert_int_equal(got.n, want.n);
    assert_memory_equal(got.text, want.text, want.n);
    forget(&a);
    kr_str_free(&want);
    greedy(&b, "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nwell, ", 20, &want); /* an answer that was begun is gone on with */
    a = post(&b, "/v1/chat/completions", "{'messages': [{'role': 'user', 'content': 'hi'}, {'role': 'assistant', 'content': [{'type': 'text', 'text': 'well, '}]}], 'continue_final_message': true, 'max_tokens': 20, 'temperature': 0}");
    j = json_in(&a), text = json_object_get(json_object_get(json_array_get(json_object_get(j, "choices"), 0), "message"), "content");
    assert_int_equal(json_string_length(text), want.n);
    assert_memory_equal(json_string_value(text), want.text, want.n);
    json_decref(j);
    forget(&a);
    refused_by(post(&b, "/v1/chat/completions", "{'messages': [{'role': 'user', 'content': 'hi'}], 'continue_final_message': true}"), 400, "invalid_value", "continue_final_message");
    a = post(&b, "/v1/chat/completions", "{'messages': [{'role': 'user', 'content': 'hi'}], 'grammar': 'root ::= [a] [<] [|] [i] [m] [_] [e] [n] [d] [|] [>] [b]'}");
    j = json_in(&a), c = json_array_get(json_object_get(j, "choices"), 0);
    assert_string_equal(json_string_value(json_object_get(json_object_get(c, "message"), "content")), "a");
    assert_string_equal(json_string_value(json_object_get(c, "finish_reason")), "stop");
    json_decref(j);
    forget(&a);
    static const char *const bad[] = {"{}", "{'messages': []}", "{'messages': 'hi'}", "{'messages': ['hi']}", "{'messages': [{'content': 'hi'}]}", "{'messages': [{'role': 'user', 'content': 7}]}",
                                      "{'messages': [{'role': 'user', 'content': [{'type': 'image_url', 'image_url': {'url': 'file:///etc/passwd'}}]}]}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) refused_by(post(&b, "/v1/chat/completions", bad[i]), 400, "invalid_value", "messages");
    refused_by(post(&b, "/v1/chat/completions", "{'messages': [{'role': 'user', 'content': 'hi'}], 'max_completion_tokens': 2000000}"), 400, "invalid_value", "max_completion_tokens");
    refused_by(post(&b, "/v1/chat/completions", "{'messages': [{'role': 'user', 'content': 'hi'}], 'max_tokens': 2000000}"), 400, "invalid_value", "max_tokens");
    refused_by(post(&b, "/v1/chat/completions", "{'messages': [{'role': 'user', 'content': 'hi'}], 'max_tokens': 1000000, 'n': 5}"), 400, "invalid_value", "max_tokens");
    refused_by(post(&b, "/v1/chat/completions", "{'messages': [{'role': 'user', 'content': 'hi'}], 'max_tokens': 300000, 'logprobs': true, 'top_logprobs': 20}"), 400, "invalid_value", "max_tokens");
    refused_by(post(&b, "/v1/chat/completions", "{'prompt': 'hi'}"), 400, "unknown_parameter", "prompt");
    refused_by(post(&b, "/v1/completions", "{'messages': []}"), 400, "unknown_parameter", "messages");
    refused_by(post(&b, "/v1/chat/completions", "{'messages': [{'role': 'user', 'content': 'hi'}], 'top_logprobs': 2}"), 400, "invalid_value", "top_logprobs");
    kr_str_free(&want);
    kr_str_free(&got);
    end(&b);
    kr_chat_free(chat);
    b = start((kr_server_options){0});
    begin(&b);
    refused_by(post(&b, "/v1/chat/completions", "{'messages': [{'role': 'user', 'content': 'hi'}]}"), 400, "no_chat_template", "messages");
    end(&b);
}

static void test_texts(void **state) {
    bench b = start((kr_server_options){0});
    (void)state;
    begin(&b);
    answer a = post(&b, "/tokenize", "{'content': 'h\xc3\xa9', 'with_pieces': true}");
    json_t *j = json_in(&a);
    assert_int_equal(json_integer_value(json_object_get(j, "count")), 3);
    json_decref(j);
    forget(&a);
    a = post(&b, "/detokenize", "{'tokens': [104, 195, 169, 34]}");
    assert_string_equal(a.body, "{\"content\":\"h\xc3\xa9\\\"\"}\n");
    forget(&a);
    a = post(&b, "/detokenize", "{'tokens': []}");
    assert_string_equal(a.body, "{\"content\":\"\"}\n");
    forget(&a);
    /* embeddings: as hidden states read all at once, in two texts that need several pieces */
    kr_graph *g = graph_of(b.m, (kr_model_graph_options){.mode = KR_MODEL_HIDDEN, .S = 1, .L = 300});
    int32_t *ids = kr_graph_data(g, "ids");
    kr_str body = {0};
    kr_str_append(&body, "{\"input\": [[1], [");
    for (int i = 0; i < 300; i++) ids[i] = (i * 37 + i / 7) % 256, kr_str_appendf(&body, "%s%d", i ? "," : "", ids[i]);
    kr_str_append(&body, "]]}");
    kr_graph_run(g, KR_RUN_FORWARD);
    a = once(&b, "POST", "/v1/embeddings", "", body.text);
    assert_int_equal(a.status, 200);
    j = json_in(&a);
    const json_t *v = json_object_get(json_array_get(json_object_get(j, "data"), 1), "embedding");
    const float *hidden = kr_graph_data(g, "hidden");
    double mean[32] = {0}, norm = 0;
    for (int k = 0; k < 32; k++) {
        for (int l = 0; l < 300; l++) mean[k] += hidden[l * 32 + k];
        norm += mean[k] * mean[k];
    }
    assert_int_equal(json_array_size(v), 32);
    for (int k = 0; k < 32; k++) assert_true(fabs(json_number_value(json_array_get(v, (size_t)k)) - mean[k] / sqrt(norm)) < 1e-5);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "usage"), "prompt_tokens")), 301);
    json_decref(j);
    forget(&a);
    kr_str_free(&body);
    kr_graph_free(g);
    a = once(&b, "GET", "/props", "", NULL);
    j = json_in(&a);
    assert_int_equal(json_integer_value(json_object_get(j, "vocab_size")), 256);
    assert_true(json_integer_value(json_object_get(j, "state_bytes")) > 0);
    json_decref(j);
    forget(&a);
    a = once(&b, "HEAD", "/health", "Connection: close\r\n", NULL);
    assert_int_equal(a.status, 200);
    forget(&a);
    end(&b);
}

/* --- load, and those who leave ------------------------------------------------------------------------ */

static bool is_not_waiting(const bench *b) { return !is_waiting(b); }

static void test_queue(void **state) {
    bench b = start((kr_server_options){.engine = {.n_slots = 1, .max_waiting = 1}});
    int fd[2];
    (void)state;
    begin(&b);
    for (int i = 0; i < 2; i++) {
        fd[i] = dial(&b);
        ask(fd[i], "POST", "/v1/completions", "", "{\"prompt\": \"a\", \"max_tokens\": 1000000}");
        until(i ? is_waiting : is_writing, &b, "a request in the engine");
    }
    answer a = post(&b, "/v1/completions", "{'prompt': 'a'}");
    assert_non_null(strstr(a.head, "Retry-After: 1\r\n")); /* no answer has ended yet */
    refused_by(a, 429, "queue_full", NULL);
    refused_by(post(&b, "/v1/completions", "{'prompt': 'a', 'n': 3, 'stream': true}"), 429, "queue_full", NULL);
    a = once(&b, "GET", "/metrics", "", NULL);
    assert_non_null(strstr(a.body, "krait_requests_waiting 1\n"));
    assert_non_null(strstr(a.body, "krait_http_requests_total{code=\"4xx\"} 2\n"));
    forget(&a);
    usleep(1100000);
    close(fd[1]); /* who leaves makes room */
    until(is_not_waiting, &b, "out of the queue");
    close(fd[0]);
    until(is_calm, &b, "cancelled");
    for (int i = 0; i < 2; i++) { /* the next one lasts as long, for all that is known */
        fd[i] = dial(&b);
        ask(fd[i], "POST", "/v1/completions", "", "{\"prompt\": \"a\", \"max_tokens\": 1000000}");
        until(i ? is_waiting : is_writing, &b, "a request in the engine");
    }
    kr_engine_stats e = stats(&b);
    char want[40];
    assert_true(e.slot_s > 1.1 && kr_retry_seconds(&e) >= 2);
    snprintf(want, sizeof want, "Retry-After: %d\r\n", kr_retry_seconds(&e));
    a = post(&b, "/v1/completions", "{'prompt': 'a'}");
    assert_non_null(strstr(a.head, want));
    refused_by(a, 429, "queue_full", NULL);
    close(fd[0]);
    close(fd[1]);
    until(is_calm, &b, "cancelled");
    end(&b);
}

static void test_retry_seconds(void **state) {
    (void)state;
    static const struct { int64_t n_slots, n_waiting; double slot_s; int want; } cases[] = {
        {8, 1024, 0, 1}, {8, 0, 100, 1}, {4, 10, 3, 8}, {4, 8, 3, 6}, {8, 3, 0.01, 1}, {1, 59, 1.001, 60}, {8, 1024, 3, 60}, {1, INT64_MAX, 1e300, 60}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(kr_retry_seconds(&(kr_engine_stats){.n_slots = cases[i].n_slots, .n_waiting = cases[i].n_waiting, .slot_s = cases[i].slot_s}), cases[i].want);
}

/* A text that repeats itself comes in fewer steps with drafts, and is the same. */
static void test_drafts(void **state) {
    bench b = start((kr_server_options){.engine = {.n_slots = 2, .n_draft = 7}});
    char *text[2];
    int64_t steps[2];
    (void)state;
    begin(&b);
    for (int draft = 0; draft < 2; draft++) {
        int64_t before = stats(&b).n_steps;
        answer a = post(&b, "/v1/completions", draft ? "{'prompt': 'ab ab ab', 'max_tokens': 100, 'temperature': 0, 'logit_bias': {'97': 100}, 'draft': 5}"
                                                     : "{'prompt': 'ab ab ab', 'max_tokens': 100, 'temperature': 0, 'logit_bias': {'97': 100}, 'draft': 0}");
        json_t *j = json_in(&a);
        text[draft] = kr_mem_strdup(json_string_value(json_object_get(json_array_get(json_object_get(j, "choices"), 0), "text")));
        assert_int_equal(strlen(text[draft]), 100);
        until(is_calm, &b, "the last step counted");
        steps[draft] = stats(&b).n_steps - before;
        json_decref(j);
        forget(&a);
    }
    assert_string_equal(text[0], text[1]);
    assert_int_equal(steps[0], 99);
    assert_true(steps[1] < 40);
    answer a = once(&b, "GET", "/metrics", "", NULL);
    assert_null(strstr(a.body, "krait_draft_tokens_total 0\n"));
    assert_non_null(strstr(a.body, "krait_draft_tokens_accepted_total "));
    forget(&a);
    a = once(&b, "GET", "/props", "", NULL);
    assert_non_null(strstr(a.body, "\"draft\":7"));
    forget(&a);
    refused_by(post(&b, "/v1/completions", "{'prompt': 'a', 'draft': 16}"), 400, "invalid_value", "draft");
    kr_mem_free(text[0]);
    kr_mem_free(text[1]);
    end(&b);
}

/* Clients that leave in the middle, streaming, waiting for all of it, or while they still speak. */
static void test_leaving(void **state) {
    bench b = start((kr_server_options){.engine = {.n_slots = 2}});
    (void)state;
    begin(&b);
    for (int i = 0; i < 60; i++) {
        int fd = dial(&b);
        ask(fd, "POST", "/v1/completions", "", i % 3 == 0 ? "{\"prompt\": \"a\", \"max_tokens\": 1000000, \"stream\": true}"
                                                : i % 3 == 1 ? "{\"prompt\": \"a\", \"max_tokens\": 1000000, \"n\": 3}" : "{\"prompt\": \"a\", \"max_tokens\": 2}");
        char c;
        if (i % 6 == 0) assert_int_equal(recv(fd, &c, 1, 0), 1);
        if (i % 9 == 1) usleep(3000);
        if (i % 4 == 0) { /* without a word */
            struct linger l = {1, 0};
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
        }
        close(fd);
        fd = dial(&b);
        say(fd, "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{\"prom", (size_t)(i % 50) + 16);
        close(fd);
    }
    until(is_calm, &b, "all cancelled");
    until(has_no_connections, &b, "all connections closed");
    assert_true(stats(&b).n_cancelled > 0);
    assert_int_equal(b.s->metrics.n_streams, 0);
    end(&b);
}

/* A long embedding ends when its client leaves, or when there is no more time; meanwhile others are answered. */
static void test_left_embeddings(void **state) {
    bench b = start((kr_server_options){.n_workers = 2, .max_embed = 1 << 30});
    kr_str body = {0};
    (void)state;
    b.drain_s = 0.1;
    begin(&b);
    kr_str_append(&body, "{\"input\": \"");
    for (int i = 0; i < 3000000; i++) kr_str_append_char(&body, 'a');
    kr_str_append(&body, "\"}");
    for (int i = 0; i < 2; i++) {
        int fd = dial(&b);
        ask(fd, "POST", "/v1/embeddings", "", body.text);
        if (i) kr_str_free(&body);
        for (double end_s = kr_now() + 30; atomic_load(&b.s->n_embedding) == 0 && kr_now() < end_s;) usleep(1000);
        assert_int_equal(atomic_load(&b.s->n_embedding), 1);
        refused_by(post(&b, "/v1/embeddings", "{'input': 'a'}"), 429, "queue_full", NULL);
        answer a = post(&b, "/tokenize", "{'content': 'a'}");
        assert_int_equal(a.status, 200);
        forget(&a);
        double t0 = kr_now();
        if (i) end(&b);
        close(fd);
        while (!i && atomic_load(&b.s->n_embedding)) usleep(1000);
        assert_true(kr_now() - t0 < 30); /* all of it takes minutes */
    }
}

static atomic_bool keeping, kept_on;
static void hold(kr_states_step step) {
    if (step != KR_STEP_WRITE) return;
    atomic_store(&keeping, true);
    for (double end_s = kr_now() + 20; !atomic_load(&kept_on) && kr_now() < end_s;) usleep(1000);
}

/* As /metrics says: these numbers are the loop's alone. */
static bool has_no_streams(const bench *b) {
    answer a = once(b, "GET", "/metrics", "", NULL);
    bool none = strstr(a.body, "krait_http_streams 0\n");
    forget(&a);
    return none;
}

/* A connection that breaks, with much of its stream unread, while a worker keeps the end of the answer. */
static void test_left_at_work(void **state) {
    const char *dir = new_folder();
    kr_states *probe = NULL;
    int small = 4096;
    (void)state;
    kr_status st = kr_states_open(&probe, dir, NULL);
    kr_states_close(probe);
    if (st == KR_ERR_MISSING) skip();
    bench b = start((kr_server_options){.states_dir = dir, .max_unsent = 1 << 30});
    kr_states_hook = hold;
    begin(&b);
    int fd = dial(&b);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    ask(fd, "POST", "/v1/completions", "", "{\"prompt\": \"a\", \"max_tokens\": 12000, \"ignore_eos\": true, \"stream\": true, \"logprobs\": 20, \"save_state\": \"left\"}");
    for (double end_s = kr_now() + 50; !atomic_load(&keeping) && kr_now() < end_s;) usleep(1000);
    assert_true(atomic_load(&keeping));
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(fd);
    until(has_no_connections, &b, "the connection closed");
    assert_false(has_no_streams(&b)); /* not before its worker is done */
    atomic_store(&kept_on, true);
    until(has_no_streams, &b, "the worker done");
    answer a = once(&b, "GET", "/v1/states/left", "", NULL);
    assert_int_equal(a.status, 200);
    forget(&a);
    end(&b);
    kr_states_hook = NULL;
    assert_int_equal(kr_dir_remove(dir), KR_OK);
}

/* --- the end -------------------------------------------------------------------------------------------- */

static void test_drain(void **state) {
    bench b = start((kr_server_options){0});
    kr_str text = {0};
    (void)state;
    begin(&b);
    int whole = dial(&b), stream = dial(&b), kept = dial(&b);
    ask(kept, "GET", "/health", "", NULL);
    answer a = hear(kept);
    forget(&a);
    ask(whole, "POST", "/v1/completions", "", "{\"prompt\": \"a\", \"max_tokens\": 6000}");
    ask(stream, "POST", "/v1/completions", "", "{\"prompt\": \"a\", \"max_tokens\": 6000, \"stream\": true}");
    until(is_writing, &b, "both at work");
    while (stats(&b).n_requests < 2) usleep(1000);
    kr_server_stop(b.s);
    usleep(20000);
    if (!is_calm(&b)) { /* or they were quicker */
        ask(kept, "POST", "/v1/completions", "", "{\"prompt\": \"a\"}");
        a = hear(kept);
        if (a.status == 0 && is_calm(&b)) forget(&a); /* or were, by now */
        else refused_by(a, 503, "shutting_down", NULL);
    }
    a = hear(whole);
    assert_int_equal(a.status, 200);
    forget(&a);
    a = hear(stream);
    assert_int_equal(a.status, 200);
    assert_true(stream_text(&a, 0, &text, NULL) > 0);
    forget(&a);
    kr_str_free(&text);
    close(whole), close(stream), close(kept);
    end(&b);

    b = start((kr_server_options){0}); /* what takes longer is cut */
    b.drain_s = 0.2;
    begin(&b);
    stream = dial(&b);
    ask(stream, "POST", "/v1/completions", "", "{\"prompt\": \"a\", \"max_tokens\": 1000000, \"stream\": true}");
    until(is_writing, &b, "at work");
    double t0 = kr_now();
    end(&b);
    assert_true(kr_now() - t0 < 30); /* a million tokens take minutes */
    a = hear(stream);
    assert_null(strstr(a.body ? a.body : "", "[DONE]"));
    assert_non_null(strstr(a.body, "data: {\"error\":"));
    assert_non_null(strstr(a.body, "\"code\":\"shutting_down\"}}\n\n"));
    assert_string_equal(a.body + a.n - 2, "\n\n");
    forget(&a);
    close(stream);
}

/* Wherever memory runs out, the answer is one of these or the connection ends; and the next request is served. */
static void test_memory(void **state) {
    static const char *const path[] = {"/v1/completions", "/v1/completions", "/v1/embeddings", "/tokenize"};
    static const char *const body[] = {"{'prompt': 'abc', 'max_tokens': 5, 'logprobs': 2, 'stop': ['x'], 'json_schema': {'type': 'string'}}",
                                       "{'prompt': ['abc', 'd'], 'max_tokens': 5, 'n': 2, 'stream': true}", "{'input': ['abc', [1, 2]]}", "{'content': 'abc', 'with_pieces': true}"};
    bench b = start((kr_server_options){0});
    int n_failed = 0;
    (void)state;
    begin(&b);
    for (int i = 0; i < 4; i++) {
        answer first = post(&b, path[i], body[i]);
        forget(&first);
        for (int64_t n = 1; n < 400; n += n < 40 ? 1 : 7) {
            int fd = dial(&b);
            kr_str s = {0};
            kr_str_append(&s, body[i]);
            for (size_t k = 0; k < s.n; k++) s.text[k] = s.text[k] == '\'' ? '"' : s.text[k];
            kr_mem_fail_at(n);
            char head[256];
            int len = snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n", path[i], s.n);
            say(fd, head, (size_t)len);
            say(fd, s.text, s.n);
            answer a = hear(fd);
            kr_mem_fail_at(0);
            if (a.status != 200 && a.status != 503 && a.status != 500 && a.status != 0) fail_msg("%s, allocation %lld: %d %s", body[i], (long long)n, a.status, a.body);
            n_failed += a.status != 200;
            forget(&a);
            close(fd);
            kr_str_free(&s);
        }
        answer a = post(&b, path[i], body[i]);
        if (a.status != 200) fail_msg("%s", a.body);
        forget(&a);
    }
    assert_true(n_failed > 50);
    end(&b);
}

static void test_unix(void **state) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    kr_server *second;
    (void)state;
    snprintf(at.sun_path, sizeof at.sun_path, "%s/socket", new_folder());
    bench b = start((kr_server_options){.unix_path = at.sun_path});
    begin(&b);
    for (int i = 0; i < 2; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
        ask(fd, "POST", "/v1/completions", "", "{\"prompt\": \"a\", \"max_tokens\": 3}");
        answer a = hear(fd);
        assert_int_equal(a.status, 200);
        forget(&a);
        close(fd);
        if (i == 0) assert_int_equal(kr_server_new(&second, b.m, &(kr_server_options){.unix_path = at.sun_path}), KR_ERR_IO);
    }
    end(&b);
    assert_true(access(at.sun_path, F_OK) != 0);
    b = start((kr_server_options){0});
    assert_int_equal(kr_server_new(&second, b.m, &(kr_server_options){.port = kr_server_port(b.s)}), KR_ERR_IO);
    assert_int_equal(kr_server_new(&second, b.m, &(kr_server_options){.host = "no such host"}), KR_ERR_ARG);
    assert_int_equal(kr_server_new(&second, b.m, &(kr_server_options){.tls_cert = "a", .tls_key = "b"}), KR_ERR_IO);
    assert_int_equal(kr_server_new(&second, b.m, &(kr_server_options){.tls_cert = "a"}), KR_ERR_ARG);
    begin(&b);
    end(&b);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_completions), cmocka_unit_test(test_grammars), cmocka_unit_test(test_chats), cmocka_unit_test(test_refusals), cmocka_unit_test(test_texts), cmocka_unit_test(test_queue), cmocka_unit_test(test_retry_seconds),
                                       cmocka_unit_test(test_drafts), cmocka_unit_test(test_leaving), cmocka_unit_test(test_left_embeddings), cmocka_unit_test(test_left_at_work), cmocka_unit_test(test_drain), cmocka_unit_test(test_memory), cmocka_unit_test(test_unix)};
#ifndef KR_WITH_SERVER
    puts("check_serve: skipped, this build has no server (libmicrohttpd)");
    return 77;
#endif
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
