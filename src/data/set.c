/* set.c - filling a set, naming its classes, holding examples out. */
#include "data/set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/tokenizer.h"

void kr_set_free(kr_set *set) {
    kr_mem_free(set->data);
    kr_mem_free(set->start);
    kr_mem_free(set->label);
    kr_mem_free(set->y);
    kr_mem_free(set->part);
    kr_mem_free(set->joins);
    kr_mem_free(set->file);
    kr_mem_free(set->row);
    kr_mem_free(set->class_slot);
    for (int i = 0; i < KR_N_SPLIT; i++) kr_mem_free(set->index[i]);
    kr_file_list_free(&set->files);
    kr_file_list_free(&set->classes);
    *set = (kr_set){0};
}

/* --- examples ------------------------------------------------------------------------------ */

static bool resize(void *field, int64_t room, size_t each) {
    void **p = field, *q = kr_mem_resize(*p, (size_t)room * each);
    if (q) *p = q;
    return q;
}

static bool grow(kr_set *set, size_t more) {
    if (set->n_bytes + more > set->bytes_room) {
        size_t room = set->n_bytes + more + set->bytes_room / 2;
        if (!resize(&set->data, (int64_t)room, 1)) return false;
        set->bytes_room = room;
    }
    if (set->n + 1 < set->room) return true;
    int64_t room = 2 * set->room + 64;
    bool ok = resize(&set->start, room, sizeof *set->start) && resize(&set->label, room, sizeof *set->label) &&
              resize(&set->part, room, sizeof *set->part) && resize(&set->joins, room, sizeof *set->joins) && resize(&set->file, room, sizeof *set->file) &&
              resize(&set->row, room, sizeof *set->row) && (!set->y_width || resize(&set->y, room * set->y_width, sizeof *set->y));
    if (!ok) return false;
    if (!set->n) set->start[0] = 0;
    set->room = room;
    return true;
}

void *kr_set_add(kr_set *set, size_t n, kr_split part, int64_t row, int32_t label, const float *y) {
    size_t bytes;
    if (__builtin_mul_overflow(n, (size_t)set->each, &bytes) || !grow(set, bytes)) return NULL;
    int64_t i = set->n++;
    set->label[i] = label;
    set->part[i] = (unsigned char)part;
    set->joins[i] = false;
    set->file[i] = (int32_t)set->files.n - 1;
    set->row[i] = row;
    if (y) memcpy(set->y + i * set->y_width, y, (size_t)set->y_width * sizeof *y);
    set->start[i + 1] = set->start[i] + bytes;
    set->n_bytes = set->start[i + 1];
    return set->data + set->start[i];
}

void kr_set_name(const kr_set *set, int64_t i, char *to, size_t size) {
    const char *file = set->file[i] >= 0 ? set->files.name[set->file[i]] : "";
    if (set->row[i] < 0) snprintf(to, size, "%s", file);
    else snprintf(to, size, "%s:%lld", file, (long long)set->row[i]);
}

bool kr_set_who(const kr_source *s, kr_split split, int64_t step, int64_t row, char *to, size_t size) {
    int64_t i = kr_set_at(s, s->set, split, step, row);
    if (i >= 0) kr_set_name(s->set, i, to, size);
    return i >= 0;
}
const char *kr_set_label(const kr_source *s, int64_t i) { return i >= 0 && i < (int64_t)s->set->classes.n ? s->set->classes.name[i] : NULL; }

/* --- lists of names -------------------------------------------------------------------------- */

static kr_status add_name(kr_file_list *list, const char *name) {
    if (list->n == list->room) {
        size_t room = 2 * list->room + 16;
        char **p = kr_mem_resize(list->name, room * sizeof *p);
        if (!p) return KR_ERR_NOMEM;
        list->name = p, list->room = room;
    }
    if (!(list->name[list->n] = kr_arena_strdup(&list->arena, name))) return KR_ERR_NOMEM;
    list->n++;
    return KR_OK;
}

static int32_t *class_slot_of(const kr_set *set, const char *name) {
    for (size_t i = kr_bytes_hash(name, strlen(name));; i++) {
        int32_t *slot = &set->class_slot[i & (set->class_slots - 1)];
        if (!*slot || strcmp(set->classes.name[*slot - 1], name) == 0) return slot;
    }
}

