/* check_model.c - whole models, of every mixer, order and head.
 *
 *   gradient    against central differences of the loss, parameter by parameter
 *   stateful    7 + 5 + 1 steps with states are the same as 13 at once
 *   carried     a row goes on from its state or, reset, from learnt values
 *   packed      documents in one row are the same as each alone
 *   recompute   the same bits in less memory
 *   threads     the same bits for any number
 *   balance     what training adds for routers, against the formula
 *   scales      factors in a config are the same as factors in weights
 *   impl        every instruction set within rounding of every other */
#include "model/safetensors.h"
#include "gradient_case.h"
#include "ops/moe_route/moe_route.h"
#include "ops/ops.h"
#include "ops/sinkhorn/sinkhorn.h"

enum { L = 13 };

typedef struct model_case {
    const char *name, *config;
    bool steps, no_packed; /* can go step by step; takes no packed documents */
} model_case;

#define TOKENS "'model_type': 'krait', 'd_model': 12, 'n_layer': 2, 'vocab_size': 11, "
#define M1 "'mixer': {'type': 'mamba1', 'd_state': 3, 'dt_min': 0.1, 'dt_max': 1"
#define M2 "'mixer': {'type': 'mamba2', 'd_state': 5, 'headdim': 6, 'dt_min': 0.1, 'dt_max': 1"

#define M3 "'mixer': {'type': 'mamba3', 'd_state': 6, 'headdim': 6, 'dt_min': 0.1, 'dt_max': 1"
#define S4 "'mixer': {'type': 's4d', 'd_state': 4, 'dt_min': 0.1, 'dt_max': 0.5"

#define ATT "'mixer': {'type': 'attention', 'n_head': 2, 'cache_len': 16"

