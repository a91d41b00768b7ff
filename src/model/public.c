/* public.c - what krait.h promises of models and bytes. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "krait.h"
#include "model/gguf.h"
#include "model/model.h"

const char *kr_version(void) { return KRAIT_VERSION; }

/* Of a word: any type that weights are stored in. */
static kr_status dtype_of(const char *word, kr_dtype *t) {
    static const kr_dtype types[] = {KR_F32, KR_BF16, KR_F16, KR_Q8_0, KR_Q6_K, KR_Q4_K, KR_Q4_0};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(word, kr_dtype_text(*t = types[i])) == 0) return KR_OK;
    KR_FAIL(KR_ERR_ARG, "dtype is \"%s\", want float32, bfloat16, float16, q8_0, q6_k, q4_k or q4_0", word);
}

kr_status kr_model_open(kr_model **out, const char *path, const kr_model_options *opt) {
    kr_dtype t = KR_AS_STORED;
    if (opt && opt->dtype) KR_TRY(dtype_of(opt->dtype, &t));
    if (opt && opt->mapped && opt->woven) KR_FAIL(KR_ERR_ARG, "weights cannot be both mapped and woven");
    kr_weaving weave = !opt ? KR_WEAVE_BLOCKS : opt->mapped ? KR_WEAVE_NONE : opt->woven ? KR_WEAVE_ALL : KR_WEAVE_BLOCKS;
    if (opt && (opt->context < 0 || opt->context > INT32_MAX)) KR_FAIL(KR_ERR_ARG, "the context is %lld, want 1 to %d steps", (long long)opt->context, INT32_MAX);
    KR_TRY(kr_model_load_woven(out, path, weave, t, opt ? opt->device : NULL));
    if (opt && opt->context) kr_model_set_context(*out, opt->context);
    return KR_OK;
}

static kr_status convert_to_gguf(const char *from, const char *to, kr_dtype t) {
    kr_model *m;
    if (kr_file_exists(to)) KR_FAIL(KR_ERR_CONFIG, "%s is there already; choose another name", to);
    KR_TRY(kr_model_load(&m, from, false, KR_AS_STORED, NULL));
    kr_status st = kr_gguf_save(m, to, t);
    kr_model_release(m);
    return st;
}

kr_status kr_model_convert(const char *from, const char *to, const char *dtype) {
    char path[4096];
    kr_model *m;
    kr_dtype t;
    KR_TRY(dtype_of(dtype, &t));
    if (strlen(to) > 5 && strcmp(to + strlen(to) - 5, ".gguf") == 0) return convert_to_gguf(from, to, t);
    KR_TRY(kr_path_join(path, sizeof path, to, "config.json"));
    if (kr_file_exists(path)) KR_FAIL(KR_ERR_CONFIG, "%s is there already; choose another folder", path);
    KR_TRY(kr_model_load(&m, from, false, KR_AS_STORED, NULL));
    kr_status st = kr_model_save(m, to, t);
    kr_model_release(m);
    return st;
}

const char *kr_model_gguf_obstacle(const kr_model *m) { return kr_gguf_obstacle(m); }
void kr_model_free(kr_model *m) { kr_model_release(m); }
int64_t kr_model_vocab_size(const kr_model *m) { return m->config.vocab_size; }

bool kr_model_param(const kr_model *m, int64_t i, const char **name, int *n_dims, int64_t dim[6], bool *decays) {
    const kr_param *p = m->params->first;
    while (p && i-- > 0) p = p->next;
    if (!p) return false;
    *name = p->name;
    *n_dims = p->n_dims;
    memcpy(dim, p->dim, sizeof p->dim);
    *decays = !p->no_decay;
    return true;
}

