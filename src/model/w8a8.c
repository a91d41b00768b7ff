/* w8a8.c - weights and activations in eight bits, with fixed scales: the recipe of Quamba (Chiang et al. 2024).
 *
 * The model reads a text in float32 while what goes into products and scans is looked at.  Then
 *   - each product of a Mamba mixer gets one scale for its input: the largest number seen / 127;
 *   - so does the scan's x, but of a percentile, so that the few largest numbers are cut off and the rest stand finer;
 *   - out_proj reads its input rotated by Hadamard's matrix, as few of its columns are much larger than the rest, and its
 *     weights' rows are rotated alike, which undoes it;
 *   - matrices become q8_0.  A, D, dt's bias, norms, convolutions, states stay float32, and so does all that is no Mamba mixer's.
 * The scales are parameters of the model written (input_scale of a product, x_scale of a mixer), for which its
 * config asks by int8_inputs and hadamard. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "krait.h"
#include "model/model.h"
#include "ops/hadamard/hadamard.h"
#include "ops/linear/linear.h"
#include "ops/ops.h"
#include "ops/selective_scan/selective_scan.h"
#include "ops/ssd/ssd.h"

enum { WINDOW = 512, MAX_TOK = 1 << 20 };
static const kr_op *const watched[] = {&kr_op_linear, &kr_op_ssd, &kr_op_selective_scan, NULL};

/* What is known of one scale: the largest sizes seen, as a heap with the least of them on top. */
typedef struct site { char name[160]; float *heap; int64_t n, cap; } site;

typedef struct calibration {
    const kr_w8a8_options *opt;
    kr_model *model;         /* in float32 */
    site *sites;             /* one for each watched step; no name: not ours */
    int n_sites;
    float *room;             /* of a rotated tensor */
} calibration;

/* --- the largest numbers ------------------------------------------------------------------- */

static void sink(float *heap, int64_t n, int64_t i) {
    for (int64_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1] < heap[child]) child++;
        if (heap[i] <= heap[child]) return;
        float t = heap[i];
        heap[i] = heap[child], heap[child] = t;
    }
}

static void offer(site *s, float size) {
    if (s->n < s->cap) {
        s->heap[s->n++] = size;
        if (s->n == s->cap)
            for (int64_t i = s->n / 2; i-- > 0;) sink(s->heap, s->n, i);
    } else if (size > s->heap[0]) {
        s->heap[0] = size;
        sink(s->heap, s->n, 0);
    }
}

/* The least of the largest: what only cap - 1 numbers are above.  Few texts do not fill the heap. */
static float top_of(const site *s) {
    float least = s->n ? s->heap[0] : 0;
    for (int64_t i = 1; i < s->n; i++) least = s->heap[i] < least ? s->heap[i] : least;
    return least;
}

/* --- which step is whose ------------------------------------------------------------------- */

static const kr_param *param_at(const kr_model *m, const void *data) {
    for (const kr_param *p = m->params->first; p; p = p->next)
        if (p->data == data) return p;
    return NULL;
}

/* A name with `from` at its end replaced; false: it ends otherwise. */
static bool swap_end(char *to, size_t size, const char *name, const char *from, const char *by) {
    size_t n = strlen(name), end = strlen(from);
    if (n < end || strcmp(name + n - end, from) != 0) return false;
    return snprintf(to, size, "%.*s%s", (int)(n - end), name, by) < (int)size;
}

/* The scale that a step's input decides, if the model to write has one of that name. */
static bool name_site(const kr_model *from, const kr_model *to, const kr_op *op, const kr_call *c, char *name, size_t size) {
    int slot = op == &kr_op_linear ? LINEAR_W : op == &kr_op_ssd ? SSD_D : SCAN_D;
    if (op == &kr_op_ssd && !c->in[slot].data) slot = SSD_DHP;
    const kr_param *p = param_at(from, c->in[slot].data);
    bool ours = p && (op == &kr_op_linear ? swap_end(name, size, p->name, ".weight", ".input_scale") : swap_end(name, size, p->name, ".D", ".x_scale"));
    return ours && kr_params_find(to->params, name);
}

static bool ends(const char *name, const char *with) {
    size_t n = strlen(name), m = strlen(with);
    return n >= m && strcmp(name + n - m, with) == 0;
}
/* Is it the scan's x, once or as x_proj's input, where Mamba-1 reads it? */
static bool is_x(const char *name) { return ends(name, ".x_scale") || ends(name, ".x_proj.input_scale"); }

/* --- a window ------------------------------------------------------------------------------ */

