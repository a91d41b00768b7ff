/* check_blocks.c - block designs: stacks of several resolutions, convolutions, paths, tokens.
 *
 *   gradient   against central differences of the loss, parameter by parameter
 *   bits       the same recomputed, remade, and with several threads
 *   learns     a few steps of descent on one batch bring the loss down
 *   config     written and read again it is the same model
 *   golden     against PyTorch (scripts/blocks-golden.py made tests/data/blocks)
 *   refusals   what cannot be, in words */
#include "gradient_case.h"
#include "krait/order.h"
#include "model/safetensors.h"

typedef struct block_case {
    const char *name, *size, *config;
    int64_t L;
    bool corners; /* relus, or a tree: differences step over corners; its ops are checked one by one, it against PyTorch */
} block_case;

/* A picture of 3 numbers a cell, and two numbers to predict for it. */
#define PICTURE(size, n) "{'model_type': 'krait', 'd_model': 8, 'n_layer': " #n ", 'norm_eps': 1e-3, 'encoder': {'type': 'linear', 'width': 3, 'size': '" size "'}," \
    " 'head': {'type': 'regress', 'width': 2, 'pool': 'mean'}, "
#define LINE(n) "{'model_type': 'krait', 'd_model': 8, 'n_layer': " #n ", 'norm_eps': 1e-3, 'encoder': {'type': 'linear', 'width': 3}," \
    " 'head': {'type': 'regress', 'width': 2, 'pool': 'mean'}, "
#define STEPS "'dt_min': 0.1, 'dt_max': 1, 'd_state': 3"

