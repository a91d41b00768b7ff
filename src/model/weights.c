/* weights.c - a model's folder: config.json and model.safetensors, in and out. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "model/dialect.h"
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

static kr_status read_param(kr_param *p, const kr_st *st) {
    int64_t dim[KR_MAX_DIMS];
    int n_dims = file_dims(p, dim);
    const char *name = name_in(st, p);
    KR_TRY(kr_st_read(st, name, n_dims, dim, p->dtype, p->data));
    return p->master ? kr_st_read_f32(st, name, n_dims, dim, p->master) : KR_OK;
}

/* --- names of other families -------------------------------------------------------- */

typedef struct pieces { char name[3][256]; int n; } pieces;

/* `ours` under the names of theirs; piece k of a row. */
static void rename_to(const kr_name_row *r, int k, const char *stem, const char *ours, char *to, size_t size) {
    static const char own[] = "backbone.layers.";
    const char *rest = r && strncmp(r->ours, "backbone.", 9) == 0 ? ours : NULL;
    size_t n = 0;
    if (!rest && strncmp(ours, own, strlen(own)) == 0) {
        rest = ours + strlen(own) + strcspn(ours + strlen(own), ".") + 1;
        n = (size_t)(rest - ours);
        snprintf(to, size, "%s%.*s", stem, (int)(n - 9), ours + 9);
        n = strlen(to);
    }
    if (!rest) rest = ours; /* lm_head */
    snprintf(to + n, size - n, "%s%s", r ? r->theirs[k] : "", rest + (r ? strlen(r->ours) : 0));
}

static bool row_fits(const kr_name_row *r, const char *ours) {
    static const char own[] = "backbone.layers.";
    if (strncmp(r->ours, "backbone.", 9) == 0) return strncmp(ours, r->ours, strlen(r->ours)) == 0;
    if (strncmp(ours, own, strlen(own)) != 0) return false;
    const char *rest = ours + strlen(own) + strcspn(ours + strlen(own), ".") + 1;
    return strncmp(rest, r->ours, strlen(r->ours)) == 0;
}

static void find_pieces(const kr_name_row *rows, const char *stem, const kr_st *st, const char *ours, pieces *p) {
    for (const kr_name_row *r = rows; r->ours; r++) {
        if (!row_fits(r, ours)) continue;
        for (p->n = 0; p->n < 3 && r->theirs[p->n]; p->n++) rename_to(r, p->n, stem, ours, p->name[p->n], sizeof p->name[0]);
        if (kr_st_find(st, p->name[0])) return;
    }
    p->n = 1;
    rename_to(NULL, 0, stem, ours, p->name[0], sizeof p->name[0]);
}

/* The pieces of a parameter lie one above the other. */
static kr_status read_pieces(kr_param *p, const kr_st *st, const pieces *from) {
    int64_t dim[KR_MAX_DIMS], rows = 0, width = 1;
    int n_dims = file_dims(p, dim);
    for (int i = 1; i < n_dims; i++) width *= dim[i];
    for (int k = 0; k < from->n; k++) {
        const kr_st_tensor *t = kr_st_find(st, from->name[k]);
        int64_t whole = p->dim[0];
        if (from->n > 1 && t && t->n_dims > 0 && t->dim[0] <= whole - rows) dim[0] = t->dim[0]; /* else the reader says what is wrong */
        KR_TRY(kr_st_read(st, from->name[k], n_dims, dim, p->dtype, (char *)p->data + kr_dtype_row_bytes(p->dtype, rows * width)));
        if (p->master) KR_TRY(kr_st_read_f32(st, from->name[k], n_dims, dim, p->master + rows * width));
        rows += dim[0];
    }
    if (rows != p->dim[0]) KR_FAIL(KR_ERR_SHAPE, "%s and the next have %lld rows, want %lld", from->name[0], (long long)rows, (long long)p->dim[0]);
    return KR_OK;
}

static bool is_piece(const kr_model *m, const kr_name_row *rows, const char *stem, const kr_st *st, const char *name) {
    pieces p;
    for (const kr_param *q = m->params->first; q; q = q->next) {
        find_pieces(rows, stem, st, q->name, &p);
        for (int k = 0; k < p.n; k++)
            if (strcmp(p.name[k], name) == 0) return true;
    }
    return false;
}

