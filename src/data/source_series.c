/* source_series.c - long series of several variables, cut into windows: so many steps are seen, the
 * next ones are to be told.
 *
 * A row is a window, variable by variable: x[S, variables * history, 1], y[S, variables * horizon].
 * Parts are stretches of time: the first steps to train on, then those held out, then those to test
 * on; a held-out window may see steps of the part before, but tells none of it.  Each variable has
 * mean 0 and deviation 1 over the steps to train on.  With window_norm each window is also brought
 * to mean 0 and deviation 1 over what is seen of it, and its errors are weighed by that deviation
 * (reversible instance normalisation, Kim et al. 2022, without its learnt scale). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/set.h"

typedef struct series_keys {
    const char *kind;
    const json_t *paths, *columns;
    int64_t history, horizon, train_steps, eval_steps, test_steps, stride;
    double eval_fraction, test_fraction, jitter;
    bool window_norm;
} series_keys;

typedef struct stretch { int64_t from, to; } stretch;    /* steps of a file */
typedef struct window { int32_t file; int64_t at; } window; /* its first step */

typedef struct series {
    series_keys k;
    kr_set set;                 /* an example is a file: [steps, variables] floats; its classes are the variables' names */
    int64_t M;
    double *mean, *std;         /* [M] */
    window *windows[KR_N_SPLIT];
    int64_t n[KR_N_SPLIT], room[KR_N_SPLIT];
} series;

/* --- reading ----------------------------------------------------------------------------------- */

static bool is_number(const char *s, double *x) {
    char *end;
    *x = strtod(s, &end);
    while (*end == ' ') end++;
    return end > s && *end == 0 && isfinite((float)*x);
}

static bool asked_for(const series *r, const char *name) {
    if (json_is_string(r->k.columns)) return strcmp(json_string_value(r->k.columns), name) == 0;
    for (size_t i = 0; i < json_array_size(r->k.columns); i++)
        if (strcmp(json_string_value(json_array_get(r->k.columns, i)), name) == 0) return true;
    return false;
}

/* The first file says which columns: those asked for, or all whose first cell is a number. */
static kr_status choose_columns(series *r, const kr_table *t, const char *path) {
    double x;
    for (int64_t c = 0; c < t->n_columns && !r->set.classes_fixed; c++) {
        const char *name = kr_table_cell(t, -1, c);
        bool take = r->k.columns ? asked_for(r, name) : t->n_rows > 0 && is_number(kr_table_cell(t, 0, c), &x);
        if (take && kr_set_class(&r->set, name) == -2) return KR_ERR_NOMEM;
    }
    r->set.classes_fixed = true;
    r->M = (int64_t)r->set.classes.n;
    if (!r->M) KR_FAIL(KR_ERR_CONFIG, "%s: %s", path, r->k.columns ? "it has none of data.columns" : "no column holds numbers");
    return KR_OK;
}

static kr_status read_file(void *user, kr_set *set, const char *path, kr_split part) {
    series *r = user;
    kr_table t;
    KR_TRY(kr_decode_table(&t, path));
    kr_status st = choose_columns(r, &t, path);
    float *to = st == KR_OK ? kr_set_add(set, (size_t)(t.n_rows * r->M), part, -1, -1, NULL) : NULL;
    if (st == KR_OK && !to) st = KR_ERR_NOMEM;
    for (int64_t m = 0; m < r->M && st == KR_OK; m++) {
        int64_t c;
        double x;
        st = kr_table_only(&t, set->classes.name[m], path, &c);
        if (st == KR_OK && c < 0) st = kr_fail(KR_ERR_FORMAT, "%s: there is no column \"%s\"", path, set->classes.name[m]);
        for (int64_t i = 0; i < t.n_rows && st == KR_OK; i++) {
            if (!is_number(kr_table_cell(&t, i, c), &x))
                st = kr_fail(KR_ERR_FORMAT, "%s: line %lld: %s is \"%.40s\", want a number; name the columns to read in data.columns", path, (long long)t.line[i],
                             set->classes.name[m], kr_table_cell(&t, i, c));
            else to[i * r->M + m] = (float)x;
        }
    }
    kr_table_free(&t);
    return st;
}

/* --- windows ------------------------------------------------------------------------------------- */

static int64_t steps_of(const series *r, int64_t file) { return kr_set_length(&r->set, file) / r->M; }

