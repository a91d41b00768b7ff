/* ask.c - the fields of a request: one table of the plain ones, and the others one by one.
 *
 * A field that is null is one that is not there.  A field that nobody knows is refused, as it is
 * most often a known one misspelt; so is one that would change what is written and that we do not have. */
#include "serve/ask.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "serve/named.h"

typedef enum field_type { REAL, COUNT, FLAG } field_type;
enum { COMPLETION = 1, CHAT = 2, BOTH = 3 };
typedef struct plain { const char *name; field_type type; int where; size_t at; double def, min, max; } plain;

static const plain fields[] = {
#define AT(member) offsetof(kr_ask, member)
    {"temperature", REAL, BOTH, AT(temperature), 1, 0, 100},
    {"top_p", REAL, BOTH, AT(top_p), 1, 0, 1},
    {"top_k", COUNT, BOTH, AT(top_k), 0, 0, 1e9},
    {"min_p", REAL, BOTH, AT(min_p), 0, 0, 1},
    {"typical_p", REAL, BOTH, AT(typical_p), 0, 0, 1},
    {"top_n_sigma", REAL, BOTH, AT(top_n_sigma), 0, 0, 1e3},
    {"xtc_probability", REAL, BOTH, AT(xtc_probability), 0, 0, 1},
    {"xtc_threshold", REAL, BOTH, AT(xtc_threshold), 0.1, 0, 1},
    {"repetition_penalty", REAL, BOTH, AT(repetition_penalty), 1, 1e-3, 1e3},
    {"repeat_penalty", REAL, BOTH, AT(repetition_penalty), NAN, 1e-3, 1e3}, /* llama.cpp's name */
    {"frequency_penalty", REAL, BOTH, AT(frequency_penalty), 0, -100, 100},
    {"presence_penalty", REAL, BOTH, AT(presence_penalty), 0, -100, 100},
    {"mirostat_tau", REAL, BOTH, AT(mirostat_tau), 0, 0, 100},
    {"mirostat_eta", REAL, BOTH, AT(mirostat_eta), 0.1, 0, 10},
    {"dry_multiplier", REAL, BOTH, AT(dry_multiplier), 0, 0, 1e3},
    {"dry_base", REAL, BOTH, AT(dry_base), 1.75, 1, 100},
    {"dry_allowed_length", COUNT, BOTH, AT(dry_allowed_length), 2, 0, 1e9},
    {"dry_penalty_last_n", COUNT, BOTH, AT(dry_penalty_last_n), 1024, 0, 4096},
    {"draft", COUNT, BOTH, AT(draft), 15, 0, 15},
    {"min_tokens", COUNT, BOTH, AT(min_tokens), 0, 0, 1e9},
    {"n", COUNT, BOTH, AT(n), 1, 1, 1e6},
    {"seed", COUNT, BOTH, AT(seed), NAN, -9.2e18, 9.2e18},
    {"stream", FLAG, BOTH, AT(stream), 0, 0, 1},
    {"ignore_eos", FLAG, BOTH, AT(ignore_eos), 0, 0, 1},
    {"cache_prompt", FLAG, BOTH, AT(cache_prompt), 1, 0, 1},
    {"max_tokens", COUNT, BOTH, AT(max_tokens), NAN, 1, 1e15},
    {"continue_final_message", FLAG, CHAT, AT(continue_final), 0, 0, 1},
    {"max_completion_tokens", COUNT, CHAT, AT(max_tokens), NAN, 1, 1e15},
    {"logprobs", COUNT, COMPLETION, AT(n_top), NAN, 0, 20},
    {"logprobs", FLAG, CHAT, AT(logprobs), 0, 0, 1},
    {"top_logprobs", COUNT, CHAT, AT(n_top), NAN, 0, 20},
#undef AT
};
enum { N_FIELDS = sizeof fields / sizeof *fields };

/* Read elsewhere in this file or by the routes. */
static const char *const others[] = {"model", "prompt", "messages", "stop", "stop_token_ids", "logit_bias", "stream_options", "grammar", "json_schema",
                                     "response_format", "state", "save_state", NULL};
/* Say nothing about what is written. */
static const char *const ignored[] = {"user", "store", "metadata", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "parallel_tool_calls",
                                      "reasoning_effort", "verbosity", NULL};
