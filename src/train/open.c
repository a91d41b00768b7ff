/* open.c - making a run: recipe, data, model, graphs, memory; resuming one. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "train/fit.h"
#include "train/recipe.h"
#include "train/train.h"

static kr_status open_data(kr_train *t) {
    kr_source_options o = {.data = json_object_get(t->recipe, "data"), .S = t->opt.batch_size, .L = t->opt.seq_len, .seed = (uint64_t)t->opt.seed};
    KR_TRY(kr_source_open(&t->source, &o));
    t->info = kr_source_get_info(t->source);
    if (t->info->carries && t->info->S > 256) KR_FAIL(KR_ERR_CONFIG, "train.batch_size is %lld; carried state takes at most 256 rows", (long long)t->info->S);
    return KR_OK;
}

/* What the source learnt, and the keys of `data` but for its paths, so that the model alone tells how
 * to make other data ready. */
static kr_status set_preprocessor(kr_train *t) {
    const json_t *learnt = kr_source_learnt(t->source);
    const char *name;
    json_t *v, *data;
    if (!learnt) return KR_OK;
    t->model->preprocessor = json_deep_copy(learnt);
    bool ok = json_object_set_new(t->model->preprocessor, "data", data = json_object()) == 0; /* takes data in any case */
    json_object_foreach(json_object_get(t->recipe, "data"), name, v) {
        size_t n = strlen(name);
        bool path = (n >= 5 && strcmp(name + n - 5, "paths") == 0) || (n >= 6 && strcmp(name + n - 6, "labels") == 0);
        ok = ok && (path || json_object_set(data, name, v) == 0);
    }
    return ok ? KR_OK : kr_fail(KR_ERR_NOMEM, "out of memory for preprocessor_config.json");
}

static kr_status describe_model(kr_train *t) {
    json_t *config;
    KR_TRY(kr_recipe_model(t->recipe, t->info, &config));
    kr_status st = kr_model_describe(&t->model, config, "model", t->opt.dtype ? KR_BF16 : KR_F32, t->opt.device);
    json_decref(config);
    KR_TRY(st);
    KR_TRY(set_preprocessor(t));
    KR_TRY(kr_diffusion_of(&t->diffusion, &t->model->config));
    if (t->info->tokenizer) /* the model's own, to write with and to be saved */
        KR_TRY(kr_tokenizer_open(&t->model->tokenizer, json_string_value(json_object_get(json_object_get(t->recipe, "data"), "tokenizer"))));
    const kr_config *c = &t->model->config;
    bool tokens = strcmp(c->encoder->name, "token") == 0;
    if (tokens != (t->info->vocab_size > 0)) KR_FAIL(KR_ERR_CONFIG, "model.encoder is \"%s\", but the data \"%s\" gives %s", c->encoder->name, t->info->kind, tokens ? "numbers" : "tokens");
    if (tokens && c->vocab_size < t->info->vocab_size)
        KR_FAIL(KR_ERR_CONFIG, "model.vocab_size is %lld, but the data \"%s\" has %lld ids", (long long)c->vocab_size, t->info->kind, (long long)t->info->vocab_size);
    if (t->info->causal && !c->causal) KR_FAIL(KR_ERR_CONFIG, "the model (order \"%s\") sees later steps, and these are what the data \"%s\" ask for", c->order->name, t->info->kind);
    if (t->info->carries && !c->causal) KR_FAIL(KR_ERR_CONFIG, "data.mode is \"carry\", but the model (order \"%s\") sees later steps, so it cannot go step by step", c->order->name);
    return KR_OK;
}