static const block_case cases[] = {
    {"U-Net", "5x6", PICTURE("5x6", 5) "'layers': ['conv', 'down', 'conv', 'up', 'conv'], 'mixers': {'conv': {'activation': 'silu'}}}", 30},
    {"U-Net of convolutions alone, sums", "4x6", PICTURE("4x6", 7) "'layers': ['conv', 'merge', 'conv', 'pool', 'conv', 'wide', 'wide2'],"
     " 'mixers': {'conv': {'depth': 1, 'norm': 'none', 'activation': 'gelu'}, 'merge': {'type': 'down', 'how': 'merge', 'width': 6},"
     " 'pool': {'type': 'down', 'how': 'mean', 'width': 6, 'skip': true}, 'wide': {'type': 'up', 'skip': 'add', 'width': 4, 'norm': true},"
     " 'wide2': {'type': 'up', 'how': 'nearest', 'width': 8, 'side': 2}}}", 24},
    {"U-Mamba: the mixer in the bottleneck", "4x4", PICTURE("4x4", 5) "'mixer': {'type': 'mamba1', " STEPS "}, 'layers': ['conv', 'down', 'conv+mixer', 'up', 'conv'],"
     " 'mixers': {'conv': {'groups': 2, 'activation': 'silu'}, 'down': {'how': 'conv'}}}", 16},
    {"VM-UNet", "4x6", PICTURE("4x6", 5) "'layers': ['ss2d', 'down', 'ss2d', 'up', 'ss2d'], 'mixers': {'ss2d': {" STEPS "}, 'down': {'how': 'merge'},"
     " 'up': {'skip': 'add', 'norm': true}}}", 24},
    {"max of patches, a clip, no skip", "2x3x5", PICTURE("2x3x5", 4) "'layers': ['depthwise', 'down', 'depthwise', 'up'], 'mixers': {'depthwise': {'type': 'conv', 'kind': 'depthwise',"
     " 'norm': 'layer', 'activation': 'gelu', 'width': 9, 'side': 5}, 'down': {'how': 'max', 'skip': false, 'width': 10}, 'up': {'skip': 'none', 'factor': 3}}}", 30},
    {"VSS block", "3x5", PICTURE("3x5", 2) "'layers': ['ss2d+mlp'], 'mixers': {'ss2d': {" STEPS "}, 'mlp': {'d_ff': 7}}}", 15},
    {"VSS block without gate and norm, atrous", "3x5", PICTURE("3x5", 1) "'layers': ['ss2d'], 'mixers': {'ss2d': {'path': 'atrous', 'gate': false, 'norm': 'none', " STEPS "}}}", 15},
    {"along a tree (GrootV)", "3x5", PICTURE("3x5", 2) "'layers': ['ss2d'], 'mixers': {'ss2d': {'path': 'tree', " STEPS "}}}", 15, true},
    {"Vim block v2 with a class token", "3x4", PICTURE("3x4", 4) "'layers': ['tokens', 'vim', 'vim', 'readout'], 'mixers': {'vim': {'type': 'ss2d', 'path': 'bidirectional',"
     " 'conv': 'path', 'norm': 'none', 'merge': 'mean', " STEPS "}}}", 12},
    {"Vim block v1", "3x4", PICTURE("3x4", 2) "'layers': ['vim'], 'mixers': {'vim': {'type': 'ss2d', 'path': 'bidirectional', 'conv': 'line', 'd_conv': 4,"
     " 'own': 'A', 'norm': 'none', " STEPS "}}}", 12},
    {"PlainMamba", "3x4", PICTURE("3x4", 2) "'layers': ['ss2d'], 'mixers': {'ss2d': {'path': 'continuous', 'own': 'none', 'directions': true, 'norm': 'none', " STEPS "}}}", 12},
    {"ss2d along rows, columns and windows by themselves", "3x5", PICTURE("3x5", 2) "'layers': ['lines', 'windows'], 'mixers': {'lines': {'type': 'ss2d', 'path': 'bidirectional:apart,forward:turned:apart',"
     " 'own': 'none', 'conv': 'path', 'norm': 'none', 'directions': true, " STEPS "}, 'windows': {'type': 'ss2d', 'path': 'window:apart', 'path_window': 2, " STEPS "}}}", 15},
    {"ss2d, channels in reverse", "3x4", PICTURE("3x4", 1) "'layers': ['ss2d'], 'mixers': {'ss2d': {'path': 'forward,forward:flipped', 'own': 'A', " STEPS "}}}", 12},
    {"registers", "3x4", PICTURE("3x4", 3) "'order': {'type': 'bidirectional'}, 'mixer': {'type': 'mamba1', " STEPS "}, 'layers': ['tokens', 'mixer', 'readout'],"
     " 'mixers': {'tokens': {'count': 4, 'at': 'even'}, 'readout': {'join': true}}}", 12},
    {"four ways with one mixer", "3x4", PICTURE("3x4", 2) "'mixer': {'type': 'mamba1', 'ways': 4, " STEPS "}}", 12},
    {"two ways of ss2d beside a convolution", "3x4", PICTURE("3x4", 1) "'layers': ['ss2d&conv'], 'mixers': {'ss2d': {'ways': 2, " STEPS "}, 'conv': {'depth': 1, 'norm': 'none'}}}", 12},
    {"Bi-Mamba+'s forget gate", "3x4", PICTURE("3x4", 2) "'order': {'type': 'bidirectional'}, 'mixer': {'type': 'mamba1', 'forget_gate': true, " STEPS "}}", 12},
    {"MedMamba", "4x3", PICTURE("4x3", 2) "'layers': ['medmamba'], 'mixers': {'medmamba': {" STEPS "}}}", 12, true},
    {"VMRNN", "3x2x4", PICTURE("3x2x4", 1) "'layers': ['vmrnn'], 'mixers': {'vmrnn': {" STEPS "}}}", 24},
    {"Graph-Mamba", "", "{'model_type': 'krait', 'd_model': 8, 'n_layer': 2, 'norm_eps': 1e-3, 'encoder': {'type': 'graph', 'width': 3, 'edges': 17}, 'head': {'type': 'regress', 'width': 2,"
     " 'pool': 'mean'}, 'mixer': {'type': 'mamba1', " STEPS "}, 'layers': ['gatedgcn&mixer+mlp'], 'mixers': {'gatedgcn': {}, 'mlp': {'d_ff': 5}}}", 11, true},
    {"Graph-Mamba, each layer in orders of its own", "", "{'model_type': 'krait', 'd_model': 8, 'n_layer': 2, 'norm_eps': 1e-3, 'encoder': {'type': 'graph', 'width': 3, 'edges': 17}, 'head': {'type': 'regress', 'width': 2,"
     " 'pool': 'mean'}, 'order': {'type': 'ties', 'draws': 3}, 'mixer': {'type': 'mamba1', " STEPS "}, 'layers': ['gatedgcn&mixer+mlp'], 'mixers': {'gatedgcn': {}, 'mlp': {'d_ff': 5}}}", 11, true},
    {"Graph convolutions, edges with numbers", "", "{'model_type': 'krait', 'd_model': 8, 'n_layer': 2, 'encoder': {'type': 'graph', 'width': 3, 'edges': 17, 'edge_width': 2},"
     " 'head': {'type': 'regress', 'width': 2, 'pool': 'mean'}, 'layers': ['gatedgcn']}", 11, true},
    {"three of four paths at half the resolution (MSVMamba)", "5x4", PICTURE("5x4", 1) "'order': {'type': 'scan', 'path': 'cross', 'coarse': 2}, 'mixer': {'type': 'mamba1', " STEPS "}}", 20},
    {"back at a third of it, a clip (Voxel Mamba)", "2x4x3", PICTURE("2x4x3", 2) "'order': {'type': 'scan', 'path': 'hilbert,hilbert:back', 'coarse': 3, 'share': true}, 'mixer': {'type': 'mamba1', " STEPS "}}", 24},
    {"SLWS: steps shuffled now and then", "3x5", PICTURE("3x5", 3) "'order': {'type': 'scan', 'path': 'cross', 'shuffle': 0.8}, 'mixer': {'type': 'mamba1', " STEPS "}}", 15},
    {"DPMamba: within pieces, then across", "", LINE(2) "'layers': ['within+across'], 'mixers': {'within': {'type': 'mamba1', " STEPS ", 'order': {'type': 'scan', 'path': 'window:apart,window:back:apart',"
     " 'path_window': 4}}, 'across': {'type': 'mamba1', " STEPS ", 'order': {'type': 'scan', 'path': 'slices:apart', 'path_window': 3}}}}", 12},
    {"SPMamba: along frequency, then along time", "3x5", PICTURE("3x5", 1) "'layers': ['frequency+time'], 'mixers': {'frequency': {'type': 'mamba1', " STEPS ", 'order': {'type': 'scan',"
     " 'path': 'bidirectional:apart'}}, 'time': {'type': 'mamba1', " STEPS ", 'order': {'type': 'scan', 'path': 'bidirectional:turned:apart', 'share': true}}}}", 15},
    {"windows of different sizes apart", "3x5", PICTURE("3x5", 2) "'order': {'type': 'scan', 'path': 'window:apart', 'path_window': 2}, 'mixer': {'type': 'mamba1', " STEPS "}}", 15},
    {"HiSS: pieces by themselves, then their ends", "", LINE(4) "'mixer': {'type': 'mamba1', " STEPS "}, 'layers': ['low', 'low', 'condense', 'mixer'], 'mixers': {'low': {'type': 's4d', 'd_state': 4,"
     " 'dt_min': 0.1, 'dt_max': 0.5, 'order': {'type': 'scan', 'path': 'window:apart', 'path_window': 3}}, 'condense': {'window': 3}}}", 11},
    {"words, then sentences, another width", "", LINE(3) "'mixer': {'type': 'mamba1', " STEPS "}, 'order': {'type': 'nested', 'window': 4}, 'layers': ['mixer', 'condense', 'mamba1'],"
     " 'mixers': {'condense': {'window': 4, 'by': 'join', 'width': 6}, 'mamba1': {" STEPS ", 'order': {'type': 'causal'}}}}", 14},
    {"Mamba in Mamba", "4x6", PICTURE("4x6", 2) "'order': {'type': 'nested', 'by': 'join'}, 'mixer': {'type': 'mamba1', " STEPS "}}", 24},
    {"nested, pieces that differ", "3x5", PICTURE("3x5", 1) "'order': {'type': 'nested', 'share': true}, 'mixer': {'type': 'mamba1', " STEPS "}}", 15},
    {"MambaMixer: steps, then channels both ways", "3x4", PICTURE("3x4", 1) "'order': {'type': 'scan', 'path': 'cross'}, 'mixer': {'type': 'mamba1', " STEPS "}, 'layers': ['mixer+channels'],"
     " 'mixers': {'channels': {'type': 'mamba1', " STEPS ", 'order': {'type': 'scan', 'path': 'bidirectional', 'axis': 'channels'}}}}", 12},
    {"Mamba3D: channels in reverse", "", LINE(1) "'order': {'type': 'scan', 'path': 'forward,forward:flipped', 'share': true}, 'mixer': {'type': 'mamba1', " STEPS "}}", 10},
    {"Pan-Mamba: two streams swap channels", "2x3x4", PICTURE("2x3x4", 2) "'order': {'type': 'swap'}, 'mixer': {'type': 'mamba1', " STEPS "}}", 24},
    {"Fusion-Mamba: four groups, one mixer", "2x3x4", PICTURE("2x3x4", 1) "'order': {'type': 'swap', 'groups': 4, 'first': 'second', 'share': true}, 'mixer': {'type': 'mamba1', " STEPS "}}", 24},
    {"ChangeMamba: columns of two pictures in turn", "2x3x4", PICTURE("2x3x4", 1) "'order': {'type': 'scan', 'path': 'interleaved', 'merge': 'gate'}, 'mixer': {'type': 'mamba1', " STEPS "}}", 24},
    {"Motion Mamba: three levels, one, three", "", LINE(3) "'order': {'type': 'scan', 'path': 'levels'}, 'mixer': {'type': 's4d', 'd_state': 4, 'dt_min': 0.1, 'dt_max': 0.5}}", 8},
    {"ZigMa of clips: frames, then time", "3x2x3", PICTURE("3x2x3", 2) "'mixer': {'type': 'mamba1', " STEPS "}, 'layers': ['frame', 'time'], 'mixers': {'frame': {'type': 'mamba1', " STEPS ", 'order': {'type': 'scan',"
     " 'path': 'zigzag:apart'}}, 'time': {'type': 'mamba1', " STEPS ", 'order': {'type': 'scan', 'path': 'temporal:apart', 'merge': 'mean'}}}}", 18},
    {"the encoder's pictures along a scan order", "3x5", PICTURE("3x5", 1) "'order': {'type': 'scan', 'path': 'cross', 'merge': 'mean'}, 'mixer': {'type': 's4d', 'd_state': 4,"
     " 'dt_min': 0.1, 'dt_max': 0.5}}", 15},
};
enum { N_CASES = sizeof cases / sizeof *cases };