static const model_case cases[] = {
    {"mamba1", "{" TOKENS M1 "}}", true},
    {"mamba1 with everything", "{" TOKENS "'tie_embeddings': false, " M1 ", 'd_conv': 3, 'd_inner': 20, 'dt_rank': 4, 'bias': true,"
     " 'rms_norm_dt_bc': true, 'dt_init': 'constant'}}", true},
    {"mamba1 without conv bias", "{" TOKENS M1 ", 'conv_bias': false, 'd_conv': 2}}", true},
    {"mamba2", "{" TOKENS M2 "}}", true},
    {"mamba2 in groups", "{" TOKENS "'tie_embeddings': false, " M2 ", 'ngroups': 2, 'chunk_size': 4, 'bias': true}}", true},
    {"mamba2, one norm for all groups", "{" TOKENS M2 ", 'ngroups': 2, 'group_norm': false, 'norm_before_gate': true}}", true},
    {"mamba2 beside an MLP", "{" TOKENS M2 ", 'd_ssm': 12, 'D_has_hdim': true}}", true},
    {"mamba2 beside an MLP, in groups", "{" TOKENS M2 ", 'd_ssm': 12, 'ngroups': 2, 'norm_before_gate': true, 'conv_bias': false}}", true},
    {"mamba2 with limits", "{" TOKENS M2 ", 'dt_limit_min': 0.3, 'dt_limit_max': 0.9}}", true},
    {"mamba2 with learnt states", "{" TOKENS M2 ", 'learnable_init_states': true}}", true, true},
    {"mamba2 without norm", "{" TOKENS M2 ", 'rmsnorm': false, 'd_ssm': 18}}", true},
    {"mamba3", "{" TOKENS M3 "}}", true},
    {"mamba3 with everything", "{" TOKENS M3 ", 'ngroups': 2, 'rope_fraction': 1, 'rope_halves': true, 'is_outproj_norm': true, 'A_floor': 0.5, 'chunk_size': 4}}", true},
    {"mamba3, several inputs", "{" TOKENS M3 ", 'mimo_rank': 3}}", true, true},
    {"mamba3, several inputs, with everything", "{" TOKENS M3 ", 'mimo_rank': 2, 'ngroups': 2, 'rope_fraction': 1, 'rope_halves': true, 'is_outproj_norm': true, 'chunk_size': 4}}", true, true},
    {"s4d", "{" TOKENS S4 "}}", true},
    {"s4d, real, without convolution", "{" TOKENS S4 ", 'init': 'real', 'd_conv': 0, 'disc': 'euler', 'bias': true}}", true},
    {"s4d, legs", "{" TOKENS "'tie_embeddings': false, " S4 ", 'init': 'legs', 'disc': 'bilinear', 'd_inner': 20}}", true},
    {"lstm", "{" TOKENS "'mixer': {'type': 'lstm'}}", true},
    {"lstm, wide, as PyTorch's", "{" TOKENS "'mixer': {'type': 'lstm', 'd_hidden': 12, 'out_proj': false}}", true},
    {"lstm beside an MLP", "{" TOKENS "'mixer': {'type': 'lstm', 'd_hidden': 7, 'forget_bias': 0}, 'layers': ['mixer+mlp'], 'mixers': {'mlp': {'d_ff': 6}}}", true},
    {"dense mamba2", "{'model_type': 'krait', 'd_model': 12, 'n_layer': 4, 'vocab_size': 11, 'memory': {'type': 'dense', 'depth': 2}, " M2 ", 'ngroups': 2}}", true},
    {"dense mamba1", "{" TOKENS "'memory': {'type': 'dense', 'depth': 1, 'gate_rank': 5}, " M1 "}}", true},
    {"dense, in a hybrid", "{'model_type': 'krait', 'd_model': 12, 'n_layer': 3, 'vocab_size': 11, 'memory': {'type': 'dense', 'depth': 4}, " M2 ", 'D_has_hdim': true},"
     " 'layers': ['mixer', 'attention', 'mixer+mamba1'], 'mixers': {'attention': {'n_head': 2}, 'mamba1': {'d_state': 3}}}", true},
    {"dense in both directions", "{" TOKENS "'memory': {'type': 'dense'}, 'order': {'type': 'bidirectional'}, " M2 "}}", false},
    {"dense s4d", "{'model_type': 'krait', 'd_model': 12, 'n_layer': 3, 'vocab_size': 11, 'memory': {'type': 'dense', 'depth': 2}, " S4 "}}", true},
    {"dense s4d, real", "{" TOKENS "'memory': {'type': 'dense'}, " S4 ", 'init': 'real', 'disc': 'bilinear'}}", true},
    {"dense mamba3", "{'model_type': 'krait', 'd_model': 12, 'n_layer': 3, 'vocab_size': 11, 'memory': {'type': 'dense', 'depth': 2}, " M3 ", 'ngroups': 2}}", true},
    {"dense mamba3, several inputs", "{'model_type': 'krait', 'd_model': 12, 'n_layer': 3, 'vocab_size': 11, 'memory': {'type': 'dense', 'depth': 2}, " M3 ", 'mimo_rank': 2}}", true, true},
    {"suppressed mamba1, all of it", "{" TOKENS "'memory': {'type': 'suppress', 'alpha': 1}, " M1 "}}", true},
    {"suppressed mamba1, none of it, with a forget gate", "{" TOKENS "'memory': {'type': 'suppress', 'alpha': 0}, " M1 ", 'forget_gate': true}}", true},
    {"suppressed, all of it: a threshold has no gradient", "{" TOKENS "'memory': {'type': 'suppress', 'alpha': 1}, " M2 ", 'dt_limit_max': 0.9}}", true},
    {"attention", "{" TOKENS ATT "}}", true},
    {"attention with everything", "{" TOKENS "'mixer': {'type': 'attention', 'n_head': 4, 'n_kv_head': 2, 'head_dim': 6, 'rope_dims': 4,"
     " 'rope_interleaved': true, 'rope_theta': 50, 'window': 5, 'qk_norm': true, 'qkv_bias': true, 'out_bias': true, 'd_conv': 3,"
     " 'cache_len': 5, 'scale': 0.7}}", true},
    {"attention without positions", "{" TOKENS ATT ", 'n_kv_head': 1, 'rope_dims': 0}}", true},
    {"attention to all", "{" TOKENS ATT ", 'causal': false, 'window': 6}}", false},
    {"transformer", "{" TOKENS "'layers': ['attention+mlp'], 'mixers': {'attention': {'n_head': 3, 'cache_len': 13},"
     " 'mlp': {'d_ff': 10, 'activation': 'gelu', 'bias': true}}}", true},
    {"hybrid", "{" TOKENS M2 "}, 'layers': ['mixer+squares', 'attention+mlp'],"
     " 'mixers': {'squares': {'type': 'mlp', 'd_ff': 9, 'gated': false, 'activation': 'relu2'}, 'attention': {'n_head': 2}}}", true},
    {"two mixers in a layer", "{" TOKENS M1 "}, 'layers': ['mamba1+attention+mlp'], 'mixers': {'attention': {'n_head': 1}}}", true},
    {"side by side, with factors", "{" TOKENS "'tie_embeddings': false, 'encoder': {'type': 'token', 'scale': 3}, 'head': {'type': 'lm', 'scale': 0.4}, " M2
     ", 'in_scale': 1.2, 'out_scale': 0.7, 'z_scale': 0.8, 'x_scale': 1.5, 'B_scale': 0.6, 'C_scale': 1.3, 'dt_scale': 1.1, 'd_ssm': 12, 'bias': true},"
     " 'layers': ['mixer&attention+mlp&mamba1&mlp'], 'mixers': {'attention': {'n_head': 2, 'in_scale': 0.9, 'out_scale': -2},"
     " 'mlp': {'d_ff': 9, 'gate_first': true, 'gate_scale': 0.6}, 'mamba1': {'d_state': 3}}}", true},
    {"experts", "{" TOKENS M2 "}, 'layers': ['mixer+moe'], 'mixers': {'moe': {'n_expert': 3, 'top_k': 2, 'd_ff': 6, 'd_shared': 5, 'balance': 0.5}}}", true},
    {"experts shared out evenly, all of them: a choice has no gradient", "{" TOKENS M1 "}, 'layers': ['mixer+moe'], 'mixers': {'moe': {'n_expert': 3, 'top_k': 3, 'd_ff': 5, 'gate': 'sigmoid', 'normalise': false,"
     " 'sinkhorn': 8, 'balance': 0}}}", true},
    {"experts by sigmoid", "{" TOKENS M1 ", 'rms_norm_dt_bc': true, 'dt_bc_weights': true}, 'layers': ['moe&mixer'], 'mixers': {'moe': {'n_expert': 4, 'top_k': 3,"
     " 'd_ff': 5, 'gate': 'sigmoid', 'route_scale': 2, 'normalise': false, 'gated': false, 'activation': 'relu2', 'balance': 0}}}", true},
    {"a shared block", "{" TOKENS M2 "}, 'layers': ['shared+mixer'], 'mixers': {'shared': {'n_head': 2, 'd_ff': 7, 'adapter_rank': 3, 'attention_adapter': true,"
     " 'rope_dims': 4}}}", true},
    {"two shared blocks in turn", "{'model_type': 'krait', 'd_model': 12, 'n_layer': 4, 'vocab_size': 11, " M1 "}, 'layers': ['shared+mixer', 'mixer+shared+mlp'],"
     " 'mixers': {'shared': {'n_head': 4, 'n_kv_head': 2, 'd_ff': 5, 'n_block': 2, 'out_scale': 0.5}, 'mlp': {'d_ff': 6}}}", true},
    {"bidirectional, with an MLP", "{" TOKENS "'order': {'type': 'bidirectional'}, " M1 "}, 'layers': ['mixer+mlp']}", false},
    {"z loss", "{" TOKENS "'head': {'type': 'lm', 'z_loss': 0.1}, " M1 "}}", true},
    {"bidirectional s4d", "{" TOKENS "'order': {'type': 'bidirectional'}, " S4 "}}", false},
    {"bidirectional mamba1", "{" TOKENS "'order': {'type': 'bidirectional'}, " M1 "}}", false},
    {"bidirectional mamba2, shared", "{" TOKENS "'order': {'type': 'bidirectional', 'share': true}, " M2 ", 'ngroups': 2}}", false},
    {"scan: paths of their own", "{" TOKENS "'order': {'type': 'scan', 'path': 'tri', 'path_window': 3}, " S4 "}}", false},
    {"scan: shared, gate", "{" TOKENS "'order': {'type': 'scan', 'path': 'multipath', 'share': true, 'merge': 'gate'}, " M2 ", 'ngroups': 2}}", false},
    {"scan: concat", "{" TOKENS "'order': {'type': 'scan', 'path': 'cross', 'size': '13x1', 'merge': 'concat'}, " M1 "}}", false},
    {"scan: one path a layer", "{" TOKENS "'order': {'type': 'scan', 'path': 'zigzag', 'size': '1x13'}, " M1 "}}", false},
    {"regress, last", "{" TOKENS "'encoder': {'type': 'linear', 'width': 3}, 'head': {'type': 'regress', 'width': 2}, " M1 "}}", false},
    {"regress, mean", "{" TOKENS "'encoder': {'type': 'linear', 'width': 1}, 'head': {'type': 'regress', 'pool': 'mean'}, " M2 "}}", false},
    {"regress, max, bidirectional", "{" TOKENS "'encoder': {'type': 'linear', 'width': 2}, 'head': {'type': 'regress', 'width': 3, 'pool': 'max'},"
     " 'order': {'type': 'bidirectional'}, " M2 ", 'ngroups': 2}}", false},
};
enum { N_CASES = sizeof cases / sizeof *cases };

