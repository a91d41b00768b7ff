/* weights.c - a model's folder: config.json and model.safetensors, in and out.
 *
 * To run on a CPU, weights are not read but mapped: a parameter that the file has in its type
 * is used where it lies, so opening costs neither time nor a copy. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "model/dialect.h"
#include "model/gguf.h"
#include "model/model.h"
#include "model/safetensors.h"

/* The shape in files: convolutions have an axis of 1 in the middle. */
static int file_dims(const kr_param *p, int64_t dim[KR_MAX_DIMS]) {
    if (!p->conv) {
        memcpy(dim, p->dim, sizeof p->dim);
        return p->n_dims;
    }
    dim[0] = p->dim[0], dim[1] = 1, dim[2] = p->dim[1];
    return 3;
}

/* Hugging Face's name, or state-spaces' for the token table. */
static const char *name_in(const kr_st *st, const kr_param *p) {
    static const char hf[] = "backbone.embeddings.weight", ss[] = "backbone.embedding.weight";
    return strcmp(p->name, hf) == 0 && !kr_st_find(st, hf) && kr_st_find(st, ss) ? ss : p->name;
}

/* --- names of other families -------------------------------------------------------- */

/* Where a parameter lies in a file: n pieces, by the row of names that fits (NULL: our own name). */
typedef struct pieces {
    const kr_name_row *row;
    const char *ours, *rest; /* the parameter, and what follows the row's start of it */
    const char *stem;
    int layer;               /* for "#" of the row; -1: there is none */
    int n;
} pieces;

/* Behind "backbone.layers.N.", or NULL. */
static const char *in_layer(const char *ours) {
    static const char own[] = "backbone.layers.";
    return strncmp(ours, own, strlen(own)) == 0 ? ours + strlen(own) + strcspn(ours + strlen(own), ".") + 1 : NULL;
}

/* The end of the row's start in `ours`, or NULL; *number gets what stands for "#". */
static const char *row_fits(const kr_name_row *r, const char *ours, int *number) {
    const char *p = strncmp(r->ours, "backbone.", 9) == 0 ? ours : in_layer(ours);
    for (const char *q = r->ours; p && *q; q++) {
        if (*q == '#') *number = (int)strtol(p, (char **)&p, 10);
        else if (*p++ != *q) return NULL;
    }
    return p;
}

/* Their text with numbers for "#" and "@" (a layer) and "*" (an expert), and the rest. */
static void write_name(const pieces *p, int k, char *to, size_t size) {
    int n_row = 0;
    while (n_row < 3 && p->row && p->row->theirs[n_row]) n_row++;
    const char *text = p->row ? p->row->theirs[k % n_row] : "", *inside = in_layer(p->ours);
    size_t n = 0;
    if (inside && !(p->row && strncmp(p->row->ours, "backbone.", 9) == 0))
        n = (size_t)snprintf(to, size, "%s%.*s", p->stem, (int)(inside - p->ours - 9), p->ours + 9);
    for (; *text && n < size; text++) {
        if (strchr("#@*", *text)) n += (size_t)snprintf(to + n, size - n, "%d", *text == '*' ? k / n_row : p->layer);
        else to[n++] = *text;
    }
    if (n < size) snprintf(to + n, size - n, "%s", p->rest);
}

static bool there(const pieces *p, const kr_st *st, int k) {
    char name[512];
    write_name(p, k, name, sizeof name);
    return kr_st_find(st, name) != NULL;
}

/* The layer that has block number b of those that several layers share: the b-th of which the
 * file has the tensor, or the only one. */
static bool find_layer(pieces *p, const kr_st *st, int b) {
    enum { MOST = 1024 };
    for (p->layer = 0; p->layer < MOST; p->layer++)
        if (there(p, st, 0) && (b-- == 0 || strchr(p->row->theirs[0], '@'))) return true;
    return false;
}

static pieces find_pieces(const kr_name_row *rows, const char *stem, const kr_st *st, const char *ours) {
    enum { MOST = 1 << 14 };
    for (const kr_name_row *r = rows; r->ours; r++) {
        int block = -1, n = 0;
        pieces p = {.row = r, .ours = ours, .stem = stem, .rest = row_fits(r, ours, &block), .layer = -1};
        if (!p.rest || (block >= 0 ? !find_layer(&p, st, block) : !there(&p, st, 0))) continue;
        while (n < 3 && r->theirs[n]) n++;
        for (p.n = n; strchr(r->theirs[0], '*') && p.n < MOST && there(&p, st, p.n);) p.n += n;
        return p;
    }
    const char *inside = in_layer(ours);
    return (pieces){.ours = ours, .rest = inside ? inside : ours, .stem = stem, .layer = -1, .n = 1};
}