static void test_gradient(void **state) {
    (void)state;
    for (int i = 0; i < N_CASES; i++)
        if (!cases[i].corners) check_model_gradients(cases[i].name, cases[i].config, 2, cases[i].L);
}

static void test_bits(void **state) {
    (void)state;
    for (int i = 0; i < N_CASES; i++) check_model_bits(cases[i].name, cases[i].config, cases[i].L);
}

/* Large enough that every op has work for several threads. */
static void test_threads(void **state) {
    static const char *const wide = "{'model_type': 'krait', 'd_model': 24, 'n_layer': 5, 'encoder': {'type': 'linear', 'width': 3, 'size': '20x17'}, 'head': {'type': 'regress'},"
        " 'layers': ['conv+ss2d', 'down', 'depthwise', 'up', 'conv'], 'mixers': {'conv': {'groups': 4}, 'depthwise': {'type': 'conv', 'kind': 'depthwise'}}}";
    (void)state;
    kr_model *m = model_of(wide, 9);
    kr_model_graph_options o = {.S = 3, .L = 340, .n_threads = 1};
    result one = train_once(m, o);
    assert_true(isfinite(one.loss));
    for (o.n_threads = 2; o.n_threads <= 3; o.n_threads++) {
        result more = train_once(m, o);
        if (!same_bits(m, &one, &more)) fail_msg("%d threads give other bits than one", o.n_threads);
        kr_mem_free(more.grad);
    }
    kr_mem_free(one.grad);
    kr_model_release(m);
}