/* --- gradient --------------------------------------------------------------------------- */

static void check_gradient(const model_case *c, bool packed) {
    enum { S = 2 };
    kr_model *m = model_of(c->config, 5);
    kr_graph *g = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_TRAIN, .S = S, .L = L, .packed = packed, .n_threads = 1});
    fill_inputs(m, g, S, L, 3);
    int32_t *seq_idx = kr_graph_data(g, "seq_idx");
    for (int i = 0; packed && i < S * L; i++) seq_idx[i] = i % L / 4;
    check_gradients(c->name, m, g);
    kr_graph_free(g);
    kr_model_release(m);
}

static void test_gradient(void **state) {
    (void)state;
    for (int i = 0; i < N_CASES; i++) check_gradient(&cases[i], false);
}

static void test_gradient_packed(void **state) {
    (void)state;
    for (int i = 0; i < N_CASES; i++)
        if (cases[i].steps && !cases[i].no_packed) check_gradient(&cases[i], true);
}

/* --- the same in pieces ------------------------------------------------------------------- */

static void run_ids(kr_graph *g, const int32_t *ids, int64_t S, int64_t whole, int64_t at, int64_t n) {
    int32_t *to = kr_graph_data(g, "ids");
    for (int64_t s = 0; s < S; s++) memcpy(to + s * n, ids + s * whole + at, (size_t)n * sizeof *ids);
    kr_graph_run(g, KR_RUN_FORWARD);
}

