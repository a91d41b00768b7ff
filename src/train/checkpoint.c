/* checkpoint.c - saving and loading a training run. */
#include "train/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "model/safetensors.h"

enum { PATH = 4096 };

static kr_status folder(char to[PATH], const char *out, const char *name) {
    char base[PATH];
    KR_TRY(kr_path_join(base, sizeof base, out, "checkpoints"));
    return kr_path_join(to, PATH, base, name);
}

static kr_status step_folder(char to[PATH], const char *out, int64_t step) {
    char name[32];
    snprintf(name, sizeof name, "%09lld", (long long)step);
    return folder(to, out, name);
}

/* Every tensor that resuming needs beside the weights, for the writer or the reader. */
typedef kr_status visit(void *user, const char *name, kr_tensor *t);

static kr_status walk(const kr_model *m, const kr_graph *g, visit *f, void *user) {
    char name[512];
    for (const kr_param *p = m->params->first; p; p = p->next) {
        float *const part[3] = {p->m, p->v, p->master};
        static const char *const prefix[3] = {"m.", "v.", "master."};
        for (int i = 0; i < 3; i++) {
            kr_tensor t = {.data = part[i], .dtype = KR_F32, .n_dims = p->n_dims};
            if (!part[i]) continue;
            memcpy(t.dim, p->dim, sizeof t.dim);
            snprintf(name, sizeof name, "%s%s", prefix[i], p->name);
            KR_TRY(f(user, name, &t));
        }
    }
    for (int i = 0; g && i < kr_graph_n_states(g); i++) {
        kr_node *n = kr_graph_get_state(g, i);
        kr_tensor t = kr_node_tensor(n);
        snprintf(name, sizeof name, "state.%s", kr_node_name(n));
        KR_TRY(f(user, name, &t));
    }
    return KR_OK;
}

static kr_status add(void *writer, const char *name, kr_tensor *t) { return kr_st_writer_add(writer, name, t, t->dtype); }
static kr_status fetch(void *st, const char *name, kr_tensor *t) { return kr_st_read(st, name, t->n_dims, t->dim, t->dtype, t->data); }

static kr_status save_optimizer(const char *dir, const kr_model *m, const kr_graph *g) {
    char path[PATH];
    kr_st_writer *w;
    KR_TRY(kr_path_join(path, sizeof path, dir, "optimizer.safetensors"));
    KR_TRY(kr_st_writer_new(&w));
    kr_status st = walk(m, g, add, w);
    if (st == KR_OK) st = kr_st_writer_save(w, path);
    kr_st_writer_free(w);
    return st;
}

static kr_status save_state(const char *dir, const kr_train_state *s) {
    char path[PATH], text[512];
    KR_TRY(kr_path_join(path, sizeof path, dir, "trainer.json"));
    int n = snprintf(text, sizeof text,
                     "{\"step\": %lld, \"steps\": %lld, \"n_tok\": %lld, \"best_step\": %lld, \"best_metric\": %.17g, \"seconds\": %.17g}\n",
                     (long long)s->step, (long long)s->steps, (long long)s->n_tok, (long long)s->best_step, s->best_metric, s->seconds);
    return kr_file_write(path, text, (size_t)n);
}

static kr_status write_all(const char *dir, const kr_model *m, const kr_graph *g, const kr_train_state *s) {
    KR_TRY(kr_model_save(m, dir, m->params->matrix_dtype));
    KR_TRY(save_optimizer(dir, m, g));
    return save_state(dir, s);
}

/* A final name is only ever that of a whole folder, also when we are killed while it goes. */
static kr_status discard(const char *folder) {
    char gone[PATH + 16];
    if (!kr_dir_exists(folder)) return KR_OK;
    snprintf(gone, sizeof gone, "%s.gone.part", folder);
    KR_TRY(kr_dir_remove(gone));
    KR_TRY(kr_dir_rename(folder, gone));
    return kr_dir_remove(gone);
}

