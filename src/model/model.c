/* model.c - from a config to graphs.
 *
 *     x = encoder(inputs);  c = condition(inputs), if the config has one: then norms and layers hear it (condition.h)
 *     for each part of each layer:  y, x = add_rmsnorm(mixed, x);  mixed = order(part)(y)
 *     ... or of parts side by side:                               mixed = the sum of theirs
 *     ... a part that makes a new stream:                         mixed = part(mixed + x), x = 0
 *     head(rmsnorm(mixed + x))
 *
 * Names are Hugging Face's: backbone.layers.0.mixer.in_proj.weight. */
#include "model/model.h"

#include <stdio.h>
#include <string.h>

#include "ops/add_rmsnorm/add_rmsnorm.h"
#include "ops/binary_row/binary_row.h"
#include "ops/dropout/dropout.h"
#include "ops/moe_balance/moe_balance.h"
#include "ops/ops.h"
#include "parts/condition.h"

/* `gate`: what is behind it may be gated. */
static kr_node *norm(kr_build *b, const char *name, bool gate, kr_node *x, kr_node *residual, kr_node **sum) {
    kr_scope_push(b->g, name);
    kr_node *w = kr_weight(b->g, "weight", KR_NO_DECAY, 1, &b->d_model, (kr_init){KR_INIT_CONST, 1, 0, 0, NULL});
    add_rmsnorm_attr a = {.eps = b->norm_eps};
    kr_node *out[KR_MAX_OUT] = {0};
    kr_node *y = kr_apply(b->g, &kr_op_add_rmsnorm, &a, (kr_node *const[KR_MAX_IN]){x, residual, w}, out);
    *sum = out[ADD_RMSNORM_SUM];
    y = kr_modulate(b, y, gate);
    kr_scope_pop(b->g);
    return y;
}

static kr_node *dropped(kr_build *b, double p, int64_t which, kr_node *x) {
    if (p <= 0 || !x) return x;
    char name[40];
    snprintf(name, sizeof name, "dropout_key.%lld", (long long)which);
    dropout_attr a = {.p = p};
    return KR_APPLY(b->g, dropout, &a, x, kr_input(b->g, name, KR_I32, 1, KR_DIMS(4)));
}

/* [S, L, ways D] -> [S ways, L, D] with what lies side by side one below the other, and back. */
static kr_node *turned(kr_build *b, kr_node *x, int64_t ways, bool back) {
    int64_t L = b->L, D = kr_node_dim(x, -1) / (back ? 1 : ways);
    int32_t *idx = kr_mem_array((size_t)(L * ways), sizeof *idx);
    if (!idx) return kr_graph_fail(b->g, KR_ERR_NOMEM, "%s", kr_error());
    for (int64_t l = 0; l < L; l++)
        for (int64_t k = 0; k < ways; k++) {
            if (back) idx[l * ways + k] = (int32_t)(k * L + l);
            else idx[k * L + l] = (int32_t)(l * ways + k);
        }
    x = kr_steps_at(b, kr_reshape(b->g, x, 3, KR_DIMS(b->S, L * ways, D)), idx, L * ways);
    kr_mem_free(idx);
    return back ? kr_reshape(b->g, x, 3, KR_DIMS(b->S, L, ways * D)) : kr_reshape(b->g, x, 3, KR_DIMS(b->S * ways, L, D));
}

static kr_node *one(kr_build *b, const kr_residual *r, bool bare, kr_node *y) {
    b->mixer = r->part, b->mixer_opt = r->opt;
    if (!r->part->pointwise && !r->part->own_order) return r->order->build(b, r->order_opt, y);
    if (!bare) kr_scope_push(b->g, "mixer");
    y = r->part->build(b, r->opt, y);
    if (!bare) kr_scope_pop(b->g);
    return y;
}

/* A number of the layer's own, `width` times. */
static kr_node *number(kr_build *b, const char *name, int64_t width, double start) {
    kr_piece ones = {width, 1};
    kr_node *w = kr_weight(b->g, name, KR_NO_DECAY, 2, KR_DIMS(1, 1), (kr_init){KR_INIT_CONST, start, 0, 0, NULL});
    kr_node *x = KR_APPLY(b->g, linear, NULL, kr_reshape(b->g, kr_const_pieces(b->g, &ones, 1), 2, KR_DIMS(width, 1)), w);
    return kr_reshape(b->g, x, 1, &width);
}