/* By numbers of steps if they are given, else by shares; what is left over belongs to nobody. */
static void cut(const series *r, int64_t n, stretch part[KR_N_SPLIT]) {
    int64_t train = r->k.train_steps, held = r->k.eval_steps, test = r->k.test_steps;
    if (!train) {
        test = (int64_t)((double)n * r->k.test_fraction), held = (int64_t)((double)n * r->k.eval_fraction);
        train = n - test - held;
    }
    if (train > n) train = n;
    if (held > n - train) held = n - train;
    if (test > n - train - held) test = n - train - held;
    part[KR_SPLIT_TRAIN] = (stretch){0, train};
    part[KR_SPLIT_EVAL] = (stretch){train, train + held};
    part[KR_SPLIT_TEST] = (stretch){train + held, train + held + test};
}

static kr_status add_window(series *r, int split, int64_t file, int64_t at) {
    if (r->n[split] == r->room[split]) {
        int64_t room = 2 * r->room[split] + 256;
        void *p = kr_mem_resize(r->windows[split], (size_t)room * sizeof **r->windows);
        if (!p) return KR_ERR_NOMEM;
        r->windows[split] = p, r->room[split] = room;
    }
    r->windows[split][r->n[split]++] = (window){(int32_t)file, at};
    return KR_OK;
}

/* What is told lies in the part; of the first part also what is seen. */
static kr_status list_windows(const kr_source *s, series *r) {
    int64_t seen = r->k.history, told = r->k.horizon;
    for (int64_t f = 0; f < r->set.n; f++) {
        stretch part[KR_N_SPLIT];
        if (s->predict) { /* what comes behind the file's end */
            if (steps_of(r, f) < seen) KR_FAIL(KR_ERR_CONFIG, "%s: %lld steps, and the model wants to see %lld", r->set.files.name[r->set.file[f]], (long long)steps_of(r, f), (long long)seen);
            KR_TRY(add_window(r, KR_SPLIT_EVAL, f, steps_of(r, f) - seen));
            continue;
        }
        cut(r, steps_of(r, f), part);
        for (int p = 0; p < KR_N_SPLIT; p++) {
            int64_t first = p == KR_SPLIT_TRAIN ? 0 : part[p].from - seen;
            for (int64_t at = first < 0 ? 0 : first; at + seen + told <= part[p].to; at += p == KR_SPLIT_TRAIN ? r->k.stride : 1)
                if (at + seen >= part[p].from) KR_TRY(add_window(r, p, f, at));
        }
    }
    return KR_OK;
}

static kr_status measure(kr_source *s, series *r) {
    int64_t n = 0;
    r->mean = kr_mem_array((size_t)r->M, sizeof *r->mean), r->std = kr_mem_array((size_t)r->M, sizeof *r->std);
    if (!r->mean || !r->std) return KR_ERR_NOMEM;
    if (s->fitted) {
        KR_TRY(kr_fitted_reals(s, "mean", r->mean, r->M));
        return kr_fitted_reals(s, "std", r->std, r->M);
    }
    for (int pass = 0; pass < 2; pass++) { /* the mean first: series may lie far from 0 */
        double *sum = pass ? r->std : r->mean;
        n = 0;
        for (int64_t f = 0; f < r->set.n; f++) {
            stretch part[KR_N_SPLIT];
            const float *x = kr_set_data(&r->set, f);
            cut(r, steps_of(r, f), part);
            n += part[KR_SPLIT_TRAIN].to;
            for (int64_t i = 0; i < part[KR_SPLIT_TRAIN].to * r->M; i++) {
                double d = x[i] - (pass ? r->mean[i % r->M] : 0);
                sum[i % r->M] += pass ? d * d : d;
            }
        }
        for (int64_t m = 0; m < r->M; m++) sum[m] /= (double)(n ? n : 1);
    }
    for (int64_t m = 0; m < r->M; m++) r->std[m] = sqrt(r->std[m]);
    for (int64_t m = 0; m < r->M; m++)
        if (!(r->std[m] > 1e-12)) r->std[m] = 1;
    KR_TRY(kr_learnt_reals(s, "mean", r->mean, r->M));
    KR_TRY(kr_learnt_reals(s, "std", r->std, r->M));
    return kr_learnt_classes(s, &r->set);
}

/* --- rows -------------------------------------------------------------------------------------------- */

static const window *window_at(const kr_source *s, const series *r, kr_split split, int64_t step, int64_t row) {
    int64_t n = r->n[split], number = step * s->info.S + row;
    if (split == KR_SPLIT_TRAIN) {
        kr_rng g = kr_source_rng(s, split, "order of windows", number / n);
        return &r->windows[split][kr_permute(kr_rng_u64(&g), n, number % n)];
    }
    number = step % ((n + s->info.S - 1) / s->info.S) * s->info.S + row;
    if (number >= n) return NULL;
    return &r->windows[split][s->predict ? number : kr_permute(kr_rng_stream("held-out windows"), n, number)];
}

