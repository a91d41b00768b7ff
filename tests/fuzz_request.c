/* fuzz_request.c - bodies of requests to write, as they come from the network: refused in OpenAI's words, or tokens and options
 * that the engine takes.  The first byte: 'c' is a chat's. */
#include "fuzz.h"

#include <string.h>

#include "base/json.h"
#include "infer/session.h"
#include "krait/chat.h"
#include "serve/named.h"

static const char *const seeds[] = {
    "p{\"prompt\": \"Once upon a time\", \"max_tokens\": 20, \"temperature\": 0.7, \"top_p\": 0.9, \"top_k\": 40, \"seed\": 7, \"stream\": true, \"stream_options\": {\"include_usage\": true}}",
    "p{\"prompt\": [\"a\", [1, 2, 255], \"\\u00e9\\ud83d\\ude00\"], \"n\": 2, \"stop\": [\"\\n\", \"end\"], \"stop_token_ids\": [0, 10], \"logprobs\": 5, \"logit_bias\": {\"65\": -100, \"66\": 2.5}}",
    "p{\"prompt\": [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 255], \"a\", [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15]], \"stop\": \"[\"}",
    "p{\"prompt\": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 256], \"x\": [null, 0]}",
    "p{\"model\": \"krait\", \"prompt\": [72, 101], \"min_p\": 0.05, \"typical_p\": 0.9, \"mirostat_tau\": 5, \"dry_multiplier\": 0.8, \"xtc_probability\": 0.1, \"min_tokens\": 3}",
    "p{\"prompt\": \"{\", \"grammar\": \"root ::= [a-z]+\"}",
    "p{\"prompt\": \"{\", \"response_format\": {\"type\": \"json_schema\", \"json_schema\": {\"name\": \"x\", \"schema\": {\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"integer\"}}}}}}",
    "p{\"prompt\": \"a\", \"state\": \"doc\", \"save_state\": \"..\", \"frequency_penalty\": 0.5, \"presence_penalty\": -1, \"echo\": false, \"user\": \"u\"}",
    "c{\"messages\": [{\"role\": \"system\", \"content\": \"Be brief.\"}, {\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"hi\"}]}], \"logprobs\": true, \"top_logprobs\": 3, \"max_completion_tokens\": 5}",
};
const long fuzz_inputs = 40000;
const char *const fuzz_words[] = {"\"prompt\":", "\"n\":", "\"stop\":", "\"logit_bias\":", "\"max_tokens\":", "\"seed\":", "\"state\":", "\"save_state\":", "\"grammar\":", "\"response_format\":",
                                  "\"json_schema\":", "\"type\": \"json_object\"", "\"stream\": true", "null", "true", "[", "]", "{", "}", "-1", "1e308", "\"\\u0000\"", "\"\\ud800\"", "\xff", ",", NULL};

size_t fuzz_seed(int i, uint8_t *to, size_t room) {
    return i < (int)(sizeof seeds / sizeof *seeds) ? fuzz_text(seeds[i], to, room) : 0;
}

/* 256 tokens of a byte each; no weights, no engine, no states. */
static kr_server *bytes_server(void) {
    static const char config[] = "{\"model_type\": \"krait\", \"d_model\": 4, \"n_layer\": 1, \"vocab_size\": 256, \"mixer\": {\"type\": \"mamba1\", \"d_state\": 2}}";
    static kr_server s = {.opt = {.max_tok = 4096, .max_prompt = 1000, .max_n = 64}, .name = "krait"};
    kr_chat *chat;
    FUZZ_MUST(kr_chat_open(&chat, NULL, "chatml") == KR_OK);
    s.opt.chat = chat;
    kr_model *m;
    json_t *j;
    FUZZ_MUST(kr_json_parse(&j, config, sizeof config - 1, "config") == KR_OK);
    FUZZ_MUST(kr_model_describe(&m, j, "config", KR_F32, NULL) == KR_OK);
    json_decref(j);
    s.model = m;
    return &s;
}

/* A refusal is one JSON object with a message, whatever was in the request. */
static void check_refusal(const kr_exchange *x) {
    json_t *j;
    FUZZ_MUST(x->status >= 400 && x->status < 600);
    FUZZ_MUST(kr_json_parse(&j, kr_str_text(&x->out), x->out.n, "refusal") == KR_OK);
    const char *message = json_string_value(json_object_get(json_object_get(j, "error"), "message"));
    FUZZ_MUST(message && *message);
    json_decref(j);
}

static void check_request(const kr_ask *a) {
    for (int64_t i = 0; i < a->n_prompt; i++) {
        kr_request_options o;
        kr_ask_request(a, i, a->n - 1, &o);
        FUZZ_MUST(o.n_prompt > 0 && o.n_prompt <= 1000 && o.max_tok > 0 && o.max_tok <= 4096);
        for (int64_t k = 0; k < o.n_prompt; k++) FUZZ_MUST(o.prompt[k] >= 0 && o.prompt[k] < 256);
        FUZZ_MUST(kr_sampler_check(&o.sampler, 256) == KR_OK || *kr_error());
        FUZZ_MUST(!a->state && !a->save_state && !o.from);
    }
    FUZZ_MUST(a->n >= 1 && a->n * a->n_prompt <= 64);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static kr_server *s;
    if (n == 0 || n > 20000) return 0;
    if (!s) s = bytes_server();
    int64_t live = kr_mem_get_stats().n_live;
    kr_exchange x = {.user = s, .status = 200};
    kr_ask a;
    kr_str_append_n(&x.body, data + 1, n - 1);
    bool ok = kr_ask_open(&a, &x, *data == 'c') && (*data == 'c' ? kr_ask_messages(&a, true) : kr_ask_prompts(&a, "prompt"));
    if (!ok) check_refusal(&x);
    else check_request(&a);
    kr_ask_close(&a);
    kr_exchange_drop_body(&x);
    kr_str_free(&x.out);
    FUZZ_MUST(kr_mem_get_stats().n_live == live);
    return 0;
}