/* What comes in at one cell changes what goes on in its piece, and nowhere else. */
static void test_apart(void **state) {
    static const char *const paths[] = {"'path': 'window:apart', 'path_window': 3", "'path': 'forward:apart'", "'path': 'forward:turned:apart,snake:back:apart'"};
    enum { H = 5, W = 7, M = 8 };
    (void)state;
    for (int n = 0; n < 9; n++) {
        static const char *const forms[] = {PICTURE("5x7", 1) "'mixer': {'type': 'mamba1', " STEPS "}, 'order': {'type': 'scan', %s}}",
                                            PICTURE("5x7", 1) "'mixer': {'type': 'ss2d', 'conv': 'none', " STEPS ", %s}}",
                                            PICTURE("5x7", 1) "'mixer': {'type': 'ss2d', 'conv': 'path', 'own': 'none', " STEPS ", %s}}"};
        char config[600];
        float before[H * W * M];
        int i = n % 3;
        snprintf(config, sizeof config, forms[n / 3], paths[i]);
        kr_model *m = model_of(config, 3);
        kr_graph *g = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_HIDDEN, .S = 1, .L = H * W});
        fill_inputs(m, g, 1, H * W, 3);
        kr_graph_run(g, KR_RUN_FORWARD);
        memcpy(before, kr_graph_data(g, "hidden"), sizeof before);
        int h = 1, w = 1, changed = 0;
        ((float *)kr_graph_data(g, "x"))[(h * W + w) * 3] += 1;
        kr_graph_run(g, KR_RUN_FORWARD);
        const float *after = kr_graph_data(g, "hidden");
        for (int c = 0; c < H * W; c++) {
            int y = c / W, x = c % W;
            bool inside = i == 0 ? y < 3 && x < 3 : i == 1 ? y == h : y == h || x == w;
            bool same = memcmp(before + c * M, after + c * M, M * sizeof *before) == 0;
            if (!inside && !same) fail_msg("%s: cell %d hears of another piece", paths[i], c);
            changed += !same;
        }
        if (changed < 4) fail_msg("%s: only %d cells hear of a change", paths[i], changed);
        kr_graph_free(g);
        kr_model_release(m);
    }
}