/* A tensor that the model has no place for means that the config is not that model's. */
static kr_status all_used(const kr_model *m, const kr_st *st) {
    const char *stem;
    const kr_name_row *rows = kr_dialect_names(m->config.dialect, &stem);
    for (size_t i = 0; i < kr_st_count(st); i++) {
        const kr_st_tensor *t = kr_st_at(st, i);
        bool known = (rows ? is_piece(m, rows, stem, st, t->name) : kr_params_find(m->params, t->name) != NULL) ||
                     strcmp(t->name, "backbone.embedding.weight") == 0 || (m->config.tie_embeddings && strcmp(t->name, "lm_head.weight") == 0);
        if (!known) KR_FAIL(KR_ERR_CONFIG, "%s: the tensor %s has no place in the model of config.json", t->file, t->name);
    }
    return KR_OK;
}

kr_status kr_model_read_weights(kr_model *m, const char *dir) {
    kr_st *st;
    KR_TRY(kr_st_open(&st, dir));
    kr_status s = all_used(m, st);
    const char *stem;
    const kr_name_row *rows = kr_dialect_names(m->config.dialect, &stem);
    for (kr_param *p = m->params->first; p && s == KR_OK; p = p->next) {
        pieces from;
        if (rows) find_pieces(rows, stem, st, p->name, &from);
        s = rows ? read_pieces(p, st, &from) : read_param(p, st);
    }
    kr_st_close(st);
    return s == KR_OK ? kr_params_push(m->params) : s;
}

static kr_status read_tokenizer(kr_model *m, const char *dir) {
    char path[4096];
    KR_TRY(kr_path_join(path, sizeof path, dir, "tokenizer.json"));
    if (!kr_file_exists(path)) return KR_OK;
    kr_status st = kr_tokenizer_open(&m->tokenizer, path);
    if (st == KR_ERR_FORMAT) snprintf(m->no_tokenizer, sizeof m->no_tokenizer, "%s", kr_error());
    return st == KR_ERR_FORMAT ? KR_OK : st;
}

kr_status kr_model_load(kr_model **out, const char *dir, bool training, kr_dtype matrix_dtype, const char *device) {
    char path[4096];
    json_t *j;
    kr_model *m;
    KR_TRY(kr_path_join(path, sizeof path, dir, "config.json"));
    KR_TRY(kr_json_load(&j, path));
    kr_status st = kr_model_describe(&m, j, path, matrix_dtype, device);
    json_decref(j);
    KR_TRY(st);
    st = kr_params_alloc(m->params, training);
    if (st == KR_OK) st = kr_model_read_weights(m, dir);
    if (st == KR_OK) st = read_tokenizer(m, dir);
    if (st != KR_OK) kr_model_release(m);
    else *out = m;
    return st;
}

static kr_status write_weights(const kr_model *m, const char *path, kr_dtype dtype) {
    kr_st_writer *w;
    KR_TRY(kr_st_writer_new(&w));
    kr_status st = kr_st_writer_metadata(w, "format", "pt");
    for (const kr_param *p = m->params->first; p && st == KR_OK; p = p->next) {
        kr_tensor t = {.data = p->master ? (void *)p->master : p->data, .dtype = p->master ? KR_F32 : p->dtype};
        t.n_dims = file_dims(p, t.dim);
        st = kr_st_writer_add(w, p->name, &t, p->matrix ? dtype : KR_F32);
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

kr_status kr_model_save(const kr_model *m, const char *dir, kr_dtype dtype) {
    char path[4096];
    json_t *j;
    KR_TRY(kr_params_fetch(m->params));
    KR_TRY(kr_dir_make(dir));
    KR_TRY(kr_path_join(path, sizeof path, dir, "config.json"));
    KR_TRY(kr_config_write(&m->config, &j));
    /* Hugging Face's dialect says what most of the weights are in */
    if (dtype != KR_F32 && json_object_get(j, "dtype")) json_object_set_new(j, "dtype", json_string(dtype == KR_BF16 ? "bfloat16" : "float16"));
    char *text = json_dumps(j, JSON_INDENT(2) | JSON_SORT_KEYS);
    json_decref(j);
    if (!text) KR_FAIL(KR_ERR_NOMEM, "%s: out of memory", path);
    kr_status st = kr_file_write(path, text, strlen(text));
    if (st == KR_OK) st = write_tokenizer(m, dir);
    kr_mem_free(text); /* jansson's memory is ours, see json.c */
    if (st == KR_OK) st = kr_path_join(path, sizeof path, dir, "model.safetensors");
    return st == KR_OK ? write_weights(m, path, dtype) : st;
}