static int64_t encode_bytes(const kr_model *m, const char *text, int64_t n_bytes, int32_t *tok, int64_t cap) {
    int64_t n = n_bytes < 0 ? (int64_t)strlen(text) : n_bytes;
    if (*m->no_tokenizer) return kr_fail(KR_ERR_MISSING, "this model's tokenizer is not read: %s", m->no_tokenizer);
    if (!kr_model_is_bytes(m)) return kr_fail(KR_ERR_MISSING, "this model has %lld tokens and its folder no tokenizer.json; without one Krait reads bytes (256)", (long long)m->config.vocab_size);
    for (int64_t i = 0; i < n && i < cap; i++) tok[i] = (unsigned char)text[i];
    return n;
}

int64_t kr_encode(const kr_model *m, const char *text, int64_t n_bytes, int32_t *tok, int64_t cap) {
    return m->tokenizer ? kr_tokenizer_encode(m->tokenizer, text, n_bytes, tok, cap) : encode_bytes(m, text, n_bytes, tok, cap);
}

int64_t kr_encode_on(const kr_model *m, const char *text, int64_t n_bytes, int32_t *tok, int64_t cap) {
    return m->tokenizer ? kr_tokenizer_encode_on(m->tokenizer, text, n_bytes, tok, cap) : encode_bytes(m, text, n_bytes, tok, cap);
}

const char *kr_token_text(const kr_model *m, int32_t tok, int64_t *n_bytes) {
#define FOUR(i) {(char)(i)}, {(char)((i) + 1)}, {(char)((i) + 2)}, {(char)((i) + 3)}
#define SIXTEEN(i) FOUR(i), FOUR((i) + 4), FOUR((i) + 8), FOUR((i) + 12)
#define SIXTY_FOUR(i) SIXTEEN(i), SIXTEEN((i) + 16), SIXTEEN((i) + 32), SIXTEEN((i) + 48)
    static const char bytes[256][2] = {SIXTY_FOUR(0), SIXTY_FOUR(64), SIXTY_FOUR(128), SIXTY_FOUR(192)};
#undef FOUR
#undef SIXTEEN
#undef SIXTY_FOUR
    if (m->tokenizer) return kr_tokenizer_text(m->tokenizer, tok, n_bytes);
    if (!kr_model_is_bytes(m) || tok < 0 || tok > 255) return NULL;
    if (n_bytes) *n_bytes = 1;
    return bytes[tok];
}

/* --- krait info ----------------------------------------------------------------------------- */

static kr_status plan_memory(kr_model *m, kr_model_graph_options o, kr_graph_memory *out) {
    kr_graph *g;
    KR_TRY(kr_model_graph(m, &o, &g));
    *out = kr_graph_get_memory(g);
    kr_graph_free(g);
    return KR_OK;
}

static kr_status fill_info(kr_model *m, int64_t S, int64_t L, int64_t context, bool recompute, kr_model_info *i) {
    const kr_config *c = &m->config;
    kr_graph_memory train, infer = {0};
    L = kr_model_steps(m, L);
    *i = (kr_model_info){.dialect = c->dialect, .encoder = c->encoder->name, .order = c->order->name, .mixer = c->pattern[0].part[0].part->name, .head = c->head->name,
                         .d_model = c->d_model, .n_layer = c->n_layer, .vocab_size = c->vocab_size, .n_params = m->params->n_elements,
                         .causal = c->causal, .weights_bytes = (int64_t)kr_params_bytes(m->params), .S = S, .L = L};
    KR_TRY(plan_memory(m, (kr_model_graph_options){.mode = KR_MODEL_TRAIN, .S = S, .L = L, .checkpoint = recompute}, &train));
    const kr_model_graph_options one = {.mode = KR_MODEL_LAST, .S = 1, .L = 1, .stateful = true};
    bool by_steps = c->causal && c->head->causal;
    if ((i->context = kr_model_context(m)) > 0 && context > 0) kr_model_set_context(m, i->context = context); /* the model is here for its sizes only */
    if (by_steps) KR_TRY(plan_memory(m, one, &infer));
    i->gradients_bytes = 4 * i->n_params;
    i->optimizer_bytes = (int64_t)kr_params_train_bytes(m->params) - i->gradients_bytes;
    i->train_activations_bytes = (int64_t)train.activations, i->train_saved_bytes = (int64_t)train.saved;
    i->train_gradients_bytes = (int64_t)train.gradients, i->train_block_bytes = (int64_t)train.block;
    i->train_scratch_bytes = (int64_t)train.scratch, i->train_inputs_bytes = (int64_t)train.inputs;
    i->state_bytes = (int64_t)infer.state, i->infer_block_bytes = (int64_t)infer.block;
    if (!i->context || !by_steps) return KR_OK;
    kr_graph_memory some, more;
    kr_model_set_context(m, i->context);
    KR_TRY(plan_memory(m, one, &some));
    kr_model_set_context(m, i->context + 1024);
    KR_TRY(plan_memory(m, one, &more));
    i->context_bytes = ((int64_t)more.state - (int64_t)some.state) / 1024;
    return KR_OK;
}