/* A model's steps after the last layer, for inputs that are always the same numbers. */
static float *hidden_of(kr_model *m, int64_t S, int64_t L, int64_t n) {
    kr_graph *g = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_HIDDEN, .S = S, .L = L});
    float *y = kr_mem_array((size_t)n, sizeof *y);
    fill_inputs(m, g, S, L, 3);
    kr_graph_run(g, KR_RUN_FORWARD);
    memcpy(y, kr_graph_data(g, "hidden"), (size_t)n * sizeof *y);
    kr_graph_free(g);
    return y;
}

/* Rows by themselves are pictures of one row. */
static void test_rows_are_pictures(void **state) {
    enum { H = 3, W = 5, M = 8, N = H * W * M };
    (void)state;
    for (int i = 0; i < 2; i++) {
        char config[600];
        float *y[2];
        for (int k = 0; k < 2; k++) {
            snprintf(config, sizeof config, PICTURE("%s", 2) "'layers': ['ss2d'], 'mixers': {'ss2d': {'path': 'bidirectional%s', 'conv': 'path', 'own': '%s', " STEPS "}}}", k ? "1x5" : "3x5",
                     k ? "" : ":apart", i ? "none" : "all");
            kr_model *m = model_of(config, 4);
            y[k] = hidden_of(m, k ? H : 1, k ? W : H * W, N);
            kr_model_release(m);
        }
        assert_true(difference(y[0], y[1], N) < 1e-6);
        kr_mem_free(y[0]), kr_mem_free(y[1]);
    }
}

/* A walk with its channels in reverse is one whose parameters stand in reverse. */
static void test_flipped(void **state) {
    enum { L = 12, M = 8, E = 2 * M, N = L * M };
    kr_model *m[2];
    float *y[3];
    (void)state;
    for (int k = 0; k < 2; k++) {
        char config[600];
        snprintf(config, sizeof config, PICTURE("3x4", 1) "'layers': ['ss2d'], 'mixers': {'ss2d': {'path': 'snake%s', 'conv': 'path', " STEPS "}}}", k ? "" : ":flipped");
        m[k] = model_of(config, 4);
        y[k] = hidden_of(m[k], 1, L, N);
    }
    for (kr_param *p = m[1]->params->first; p; p = p->next) {
        if (!strstr(p->name, "route.")) continue;
        float *x = p->data;
        int64_t n = kr_param_count(p), inner = strstr(p->name, "x_proj") ? 1 : n / E; /* of what lies behind a channel */
        for (int64_t i = 0; i < n; i++) {
            int64_t e = i / inner % E, j = i + (E - 1 - 2 * e) * inner;
            if (e >= E / 2) continue;
            float swap = x[i];
            x[i] = x[j], x[j] = swap;
        }
    }
    y[2] = hidden_of(m[1], 1, L, N);
    assert_true(difference(y[1], y[0], N) > 1e-2);
    assert_true(difference(y[2], y[0], N) < 1e-5);
    for (int k = 0; k < 3; k++) kr_mem_free(y[k]);
    kr_model_release(m[0]), kr_model_release(m[1]);
}