static kr_status rotate(float *y, const float *x, int64_t rows, int64_t D, int64_t pitch) {
    kr_call c = {.n_threads = kr_cpu_threads(), .impl = kr_cpu_best()};
    c.in[HADAMARD_X] = (kr_tensor){.data = (void *)(uintptr_t)x, .n_dims = 2, .dim = {rows, D}, .pitch = pitch};
    KR_TRY(kr_op_bind(&kr_op_hadamard, &c));
    c.out[HADAMARD_Y].data = y;
    kr_op_forward(&kr_op_hadamard, &c, kr_cpu_best());
    return KR_OK;
}

static kr_status look(calibration *k, site *s, const kr_tensor *x) {
    int64_t D = x->dim[x->n_dims - 1], rows = 1, pitch = x->pitch;
    for (int i = 0; i < x->n_dims - 1; i++) rows *= x->dim[i];
    if (x->n_dims == 4) D *= x->dim[2], rows /= x->dim[2]; /* heads */
    const float *from = x->data;
    if (ends(s->name, ".out_proj.input_scale") && !k->opt->no_hadamard) {
        KR_TRY(rotate(k->room, from, rows, D, pitch));
        from = k->room, pitch = D;
    }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < D; i++) {
            float size = fabsf(from[r * pitch + i]);
            if (!(size < INFINITY)) KR_FAIL(KR_ERR_NUMERIC, "%s: the model gives numbers that are not finite on this text", s->name);
            offer(s, size);
        }
    return KR_OK;
}

static kr_status look_at_all(calibration *k, kr_graph *g) {
    int block;
    const kr_op *op;
    for (int i = 0; i < k->n_sites; i++) {
        if (!*k->sites[i].name) continue;
        const kr_call *c = kr_graph_watched(g, watched, i, &block, &op);
        KR_TRY(look(k, &k->sites[i], &c->in[op == &kr_op_linear ? LINEAR_X : op == &kr_op_ssd ? SSD_X : SCAN_U]));
    }
    return KR_OK;
}

/* --- all of the text ----------------------------------------------------------------------- */

static int64_t width_of(const kr_tensor *x) { return x->dim[x->n_dims - 1] * (x->n_dims == 4 ? x->dim[2] : 1); }

static kr_status find_sites(calibration *k, const kr_model *to, kr_graph *g, int64_t n_tok) {
    int block;
    const kr_op *op;
    int64_t widest = 1;
    while (kr_graph_watched(g, watched, k->n_sites, &block, &op)) k->n_sites++;
    if (!(k->sites = kr_mem_array((size_t)k->n_sites + 1, sizeof *k->sites))) return KR_ERR_NOMEM;
    for (int i = 0; i < k->n_sites; i++) {
        site *s = &k->sites[i];
        const kr_call *c = kr_graph_watched(g, watched, i, &block, &op);
        if (!name_site(k->model, to, op, c, s->name, sizeof s->name)) {
            *s->name = 0;
            continue;
        }
        int64_t width = width_of(&c->in[op == &kr_op_linear ? LINEAR_X : op == &kr_op_ssd ? SSD_X : SCAN_U]);
        double above = is_x(s->name) ? (1 - k->opt->percentile / 100) * (double)(n_tok * width) : 0;
        s->cap = 1 + (int64_t)above;
        widest = width > widest ? width : widest;
        if (!(s->heap = kr_mem_array((size_t)s->cap, sizeof *s->heap))) return KR_ERR_NOMEM;
    }
    k->room = kr_mem_array((size_t)(WINDOW * widest), sizeof *k->room);
    return k->room ? KR_OK : KR_ERR_NOMEM;
}

static kr_status read_text(calibration *k, const kr_model *to, const int32_t *tok, int64_t n) {
    int64_t L = n < WINDOW ? n : WINDOW, whole = n / L;
    kr_model_graph_options o = {.mode = KR_MODEL_HIDDEN, .S = 1, .L = L, .plain = true, .watch = watched};
    kr_graph *g;
    KR_TRY(kr_model_graph(k->model, &o, &g));
    kr_status st = kr_graph_alloc(g);
    if (st == KR_OK) st = find_sites(k, to, g, whole * L);
    for (int64_t i = 0; i < whole && st == KR_OK; i++) {
        memcpy(kr_graph_data(g, "ids"), tok + i * L, (size_t)L * sizeof *tok);
        kr_graph_run(g, KR_RUN_FORWARD);
        st = look_at_all(k, g);
    }
    kr_graph_free(g);
    return st;
}

static kr_status calibrate(calibration *k, const kr_model *to) {
    const kr_w8a8_options *o = k->opt;
    int64_t n = kr_encode(k->model, o->text, o->n_bytes, NULL, 0), most = o->max_tok > 0 ? o->max_tok : 1 << 14;
    if (n < 0) return (kr_status)n;
    if (n < 2) KR_FAIL(KR_ERR_ARG, "the text to calibrate with has %lld tokens, want some thousand", (long long)n);
    int32_t *tok = kr_mem_array((size_t)n, sizeof *tok);
    if (!tok) return KR_ERR_NOMEM;
    kr_encode(k->model, o->text, o->n_bytes, tok, n);
    if (most > MAX_TOK) most = MAX_TOK;
    kr_status st = read_text(k, to, tok, n < most ? n : most);
    kr_mem_free(tok);
    return st;
}