/* Twice, with a reset between: the second time must not remember the first. */
static void test_stateful(void **state) {
    enum { S = 2, N_PIECES = 3 };
    static const int64_t piece[N_PIECES] = {7, 5, 1};
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        if (!cases[i].steps) continue;
        kr_model *m = model_of(cases[i].config, 6);
        int64_t V = m->config.vocab_size;
        kr_graph *whole = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_ALL, .S = S, .L = L}), *part[N_PIECES];
        for (int k = 0; k < N_PIECES; k++)
            part[k] = graph_of(m, (kr_model_graph_options){.mode = k == 2 ? KR_MODEL_LAST : KR_MODEL_ALL, .S = S, .L = piece[k], .stateful = true,
                                                           .states_of = k ? part[0] : NULL});
        fill_inputs(m, whole, S, L, 9);
        const int32_t *ids = kr_graph_data(whole, "ids");
        const float *want = kr_graph_data(whole, "logits");
        kr_graph_run(whole, KR_RUN_FORWARD);
        for (int again = 0; again < 2; again++) {
            kr_graph_reset_states(part[0], NULL);
            for (int64_t k = 0, at = 0; k < N_PIECES; at += piece[k++]) {
                run_ids(part[k], ids, S, L, at, piece[k]);
                const float *got = kr_graph_data(part[k], "logits");
                for (int64_t s = 0; s < S; s++) {
                    double e = difference(got + s * piece[k] * V, want + (s * L + at) * V, piece[k] * V);
                    if (!(e <= 2e-5)) fail_msg("%s: row %d, piece %d differs by %.3g", cases[i].name, (int)s, (int)k, e);
                }
            }
        }
        for (int k = N_PIECES - 1; k >= 0; k--) kr_graph_free(part[k]);
        kr_graph_free(whole);
        kr_model_release(m);
    }
}

/* A reset of one row leaves the other one's past alone. */
static void test_reset_of_one_row(void **state) {
    enum { S = 2, N = 5 };
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        if (!cases[i].steps) continue;
        kr_model *m = model_of(cases[i].config, 6);
        int64_t V = m->config.vocab_size;
        kr_graph *g = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_ALL, .S = S, .L = N, .stateful = true});
        float *kept[3];
        for (int run = 0; run < 3; run++) { /* both new; both going on; the second new again */
            fill_inputs(m, g, S, N, 4);
            if (run == 2) {
                kr_graph_reset_states(g, NULL);
                kr_graph_run(g, KR_RUN_FORWARD);
                kr_graph_reset_states(g, (const bool[]){false, true});
            }
            kr_graph_run(g, KR_RUN_FORWARD);
            assert_non_null(kept[run] = kr_mem_array((size_t)(S * N * V), sizeof **kept));
            memcpy(kept[run], kr_graph_data(g, "logits"), (size_t)(S * N * V) * sizeof **kept);
        }
        size_t row = (size_t)(N * V);
        assert_memory_equal(kept[2], kept[1], row * sizeof **kept);
        assert_memory_equal(kept[2] + row, kept[0] + row, row * sizeof **kept);
        assert_memory_not_equal(kept[1], kept[0], row * sizeof **kept);
        for (int run = 0; run < 3; run++) kr_mem_free(kept[run]);
        kr_graph_free(g);
        kr_model_release(m);
    }
}

/* Learnt states where rows carry: a row that was reset starts from them and teaches them as
 * a row by itself does, a row that goes on does neither. */
static void test_learnt_and_carried(void **state) {
    enum { S = 2, N = 9 };
    (void)state;
    kr_model *m = model_of("{" TOKENS M2 ", 'learnable_init_states': true}}", 6);
    const kr_param *p = kr_params_find(m->params, "backbone.layers.1.mixer.init_states");
    int64_t n = kr_param_count(p), bytes = S * N * (int64_t)sizeof(int32_t);
    kr_graph *g = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_TRAIN, .S = S, .L = N, .stateful = true});
    kr_graph *whole = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_TRAIN, .S = S, .L = N});
    float *want = kr_mem_array((size_t)n, sizeof *want);
    for (int run = 0; run < 4; run++) { /* new; going on; the second new again, the first not scored; both new */
        int32_t *targets = kr_graph_data(whole, "targets");
        fill_inputs(m, whole, S, N, 4);
        for (int i = 0; run == 2 && i < N; i++) targets[i] = -1;
        memcpy(kr_graph_data(g, "ids"), kr_graph_data(whole, "ids"), (size_t)bytes);
        memcpy(kr_graph_data(g, "targets"), targets, (size_t)bytes);
        kr_params_zero_grad(m->params);
        kr_graph_run(whole, KR_RUN_ALL);
        memcpy(want, p->grad, (size_t)n * sizeof *want);
        if (run == 2) kr_graph_reset_states(g, (const bool[]){false, true});
        if (run == 3) kr_graph_reset_states(g, NULL);
        kr_params_zero_grad(m->params);
        kr_graph_run(g, KR_RUN_ALL);
        double loss = *(float *)kr_graph_data(g, "loss"), alone = *(float *)kr_graph_data(whole, "loss");
        if (run == 1) {
            for (int64_t i = 0; i < n; i++) assert_true(((float *)p->grad)[i] == 0);
            assert_true(fabs(loss - alone) > 1e-4);
        } else {
            double e = difference(p->grad, want, n);
            if (!(e <= 1e-5) || !(fabs(loss - alone) <= 1e-5)) fail_msg("run %d: gradient differs by %.3g, loss by %.3g", run, e, loss - alone);
        }
    }
    kr_mem_free(want);
    kr_graph_free(whole);
    kr_graph_free(g);
    kr_model_release(m);
}

