/* source_table.c - lines of tables: columns of numbers go in, one column is to be told, as a class or
 * as a number.
 *
 * A row is a line: each column is a step of one number, x[S, columns, 1], with mean 0 and deviation 1
 * over the lines to train on.  An empty cell is the mean. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/set.h"

enum { CLASS, REGRESS };

typedef struct table_keys {
    const char *kind, *label;
    kr_set_keys set;
    const json_t *columns;
    int task;
    double jitter;
} table_keys;

typedef struct table {
    table_keys k;
    kr_set set;
    kr_set names;              /* its classes are the columns that go in */
    int64_t M;
    int64_t *column;           /* [M] of the file at hand */
    double *mean, *std;        /* [M + 1], the last of the number to tell */
} table;

/* The first file says which: those asked for, else all but the label. */
static kr_status choose_columns(table *r, const kr_table *t, const char *path) {
    for (int64_t c = 0; c < t->n_columns && !r->names.classes_fixed; c++) {
        const char *name = kr_table_cell(t, -1, c);
        bool take = strcmp(name, r->k.label) != 0;
        if (json_is_string(r->k.columns)) take = strcmp(json_string_value(r->k.columns), name) == 0;
        for (size_t i = 0; i < json_array_size(r->k.columns); i++) {
            take = strcmp(json_string_value(json_array_get(r->k.columns, i)), name) == 0;
            if (take) break;
        }
        if (take && kr_set_class(&r->names, name) == -2) return KR_ERR_NOMEM;
    }
    r->names.classes_fixed = true;
    r->M = (int64_t)r->names.classes.n;
    if (!r->M) KR_FAIL(KR_ERR_CONFIG, "%s: no column is left to go in; see data.columns and data.label", path);
    return KR_OK;
}

static kr_status number(const kr_table *t, int64_t row, int64_t column, const char *path, float *to) {
    const char *text = kr_table_cell(t, row, column);
    char *end;
    *to = NAN;
    if (!*text) return KR_OK;
    *to = strtof(text, &end);
    if (end == text || *end || !isfinite(*to))
        KR_FAIL(KR_ERR_FORMAT, "%s: line %lld: %s is \"%.40s\", want a number; name the columns to read in data.columns", path, (long long)t->line[row], kr_table_cell(t, -1, column), text);
    return KR_OK;
}

/* Where this file has what goes in. */
static kr_status find_columns(table *r, const kr_table *t, const char *path) {
    if (!r->column && !(r->column = kr_mem_array((size_t)r->M, sizeof *r->column))) return KR_ERR_NOMEM;
    for (int64_t m = 0; m < r->M; m++) {
        KR_TRY(kr_table_only(t, r->names.classes.name[m], path, &r->column[m]));
        if (r->column[m] < 0) KR_FAIL(KR_ERR_FORMAT, "%s: there is no column \"%s\"", path, r->names.classes.name[m]);
    }
    return KR_OK;
}

static kr_status read_lines(table *r, kr_set *set, const kr_table *t, const char *path, kr_split part, bool labels) {
    int64_t label = -1;
    KR_TRY(choose_columns(r, t, path));
    KR_TRY(find_columns(r, t, path));
    if (labels) KR_TRY(kr_table_only(t, r->k.label, path, &label));
    if (label < 0 && labels) KR_FAIL(KR_ERR_CONFIG, "%s: there is no column \"%s\"; name the one to tell in data.label", path, r->k.label);
    for (int64_t i = 0; i < t->n_rows; i++) {
        int32_t class = -1;
        float y = 0;
        if (labels && r->k.task == CLASS && (class = kr_set_class(set, kr_table_cell(t, i, label))) == -2) return KR_ERR_NOMEM;
        if (labels && r->k.task == CLASS && class < 0) KR_FAIL(KR_ERR_CONFIG, "%s: line %lld: the class \"%.40s\" is none of those trained on", path, (long long)t->line[i], kr_table_cell(t, i, label));
        if (labels && r->k.task == REGRESS) KR_TRY(number(t, i, label, path, &y));
        if (isnan(y)) KR_FAIL(KR_ERR_FORMAT, "%s: line %lld: %s is empty, want a number", path, (long long)t->line[i], r->k.label);
        float *to = kr_set_add(set, (size_t)r->M, part, t->line[i], class, r->k.task == REGRESS ? &y : NULL);
        if (!to) return KR_ERR_NOMEM;
        for (int64_t m = 0; m < r->M; m++) KR_TRY(number(t, i, r->column[m], path, &to[m]));
    }
    return KR_OK;
}