static double scaled(const series *r, const float *x, int64_t step, int64_t m) { return (x[step * r->M + m] - r->mean[m]) / r->std[m]; }

/* Of what is seen of variable m. */
static void of_window(const series *r, const float *x, int64_t m, double *mean, double *std) {
    double sum = 0, square = 0, n = (double)r->k.history;
    *mean = 0, *std = 1;
    if (!r->k.window_norm) return;
    for (int64_t t = 0; t < r->k.history; t++) sum += scaled(r, x, t, m);
    *mean = sum / n;
    for (int64_t t = 0; t < r->k.history; t++) square += (scaled(r, x, t, m) - *mean) * (scaled(r, x, t, m) - *mean);
    *std = sqrt(square / n + 1e-5);
}

/* While training: noise on what is seen. */
static void jitter(const kr_source *s, const series *r, kr_split split, int64_t row, float *x) {
    if (split != KR_SPLIT_TRAIN || r->k.jitter <= 0) return;
    kr_rng g = kr_source_row_rng(s, split, row);
    for (int64_t i = 0; i < r->M * r->k.history; i++) x[i] += (float)(r->k.jitter * kr_rng_normal(&g));
}

static void series_batch(const kr_source *s, kr_split split, int64_t step, kr_batch *b) {
    const series *r = s->own;
    int64_t seen = r->k.history, told = r->k.horizon, M = r->M;
    b->n_rows = 0;
    for (int64_t i = 0; i < b->S; i++) {
        const window *w = window_at(s, r, split, step, i);
        float *x = b->x + i * M * seen, *y = b->y + i * M * told, *scale = b->scale ? b->scale + i * M * told : NULL;
        if (!w) {
            memset(x, 0, (size_t)(M * seen) * sizeof *x), memset(y, 0, (size_t)(M * told) * sizeof *y);
            continue;
        }
        b->n_rows++;
        const float *from = (const float *)kr_set_data(&r->set, w->file) + w->at * M;
        for (int64_t m = 0; m < M; m++) {
            double mean, std;
            of_window(r, from, m, &mean, &std);
            for (int64_t t = 0; t < seen; t++) x[m * seen + t] = (float)((scaled(r, from, t, m) - mean) / std);
            for (int64_t t = 0; t < told; t++) {
                y[m * told + t] = s->predict ? 0 : (float)((scaled(r, from, seen + t, m) - mean) / std);
                if (scale) scale[m * told + t] = (float)std;
            }
        }
        jitter(s, r, split, step * b->S + i, x);
    }
}

static void series_restore(const kr_source *s, kr_split split, int64_t step, int64_t row, float *y) {
    const series *r = s->own;
    const window *w = window_at(s, r, split, step, row);
    if (!w) return;
    const float *from = (const float *)kr_set_data(&r->set, w->file) + w->at * r->M;
    for (int64_t m = 0; m < r->M; m++) {
        double mean, std;
        of_window(r, from, m, &mean, &std);
        for (int64_t t = 0; t < r->k.horizon; t++) {
            float *v = &y[m * r->k.horizon + t];
            *v = (float)((*v * std + mean) * r->std[m] + r->mean[m]);
        }
    }
}

static bool series_who(const kr_source *s, kr_split split, int64_t step, int64_t row, char *to, size_t size) {
    const series *r = s->own;
    const window *w = window_at(s, r, split, step, row);
    if (w) snprintf(to, size, "%s:%lld", r->set.files.name[r->set.file[w->file]], (long long)(w->at + r->k.history));
    return w;
}

/* A number of the answer by its variable; the steps of one stand side by side. */
static const char *series_label(const kr_source *s, int64_t i) {
    const series *r = s->own;
    return i / r->k.horizon < r->M ? r->set.classes.name[i / r->k.horizon] : NULL;
}

/* --- open and close -------------------------------------------------------------------------------------- */