/* Room for one more, at most half full. */
static bool index_classes(kr_set *set) {
    size_t n = set->classes.n, slots = 64;
    if (set->class_slots >= 2 * (n + 1)) return true;
    while (slots < 4 * (n + 1)) slots *= 2;
    int32_t *more = kr_mem_array(slots, sizeof *more);
    if (!more) return false;
    kr_mem_free(set->class_slot);
    set->class_slot = more, set->class_slots = slots;
    for (size_t i = 0; i < n; i++) *class_slot_of(set, set->classes.name[i]) = (int32_t)i + 1;
    return true;
}

int32_t kr_set_class(kr_set *set, const char *name) {
    if (!index_classes(set)) return -2;
    int32_t *slot = class_slot_of(set, name);
    if (*slot) return *slot - 1;
    if (set->classes_fixed) return -1;
    return add_name(&set->classes, name) == KR_OK ? (*slot = (int32_t)set->classes.n) - 1 : -2;
}

int32_t kr_set_class_of_path(kr_set *set, const char *path, int by) {
    char name[256];
    const char *slash = strrchr(path, '/'), *from = slash ? slash + 1 : path;
    size_t n = strcspn(from, "_-.");
    if (by == KR_SET_BY_FOLDER) {
        for (from = slash ? slash : path; from > path && from[-1] != '/';) from--;
        n = slash ? (size_t)(slash - from) : 0;
    }
    snprintf(name, sizeof name, "%.*s", (int)n, from);
    return *name ? kr_set_class(set, name) : -1;
}

static bool whole_number(const char *s, double *x) {
    char *end;
    *x = strtod(s, &end);
    return end > s && *end == 0;
}

static int by_number(const void *a, const void *b) {
    double x = strtod(*(char *const *)a, NULL), y = strtod(*(char *const *)b, NULL);
    return x < y ? -1 : x > y;
}
static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

kr_status kr_set_sort_classes(kr_set *set) {
    size_t n = set->classes.n;
    if (set->classes_fixed || n < 2) return KR_OK;
    char **was = kr_mem_array(n, sizeof *was);
    int32_t *to = kr_mem_array(n, sizeof *to);
    bool numbers = true;
    double x;
    if (!was || !to) {
        kr_mem_free(was), kr_mem_free(to);
        return KR_ERR_NOMEM;
    }
    memcpy(was, set->classes.name, n * sizeof *was);
    for (size_t i = 0; i < n; i++) numbers = numbers && whole_number(was[i], &x);
    qsort(set->classes.name, n, sizeof *was, numbers ? by_number : by_name);
    set->class_slots = 0;
    kr_status st = index_classes(set) ? KR_OK : KR_ERR_NOMEM;
    for (size_t i = 0; i < n && st == KR_OK; i++) to[i] = kr_set_class(set, was[i]);
    for (int64_t i = 0; i < set->n && st == KR_OK; i++)
        if (set->label[i] >= 0) set->label[i] = to[set->label[i]];
    kr_mem_free(was), kr_mem_free(to);
    return st;
}

/* --- files ------------------------------------------------------------------------------------ */

kr_status kr_set_begin(kr_set *set, const char *path) { return add_name(&set->files, path); }

static kr_status one_file(kr_set *set, const char *path, kr_split part, kr_set_file *f, void *user) {
    KR_TRY(kr_set_begin(set, path));
    return f(user, set, path, part);
}

static kr_status one_path(kr_set *set, const char *path, const char *key, kr_split part, kr_set_file *f, void *user) {
    bool dir = kr_dir_exists(path), pattern = !dir && !kr_file_exists(path) && strpbrk(path, "*?[");
    if (!dir && !pattern) return one_file(set, path, part, f, user);
    kr_file_list list = {0};
    char full[4096];
    kr_status st = dir ? kr_dir_list(&list, path, KR_LIST_FILES | KR_LIST_DEEP) : kr_file_glob(&list, path);
    size_t n = list.n;
    for (size_t i = 0; i < list.n && st == KR_OK; i++) {
        st = kr_path_join(full, sizeof full, dir ? path : "", list.name[i]);
        if (st == KR_OK && !kr_dir_exists(full)) st = one_file(set, full, part, f, user);
    }
    kr_file_list_free(&list);
    KR_TRY(st);
    if (!n) KR_FAIL(KR_ERR_CONFIG, "data.%s: %s: %s", key, path, dir ? "this folder holds no file" : "no file fits this pattern");
    return KR_OK;
}