typedef struct reading { table *r; bool labels; } reading;
static kr_status read_file(void *user, kr_set *set, const char *path, kr_split part) {
    const reading *how = user;
    kr_table t;
    KR_TRY(kr_decode_table(&t, path));
    kr_status st = read_lines(how->r, set, &t, path, part, how->labels);
    kr_table_free(&t);
    return st;
}

static kr_status measure(kr_source *s, table *r) {
    int64_t n = r->M + 1;
    double *count = kr_mem_array((size_t)n, sizeof *count);
    r->mean = kr_mem_array((size_t)n, sizeof *r->mean), r->std = kr_mem_array((size_t)n, sizeof *r->std);
    if (!r->mean || !r->std || !count) {
        kr_mem_free(count);
        return KR_ERR_NOMEM;
    }
    for (int64_t e = 0; e < r->set.n_in[KR_SPLIT_TRAIN] && !s->fitted; e++) {
        int64_t i = r->set.index[KR_SPLIT_TRAIN][e];
        const float *x = kr_set_data(&r->set, i);
        for (int64_t m = 0; m < n; m++) {
            double v = m < r->M ? x[m] : r->set.y ? r->set.y[i] : 0;
            if (!isnan(v)) r->mean[m] += v, r->std[m] += v * v, count[m]++;
        }
    }
    for (int64_t m = 0; m < n && !s->fitted; m++) {
        double c = count[m] > 0 ? count[m] : 1;
        r->mean[m] /= c;
        r->std[m] = sqrt(fmax(r->std[m] / c - r->mean[m] * r->mean[m], 0));
        if (!(r->std[m] > 1e-12)) r->std[m] = 1;
    }
    kr_mem_free(count);
    if (s->fitted) {
        KR_TRY(kr_fitted_reals(s, "mean", r->mean, n));
        return kr_fitted_reals(s, "std", r->std, n);
    }
    KR_TRY(kr_set_sort_classes(&r->set));
    KR_TRY(kr_learnt_reals(s, "mean", r->mean, n));
    KR_TRY(kr_learnt_reals(s, "std", r->std, n));
    return kr_learnt_classes(s, &r->set);
}

static void table_batch(const kr_source *s, kr_split split, int64_t step, kr_batch *b) {
    const table *r = s->own;
    b->n_rows = 0;
    for (int64_t i = 0; i < b->S; i++) {
        int64_t e = kr_set_at(s, &r->set, split, step, i);
        const float *x = e >= 0 ? kr_set_data(&r->set, e) : NULL;
        for (int64_t m = 0; m < r->M; m++) b->x[i * r->M + m] = x && !isnan(x[m]) ? (float)((x[m] - r->mean[m]) / r->std[m]) : 0;
        if (split == KR_SPLIT_TRAIN && r->k.jitter > 0) {
            kr_rng g = kr_source_row_rng(s, split, step * b->S + i);
            for (int64_t m = 0; m < r->M; m++) b->x[i * r->M + m] += (float)(r->k.jitter * kr_rng_normal(&g));
        }
        if (r->k.task == CLASS) b->targets[i] = e >= 0 ? r->set.label[e] : -1;
        else b->y[i] = e >= 0 ? (float)((r->set.y[e] - r->mean[r->M]) / r->std[r->M]) : 0;
        if (b->scale && r->k.task == REGRESS) b->scale[i] = (float)r->std[r->M];
        b->n_rows += e >= 0;
    }
}

static void table_restore(const kr_source *s, kr_split split, int64_t step, int64_t row, float *y) {
    const table *r = s->own;
    (void)split, (void)step, (void)row;
    y[0] = (float)(y[0] * r->std[r->M] + r->mean[r->M]);
}