/* What the weights are stored in, if there are any: a config alone has none. */
/* The row of a type, or the first free one; the last one ends the list. */
static int place_of(const kr_model_info *i, const char *type) {
    int at = 0, end = (int)(sizeof i->stored / sizeof i->stored[0]) - 1;
    while (at < end && i->stored[at].dtype && strcmp(i->stored[at].dtype, type) != 0) at++;
    return at;
}

static kr_status tally_stored(kr_model_info *i, const char *path) {
    enum { N = sizeof i->stored / sizeof i->stored[0] };
    kr_st *st;
    kr_status status = kr_st_open(&st, path);
    if (status != KR_OK) return status == KR_ERR_MISSING ? KR_OK : status; /* none is no failure; damaged, or a shard that is not there, is one */
    snprintf(i->format, sizeof i->format, "%s", kr_st_format(st));
    for (size_t k = 0; k < kr_st_count(st); k++) {
        const kr_st_tensor *t = kr_st_at(st, k);
        const char *type = t->block ? kr_dtype_text(t->block) : kr_st_dtype_text(t->dtype);
        int at = place_of(i, type);
        if (at == N - 1 && (at = place_of(i, type = "others")) == N - 1) at = N - 2; /* with what there is least of */
        i->stored[at].dtype = type;
        i->stored[at].n_tensors++, i->stored[at].n_bytes += (int64_t)t->n_bytes;
        i->n_tensors++, i->stored_bytes += (int64_t)t->n_bytes;
        for (; at > 0 && i->stored[at - 1].n_bytes < i->stored[at].n_bytes; at--) {
            memcpy(&i->stored[N - 1], &i->stored[at], sizeof i->stored[0]);
            i->stored[at] = i->stored[at - 1];
            memcpy(&i->stored[at - 1], &i->stored[N - 1], sizeof i->stored[0]);
            memset(&i->stored[N - 1], 0, sizeof i->stored[0]);
        }
    }
    kr_st_close(st);
    return KR_OK;
}

kr_status kr_model_describe_file(kr_model_info *info, const char *path, int64_t S, int64_t L, int64_t context, bool recompute) {
    char file[4096];
    json_t *j;
    kr_model *m;
    if (kr_dir_exists(path) || kr_model_is_gguf(path)) KR_TRY(kr_model_read_config(&j, file, path));
    else if (strlen(path) >= sizeof file) KR_FAIL(KR_ERR_ARG, "the path is too long");
    else KR_TRY(kr_json_load(&j, strcpy(file, path)));
    kr_status st = kr_model_describe(&m, j, file, KR_F32, NULL);
    json_decref(j);
    KR_TRY(st);
    st = fill_info(m, S, L, context, recompute, info);
    if (st == KR_OK && (kr_dir_exists(path) || kr_model_is_gguf(path))) st = tally_stored(info, path);
    kr_model_release(m);
    return st;
}