kr_status kr_set_each_file(kr_set *set, const json_t *paths, const char *key, kr_split part, kr_set_file *f, void *user) {
    if (json_is_string(paths)) return one_path(set, json_string_value(paths), key, part, f, user);
    if (!json_array_size(paths)) KR_FAIL(KR_ERR_CONFIG, "data.%s names no file: want files, folders or patterns, as in \"data\": {\"%s\": [\"train/*.png\"]}", key, key);
    for (size_t i = 0; i < json_array_size(paths); i++) KR_TRY(one_path(set, json_string_value(json_array_get(paths, i)), key, part, f, user));
    return KR_OK;
}

kr_status kr_set_load(const kr_source *s, kr_set *set, const kr_set_keys *k, kr_set_file *f, void *user) {
    if (s->predict) return kr_set_each_file(set, k->paths, "paths", KR_SPLIT_EVAL, f, user);
    KR_TRY(kr_set_each_file(set, k->paths, "paths", KR_SPLIT_TRAIN, f, user));
    if (k->eval_paths) KR_TRY(kr_set_each_file(set, k->eval_paths, "eval_paths", KR_SPLIT_EVAL, f, user));
    if (k->test_paths) KR_TRY(kr_set_each_file(set, k->test_paths, "test_paths", KR_SPLIT_TEST, f, user));
    return KR_OK;
}

/* --- holding out -------------------------------------------------------------------------------- */

/* How many examples before the end the k-th share of held-out ones stands, that to test if there is one. */
static int64_t shift_of(const kr_set_keys *k, int64_t n) {
    double fraction = !k->test_paths && k->test_fraction > 0 ? k->test_fraction : k->eval_fraction;
    int64_t want = (int64_t)((double)n * fraction + 0.5);
    return n ? k->fold * (want ? want : 1) % n : 0;
}

/* The share `fraction` of what is to train on goes to `part`: `from` of the n have gone already, each with
 * those that join it. */
static int64_t hold_out(kr_set *set, const int64_t *train, int64_t n, int64_t from, int64_t shift, double fraction, const kr_set_keys *k, kr_split part) {
    int64_t want = (int64_t)((double)n * fraction + 0.5);
    if (fraction > 0 && want < 1) want = 1;
    if (want > n - from) want = n - from;
    for (int64_t i = 0; i < want; i++) {
        int64_t at = n - 1 - (from + i + shift) % n;
        if (k->hold_out == KR_HOLD_OUT_RANDOM) at = kr_permute((uint64_t)k->split_seed, n, at);
        int64_t e = train[at];
        do set->part[e++] = (unsigned char)part;
        while (e < set->n && set->joins[e]);
    }
    return from + want;
}

static kr_status fill_index(kr_set *set) {
    for (int p = 0; p < KR_N_SPLIT; p++) {
        kr_mem_free(set->index[p]);
        set->n_in[p] = 0;
        if (!(set->index[p] = kr_mem_array((size_t)set->n + 1, sizeof **set->index))) return KR_ERR_NOMEM;
    }
    for (int64_t i = 0; i < set->n; i++) set->index[set->part[i]][set->n_in[set->part[i]]++] = i;
    return KR_OK;
}