/* So many numbers at a time, in whole rows, that a file and what was read of it are not in memory together. */
static kr_status read_rows(const kr_st *st, const kr_st_tensor *t, int64_t width, kr_dtype type, void *to) {
    int64_t step = ((1 << 20) / (width + 1) + 1) * width;
    for (int64_t at = 0, n; at < t->count; at += n) {
        n = t->count - at < step ? t->count - at : step;
        KR_TRY(kr_st_read_part(t, at, n, type, (char *)to + kr_dtype_row_bytes(type, at)));
        kr_st_forget(st, t, at, n);
    }
    return KR_OK;
}

/* The pieces of a parameter lie one above the other; those of a parameter of three axes may have two. */
static kr_status read_pieces(kr_param *p, const kr_st *st, const pieces *from) {
    char name[512], first[512];
    int64_t dim[KR_MAX_DIMS], rows = 0, width = 1;
    int n_dims = file_dims(p, dim);
    write_name(from, 0, first, sizeof first);
    const kr_st_tensor *one = kr_st_find(st, first);
    if (n_dims == 3 && !p->conv && from->n > 1 && one && one->n_dims == 2) n_dims = 2, dim[0] *= dim[1], dim[1] = dim[2];
    int64_t whole = dim[0];
    for (int i = 1; i < n_dims; i++) width *= dim[i];
    for (int k = 0; k < from->n; k++) {
        write_name(from, k, name, sizeof name);
        const kr_st_tensor *t = kr_st_find(st, name);
        if (from->n > 1) dim[0] = t && t->n_dims > 0 && t->dim[0] < whole - rows ? t->dim[0] : whole - rows; /* else the reader says what is wrong */
        KR_TRY(kr_st_want(&t, st, name, n_dims, dim));
        KR_TRY(read_rows(st, t, width, p->dtype, (char *)p->data + kr_dtype_row_bytes(p->dtype, rows * width)));
        if (p->master) KR_TRY(read_rows(st, t, width, KR_F32, p->master + rows * width));
        rows += dim[0];
    }
    if (rows != whole) KR_FAIL(KR_ERR_SHAPE, "%s and the next have %lld rows, want %lld", first, (long long)rows, (long long)whole);
    return KR_OK;
}

/* Marks the tensors that parameters take. */
static void mark_pieces(const kr_model *m, const kr_name_row *rows, const char *stem, const kr_st *st, bool *used) {
    char name[512];
    for (const kr_param *p = m->params->first; p; p = p->next) {
        pieces from = find_pieces(rows, stem, st, p->name);
        for (int k = 0; k < from.n; k++) {
            write_name(&from, k, name, sizeof name);
            const kr_st_tensor *t = kr_st_find(st, name);
            if (t) used[t - kr_st_at(st, 0)] = true;
        }
    }
}

/* A tensor that the model has no place for means that the config is not that model's. */
static kr_status all_used(const kr_model *m, const kr_st *st) {
    const char *stem;
    const kr_name_row *rows = kr_dialect_names(m->config.dialect, &stem);
    bool *used = kr_mem_array(kr_st_count(st) + 1, sizeof *used);
    kr_status s = used ? KR_OK : KR_ERR_NOMEM;
    if (used && rows) mark_pieces(m, rows, stem, st, used);
    for (size_t i = 0; i < kr_st_count(st) && s == KR_OK; i++) {
        const kr_st_tensor *t = kr_st_at(st, i);
        bool known = (rows ? used[i] : kr_params_find(m->params, t->name) != NULL) ||
                     strcmp(t->name, "backbone.embedding.weight") == 0 || (m->config.tie_embeddings && strcmp(t->name, "lm_head.weight") == 0);
        if (!known) s = kr_fail(KR_ERR_CONFIG, "%s: the tensor %s has no place in the model of config.json", t->file, t->name);
    }
    kr_mem_free(used);
    return s;
}

/* Where the file has a parameter. */
static pieces find_in(const kr_model *m, const kr_st *st, const kr_param *p) {
    const char *stem;
    const kr_name_row *rows = kr_dialect_names(m->config.dialect, &stem);
    if (rows) return find_pieces(rows, stem, st, p->name);
    return (pieces){.ours = "", .rest = name_in(st, p), .stem = "", .layer = -1, .n = 1};
}