/* Refused unless they say what is the case anyway. */
static const struct { const char *name, *why; } refused[] = {
    {"echo", "the prompt is not sent back; put it before the answer yourself"}, {"suffix", "no model here writes what comes before a text"},
    {"best_of", "ask for n answers with logprobs and choose"}, {"tools", "tools are not supported"}, {"tool_choice", "tools are not supported"},
    {"functions", "functions are not supported"}, {"function_call", "functions are not supported"}, {"modalities", "text is all there is"},
    {"audio", "text is all there is"}, {"prediction", "predicted outputs are not supported"}, {"web_search_options", "nothing is searched"}, {NULL, NULL}};

static bool among(const char *const *list, const char *name) {
    for (; *list; list++)
        if (strcmp(*list, name) == 0) return true;
    return false;
}

static const char *kind_of(const json_t *j) {
    static const char *const kinds[] = {"an object", "a list", "a text", "a number", "a number", "true", "false", "null"};
    return kinds[json_typeof(j)];
}

#define REFUSE(a, param, ...) return kr_refuse((a)->x, 400, param, "invalid_value", __VA_ARGS__), false

static bool read_field(kr_ask *a, const plain *f, const json_t *j) {
    double v = f->type == FLAG ? json_is_true(j) : json_number_value(j);
    void *to = (char *)a + f->at;
    if (f->type == FLAG ? !json_is_boolean(j) : f->type == COUNT ? !json_is_integer(j) && !(json_is_real(j) && v == floor(v)) : !json_is_number(j))
        REFUSE(a, f->name, "%s is %s, want %s.", f->name, kind_of(j), f->type == FLAG ? "true or false" : f->type == COUNT ? "a whole number" : "a number");
    if (!(v >= f->min && v <= f->max)) REFUSE(a, f->name, "%s is %.12g, want %.12g to %.12g.", f->name, v, f->min, f->max);
    if (f->type == REAL) *(double *)to = v;
    else if (f->type == FLAG) *(bool *)to = json_is_true(j);
    else *(int64_t *)to = json_is_integer(j) ? json_integer_value(j) : (int64_t)v;
    return true;
}

static const plain *find_field(const char *name, int where) {
    for (int i = 0; i < N_FIELDS; i++)
        if ((fields[i].where & where) && strcmp(fields[i].name, name) == 0) return &fields[i];
    return NULL;
}

/* Edits between two short names, as far as they matter. */
static int distance(const char *a, const char *b) {
    int row[40], n = (int)strlen(b);
    if (n > 38 || strlen(a) > 38) return 99;
    for (int j = 0; j <= n; j++) row[j] = j;
    for (int i = 1; *a; a++, i++)
        for (int j = 1, corner = row[0]++; j <= n; j++) {
            int d = corner + (*a != b[j - 1]);
            corner = row[j];
            if (row[j] + 1 < d) d = row[j] + 1;
            if (row[j - 1] + 1 < d) d = row[j - 1] + 1;
            row[j] = d;
        }
    return row[n];
}

static bool refuse_unknown(kr_ask *a, const char *name) {
    const char *best = NULL;
    int least = 3;
    for (int i = 0; i < N_FIELDS; i++)
        if ((fields[i].where & (a->chat ? CHAT : COMPLETION)) && distance(name, fields[i].name) < least) least = distance(name, fields[i].name), best = fields[i].name;
    for (int i = 0; others[i]; i++)
        if (distance(name, others[i]) < least) least = distance(name, others[i]), best = others[i];
    kr_refuse(a->x, 400, name, "unknown_parameter", best ? "There is no parameter %.60s; did you mean %s?" : "There is no parameter %.60s.%s", name, best ? best : "");
    return false;
}

static bool says_nothing(const char *name, const json_t *j) {
    const char *text = json_string_value(j);
    if (json_is_false(j) || (json_is_array(j) && json_array_size(j) == 0)) return true;
    if (strcmp(name, "best_of") == 0) return json_is_integer(j) && json_integer_value(j) == 1;
    if (strcmp(name, "suffix") == 0) return text && !*text;
    if (strcmp(name, "tool_choice") == 0 || strcmp(name, "function_call") == 0) return text && strcmp(text, "none") == 0;
    return strcmp(name, "modalities") == 0 && json_array_size(j) == 1 && strcmp(json_string_value(json_array_get(j, 0)) ? json_string_value(json_array_get(j, 0)) : "", "text") == 0;
}