/* Shuffled while training and for some keys only; what is asked of the model afterwards does not know of it. */
static void test_shuffled(void **state) {
    static const char *const forms[] = {"", ", 'shuffle': 0.5"};
    float loss[2], first = 0;
    int changed = 0;
    (void)state;
    for (int i = 0; i < 2; i++) {
        char config[600];
        snprintf(config, sizeof config, PICTURE("3x5", 1) "'mixer': {'type': 'mamba1', " STEPS "}, 'order': {'type': 'scan', 'path': 'forward'%s}}", forms[i]);
        kr_model *m = model_of(config, 3);
        kr_graph *g = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_LOSS, .S = 2, .L = 15});
        fill_inputs(m, g, 2, 15, 3);
        loss[i] = (float)loss_of(g);
        kr_graph_free(g);
        g = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_TRAIN, .S = 2, .L = 15});
        fill_inputs(m, g, 2, 15, 3);
        for (int step = 0; step < 40; step++) {
            int32_t *key = kr_graph_data(g, "shuffle_key.0");
            assert_int_equal(key != NULL, i);
            if (key) key[2] = step;
            changed += i && (float)loss_of(g) != first;
            if (!i) first = (float)loss_of(g);
        }
        kr_graph_free(g);
        kr_model_release(m);
    }
    assert_true(loss[0] == loss[1]);
    if (changed < 8 || changed > 32) fail_msg("%d of 40 steps shuffled, of a chance of a half", changed);
}

/* Twenty steps of descent along the gradient's sign. */
static void test_learns(void **state) {
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        kr_model *m = model_of(cases[i].config, 4);
        kr_graph *g = graph_of(m, (kr_model_graph_options){.mode = KR_MODEL_TRAIN, .S = 2, .L = cases[i].L});
        fill_inputs(m, g, 2, cases[i].L, 6);
        double first = loss_of(g), last = first;
        for (int step = 0; step < 20; step++) {
            kr_params_zero_grad(m->params);
            kr_graph_run(g, KR_RUN_ALL);
            last = *(float *)kr_graph_data(g, "loss");
            for (kr_param *p = m->params->first; p; p = p->next)
                for (int64_t k = 0; k < kr_param_count(p); k++) ((float *)p->data)[k] -= p->grad[k] > 0 ? 0.003f : p->grad[k] < 0 ? -0.003f : 0;
        }
        if (!(last < 0.7 * first)) fail_msg("%s: the loss was %.4g and is %.4g", cases[i].name, first, last);
        kr_graph_free(g);
        kr_model_release(m);
    }
}

static void test_config(void **state) {
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        json_t *j = json_of(cases[i].config), *first, *second;
        kr_config a, b;
        if (kr_config_read(&a, j, "test") != KR_OK || kr_config_write(&a, &first) != KR_OK) fail_msg("%s: %s", cases[i].name, kr_error());
        if (kr_config_read(&b, first, "written") != KR_OK || kr_config_write(&b, &second) != KR_OK) fail_msg("%s: %s", cases[i].name, kr_error());
        if (!json_equal(first, second)) fail_msg("%s: the config changes when it is written and read", cases[i].name);
        json_decref(j), json_decref(first), json_decref(second);
        kr_config_clear(&a);
        kr_config_clear(&b);
    }
}

/* --- against PyTorch ---------------------------------------------------------------------- */