/* UltraLight VM-UNet's parallel mixer: each group of channels, with what it came from times a learnt
 * number, through the same mixer; side by side again, normalised, through a product. */
static kr_node *in_ways(kr_build *b, const kr_residual *r, bool bare, kr_node *y) {
    int64_t M = b->d_model, n = r->ways;
    if (M % n) return kr_graph_fail(b->g, KR_ERR_CONFIG, "ways is %lld, which does not divide the %lld channels", (long long)n, (long long)M);
    if (b->stateful || b->seq_idx) return kr_graph_fail(b->g, KR_ERR_CONFIG, "a mixer in several ways does not go step by step, nor over packed documents");
    kr_node *x = turned(b, y, n, false);
    b->d_model = M / n, b->S *= n;
    kr_node *mix = one(b, r, bare, x);
    binary_row_attr times = {.kind = KR_BINARY_ROW_MUL};
    mix = kr_add(b, mix, KR_APPLY(b->g, binary_row, &times, x, number(b, "skip_scale", M / n, 1)));
    b->d_model = M, b->S /= n;
    mix = kr_layernorm(b, turned(b, mix, n, true), "ways_norm", 1e-5);
    return kr_linear(b, mix, "ways_proj", M, true);
}

/* A part of a layer, the i-th beside others, of group k.  Names: mixer; in the second group mlp, as
 * state-spaces has it, or block2.mixer; beside another parallel2.mixer. */
static kr_node *mixed(kr_build *b, const kr_residual *r, int k, int i, double dropout, kr_node *y) {
    char group[24], beside[24];
    bool bare = r->part->pointwise && k > 0 && i == 0, is_mlp = bare && k == 1;
    snprintf(group, sizeof group, is_mlp ? "mlp" : "block%d", k + 1);
    snprintf(beside, sizeof beside, "parallel%d", i + 1);
    if (k) kr_scope_push(b->g, group);
    if (i) kr_scope_push(b->g, beside);
    y = kr_scale(b, y, r->in_scale);
    y = r->ways > 1 ? in_ways(b, r, bare, y) : one(b, r, bare, y);
    if (i) kr_scope_pop(b->g);
    if (k) kr_scope_pop(b->g);
    y = kr_gated(b, dropped(b, dropout, b->residual, kr_scale(b, y, r->out_scale)));
    b->residual++;
    return y;
}

/* The residual stream with all that was added to it, as float32. */
static kr_node *stream(kr_build *b, kr_node *x, kr_node *residual) {
    kr_piece ones = {b->d_model, 1};
    add_rmsnorm_attr a = {.eps = b->norm_eps};
    kr_node *out[KR_MAX_OUT] = {0};
    kr_apply(b->g, &kr_op_add_rmsnorm, &a, (kr_node *const[KR_MAX_IN]){x, residual, kr_const_pieces(b->g, &ones, 1)}, out);
    return out[ADD_RMSNORM_SUM];
}

/* A part that reads the stream itself: what is added to the next norm's input, or a new stream. */
static kr_node *before(kr_build *b, const kr_residual *r, kr_node *sum) {
    kr_scope_push(b->g, r->part->name);
    kr_node *y = r->part->build(b, r->opt, kr_scale(b, sum, r->in_scale));
    kr_scope_pop(b->g);
    b->residual++;
    return kr_scale(b, y, r->out_scale);
}