static bool read_fields(kr_ask *a) {
    const char *name;
    json_t *j;
    for (int i = 0; i < N_FIELDS; i++) {
        const plain *f = &fields[i];
        void *to = (char *)a + f->at;
        if (isnan(f->def)) continue;
        if (f->type == REAL) *(double *)to = f->def;
        else if (f->type == FLAG) *(bool *)to = f->def != 0;
        else *(int64_t *)to = (int64_t)f->def;
    }
    a->n_top = a->max_tokens = -1;
    a->seed = -1;
    json_object_foreach(a->body, name, j) {
        const plain *f = find_field(name, a->chat ? CHAT : COMPLETION);
        if (!json_is_null(j) && strcmp(name, a->chat ? "prompt" : "messages") == 0) {
            kr_refuse(a->x, 400, name, "unknown_parameter", a->chat ? "A chat takes messages, not a prompt." : "A completion takes a prompt, not messages.");
            return false;
        }
        if (json_is_null(j) || among(others, name) || among(ignored, name)) continue;
        if (f) {
            if (!read_field(a, f, j)) return false;
            continue;
        }
        int i = 0;
        while (refused[i].name && strcmp(refused[i].name, name) != 0) i++;
        if (!refused[i].name) return refuse_unknown(a, name);
        if (!says_nothing(name, j)) {
            kr_refuse(a->x, 400, name, "unsupported_parameter", "%s is not supported: %s.", name, refused[i].why);
            return false;
        }
    }
    return true;
}

/* NULL: not there. */
static json_t *get(const kr_ask *a, const char *name) {
    json_t *j = json_object_get(a->body, name);
    return json_is_null(j) ? NULL : j;
}

static bool out_of_memory(kr_ask *a) { return kr_refuse_status(a->x, KR_ERR_NOMEM, NULL), false; }

bool kr_ask_model(kr_ask *a) {
    const kr_server *s = kr_server_of(a->x);
    const json_t *j = get(a, "model");
    if (!j) return true;
    if (!json_is_string(j)) REFUSE(a, "model", "model is %s, want a text.", kind_of(j));
    if (strcmp(json_string_value(j), s->name) == 0) return true;
    kr_refuse(a->x, 404, "model", "model_not_found", "The model \"%.200s\" does not exist; this server has \"%s\".", json_string_value(j), s->name);
    return false;
}

static bool read_stops(kr_ask *a) {
    json_t *j = get(a, "stop"), *ids = get(a, "stop_token_ids");
    size_t n = json_is_array(j) ? json_array_size(j) : j ? 1 : 0;
    if (n > 64 - KR_ASK_MORE_STOPS) REFUSE(a, "stop", "stop has %zu texts, want at most %d.", n, 64 - KR_ASK_MORE_STOPS);
    if (!(a->stop = kr_mem_array(n + KR_ASK_MORE_STOPS, sizeof *a->stop))) return out_of_memory(a);
    for (size_t i = 0; i < n; i++) {
        const json_t *t = json_is_array(j) ? json_array_get(j, i) : j;
        if (!json_is_string(t)) REFUSE(a, "stop", "stop holds %s, want texts.", kind_of(t));
        if (json_string_length(t) == 0 || json_string_length(t) > 4096) REFUSE(a, "stop", "A text of stop has %zu bytes, want 1 to 4096.", json_string_length(t));
        a->stop[a->n_stop++] = json_string_value(t);
    }
    n = json_array_size(ids);
    if (ids && (!json_is_array(ids) || n > 1024)) REFUSE(a, "stop_token_ids", "stop_token_ids wants a list of at most 1024 token ids.");
    if (!(a->stop_tok = kr_mem_array(n + KR_ASK_MORE_STOPS, sizeof *a->stop_tok))) return out_of_memory(a);
    for (size_t i = 0; i < n; i++) {
        json_int_t id = json_integer_value(json_array_get(ids, i));
        if (!json_is_integer(json_array_get(ids, i)) || id < 0 || id >= kr_model_vocab_size(kr_server_of(a->x)->model))
            REFUSE(a, "stop_token_ids", "stop_token_ids holds what is no token id.");
        a->stop_tok[a->n_stop_tok++] = (int32_t)id;
    }
    return true;
}