static kr_status make_graphs(kr_train *t) {
    /* a row of a single document needs no seq_idx: what is behind its end is not scored */
    bool packed = (t->info->n_train_docs > 1 || t->info->n_eval_docs > 1) && t->model->config.as_they_come;
    kr_model_graph_options o = {.mode = KR_MODEL_TRAIN, .S = t->info->S, .L = t->info->L, .stateful = t->info->carries, .packed = packed,
                                .checkpoint = t->opt.recompute, .remake_scans = t->opt.remake_scans, .dropout = t->opt.dropout, .embedding_dropout = t->opt.embedding_dropout, .n_threads = t->n_threads};
    KR_TRY(kr_model_graph(t->model, &o, &t->graph));
    t->eval_logits = strcmp(t->info->metric, "bits_per_byte") != 0 && strcmp(t->info->metric, "perplexity") != 0;
    o.mode = t->eval_logits ? KR_MODEL_ALL : KR_MODEL_LOSS;
    if (t->info->eval_batches > 0 || t->info->test_batches > 0) KR_TRY(kr_model_graph(t->model, &o, &t->eval));
    KR_TRY(kr_fit(t->model, t->graph, t->info, t->info->S, t->info->L));
    return t->eval ? kr_fit(t->model, t->eval, t->info, t->info->S, t->info->L) : KR_OK;
}

static kr_status take_memory(kr_train *t) {
    size_t rows = (size_t)(t->info->S * (t->info->n_targets + 1)), numbers = (size_t)(t->info->S * (t->info->y_width + 1));
    KR_TRY(kr_params_alloc(t->model->params, true));
    KR_TRY(kr_graph_alloc(t->graph));
    if (t->eval) KR_TRY(kr_graph_alloc(t->eval));
    if (t->eval) KR_TRY(kr_draws_open(&t->draws, t->info, t->eval));
    if (!(t->targets = kr_mem_array(rows, sizeof *t->targets))) return KR_ERR_NOMEM;
    if (!(t->y = kr_mem_array(numbers, sizeof *t->y)) || !(t->scale = kr_mem_array(numbers, sizeof *t->scale))) return KR_ERR_NOMEM;
    for (size_t i = 0; i < numbers; i++) t->scale[i] = 1;
    kr_graph_set_loss_scale(t->graph, 1 / (float)t->opt.accumulate);
    return KR_OK;
}

/* Does the name end in one of `ends`, which have commas between them? */
static bool ends_in(const char *name, const char *ends) {
    size_t n = strlen(name), k;
    for (const char *e = ends; *e; e += k + (e[k] == ',')) {
        k = strcspn(e, ",");
        if (k > 0 && k <= n && strncmp(name + n - k, e, k) == 0) return true;
    }
    return false;
}

/* The parameters of train.from where its names and ours are the same. */
static kr_status start_from(kr_train *t) {
    kr_model *from;
    kr_status st = KR_OK;
    KR_TRY(kr_model_load(&from, t->opt.from, false, KR_F32, NULL));
    for (kr_param *p = t->model->params->first; p && st == KR_OK; p = p->next) {
        if ((*t->opt.from_only && !ends_in(p->name, t->opt.from_only)) || ends_in(p->name, t->opt.from_except)) continue;
        const kr_param *q = kr_params_find(from->params, p->name);
        if (!q || q->n_dims != p->n_dims || memcmp(q->dim, p->dim, (size_t)p->n_dims * sizeof *p->dim) != 0)
            st = kr_fail(KR_ERR_SHAPE, "train.from: %s has no %s of our shape; train.from_except names what is to be drawn instead", t->opt.from, p->name);
        else kr_param_set(p, q->data);
    }
    kr_model_release(from);
    return st;
}