/* A file has x, y and the parameters. */
typedef struct golden { const char *file, *part, *size; int64_t M; double tol; } golden; /* tol 0: 1e-5 */
static const golden goldens[] = {
    {"ss2d", "{'type': 'ss2d', 'd_state': 4}", "4x6", 10},
    {"tree", "{'type': 'ss2d', 'path': 'tree', 'd_state': 4}", "4x6", 10},
    {"vim_v2", "{'type': 'ss2d', 'path': 'bidirectional', 'conv': 'path', 'd_conv': 4, 'norm': 'none', 'merge': 'mean', 'd_state': 4}", "4x6", 10},
    {"vim_v1", "{'type': 'ss2d', 'path': 'bidirectional', 'conv': 'line', 'd_conv': 4, 'own': 'A', 'norm': 'none', 'd_state': 4}", "4x6", 10},
    {"plain_mamba", "{'type': 'ss2d', 'path': 'continuous', 'own': 'none', 'directions': true, 'norm': 'none', 'd_state': 4}", "4x6", 10},
    {"bi_mamba_plus", "{'type': 'mamba1', 'forget_gate': true, 'd_state': 4}", "1x9", 10},
    {"unet_block", "{'type': 'conv', 'groups': 5}", "5x7", 10},
    {"convnext", "{'type': 'conv', 'kind': 'depthwise', 'side': 7, 'norm': 'layer', 'activation': 'gelu'}", "5x7", 10},
    {"down_conv", "{'type': 'down'}", "5x7", 10},
    {"down_merge", "{'type': 'down', 'how': 'merge'}", "4x6", 10},
    {"down_max", "{'type': 'down', 'how': 'max'}", "4x6", 10},
    {"medmamba", "{'type': 'medmamba', 'd_state': 4}", "4x6", 10},
    {"vmrnn", "{'type': 'vmrnn', 'd_state': 4}", "3x4x6", 10, 5e-5}, /* a norm of a state that starts at zero: PyTorch in float is 1.1e-5 off itself */
    {"gatedgcn", "{'type': 'gatedgcn'}", "4x6", 10},
    {"up_shuffle", "{'type': 'up', 'skip': 'none'}", "4x6", 10},
};

static void fill_golden(const golden *t, const kr_st *f, kr_params *params) {
    for (kr_param *p = params->first; p; p = p->next) {
        const kr_st_tensor *v = kr_st_find(f, p->name);
        if (!v) fail_msg("%s: the file has no %s", t->file, p->name);
        if (v->count != kr_param_count(p)) fail_msg("%s: %s has %lld numbers in the file, %lld here", t->file, p->name, (long long)v->count, (long long)kr_param_count(p));
        memcpy(p->data, v->data, v->n_bytes);
    }
}

static void check_golden(const golden *t) {
    char path[1024];
    kr_st *f;
    kr_params *params;
    kr_graph *g;
    kr_arena arena = {0};
    const kr_part *part;
    void *opt;
    int64_t size[KR_ORDER_AXES];
    snprintf(path, sizeof path, KRAIT_SOURCE_DIR "/tests/data/blocks/%s.safetensors", t->file);
    if (kr_st_open(&f, path) != KR_OK) fail_msg("%s", kr_error());
    json_t *j = json_of(t->part);
    if (kr_part_read("mixer", "none", j, "test", &arena, &part, &opt) != KR_OK) fail_msg("%s", kr_error());
    int n_axes = kr_order_size(t->size, size);
    int64_t L = 1;
    for (int i = 0; i < n_axes; i++) L *= size[i];
    assert_int_equal(kr_params_new(&params, KR_F32, NULL), KR_OK);
    kr_graph_options go = {.impl = kr_cpu_best(), .n_threads = 1};
    assert_int_equal(kr_graph_new(&g, params, &go), KR_OK);
    kr_build b = {.g = g, .S = 2, .L = L, .d_model = t->M, .n_residual = 1, .norm_eps = 1e-5, .H = size[n_axes - 2], .W = size[n_axes - 1]};
    kr_node *x = kr_input(g, "x", KR_F32, 3, KR_DIMS(2, b.L, t->M));
    const kr_st_tensor *edge = kr_st_find(f, "edge");
    static const char *const edges[] = {"edge_from", "edge_to", "edge"};
    if (edge) {
        b.edge_from = kr_input(g, edges[0], KR_I32, 2, KR_DIMS(2, edge->dim[1]));
        b.edge_to = kr_input(g, edges[1], KR_I32, 2, KR_DIMS(2, edge->dim[1]));
        b.edge = kr_input(g, edges[2], KR_F32, 3, edge->dim);
    }
    kr_graph_keep(g, part->build(&b, opt, x), "y");
    if (kr_graph_plan(g) != KR_OK) fail_msg("%s: %s", t->file, kr_error());
    assert_int_equal(kr_params_alloc(params, false), KR_OK);
    fill_golden(t, f, params);
    assert_int_equal(kr_graph_alloc(g), KR_OK);
    const kr_st_tensor *in = kr_st_find(f, "x"), *out = kr_st_find(f, "y");
    assert_int_equal(out->count, 2 * b.L * b.d_model);
    float *want = kr_mem_array((size_t)out->count, sizeof *want);
    memcpy(want, out->data, out->n_bytes);
    memcpy(kr_graph_data(g, "x"), in->data, in->n_bytes);
    for (int i = 0; edge && i < 3; i++) {
        const kr_st_tensor *v = kr_st_find(f, edges[i]);
        if (kr_graph_data(g, edges[i])) memcpy(kr_graph_data(g, edges[i]), v->data, v->n_bytes);
    }
    kr_graph_run(g, KR_RUN_FORWARD);
    double e = difference(kr_graph_data(g, "y"), want, out->count);
    kr_mem_free(want);
    if (!(e <= (t->tol > 0 ? t->tol : 1e-5))) fail_msg("%s differs from PyTorch by %.3g", t->file, e);
    kr_graph_free(g);
    kr_params_free(params);
    kr_arena_clear(&arena);
    json_decref(j);
    kr_st_close(f);
}