/* {"token id": bias}; -100, as OpenAI has it, is never. */
static bool read_bias(kr_ask *a) {
    json_t *map = get(a, "logit_bias"), *j;
    const kr_model *m = kr_server_of(a->x)->model;
    const char *id;
    size_t n = json_object_size(map);
    if (map && (!json_is_object(map) || n > 4096)) REFUSE(a, "logit_bias", "logit_bias wants an object of at most 4096 token ids, {\"id\": bias}.");
    if (!(a->bias = kr_mem_array(n + 1, sizeof *a->bias))) return out_of_memory(a);
    json_object_foreach(map, id, j) {
        char *end;
        long long tok = strtoll(id, &end, 10);
        double x = json_number_value(j);
        if (end == id || *end || tok < 0 || tok >= kr_model_vocab_size(m)) REFUSE(a, "logit_bias", "logit_bias: \"%.40s\" is no token id of this model.", id);
        if (!json_is_number(j) || !(fabs(x) <= 100)) REFUSE(a, "logit_bias", "logit_bias of token %lld wants a number from -100 to 100.", tok);
        a->bias[a->n_bias++] = (kr_logit_bias){(int32_t)tok, x <= -100 ? -INFINITY : (float)x};
    }
    if (a->ignore_eos) a->bias[a->n_bias++] = (kr_logit_bias){(int32_t)m->config.eos_token_id, -INFINITY};
    if (a->ignore_eos && m->config.eos_token_id < 0) a->n_bias--;
    return true;
}

static bool use_schema(kr_ask *a, const json_t *schema, const char *param) {
    kr_str text = {0};
    if (!json_is_object(schema) && !json_is_boolean(schema)) REFUSE(a, param, "%s wants a JSON schema, an object.", param);
    kr_str_append_json_value(&text, schema);
    kr_status st = kr_str_status(&text);
    if (st == KR_OK) st = kr_grammar_from_schema(&a->grammar, kr_server_of(a->x)->model, text.text, (int64_t)text.n);
    kr_str_free(&text);
    if (st != KR_OK) kr_refuse_status(a->x, st, param);
    return st == KR_OK;
}

/* At most one of: grammar (GBNF), json_schema, response_format. */
static bool read_grammar(kr_ask *a) {
    json_t *gbnf = get(a, "grammar"), *schema = get(a, "json_schema"), *format = get(a, "response_format");
    const char *type = json_string_value(json_object_get(format, "type"));
    if (format && !type) REFUSE(a, "response_format", "response_format wants an object with a type: text, json_object or json_schema.");
    if (type && strcmp(type, "text") == 0) format = NULL;
    if (!!gbnf + !!schema + !!format > 1) REFUSE(a, "response_format", "grammar, json_schema and response_format exclude each other.");
    if (gbnf) {
        if (!json_is_string(gbnf)) REFUSE(a, "grammar", "grammar is %s, want a text in GBNF.", kind_of(gbnf));
        kr_status st = kr_grammar_new(&a->grammar, kr_server_of(a->x)->model, json_string_value(gbnf), (int64_t)json_string_length(gbnf));
        if (st != KR_OK) kr_refuse_status(a->x, st, "grammar");
        return st == KR_OK;
    }
    if (schema) return use_schema(a, schema, "json_schema");
    if (!format) return true;
    if (strcmp(type, "json_object") == 0) {
        json_t *any = json_pack("{s:s}", "type", "object");
        bool ok = any ? use_schema(a, any, "response_format") : out_of_memory(a);
        json_decref(any);
        return ok;
    }
    if (strcmp(type, "json_schema") != 0) REFUSE(a, "response_format", "response_format.type is \"%.40s\", want text, json_object or json_schema.", type);
    schema = json_object_get(format, "json_schema");
    return use_schema(a, json_object_get(schema, "schema") ? json_object_get(schema, "schema") : json_object_get(format, "schema"), "response_format");
}

static bool read_stream_options(kr_ask *a) {
    json_t *o = get(a, "stream_options"), *j;
    const char *name;
    if (!o) return true;
    if (!json_is_object(o)) REFUSE(a, "stream_options", "stream_options is %s, want an object.", kind_of(o));
    if (!a->stream) REFUSE(a, "stream_options", "stream_options go with stream: true.");
    json_object_foreach(o, name, j) {
        if (strcmp(name, "include_usage") == 0 && json_is_boolean(j)) a->include_usage = json_is_true(j);
        else if (strcmp(name, "include_obfuscation") != 0 && !json_is_null(j)) REFUSE(a, "stream_options", "stream_options takes include_usage, true or false.");
    }
    return true;
}