static void test_packed(void **state) {
    enum { S = 2, N_DOCS = 4 };
    static const struct { int64_t row, at, n; } doc[N_DOCS] = {{0, 0, 5}, {0, 5, 1}, {0, 6, 7}, {1, 0, 13}};
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        if (!cases[i].steps || cases[i].no_packed) continue;
        kr_model *m = model_of(cases[i].config, 7);
        int64_t V = m->config.vocab_size;
        kr_graph *packed = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_ALL, .S = S, .L = L, .packed = true});
        fill_inputs(m, packed, S, L, 10);
        int32_t *seq_idx = kr_graph_data(packed, "seq_idx");
        for (int d = 0; d < N_DOCS; d++)
            for (int64_t t = 0; t < doc[d].n; t++) seq_idx[doc[d].row * L + doc[d].at + t] = d;
        kr_graph_run(packed, KR_RUN_FORWARD);
        const float *got = kr_graph_data(packed, "logits");
        for (int d = 0; d < N_DOCS; d++) {
            kr_graph *alone = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_ALL, .S = 1, .L = doc[d].n});
            int64_t at = doc[d].row * L + doc[d].at;
            run_ids(alone, kr_graph_data(packed, "ids"), 1, 0, at, doc[d].n);
            double e = difference(got + at * V, kr_graph_data(alone, "logits"), doc[d].n * V);
            if (!(e <= 2e-5)) fail_msg("%s: document %d differs by %.3g", cases[i].name, d, e);
            kr_graph_free(alone);
        }
        kr_graph_free(packed);
        kr_model_release(m);
    }
}

/* --- the same bits ---------------------------------------------------------------------------- */

static void test_recompute(void **state) {
    (void)state;
    for (int i = 0; i < N_CASES; i++)
        for (int dropout = 0; dropout < 2; dropout++) {
            kr_model *m = model_of(cases[i].config, 8);
            kr_model_graph_options o = {.S = 2, .L = L, .dropout = dropout ? 0.3 : 0};
            result a = train_once(m, o);
            o.checkpoint = true;
            result b = train_once(m, o);
            if (!same_bits(m, &a, &b)) fail_msg("%s%s: recomputing changes bits", cases[i].name, dropout ? " with dropout" : "");
            o.checkpoint = false, o.remake = true;
            result c = train_once(m, o);
            if (!same_bits(m, &a, &c)) fail_msg("%s%s: remaking cheap values changes bits", cases[i].name, dropout ? " with dropout" : "");
            if (c.block > a.block) fail_msg("%s: remaking takes %zu bytes, %zu without", cases[i].name, c.block, a.block);
            o.remake_scans = 2;
            result d = train_once(m, o);
            if (!same_bits(m, &a, &d)) fail_msg("%s%s: remaking two scans changes bits", cases[i].name, dropout ? " with dropout" : "");
            kr_mem_free(d.grad);
            kr_mem_free(a.grad);
            kr_mem_free(b.grad);
            kr_mem_free(c.grad);
            kr_model_release(m);
        }
}

static void test_recompute_memory(void **state) {
    static const char *const config[] = {
        "{'model_type': 'krait', 'd_model': 16, 'n_layer': 8, 'vocab_size': 11, 'mixer': {'type': 'mamba1', 'd_state': 4}}",
        "{'model_type': 'krait', 'd_model': 16, 'n_layer': 8, 'vocab_size': 11, 'mixer': {'type': 's4d', 'd_state': 4}}",
        "{'model_type': 'krait', 'd_model': 16, 'n_layer': 8, 'vocab_size': 11, 'mixer': {'type': 'mamba2', 'd_state': 8, 'headdim': 8}}"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        kr_model *m = model_of(config[i], 8);
        kr_model_graph_options o = {.S = 2, .L = 64};
        result a = train_once(m, o);
        o.checkpoint = true;
        result b = train_once(m, o);
        assert_true(same_bits(m, &a, &b));
        if (b.block * 2 > a.block) fail_msg("recomputing takes %zu bytes of %zu, want at most half", b.block, a.block);
        kr_mem_free(a.grad);
        kr_mem_free(b.grad);
        kr_model_release(m);
    }
}