kr_status kr_checkpoint_save(const char *out, const kr_model *m, kr_graph *g, const kr_train_state *s) {
    char final[PATH], temporary[PATH + 16];
    KR_TRY(kr_params_fetch(m->params));
    if (g) KR_TRY(kr_graph_fetch_states(g));
    KR_TRY(step_folder(final, out, s->step));
    snprintf(temporary, sizeof temporary, "%s.part", final);
    KR_TRY(kr_dir_remove(temporary));
    KR_TRY(kr_dir_make(temporary));
    kr_status st = write_all(temporary, m, g, s);
    if (st == KR_OK) st = discard(final); /* of the same step: the same bytes */
    if (st == KR_OK) st = kr_dir_rename(temporary, final);
    if (st != KR_OK) { /* free the disk, keep the sentence */
        char why[1024];
        snprintf(why, sizeof why, "%s", kr_error());
        kr_dir_remove(temporary);
        KR_FAIL(st, "%s", why);
    }
    return KR_OK;
}

/* The step of a folder's name; -1 for any other name. */
static int64_t step_of(const char *name) {
    char *end;
    long long step = strtoll(name, &end, 10);
    return *end || end == name ? -1 : step;
}

kr_status kr_checkpoint_last(const char *out, int64_t *step) {
    char dir[PATH];
    kr_file_list list = {0};
    *step = -1;
    KR_TRY(kr_path_join(dir, sizeof dir, out, "checkpoints"));
    if (!kr_dir_exists(dir)) return KR_OK;
    kr_status st = kr_dir_list(&list, dir, KR_LIST_DIRS);
    for (size_t i = 0; i < list.n && st == KR_OK; i++)
        if (step_of(list.name[i]) > *step) *step = step_of(list.name[i]);
    kr_file_list_free(&list);
    return st;
}

kr_status kr_checkpoint_load_state(const char *out, int64_t step, kr_train_state *s) {
    char dir[PATH], path[PATH];
    json_t *j;
    json_int_t at, steps, n_tok, best_step;
    double best, seconds;
    KR_TRY(step_folder(dir, out, step));
    KR_TRY(kr_path_join(path, sizeof path, dir, "trainer.json"));
    KR_TRY(kr_json_load(&j, path));
    int bad = json_unpack(j, "{s:I, s:I, s:I, s:I, s:F, s:F}", "step", &at, "steps", &steps, "n_tok", &n_tok, "best_step", &best_step,
                          "best_metric", &best, "seconds", &seconds);
    json_decref(j);
    if (bad || at != step) KR_FAIL(KR_ERR_FORMAT, "%s is not the state of step %lld", path, (long long)step);
    *s = (kr_train_state){at, steps, n_tok, best_step, best, seconds};
    return KR_OK;
}

kr_status kr_checkpoint_load(const char *out, int64_t step, kr_model *m, kr_graph *g) {
    char dir[PATH], path[PATH];
    kr_st *st;
    KR_TRY(step_folder(dir, out, step));
    KR_TRY(kr_model_read_weights(m, dir));
    KR_TRY(kr_path_join(path, sizeof path, dir, "optimizer.safetensors"));
    KR_TRY(kr_st_open(&st, path));
    kr_status s = walk(m, g, fetch, st);
    kr_st_close(st);
    if (s == KR_OK) s = kr_params_push(m->params);
    return s == KR_OK && g ? kr_graph_push_states(g) : s;
}

kr_status kr_checkpoint_prune(const char *out, int64_t keep, int64_t best_step) {
    char dir[PATH], path[PATH];
    kr_file_list list = {0};
    KR_TRY(kr_path_join(dir, sizeof dir, out, "checkpoints"));
    kr_status st = kr_dir_list(&list, dir, KR_LIST_DIRS); /* sorted: the names have one length */
    int64_t n_good = 0;
    for (size_t i = list.n; i-- > 0 && st == KR_OK;) {
        int64_t step = step_of(list.name[i]);
        bool part = strlen(list.name[i]) > 5 && strcmp(list.name[i] + strlen(list.name[i]) - 5, ".part") == 0;
        if (step < 0 && !part) continue; /* not ours */
        if (step >= 0 && (n_good++ < keep || step == best_step)) continue;
        st = kr_path_join(path, sizeof path, dir, list.name[i]);
        if (st == KR_OK) st = part ? kr_dir_remove(path) : discard(path);
    }
    kr_file_list_free(&list);
    return st;
}