static kr_status describe(kr_source *s, const table *r) {
    kr_source_info *i = &s->info;
    char size[24];
    if (i->L && i->L != r->M) KR_FAIL(KR_ERR_CONFIG, "train.seq_len is %lld; a row has its columns, so leave it out", (long long)i->L);
    snprintf(size, sizeof size, "%lld", (long long)r->M);
    i->L = r->M, i->x_width = 1;
    s->encoder = json_pack("{s:s, s:s, s:i}", "type", "patch", "size", size, "channels", 1);
    if (r->k.task == CLASS) {
        i->n_targets = 1, i->n_classes = (int64_t)r->set.classes.n, i->more_metrics = i->n_classes == 2 ? "f1 mcc auroc" : "f1 mcc";
        if (i->n_classes < 2) KR_FAIL(KR_ERR_CONFIG, "data: the column \"%s\" has %lld value%s, want at least 2 classes", r->k.label, (long long)i->n_classes, i->n_classes == 1 ? "" : "s");
        s->head = json_pack("{s:s, s:I}", "type", "class", "n_classes", (json_int_t)i->n_classes);
    } else {
        i->y_width = 1, i->metric = "mse", i->more_metrics = "mae r2";
        s->head = json_pack("{s:s, s:i}", "type", "regress", "width", 1);
    }
    if (!s->encoder || !s->head) KR_FAIL(KR_ERR_NOMEM, "data: out of memory");
    snprintf(i->about, sizeof i->about, "%lld lines of %lld columns to train on, %lld held out, %lld to test", (long long)i->n_train, (long long)r->M, (long long)i->n_eval, (long long)i->n_test);
    return KR_OK;
}

/* The columns that went in, in their order. */
static kr_status fitted_columns(kr_source *s, table *r) {
    const json_t *a = json_object_get(s->fitted, "columns");
    for (size_t i = 0; i < json_array_size(a); i++)
        if (!json_is_string(json_array_get(a, i)) || kr_set_class(&r->names, json_string_value(json_array_get(a, i))) == -2)
            KR_FAIL(KR_ERR_FORMAT, "preprocessor_config.json: columns wants names");
    r->names.classes_fixed = json_array_size(a) > 0;
    return kr_fitted_classes(s, &r->set);
}

static kr_status learnt_columns(kr_source *s, const table *r) {
    json_t *a = json_array();
    for (size_t i = 0; a && i < r->names.classes.n; i++)
        if (json_array_append_new(a, json_string(r->names.classes.name[i])) != 0) {
            json_decref(a);
            KR_FAIL(KR_ERR_FORMAT, "data: the name of column %zu is no UTF-8 text", i + 1);
        }
    return kr_learnt(s, "columns", a);
}

static kr_status table_open(kr_source *s, const json_t *data) {
    table *r = s->own = kr_mem_new(sizeof *r);
    if (!r) return KR_ERR_NOMEM;
    s->set = &r->set;
    r->set.each = sizeof(float);
    KR_TRY(kr_keys_read(s->kind->keys, data, "data", &r->k));
    r->set.y_width = r->k.task == REGRESS;
    if (s->fitted) KR_TRY(fitted_columns(s, r));
    reading how = {r, !s->predict};
    KR_TRY(kr_set_load(s, &r->set, &r->k.set, read_file, &how));
    KR_TRY(kr_set_split(s, &r->set, &r->k.set));
    KR_TRY(measure(s, r));
    if (!s->fitted) KR_TRY(learnt_columns(s, r));
    KR_TRY(describe(s, r));
    r->k.label = NULL, r->k.columns = NULL; /* the JSON object is the caller's */
    return KR_OK;
}

static void table_close(kr_source *s) {
    table *r = s->own;
    if (!r) return;
    kr_set_free(&r->set);
    kr_set_free(&r->names);
    kr_mem_free(r->mean), kr_mem_free(r->std);
    kr_mem_free(r->column);
    kr_mem_free(r);
}

static const kr_key table_keys_table[] = {
    KR_KEY_TEXT(table_keys, kind, "table", "where rows come from"),
    KR_SET_KEYS(table_keys),
    KR_KEY_LIST(table_keys, columns, "the columns that go in; none: all but the label"),
    KR_KEY_TEXT(table_keys, label, "label", "the column to tell"),
    KR_KEY_CHOICE(table_keys, task, "class|regress", "as a class or as a number"),
    KR_KEY_REAL(table_keys, jitter, 0, 0, 100, "training: add noise of this deviation to what goes in, after it is brought to deviation 1"),
    KR_KEY_END,
};

const kr_source_kind kr_source_table = {
    .name = "table",
    .about = "lines of tables: columns of numbers in, a class or a number out",
    .keys = table_keys_table,
    .open = table_open,
    .batch = table_batch,
    .who = kr_set_who,
    .label = kr_set_label,
    .restore = table_restore,
    .close = table_close,
};