/* Large enough that every op has work for several threads. */
static const char *const wide[] = {
    "{'model_type': 'krait', 'd_model': 48, 'n_layer': 2, 'vocab_size': 70, 'mixer': {'type': 'mamba1', 'd_state': 8}}",
    "{'model_type': 'krait', 'd_model': 48, 'n_layer': 2, 'vocab_size': 70, 'mixer': {'type': 'mamba2', 'd_state': 16, 'headdim': 16, 'ngroups': 2}}",
    "{'model_type': 'krait', 'd_model': 48, 'n_layer': 2, 'vocab_size': 70, 'mixer': {'type': 's4d', 'd_state': 8}}",
    ("{'model_type': 'krait', 'd_model': 48, 'n_layer': 2, 'order': {'type': 'bidirectional'}, 'encoder': {'type': 'linear', 'width': 3},"
     " 'head': {'type': 'regress', 'pool': 'mean'}, 'mixer': {'type': 'mamba2', 'd_state': 16, 'headdim': 16}}")};

static void test_threads(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        kr_model *m = model_of(wide[i], 9);
        kr_model_graph_options o = {.S = 3, .L = 150, .dropout = 0.1, .n_threads = 1};
        result one = train_once(m, o);
        assert_true(isfinite(one.loss));
        for (o.n_threads = 2; o.n_threads <= 3; o.n_threads++) {
            result more = train_once(m, o);
            if (!same_bits(m, &one, &more)) fail_msg("%s: %d threads give other bits than one", wide[i], o.n_threads);
            kr_mem_free(more.grad);
        }
        kr_mem_free(one.grad);
        kr_model_release(m);
    }
}

/* Also of a batch of one row: neighbours change nothing. */
static void test_neighbours(void **state) {
    enum { S = 3 };
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        kr_model *m = model_of(wide[i], 9);
        int64_t V = m->config.vocab_size, n = 40;
        kr_graph *all = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_ALL, .S = S, .L = n}), *one = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_ALL, .S = 1, .L = n});
        fill_inputs(m, all, S, n, 2);
        kr_graph_run(all, KR_RUN_FORWARD);
        const float *got = kr_graph_data(all, "logits");
        for (int64_t s = 0; s < S; s++) {
            run_ids(one, kr_graph_data(all, "ids"), 1, 0, s * n, n);
            if (memcmp(got + s * n * V, kr_graph_data(one, "logits"), (size_t)(n * V) * sizeof *got)) fail_msg("%s: row %d has other bits alone", wide[i], (int)s);
        }
        kr_graph_free(all);
        kr_graph_free(one);
        kr_model_release(m);
    }
}

static void test_instruction_sets(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        kr_model *m = model_of(wide[i], 9);
        kr_model_graph_options o = {.S = 2, .L = 70};
        result best = train_once(m, o);
        for (int impl = KR_BASELINE; impl < KR_CUDA; impl++) {
            if (!kr_cpu_has((kr_impl)impl)) continue;
            o.impl = (kr_impl)impl;
            result other = train_once(m, o);
            double e = difference(other.grad, best.grad, m->params->n_elements);
            if (!(e <= 1e-4) || !(fabs((double)other.loss - best.loss) <= 1e-4)) fail_msg("%s: %s differs by %.3g", wide[i], kr_impl_name((kr_impl)impl), e);
            kr_mem_free(other.grad);
        }
        kr_mem_free(best.grad);
        kr_model_release(m);
    }
}

/* Training adds balance X sum f P for each router; scoring does not.  One layer, so that the router
 * sees the embeddings, normalised, and all can be made again here. */
static void test_balance(void **state) {
    enum { S = 2, V = 11, M = 12, X = 3, K = 2, T = S * L };
    (void)state;
    kr_model *m = model_of("{'model_type': 'krait', 'd_model': 12, 'n_layer': 1, 'vocab_size': 11, 'layers': ['moe'],"
                           " 'mixers': {'moe': {'n_expert': 3, 'top_k': 2, 'd_ff': 6, 'balance': 0.25}}}", 6);
    kr_graph *train = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_TRAIN, .S = S, .L = L});
    kr_graph *score = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_LOSS, .S = S, .L = L});
    fill_inputs(m, train, S, L, 8);
    fill_inputs(m, score, S, L, 8);
    const int32_t *ids = kr_graph_data(train, "ids");
    const float *table = kr_params_find(m->params, "backbone.embeddings.weight")->data, *norm = kr_params_find(m->params, "backbone.layers.0.norm.weight")->data;
    const float *router = kr_params_find(m->params, "backbone.layers.0.mixer.router.weight")->data;
    double f[X] = {0}, P[X] = {0}, want = 0;
    for (int t = 0; t < T; t++) {
        double squares = 0, p[X] = {0}, sum = 0;
        const float *x = table + ids[t] * M;
        for (int i = 0; i < M; i++) squares += (double)x[i] * x[i] / M;
        for (int e = 0; e < X; e++) {
            for (int i = 0; i < M; i++) p[e] += (double)router[e * M + i] * x[i] * norm[i] / sqrt(squares + 1e-5);
            sum += p[e] = exp(p[e]);
        }
        int least = 0;
        for (int e = 0; e < X; e++) least = p[e] < p[least] ? e : least;
        for (int e = 0; e < X; e++) P[e] += p[e] / sum / T, f[e] += e == least ? 0 : 1. / T; /* all but one of three */
    }
    for (int e = 0; e < X; e++) want += 0.25 * X * f[e] * P[e];
    double got = loss_of(train) - loss_of(score);
    if (fabs(got - want) > 1e-5) fail_msg("training adds %.7g, want %.7g", got, want);
    kr_graph_free(train);
    kr_graph_free(score);
    kr_model_release(m);
}