static kr_status describe(kr_source *s, const series *r) {
    kr_source_info *i = &s->info;
    int64_t L = r->M * r->k.history;
    if (i->L && i->L != L) KR_FAIL(KR_ERR_CONFIG, "train.seq_len is %lld; a row of a series has data.history, so leave it out", (long long)i->L);
    s->encoder = json_pack("{s:s, s:I, s:I}", "type", "series", "variables", (json_int_t)r->M, "history", (json_int_t)r->k.history);
    s->head = json_pack("{s:s, s:I, s:I, s:b}", "type", "forecast", "variables", (json_int_t)r->M, "horizon", (json_int_t)r->k.horizon, "scaled", r->k.window_norm);
    if (!s->encoder || !s->head) KR_FAIL(KR_ERR_NOMEM, "data: out of memory");
    i->L = L, i->x_width = 1, i->y_width = r->M * r->k.horizon, i->metric = "mse", i->more_metrics = "mae";
    i->n_train = r->n[KR_SPLIT_TRAIN], i->n_eval = r->n[KR_SPLIT_EVAL], i->n_test = r->n[KR_SPLIT_TEST];
    if (!i->n_train && !s->fitted)
        KR_FAIL(KR_ERR_CONFIG, "data: no window of %lld + %lld steps fits into the steps to train on; give longer series, or lower data.history, horizon or the fractions",
                (long long)r->k.history, (long long)r->k.horizon);
    i->train_batches = (i->n_train + i->S - 1) / i->S, i->eval_batches = (i->n_eval + i->S - 1) / i->S, i->test_batches = (i->n_test + i->S - 1) / i->S;
    snprintf(i->about, sizeof i->about, "%lld variable%s, %lld steps seen, %lld told; windows: %lld to train on, %lld held out, %lld to test", (long long)r->M, r->M == 1 ? "" : "s",
             (long long)r->k.history, (long long)r->k.horizon, (long long)i->n_train, (long long)i->n_eval, (long long)i->n_test);
    return KR_OK;
}

static kr_status series_open(kr_source *s, const json_t *data) {
    series *r = s->own = kr_mem_new(sizeof *r);
    if (!r) return KR_ERR_NOMEM;
    r->set.each = sizeof(float);
    KR_TRY(kr_keys_read(s->kind->keys, data, "data", &r->k));
    if (s->fitted) KR_TRY(kr_fitted_classes(s, &r->set));
    KR_TRY(kr_set_each_file(&r->set, r->k.paths, "paths", KR_SPLIT_TRAIN, read_file, r));
    KR_TRY(list_windows(s, r));
    KR_TRY(measure(s, r));
    r->k.paths = r->k.columns = NULL; /* the JSON object is the caller's */
    return describe(s, r);
}

static void series_close(kr_source *s) {
    series *r = s->own;
    if (!r) return;
    for (int i = 0; i < KR_N_SPLIT; i++) kr_mem_free(r->windows[i]);
    kr_mem_free(r->mean), kr_mem_free(r->std);
    kr_set_free(&r->set);
    kr_mem_free(r);
}

static const kr_key series_keys_table[] = {
    KR_KEY_TEXT(series_keys, kind, "series", "where rows come from"),
    KR_KEY_LIST(series_keys, paths, "tables with a line a step; each file is a series"),
    KR_KEY_LIST(series_keys, columns, "the variables; none: all columns of numbers"),
    KR_KEY_INT(series_keys, history, 96, 1, 1e6, "steps of a window that are seen"),
    KR_KEY_INT(series_keys, horizon, 96, 1, 1e6, "steps behind them to tell"),
    KR_KEY_INT(series_keys, train_steps, 0, 0, 1e15, "the first so many steps of a file are to train on; 0: by eval_fraction and test_fraction"),
    KR_KEY_INT(series_keys, eval_steps, 0, 0, 1e15, "the next are held out"),
    KR_KEY_INT(series_keys, test_steps, 0, 0, 1e15, "and the next to test on"),
    KR_KEY_REAL(series_keys, eval_fraction, 0.1, 0, 0.9, "share of the steps to hold out, before those to test on"),
    KR_KEY_REAL(series_keys, test_fraction, 0.2, 0, 0.9, "share of the steps to test on, the last ones"),
    KR_KEY_INT(series_keys, stride, 1, 1, 1e9, "steps from one window to train on to the next"),
    KR_KEY_REAL(series_keys, jitter, 0, 0, 100, "training: add noise of this deviation to what is seen, after it is brought to deviation 1"),
    KR_KEY_BOOL(series_keys, window_norm, true, "bring each window to mean 0 and deviation 1, and the answer back (RevIN)"),
    KR_KEY_END,
};

const kr_source_kind kr_source_series = {
    .name = "series",
    .about = "the next steps of a long series of several variables",
    .keys = series_keys_table,
    .open = series_open,
    .batch = series_batch,
    .who = series_who,
    .label = series_label,
    .restore = series_restore,
    .close = series_close,
};