bool kr_ask_open(kr_ask *a, kr_exchange *x, bool chat) { return kr_ask_open_body(a, x, chat, kr_exchange_json(x)); }

bool kr_ask_open_body(kr_ask *a, kr_exchange *x, bool chat, json_t *body) {
    const kr_server *s = kr_server_of(x);
    *a = (kr_ask){.x = x, .chat = chat, .most = s->opt.max_n, .body = body};
    if (!body) return false;
    if (!kr_ask_model(a) || !read_fields(a) || !read_stops(a) || !read_bias(a) || !read_stream_options(a)) return false;
    const char *most = json_number_value(get(a, "max_tokens")) > (double)s->opt.max_tok || !chat ? "max_tokens" : "max_completion_tokens";
    if (a->max_tokens > s->opt.max_tok) REFUSE(a, most, "%s is %lld, more than the %lld that this server writes at most.", most, (long long)a->max_tokens, (long long)s->opt.max_tok);
    a->max_tokens_given = a->max_tokens >= 0;
    if (a->max_tokens < 0) a->max_tokens = chat || s->opt.max_tok < 16 ? s->opt.max_tok : 16; /* OpenAI's defaults */
    if (a->n > a->most) REFUSE(a, "n", "n is %lld, more than the %lld answers that this server gives at most.", (long long)a->n, (long long)a->most);
    if (chat && a->n_top >= 0 && !a->logprobs) REFUSE(a, "top_logprobs", "top_logprobs goes with logprobs: true.");
    if (!chat) a->logprobs = a->n_top >= 0;
    if (a->n_top < 0) a->n_top = 0;
    if (!get(a, "seed") && getrandom(&a->seed, sizeof a->seed, GRND_NONBLOCK) != sizeof a->seed) a->seed = (int64_t)x->client;
    return read_grammar(a) && kr_ask_states(a);
}

void kr_ask_close(kr_ask *a) {
    for (int64_t i = 0; i < a->n_prompt; i++) kr_mem_free(a->prompt[i].tok);
    kr_mem_free(a->prompt);
    kr_mem_free(a->stop);
    kr_mem_free(a->stop_tok);
    kr_mem_free(a->bias);
    kr_grammar_free(a->grammar);
    kr_snapshot_free(a->from);
    json_decref(a->body);
}

/* --- prompts -------------------------------------------------------------------------------------------- */

/* Of n tokens, or of those given, which become its own. */
static kr_prompt *new_prompt(kr_ask *a, int64_t n, kr_ids *ids) {
    kr_prompt *more = kr_mem_resize(a->prompt, (size_t)(a->n_prompt + 1) * sizeof *more);
    if (!more) return NULL;
    a->prompt = more;
    more[a->n_prompt] = (kr_prompt){ids ? ids->tok : kr_mem_array((size_t)n + 1, sizeof(int32_t)), n};
    if (ids) ids->tok = NULL;
    return more[a->n_prompt].tok ? &more[a->n_prompt++] : NULL;
}

static bool small_enough(kr_ask *a, const char *param, int64_t n) {
    int64_t most = kr_server_of(a->x)->opt.max_prompt;
    if (n == 0 && !a->from) REFUSE(a, param, "%s has no tokens, want at least one.", param);
    if (n > most) REFUSE(a, param, "%s has %lld tokens, more than the %lld that this server reads at most.", param, (long long)n, (long long)most);
    return true;
}

static int64_t encode(const kr_ask *a, const char *text, size_t n_bytes, int32_t *tok, int64_t cap) {
    const kr_server *s = kr_server_of(a->x);
    if (a->from) return kr_encode_on(s->model, text, (int64_t)n_bytes, tok, cap);
    return a->chat ? kr_chat_encode(s->opt.chat, s->model, text, (int64_t)n_bytes, tok, cap) : kr_encode(s->model, text, (int64_t)n_bytes, tok, cap);
}

bool kr_ask_add_text(kr_ask *a, const char *param, const char *text, size_t n_bytes) {
    int64_t n = encode(a, text, n_bytes, NULL, 0);
    if (n < 0) {
        kr_refuse(a->x, 400, param, "no_tokenizer", "%s; send token ids.", kr_error());
        return false;
    }
    if (!small_enough(a, param, n)) return false;
    kr_prompt *p = new_prompt(a, n, NULL);
    if (!p) return out_of_memory(a);
    encode(a, text, n_bytes, p->tok, n);
    return true;
}