/* Every row likes the first expert best; while training each expert gets about as many rows, each those that like it most. */
static void test_even(void **state) {
    enum { T = 64, X = 4 };
    kr_params *params;
    kr_graph *g;
    kr_node *route[KR_MAX_OUT] = {NULL};
    kr_graph_options o = {.impl = kr_cpu_best(), .n_threads = 1};
    int n[X] = {0};
    (void)state;
    assert_int_equal(kr_params_new(&params, KR_F32, NULL), KR_OK);
    assert_int_equal(kr_graph_new(&g, params, &o), KR_OK);
    kr_node *logits = kr_input(g, "logits", KR_F32, 2, KR_DIMS(T, X));
    sinkhorn_attr rounds = {.rounds = 50};
    moe_route_attr a = {.k = 1, .gate = MOE_SIGMOID, .bias_logits = 1, .scale = 1};
    kr_node *w = kr_apply(g, &kr_op_moe_route, &a, (kr_node *const[KR_MAX_IN]){logits, KR_APPLY(g, sinkhorn, &rounds, logits)}, route);
    kr_graph_keep(g, w, "w");
    kr_graph_keep(g, route[MOE_ROUTE_IDX], "idx");
    assert_int_equal(kr_graph_plan(g), KR_OK);
    assert_int_equal(kr_params_alloc(params, false), KR_OK);
    assert_int_equal(kr_graph_alloc(g), KR_OK);
    kr_rng r = {3, 3, 0};
    float *l = kr_graph_data(g, "logits");
    for (int i = 0; i < T * X; i++) l[i] = (float)kr_rng_normal(&r) + (i % X == 0 ? 5 : 0);
    kr_graph_run(g, KR_RUN_FORWARD);
    const int32_t *idx = kr_graph_data(g, "idx");
    for (int t = 0; t < T; t++) {
        n[idx[t]]++;
        assert_true(fabs(((float *)kr_graph_data(g, "w"))[t] - 1 / (1 + exp(-l[t * X + idx[t]]))) < 1e-6);
    }
    for (int e = 0; e < X; e++)
        if (n[e] < 10 || n[e] > 22) fail_msg("expert %d has %d of %d rows", e, n[e], T);
    kr_graph_free(g);
    kr_params_free(params);
}

/* Rows [from, to) of a parameter times a power of two. */
static void times(kr_model *m, const char *name, int64_t from, int64_t to, float factor) {
    kr_param *p = kr_params_find(m->params, name);
    assert_non_null(p);
    int64_t width = kr_param_count(p) / p->dim[0];
    for (int64_t i = from * width; i < (to ? to : p->dim[0]) * width; i++) ((float *)p->data)[i] *= factor;
}

/* By powers of two, so that the bits are the same. */
static void test_scales(void **state) {
#define FALCON(encoder, head, mixer, attention, mlp)                                                                                 \
    "{" TOKENS "'tie_embeddings': false, 'encoder': {'type': 'token'" encoder "}, 'head': {'type': 'lm'" head "}, " M2 mixer ", 'rmsnorm': false}," \
    " 'layers': ['mixer&attention+mlp'], 'mixers': {'attention': {'n_head': 2, 'rope_dims': 4" attention "}, 'mlp': {'d_ff': 8" mlp "}}}"
    (void)state;
    kr_model *a = model_of(FALCON("", "", "", "", ""), 4);
    kr_model *b = model_of(FALCON(", 'scale': 4", ", 'scale': 0.5", ", 'in_scale': 2, 'out_scale': 0.25, 'z_scale': 0.5, 'x_scale': 4, 'B_scale': 0.125,"
                                  " 'C_scale': 8, 'dt_scale': 0.5", ", 'in_scale': 0.5, 'out_scale': 4", ", 'gate_scale': 0.5, 'out_scale': 2"), 4);
    times(a, "backbone.embeddings.weight", 0, 0, 4);
    times(a, "lm_head.weight", 0, 0, 0.5F);
    for (int i = 0; i < 2; i++) {
        static const struct { const char *name; int64_t from, to; float factor; } all[] = { /* of 24 channels in 4 heads, N = 5 */
            {"mixer.in_proj.weight", 0, 24, 1}, {"mixer.in_proj.weight", 24, 48, 8}, {"mixer.in_proj.weight", 48, 53, 0.25F},
            {"mixer.in_proj.weight", 53, 58, 16}, {"mixer.in_proj.weight", 58, 62, 1}, {"mixer.out_proj.weight", 0, 0, 0.25F},
            {"parallel2.mixer.in_proj.weight", 0, 0, 0.5F}, {"parallel2.mixer.out_proj.weight", 0, 0, 4},
            {"mlp.fc1.weight", 8, 16, 0.5F}, {"mlp.fc2.weight", 0, 0, 2}};
        char name[64];
        for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
            snprintf(name, sizeof name, "backbone.layers.%d.%s", i, all[k].name);
            times(a, name, all[k].from, all[k].to, all[k].factor);
        }
    }
    kr_model_graph_options o = {.mode = KR_MODEL_LOSS, .S = 2, .L = L};
    kr_graph *ga = graph_of(a, o), *gb = graph_of(b, o);
    fill_inputs(a, ga, 2, L, 8);
    fill_inputs(b, gb, 2, L, 8);
    assert_true(loss_of(ga) == loss_of(gb));
    kr_graph_free(ga);
    kr_graph_free(gb);
    kr_model_release(a);
    kr_model_release(b);
}