static kr_status read_all(kr_model *m, const kr_st *st) {
    for (kr_param *p = m->params->first; p; p = p->next) {
        if (p->lent) continue;
        pieces from = find_in(m, st, p);
        KR_TRY(read_pieces(p, st, &from));
    }
    return kr_params_push(m->params);
}

kr_status kr_model_read_weights(kr_model *m, const char *dir) {
    kr_st *st;
    KR_TRY(kr_st_open(&st, dir));
    kr_status s = all_used(m, st);
    if (s == KR_OK) s = read_all(m, st);
    kr_st_close(st);
    return s;
}

/* --- what matrices are held in -------------------------------------------------------- */

kr_dtype kr_matrix_dtype(const kr_param *p, kr_dtype dtype) {
    int64_t width = p->dim[p->n_dims - 1];
    bool four = dtype == KR_Q4_0 || dtype == KR_Q4_K, ends = strstr(p->name, "embedding") || strncmp(p->name, "lm_head", 7) == 0;
    if (!p->matrix) return KR_F32;
    if (kr_dtype_block(dtype) == 1) return dtype;
    if (four && ends) dtype = KR_Q6_K;
    if (width % kr_dtype_block(dtype) == 0) return dtype;
    if (width % 32 == 0) return dtype == KR_Q4_K ? KR_Q4_0 : KR_Q8_0;
    return KR_F16;
}

static kr_dtype stored_dtype(const kr_st_tensor *t) {
    if (!t) return KR_F32; /* the reader will say what is missing */
    return t->block ? t->block : t->dtype == KR_ST_BF16 ? KR_BF16 : t->dtype == KR_ST_F16 ? KR_F16 : KR_F32;
}

/* The type of the pieces of a matrix, if they have one and it divides our rows. */
static kr_dtype dtype_in(const kr_param *p, const kr_st *st, const pieces *from) {
    char name[512];
    kr_dtype t = KR_F32;
    for (int k = 0; k < from->n; k++) {
        write_name(from, k, name, sizeof name);
        kr_dtype piece = stored_dtype(kr_st_find(st, name));
        if (k && piece != t) return KR_F32;
        t = piece;
    }
    return p->dim[p->n_dims - 1] % kr_dtype_block(t) ? KR_F32 : t;
}

/* On a GPU blocks are for products and tables, and all else has the type of activations. */
void kr_model_choose_dtype(const kr_model *m, kr_param *p, kr_dtype t) {
    p->dtype = !m->params->device || (kr_dtype_block(t) > 1 && p->n_dims == 2) ? t : m->params->matrix_dtype;
}

static void choose_dtypes(kr_model *m, const kr_st *st, kr_dtype wanted) {
    for (kr_param *p = m->params->first; p; p = p->next) {
        if (!p->matrix) continue;
        pieces from = find_in(m, st, p);
        kr_model_choose_dtype(m, p, wanted == KR_AS_STORED ? dtype_in(p, st, &from) : kr_matrix_dtype(p, wanted));
    }
}

static kr_status any_blocks(const char *path, bool *any) {
    kr_st *st;
    KR_TRY(kr_st_open(&st, path));
    *any = false;
    for (size_t i = 0; i < kr_st_count(st); i++) *any |= kr_st_at(st, i)->block != 0;
    kr_st_close(st);
    return KR_OK;
}

/* Activations' type, where `device` computes in that of matrices: blocks stand for 16 bits there. */
static kr_status type_to_compute(kr_dtype *out, const char *dir, kr_dtype wanted, const char *device) {
    bool blocks = wanted < KR_N_DTYPE && kr_dtype_block(wanted) > 1, gpu = device && strcmp(device, "cpu") != 0;
    *out = wanted == KR_BF16 ? KR_BF16 : KR_F32;
    if (gpu && wanted == KR_AS_STORED) KR_TRY(any_blocks(dir, &blocks));
    if (gpu && blocks) *out = KR_BF16;
    return KR_OK;
}

/* --- what need not be read ------------------------------------------------------------- */

enum { SMALL = 65536 }; /* bytes: what lies alone on pages of a map takes more of them than a copy */