bool kr_ask_tokens(kr_ask *a, const char *param, const json_t *list) {
    kr_ids *ids = kr_exchange_ids(a->x, list);
    int64_t n = ids ? ids->n : (int64_t)json_array_size(list), V = kr_model_vocab_size(kr_server_of(a->x)->model);
    if (!json_is_array(list)) REFUSE(a, param, "%s is %s, want a list of token ids.", param, list ? kind_of(list) : "missing");
    if (!small_enough(a, param, n)) return false;
    kr_prompt *p = new_prompt(a, n, ids);
    if (!p) return out_of_memory(a);
    for (int64_t i = 0; i < n; i++) {
        const json_t *j = ids ? NULL : json_array_get(list, (size_t)i);
        json_int_t id = ids ? p->tok[i] : json_integer_value(j);
        if ((!ids && !json_is_integer(j)) || id < 0 || id >= V) REFUSE(a, param, "%s: item %lld is no token id; ids are 0 to %lld.", param, (long long)i, (long long)V - 1);
        p->tok[i] = (int32_t)id;
    }
    return true;
}

bool kr_ask_prompts(kr_ask *a, const char *param) {
    json_t *j = get(a, param), *first = json_array_get(j, 0);
    int64_t n = (int64_t)json_array_size(j);
    if (!j && a->from) return kr_ask_add_text(a, param, "", 0);
    if (json_is_string(j)) return kr_ask_add_text(a, param, json_string_value(j), json_string_length(j));
    if (!json_is_array(j) || n == 0) REFUSE(a, param, "%s is %s, want a text, a list of token ids, or a list of either.", param, j ? json_is_array(j) ? "an empty list" : kind_of(j) : "missing");
    if (json_is_integer(first) || kr_exchange_ids(a->x, j)) return kr_ask_tokens(a, param, j);
    if (n * a->n > a->most) REFUSE(a, param, "%s asks for %lld answers, more than the %lld that this server gives at most.", param, (long long)(n * a->n), (long long)a->most);
    for (int64_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(j, (size_t)i);
        if (json_is_string(one) ? !kr_ask_add_text(a, param, json_string_value(one), json_string_length(one)) : !kr_ask_tokens(a, param, one)) return false;
    }
    return true;
}

void kr_ask_request(const kr_ask *a, int64_t i, int64_t k, kr_request_options *o) {
    *o = (kr_request_options){
        .prompt = a->prompt[i].tok, .n_prompt = a->prompt[i].n, .max_tok = a->max_tokens, .stop = a->stop, .n_stop = a->n_stop, .stop_tok = a->stop_tok,
        .n_stop_tok = a->n_stop_tok, .grammar = a->grammar, .logprobs = a->logprobs, .n_top = a->n_top, .n_draft = a->draft ? a->draft : -1, .no_cache = !a->cache_prompt, .client = a->x->client, .from = a->from, .keep_state = a->save_state != NULL, .in_turn = a->chat,
        .sampler = {.temperature = (float)a->temperature, .top_k = a->top_k, .top_p = a->top_p >= 1 ? 0 : (float)a->top_p, .min_p = (float)a->min_p,
                    .repetition_penalty = (float)a->repetition_penalty, .seed = (uint64_t)a->seed + (uint64_t)k, .typical_p = a->typical_p >= 1 ? 0 : (float)a->typical_p,
                    .top_n_sigma = (float)a->top_n_sigma, .xtc_probability = (float)a->xtc_probability, .xtc_threshold = (float)a->xtc_threshold,
                    .frequency_penalty = (float)a->frequency_penalty, .presence_penalty = (float)a->presence_penalty, .mirostat_tau = (float)a->mirostat_tau,
                    .mirostat_eta = (float)a->mirostat_eta, .dry_multiplier = (float)a->dry_multiplier, .dry_base = (float)a->dry_base,
                    .dry_allowed = a->dry_allowed_length, .dry_range = a->dry_penalty_last_n, .bias = a->bias, .n_bias = a->n_bias, .min_tok = a->min_tokens}};
    if (a->top_p <= 0) o->sampler.temperature = 0; /* of no probability: the likeliest alone */
}