/* Groups of parts one behind the other: norm, norm2, ... */
static kr_node *layer(kr_build *b, const kr_layer *l, double dropout, kr_node *x, kr_node **residual) {
    char name[16] = "norm";
    kr_node *y = NULL, *unused, **bare = NULL; /* bare: the sum goes nowhere */
    for (int p = 0, k = -1, i = 0; p < l->n; p++) {
        const kr_residual *r = &l->part[p];
        if (r->part->stream) {
            x = before(b, r, stream(b, x, *residual));
            *residual = NULL;
            continue;
        }
        if (r->part->before) {
            *residual = stream(b, x, *residual);
            x = before(b, r, *residual);
            bare = &unused;
            continue;
        }
        if (r->beside) {
            x = kr_add(b, x, mixed(b, r, k, ++i, dropout, y));
            continue;
        }
        k++, i = 0;
        if (k) snprintf(name, sizeof name, "norm%d", k + 1);
        y = norm(b, name, true, x, *residual, bare ? bare : residual);
        bare = NULL;
        x = mixed(b, r, k, i, dropout, y);
    }
    return x;
}

static kr_node *backbone(kr_build *b, const kr_config *c, double dropout, double embedding_dropout) {
    char name[40];
    kr_scope_push(b->g, "backbone");
    kr_node *x = c->encoder->build(b, c->encoder_opt, NULL), *residual = NULL;
    if (x) b->S = kr_node_dim(x, 0), b->L = kr_node_dim(x, 1);
    x = b->embedding = dropped(b, embedding_dropout, c->n_residual, x);
    c->condition->build(b, c->condition_opt, NULL);
    for (b->layer = 0; b->layer < c->n_layer; b->layer++) {
        snprintf(name, sizeof name, "layers.%lld", (long long)b->layer);
        kr_scope_push(b->g, name);
        kr_block_begin(b->g);
        x = layer(b, kr_config_layer(c, b->layer), dropout, x, &residual);
        kr_block_end(b->g);
        kr_scope_pop(b->g);
    }
    x = norm(b, "norm_f", false, x, residual, &residual);
    kr_scope_pop(b->g);
    return x;
}

/* The loss with those of all routers. */
static kr_node *balanced(kr_build *b, kr_node *loss) {
    for (int i = 0; i < b->n_balance; i++) {
        moe_balance_attr a = {.weight = b->balance[i].weight};
        loss = KR_APPLY(b->g, moe_balance, &a, b->balance[i].logits, b->balance[i].idx, loss);
    }
    return loss;
}

static kr_status build(kr_model *m, const kr_model_graph_options *o, kr_graph *g) {
    const kr_config *c = &m->config;
    kr_build b = {.g = g, .S = o->S, .L = o->L, .batch = o->S, .d_model = c->d_model, .n_residual = c->n_residual, .vocab_size = c->vocab_size,
                  .norm_eps = c->norm_eps, .stateful = o->stateful, .all_logits = o->mode == KR_MODEL_ALL, .tied = c->tie_embeddings};
    b.training = o->mode == KR_MODEL_TRAIN;
    b.memory = c->memory, b.memory_opt = c->memory_opt;
    b.balance = kr_mem_array((size_t)c->n_residual, sizeof *b.balance);
    b.scan = kr_mem_array((size_t)(KR_MAX_PATHS * c->n_residual), sizeof *b.scan);
    if (!b.balance || !b.scan) {
        kr_mem_free(b.balance);
        kr_mem_free(b.scan);
        return KR_ERR_NOMEM;
    }
    if (o->states_of) kr_graph_share_states(g, o->states_of);
    if (o->packed) b.seq_idx = kr_input(g, "seq_idx", KR_I32, 2, KR_DIMS(o->S, o->L));
    kr_node *x = backbone(&b, c, o->mode == KR_MODEL_TRAIN ? o->dropout : 0, o->mode == KR_MODEL_TRAIN ? o->embedding_dropout : 0);
    if (o->mode == KR_MODEL_HIDDEN) {
        kr_graph_keep(g, x, "hidden");
    } else if (o->mode == KR_MODEL_ALL || o->mode == KR_MODEL_LAST) {
        c->head->build(&b, c->head_opt, x);
    } else {
        kr_node *loss = c->head->loss(&b, c->head_opt, x);
        if (o->mode == KR_MODEL_TRAIN && !o->no_balance) loss = balanced(&b, loss);
        kr_graph_keep(g, loss, "loss");
        if (o->mode == KR_MODEL_TRAIN) kr_graph_grad(g, loss);
    }
    kr_mem_free(b.balance);
    kr_mem_free(b.scan);
    for (int i = 0; o->watch && o->watch[i]; i++) kr_graph_watch(g, o->watch[i]);
    return kr_graph_plan(g);
}