/* A tensor that lies in the map as the parameter wants it stays there. */
static kr_status lend(kr_param *p, const kr_st *st, const pieces *from) {
    int64_t dim[KR_MAX_DIMS];
    int n_dims = file_dims(p, dim);
    const kr_st_tensor *t;
    char name[512];
    if (from->n > 1) return KR_OK;
    write_name(from, 0, name, sizeof name);
    KR_TRY(kr_st_want(&t, st, name, n_dims, dim));
    bool same = kr_dtype_block(p->dtype) > 1 ? t->block == p->dtype : !t->block && t->dtype == kr_st_dtype_of(p->dtype);
    if (!same || (uintptr_t)t->data % (t->block ? 2 : kr_dtype_bytes(p->dtype))) return KR_OK;
    p->data = (void *)(uintptr_t)t->data;
    p->lent = true;
    return KR_OK;
}

static void give_back(void *st) { kr_st_close(st); }

static kr_status load_weights(kr_model *m, const char *path, bool training, kr_weaving weave, kr_dtype wanted) {
    kr_st *st;
    kr_params *ps = m->params;
    bool may_lend = !training && !ps->device, needed = false, plain = wanted == KR_F32 || wanted == KR_BF16;
    KR_TRY(kr_st_open(&st, path));
    ps->lender = st, ps->give_back = give_back;
    KR_TRY(all_used(m, st));
    if (!training && (may_lend || !plain)) choose_dtypes(m, st, wanted);
    for (kr_param *p = ps->first; p && may_lend; p = p->next) {
        pieces from = find_in(m, st, p);
        bool small = weave != KR_WEAVE_NONE && kr_dtype_row_bytes(p->dtype, kr_param_count(p)) < SMALL;
        if (!kr_param_weaves(p, weave) && !small) KR_TRY(lend(p, st, &from));
        needed |= p->lent;
    }
    KR_TRY(kr_params_alloc(ps, training));
    KR_TRY(read_all(m, st));
    if (may_lend) KR_TRY(kr_params_weave(ps, weave));
    if (!needed) kr_st_close(st), ps->lender = NULL;
    return KR_OK;
}

/* --- a whole model --------------------------------------------------------------------- */

static kr_status read_tokenizer(kr_model *m, const char *dir) {
    char path[4096];
    KR_TRY(kr_path_join(path, sizeof path, dir, "tokenizer.json"));
    if (!kr_file_exists(path)) return KR_OK;
    kr_status st = kr_tokenizer_open(&m->tokenizer, path);
    if (st == KR_ERR_FORMAT) snprintf(m->no_tokenizer, sizeof m->no_tokenizer, "%s", kr_error());
    return st == KR_ERR_FORMAT ? KR_OK : st;
}

bool kr_model_is_gguf(const char *path) {
    const void *map;
    size_t n;
    if (!kr_file_exists(path) || kr_file_map(&map, &n, path) != KR_OK) return false;
    bool is = kr_gguf_is(map, n);
    kr_file_unmap(map, n);
    return is;
}

kr_status kr_model_read_config(json_t **config, char where[4096], const char *path) {
    if (kr_model_is_gguf(path)) {
        snprintf(where, 4096, "%s", path);
        return kr_gguf_config(config, path);
    }
    KR_TRY(kr_path_join(where, 4096, path, "config.json"));
    return kr_json_load(config, where);
}

static kr_status read_preprocessor(kr_model *m, const char *dir) {
    char path[4096];
    KR_TRY(kr_path_join(path, sizeof path, dir, "preprocessor_config.json"));
    return kr_file_exists(path) ? kr_json_load(&m->preprocessor, path) : KR_OK;
}

static kr_status load(kr_model **out, const char *dir, bool training, kr_weaving weave, kr_dtype matrix_dtype, const char *device) {
    char where[4096];
    json_t *j;
    kr_model *m;
    kr_dtype real;
    KR_TRY(kr_model_read_config(&j, where, dir));
    kr_status st = type_to_compute(&real, dir, matrix_dtype, device);
    if (st == KR_OK) st = kr_model_describe(&m, j, where, real, device);
    json_decref(j);
    KR_TRY(st);
    if (matrix_dtype == KR_F16 && (training || m->params->device)) st = kr_fail(KR_ERR_ARG, "weights in float16 are for inference on a CPU");
    if (training && matrix_dtype < KR_N_DTYPE && kr_dtype_block(matrix_dtype) > 1)
        st = kr_fail(KR_ERR_ARG, "weights in %s are for inference", kr_dtype_text(matrix_dtype));
    if (st == KR_OK && kr_model_is_gguf(dir)) st = kr_gguf_tokenizer(&m->tokenizer, m->no_tokenizer, sizeof m->no_tokenizer, dir);
    else if (st == KR_OK) st = read_tokenizer(m, dir); /* before the weights: what it takes for a moment is not on top of them */
    if (st == KR_OK) st = load_weights(m, dir, training, weave, matrix_dtype);
    if (st == KR_OK) st = read_preprocessor(m, dir);
    if (st == KR_OK) st = kr_model_read_chat(&m->chat_template, dir);
    if (st != KR_OK) kr_model_release(m);
    else *out = m;
    return st;
}