kr_status kr_set_split(kr_source *s, kr_set *set, const kr_set_keys *k) {
    KR_TRY(fill_index(set));
    if (!s->predict) {
        int64_t n = 0, gone = 0, *train = set->index[KR_SPLIT_TRAIN];
        for (int64_t i = 0; i < set->n_in[KR_SPLIT_TRAIN]; i++)
            if (!set->joins[train[i]]) train[n++] = train[i];
        if (!k->test_paths) gone = hold_out(set, train, n, gone, shift_of(k, n), k->test_fraction, k, KR_SPLIT_TEST);
        if (!k->eval_paths) hold_out(set, train, n, gone, shift_of(k, n), k->eval_fraction, k, KR_SPLIT_EVAL);
        KR_TRY(fill_index(set));
    }
    kr_source_info *i = &s->info;
    int64_t S = i->S;
    if (!set->n_in[KR_SPLIT_TRAIN] && !s->fitted)
        KR_FAIL(KR_ERR_CONFIG, "data: %lld example%s, and none is left to train on; give more, or lower data.eval_fraction and data.test_fraction", (long long)set->n,
                set->n == 1 ? "" : "s");
    i->n_train = set->n_in[KR_SPLIT_TRAIN], i->n_eval = set->n_in[KR_SPLIT_EVAL], i->n_test = set->n_in[KR_SPLIT_TEST];
    i->train_batches = (i->n_train + S - 1) / S, i->eval_batches = (i->n_eval + S - 1) / S, i->test_batches = (i->n_test + S - 1) / S;
    return KR_OK;
}

int64_t kr_set_at(const kr_source *s, const kr_set *set, kr_split split, int64_t step, int64_t row) {
    int64_t n = set->n_in[split], number;
    if (split == KR_SPLIT_TRAIN) {
        number = step * s->info.S + row;
        kr_rng r = kr_source_rng(s, split, "order of examples", number / n);
        return set->index[split][kr_permute(kr_rng_u64(&r), n, number % n)];
    }
    int64_t batches = (n + s->info.S - 1) / s->info.S;
    number = step % batches * s->info.S + row;
    if (number >= n) return -1;
    return set->index[split][s->predict ? number : kr_permute(kr_rng_stream("held-out examples"), n, number)];
}

/* --- what was learnt ------------------------------------------------------------------------------ */

kr_status kr_learnt(kr_source *s, const char *key, json_t *v) {
    if (!s->learnt) s->learnt = json_object();
    if (!v || !s->learnt || json_object_set_new(s->learnt, key, v) != 0) KR_FAIL(KR_ERR_NOMEM, "data: out of memory for %s", key);
    return KR_OK;
}

kr_status kr_learnt_reals(kr_source *s, const char *key, const double *from, int64_t n) {
    json_t *a = json_array();
    for (int64_t i = 0; a && i < n; i++)
        if (json_array_append_new(a, json_real(from[i])) != 0) {
            json_decref(a);
            a = NULL;
        }
    return kr_learnt(s, key, a);
}

kr_status kr_learnt_classes(kr_source *s, const kr_set *set) {
    json_t *a = json_array();
    for (size_t i = 0; a && i < set->classes.n; i++)
        if (json_array_append_new(a, json_string(set->classes.name[i])) != 0) {
            json_decref(a);
            KR_FAIL(KR_ERR_FORMAT, "data: the name of class \"%.60s\" is no UTF-8 text", set->classes.name[i]);
        }
    return kr_learnt(s, "classes", a);
}

kr_status kr_fitted_reals(const kr_source *s, const char *key, double *to, int64_t n) {
    const json_t *a = json_object_get(s->fitted, key);
    bool good = json_array_size(a) == (size_t)n;
    for (int64_t i = 0; i < n && good; i++) {
        const json_t *v = json_array_get(a, (size_t)i);
        good = json_is_number(v);
        to[i] = json_number_value(v);
    }
    if (!good) KR_FAIL(KR_ERR_FORMAT, "preprocessor_config.json: %s wants an array of %lld numbers", key, (long long)n);
    return KR_OK;
}

kr_status kr_fitted_classes(const kr_source *s, kr_set *set) {
    const json_t *a = json_object_get(s->fitted, "classes");
    if (!a) return KR_OK;
    for (size_t i = 0; i < json_array_size(a); i++) {
        const char *name = json_string_value(json_array_get(a, i));
        if (!name) KR_FAIL(KR_ERR_FORMAT, "preprocessor_config.json: classes wants an array of names");
        KR_TRY(add_name(&set->classes, name));
    }
    set->class_slots = 0;
    set->classes_fixed = true;
    return KR_OK;
}