kr_status kr_model_graph(kr_model *m, const kr_model_graph_options *o, kr_graph **out) {
    kr_impl impl = m->params->device ? KR_CUDA : o->impl == KR_REF ? kr_cpu_best() : o->impl;
    kr_graph_options go = {.impl = impl, .n_threads = o->n_threads ? o->n_threads : kr_cpu_threads(),
                           .training = o->mode == KR_MODEL_TRAIN, .checkpoint = o->checkpoint, .frozen = o->mode == KR_MODEL_LAST, .waves = o->waves,
                           .remake = o->remake || o->remake_scans > 0 || m->params->device, .remake_scans = o->remake_scans, .plain = o->plain, .state_dtype = o->state_dtype};
    kr_graph *g;
    if (o->S < 1 || o->L < 1) KR_FAIL(KR_ERR_ARG, "a graph over %lld sequences of %lld steps is empty", (long long)o->S, (long long)o->L);
    KR_TRY(kr_graph_new(&g, m->params, &go));
    kr_status st = build(m, o, g);
    if (st != KR_OK) kr_graph_free(g);
    else *out = g;
    return st;
}

int64_t kr_model_steps(const kr_model *m, int64_t L) {
    const kr_config *c = &m->config;
    int64_t n = c->encoder->steps ? c->encoder->steps(c->encoder_opt) : 0;
    for (int64_t i = 0; i < c->n_pattern; i++)
        for (int k = 0; k < c->pattern[i].n && n < 1; k++) {
            const kr_residual *r = &c->pattern[i].part[k];
            if (r->order->steps) n = r->order->steps(r->order_opt);
        }
    return n > 0 ? n : L;
}

/* The smallest graph asks for every parameter. */
static kr_status ask_for_parameters(kr_model *m) {
    kr_graph *g;
    kr_model_graph_options o = {.mode = KR_MODEL_LOSS, .S = 1, .L = kr_model_steps(m, 1), .n_threads = 1};
    KR_TRY(kr_model_graph(m, &o, &g));
    kr_graph_free(g);
    return KR_OK;
}

kr_status kr_model_describe(kr_model **out, const json_t *config, const char *where, kr_dtype matrix_dtype, const char *device) {
    kr_model *m = kr_mem_new(sizeof *m);
    kr_device *d = NULL;
    if (!m) return KR_ERR_NOMEM;
    kr_status st = kr_config_read(&m->config, config, where);
    if (st == KR_OK) st = kr_device_open(&d, device);
    if (st == KR_OK) st = kr_params_new(&m->params, matrix_dtype, d);
    if (st == KR_OK && (st = ask_for_parameters(m)) != KR_OK) st = kr_fail_in(st, where);
    if (st != KR_OK) kr_model_release(m);
    else *out = m;
    return st;
}

kr_status kr_state_dtype(kr_dtype *out, const char *name, const kr_model *m) {
    *out = !name || strcmp(name, "float32") == 0 ? KR_F32 : strcmp(name, "bfloat16") == 0 ? KR_BF16 : KR_F16;
    if (*out == KR_F16 && strcmp(name, "float16") != 0) KR_FAIL(KR_ERR_ARG, "the states' dtype is \"%s\", want float32, bfloat16 or float16", name);
    if (*out != KR_F32 && !m->params->device) KR_FAIL(KR_ERR_ARG, "states in %s need a GPU; on a CPU they are float32", name);
    return KR_OK;
}

void kr_model_release(kr_model *m) {
    if (!m) return;
    json_decref(m->preprocessor);
    kr_tokenizer_free(m->tokenizer);
    kr_mem_free(m->chat_template);
    kr_params_free(m->params);
    kr_config_clear(&m->config);
    kr_mem_free(m);
}

bool kr_model_is_bytes(const kr_model *m) {
    return !m->tokenizer && !*m->no_tokenizer && strcmp(m->config.encoder->name, "token") == 0 && strcmp(m->config.head->name, "lm") == 0 && m->config.vocab_size == 256;
}