static kr_status start_or_resume(kr_train *t, bool resume) {
    int64_t last;
    const char *out = t->opt.out;
    KR_TRY(kr_checkpoint_last(out, &last));
    if (resume && last < 0) KR_FAIL(KR_ERR_MISSING, "%s holds no checkpoint to resume from", out);
    if (resume) {
        KR_TRY(kr_checkpoint_load_state(out, last, &t->state));
        KR_TRY(kr_checkpoint_load(out, last, t->model, t->info->carries ? t->graph : NULL));
        t->evaluated_step = t->saved_step = last;
        return kr_metrics_open(&t->metrics, out, last);
    }
    char path[4096];
    if (last >= 0 && !t->opt.overwrite)
        KR_FAIL(KR_ERR_CONFIG, "%s holds a run of %lld steps already; resume it, choose another train.out, or set train.overwrite=true", out, (long long)last);
    KR_TRY(kr_path_join(path, sizeof path, out, "checkpoints"));
    KR_TRY(kr_dir_remove(path));
    KR_TRY(kr_dir_make(out));
    kr_params_init(t->model->params, (uint64_t)t->opt.seed);
    if (*t->opt.from) KR_TRY(start_from(t));
    KR_TRY(kr_params_push(t->model->params));
    t->state = (kr_train_state){.best_step = -1};
    t->evaluated_step = t->saved_step = -1;
    return kr_metrics_open(&t->metrics, out, -1);
}

/* A model folder is also a recipe folder: what made it stands in it. */
static kr_status write_recipe(const kr_train *t) {
    char path[4096];
    KR_TRY(kr_path_join(path, sizeof path, t->opt.out, "recipe.json"));
    char *text = json_dumps(t->recipe, JSON_INDENT(2));
    if (!text) KR_FAIL(KR_ERR_NOMEM, "out of memory writing %s", path);
    kr_status st = kr_file_write(path, text, strlen(text));
    kr_text_free(text);
    return st;
}

static kr_status open_all(kr_train *t, const char *recipe_json, bool resume) {
    KR_TRY(kr_json_parse(&t->recipe, recipe_json, strlen(recipe_json), "recipe"));
    KR_TRY(kr_train_options_read(&t->opt, json_object_get(t->recipe, "train")));
    t->n_threads = t->opt.threads ? (int)t->opt.threads : kr_cpu_threads();
    KR_TRY(open_data(t));
    KR_TRY(describe_model(t));
    KR_TRY(make_graphs(t));
    KR_TRY(take_memory(t));
    KR_TRY(start_or_resume(t, resume));
    if (!t->opt.minutes) t->state.steps = t->opt.steps;
    return write_recipe(t);
}

kr_status kr_train_new(kr_train **out, const char *recipe_json, bool resume, const kr_train_hooks *hooks) {
    kr_train *t = kr_mem_new(sizeof *t);
    if (!t) return KR_ERR_NOMEM;
    if (hooks) t->hooks = *hooks;
    kr_status st = open_all(t, recipe_json, resume);
    if (st != KR_OK) kr_train_free(t);
    else *out = t;
    return st;
}

void kr_train_free(kr_train *t) {
    if (!t) return;
    kr_graph_free(t->graph);
    kr_graph_free(t->eval);
    kr_draws_close(&t->draws);
    kr_diffusion_free(t->diffusion);
    kr_model_release(t->model);
    kr_source_close(t->source);
    kr_mem_free(t->targets);
    kr_mem_free(t->y);
    kr_mem_free(t->scale);
    json_decref(t->recipe);
    kr_mem_free(t);
}

void kr_train_sampling(const kr_train *t, int64_t *n_tok, char *prompt, size_t prompt_size) {
    *n_tok = t->opt.sample_tok;
    snprintf(prompt, prompt_size, "%s", t->opt.sample_prompt);
}

const kr_model *kr_train_model(const kr_train *t) { return t->model; }

void kr_train_get_summary(const kr_train *t, kr_train_summary *out) {
    kr_graph_memory m = kr_graph_get_memory(t->graph);
    *out = (kr_train_summary){.out = t->opt.out, .data = t->info->about, .metric_name = t->info->metric, .n_params = t->model->params->n_elements,
                              .step = t->state.step, .steps = t->state.steps, .params_bytes = (int64_t)kr_params_bytes(t->model->params),
                              .train_bytes = (int64_t)kr_params_train_bytes(t->model->params), .block_bytes = (int64_t)m.block,
                              .best_metric = t->state.best_step < 0 ? NAN : t->state.best_metric, .last_metric = t->last_metric, .text = t->info->text};
}