kr_status kr_model_load(kr_model **out, const char *dir, bool training, kr_dtype matrix_dtype, const char *device) {
    return load(out, dir, training, KR_WEAVE_NONE, matrix_dtype, device);
}
kr_status kr_model_load_woven(kr_model **out, const char *dir, kr_weaving weave, kr_dtype matrix_dtype, const char *device) {
    return load(out, dir, false, weave, matrix_dtype, device);
}

static kr_status write_weights(const kr_model *m, const char *path, kr_dtype dtype) {
    kr_st_writer *w;
    KR_TRY(kr_st_writer_new(&w));
    kr_status st = kr_st_writer_metadata(w, "format", "pt");
    for (const kr_param *p = m->params->first; p && st == KR_OK; p = p->next) {
        kr_tensor t = {.data = p->master ? (void *)p->master : p->data, .dtype = p->master ? KR_F32 : p->dtype};
        t.n_dims = file_dims(p, t.dim);
        st = kr_st_writer_add(w, p->name, &t, kr_matrix_dtype(p, dtype));
    }
    if (st == KR_OK) st = kr_st_writer_save(w, path);
    kr_st_writer_free(w);
    return st;
}

static kr_status write_tokenizer(const kr_model *m, const char *dir) {
    char path[4096];
    if (!m->tokenizer) return KR_OK;
    KR_TRY(kr_path_join(path, sizeof path, dir, "tokenizer.json"));
    return kr_tokenizer_save(m->tokenizer, path);
}

static kr_status write_json(const json_t *j, const char *path) {
    char *text = json_dumps(j, JSON_INDENT(2) | JSON_SORT_KEYS);
    if (!text) KR_FAIL(KR_ERR_NOMEM, "%s: out of memory", path);
    kr_status st = kr_file_write(path, text, strlen(text));
    kr_mem_free(text); /* jansson's memory is ours, see json.c */
    return st;
}

static kr_status write_preprocessor(const kr_model *m, const char *dir) {
    char path[4096];
    if (!m->preprocessor) return KR_OK;
    KR_TRY(kr_path_join(path, sizeof path, dir, "preprocessor_config.json"));
    return write_json(m->preprocessor, path);
}

/* What a conversion that was killed left; it may be as large as a model. */
static kr_status sweep(const char *dir) {
    static const char *const names[] = {"model.safetensors", "tokenizer.json", "chat_template.jinja", "preprocessor_config.json", "config.json"};
    char path[4096];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        KR_TRY(kr_path_join(path, sizeof path, dir, names[i]));
        kr_file_sweep(path);
    }
    return KR_OK;
}

/* The config comes last: a folder with one is whole. */
kr_status kr_model_save(const kr_model *m, const char *dir, kr_dtype dtype) {
    char path[4096];
    json_t *j;
    KR_TRY(kr_params_fetch(m->params));
    KR_TRY(kr_dir_make(dir));
    KR_TRY(sweep(dir));
    KR_TRY(kr_path_join(path, sizeof path, dir, "model.safetensors"));
    KR_TRY(write_weights(m, path, dtype));
    KR_TRY(write_tokenizer(m, dir));
    KR_TRY(kr_model_write_chat(m, dir));
    KR_TRY(write_preprocessor(m, dir));
    KR_TRY(kr_path_join(path, sizeof path, dir, "config.json"));
    KR_TRY(kr_config_write(&m->config, &j));
    /* Hugging Face's dialect says what most of the weights are in */
    if ((dtype == KR_BF16 || dtype == KR_F16) && json_object_get(j, "dtype")) json_object_set_new(j, "dtype", json_string(dtype == KR_BF16 ? "bfloat16" : "float16"));
    kr_status st = write_json(j, path);
    json_decref(j);
    return st;
}