/* A family's files have in_proj in three pieces; together they must be as high as it is. */
static void test_pieces(void **state) {
    static const struct { int64_t rows[3]; const char *says; } files[] = {
        {{8, 4, 4}, NULL}, {{8, 8, 8}, "v_proj.weight is [8, 8], want [0, 8]"}, {{12, 12, 4}, "k_proj.weight is [12, 8], want [4, 8]"},
        {{17, 4, 4}, "q_proj.weight is [17, 8], want [16, 8]"}, {{8, 4, 2}, "have 14 rows, want 16"}};
    static const char *const names[] = {"embed_tokens", "layers.0.input_layernorm", "layers.0.self_attn.q_proj", "layers.0.self_attn.k_proj",
                                        "layers.0.self_attn.v_proj", "layers.0.self_attn.o_proj", "layers.0.pre_ff_layernorm",
                                        "layers.0.feed_forward.up_proj", "layers.0.feed_forward.gate_proj", "layers.0.feed_forward.down_proj",
                                        "final_layernorm"};
    static float data[17 * 8];
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        kr_model *m = model_of("{'model_type': 'bamba', 'hidden_size': 8, 'num_hidden_layers': 1, 'vocab_size': 16, 'intermediate_size': 8, 'mamba_n_heads': 2,"
                               " 'num_attention_heads': 2, 'num_key_value_heads': 1, 'attn_layer_indices': [0], 'tie_word_embeddings': true}", 1);
        char path[] = "/tmp/krait-pieces-XXXXXX", name[80];
        kr_st_writer *w;
        int fd = mkstemp(path);
        assert_true(fd >= 0);
        close(fd);
        assert_int_equal(kr_st_writer_new(&w), KR_OK);
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
            bool norm = strstr(names[k], "norm") != NULL;
            kr_tensor t = {.data = data, .dtype = KR_F32, .n_dims = norm ? 1 : 2, .dim = {k == 0 ? 16 : k >= 2 && k <= 4 ? files[i].rows[k - 2] : 8, 8}};
            snprintf(name, sizeof name, "model.%s.weight", names[k]);
            assert_int_equal(kr_st_writer_add(w, name, &t, KR_F32), KR_OK);
        }
        assert_int_equal(kr_st_writer_save(w, path), KR_OK);
        kr_st_writer_free(w);
        kr_status st = kr_model_read_weights(m, path);
        assert_int_equal(st, files[i].says ? KR_ERR_SHAPE : KR_OK);
        if (files[i].says && !strstr(kr_error(), files[i].says)) fail_msg("said: %s", kr_error());
        remove(path);
        kr_model_release(m);
    }
}

/* What cannot be right is refused, in words. */
static void test_refusals(void **state) {
    static const struct { const char *config, *says; kr_model_graph_options o; } refused[] = {
        {"{" TOKENS M2 ", 'learnable_init_states': true}}", "each further document packed", {.packed = true}},
        {"{" TOKENS "'order': {'type': 'bidirectional'}, " M1 "}}", "does not take packed documents", {.packed = true}},
        {"{" TOKENS "'order': {'type': 'bidirectional'}, " M1 "}}", "cannot go step by step", {.stateful = true}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        kr_model *m = model_of(refused[i].config, 1);
        kr_model_graph_options o = refused[i].o;
        kr_graph *g;
        o.mode = KR_MODEL_TRAIN, o.S = 1, o.L = L;
        assert_int_equal(kr_model_graph(m, &o, &g), KR_ERR_CONFIG);
        if (!strstr(kr_error(), refused[i].says)) fail_msg("said: %s", kr_error());
        kr_model_release(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradient),
        cmocka_unit_test(test_gradient_packed),
        cmocka_unit_test(test_stateful),
        cmocka_unit_test(test_reset_of_one_row),
        cmocka_unit_test(test_learnt_and_carried),
        cmocka_unit_test(test_packed),
        cmocka_unit_test(test_recompute),
        cmocka_unit_test(test_recompute_memory),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_neighbours),
        cmocka_unit_test(test_instruction_sets),
        cmocka_unit_test(test_balance), cmocka_unit_test(test_even),
        cmocka_unit_test(test_scales),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