static void test_golden(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++) check_golden(&goldens[i]);
}

static void test_refusals(void **state) {
    static const struct { const char *config, *says; } refused[] = {
        {"{'encoder': {'type': 'linear', 'width': 3}, 'head': {'type': 'regress'}, 'layers': ['conv']}", "wants pictures"},
        {PICTURE("4x4", 2) "'layers': ['conv+down', 'up']}", "a layer by itself"},
        {PICTURE("4x4", 1) "'layers': ['up']}", "no `down` before it"},
        {PICTURE("4x4", 1) "'layers': ['readout']}", "no learnt tokens"},
        {PICTURE("4x4", 1) "'mixer': {'type': 'mamba1', 'ways': 3}}", "does not divide"},
        {PICTURE("4xx4", 1) "'layers': ['conv']}", "want HxW"},
        {PICTURE("4x4", 1) "'mixers': {'conv': {'order': {'type': 'causal'}}}, 'layers': ['conv']}", "mixers.conv.order: conv is not run in any order"},
        {PICTURE("4x4", 1) "'mixer': {'type': 'mamba1', 'order': 'scan'}}", "mixer.order wants an object"},
        {PICTURE("4x4", 1) "'mixer': {'type': 'mamba1', 'order': {'type': 'scan', 'pth': 'cross'}}}", "mixer.order"},
        {PICTURE("4x4", 1) "'layers': ['condense']}", "they have down"},
        {PICTURE("4x4", 1) "'layers': ['ss2d'], 'mixers': {'ss2d': {'path': 'hilbert:apart'}}}", "has no pieces to walk apart"},
        {PICTURE("3x5", 1) "'order': {'type': 'swap'}}", "an even number of steps"},
        {PICTURE("4x4", 1) "'order': {'type': 'scan', 'path': 'atrous', 'coarse': 2}}", "order.coarse wants pictures"},
        {LINE(1) "'order': {'type': 'scan', 'path': 'bidirectional', 'coarse': 2}}", "order.coarse wants pictures"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        json_t *j = json_of(refused[i].config);
        kr_model *m;
        json_object_set_new(j, "model_type", json_string("krait"));
        assert_int_equal(kr_model_describe(&m, j, "test", KR_F32, NULL), KR_ERR_CONFIG);
        if (!strstr(kr_error(), refused[i].says)) fail_msg("said: %s", kr_error());
        json_decref(j);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradient), cmocka_unit_test(test_bits),   cmocka_unit_test(test_threads), cmocka_unit_test(test_apart), cmocka_unit_test(test_shuffled),
        cmocka_unit_test(test_rows_are_pictures), cmocka_unit_test(test_flipped),
        cmocka_unit_test(test_learns),   cmocka_unit_test(test_config), cmocka_unit_test(test_golden),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