/* --- the model to write -------------------------------------------------------------------- */

static bool is_mamba(const char *type) { return type && (strcmp(type, "mamba1") == 0 || strcmp(type, "mamba2") == 0); }

static int mark(json_t *mixer, const char *type, bool hadamard) {
    if (!is_mamba(type)) return 0;
    if (json_object_set_new(mixer, "int8_inputs", json_true()) || json_object_set_new(mixer, "hadamard", json_boolean(hadamard))) return 0;
    return 1;
}

/* Our own words for the model, with both options set wherever a Mamba mixer is described. */
static kr_status config_for(json_t **out, const kr_config *c, bool hadamard) {
    json_t *j = json_deep_copy(c->json), *mixer = json_object_get(j, "mixer"), *m;
    const char *name;
    int n = 0;
    if (!j) KR_FAIL(KR_ERR_NOMEM, "out of memory");
    if (!mixer && is_mamba(c->mixer->name) && !json_object_set_new(j, "mixer", json_pack("{s:s}", "type", c->mixer->name))) mixer = json_object_get(j, "mixer");
    if (mixer) n += mark(mixer, c->mixer->name, hadamard);
    json_object_foreach(json_object_get(j, "mixers"), name, m) {
        const char *type = json_string_value(json_object_get(m, "type"));
        n += mark(m, type ? type : name, hadamard);
    }
    if (!n) {
        json_decref(j);
        KR_FAIL(KR_ERR_CONFIG, "w8a8 is for Mamba-1 and Mamba-2 mixers, and the model has none");
    }
    *out = j;
    return KR_OK;
}

static kr_status fill(const calibration *k, const kr_params *ps, kr_param *to) {
    const kr_param *from = kr_params_find(k->model->params, to->name);
    int64_t D = to->dim[to->n_dims - 1];
    char scale[200];
    bool turned = !k->opt->no_hadamard && swap_end(scale, sizeof scale, to->name, ".out_proj.weight", ".out_proj.input_scale") && kr_params_find(ps, scale);
    if (from && turned) return rotate(to->data, from->data, to->dim[0], D, D);
    if (from) return memcpy(to->data, from->data, (size_t)kr_param_count(to) * sizeof(float)), KR_OK;
    for (int i = 0; i < k->n_sites; i++) {
        const site *s = &k->sites[i];
        if (strcmp(s->name, to->name) != 0) continue;
        float most = top_of(s);
        *(float *)to->data = most > 0 ? most / 127 : 1;
        return KR_OK;
    }
    KR_FAIL(KR_ERR_CONFIG, "w8a8: nothing was seen of %s", to->name);
}

static kr_status make(calibration *k, const char *dir) {
    json_t *j;
    kr_model *to;
    KR_TRY(config_for(&j, &k->model->config, !k->opt->no_hadamard));
    kr_status st = kr_model_describe(&to, j, "the model in w8a8", KR_F32, NULL);
    json_decref(j);
    KR_TRY(st);
    st = kr_params_alloc(to->params, false);
    if (st == KR_OK) st = calibrate(k, to);
    for (kr_param *p = to->params->first; p && st == KR_OK; p = p->next) st = fill(k, to->params, p);
    kr_model *from = k->model;
    to->tokenizer = from->tokenizer, to->preprocessor = from->preprocessor, to->chat_template = from->chat_template; /* lent */
    if (st == KR_OK) st = kr_model_save(to, dir, KR_Q8_0);
    to->tokenizer = NULL, to->preprocessor = NULL, to->chat_template = NULL;
    kr_model_release(to);
    return st;
}

kr_status kr_model_quantize_w8a8(const char *from, const char *dir, const kr_w8a8_options *opt) {
    char path[4096];
    calibration k = {.opt = opt};
    if (!(opt->percentile > 0 && opt->percentile <= 100)) KR_FAIL(KR_ERR_ARG, "the percentile is %g, want one above 0, up to 100", opt->percentile);
    KR_TRY(kr_path_join(path, sizeof path, dir, "config.json"));
    if (kr_file_exists(path)) KR_FAIL(KR_ERR_CONFIG, "%s is there already; choose another folder", path);
    KR_TRY(kr_model_load(&k.model, from, false, KR_F32, NULL));
    kr_status st = make(&k, dir);
    for (int i = 0; i < k.n_sites; i++) kr_mem_free(k.sites[i].heap);
    kr_mem_free(k.sites);
    kr_mem_free(k.room);
    kr_model_release(k.model);
    return st;
}
