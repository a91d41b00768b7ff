/* diffusion.c - pictures from a diffusion model: batches of rows go back from noise together. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/png.h"
#include "krait/sample.h"
#include "model/diffusion.h"
#include "parts/condition.h"

enum { ROWS = 64, EVERY = -2, TOLD_NONE = -1 };

typedef struct run {
    const kr_model *m;
    const kr_sample_options *o;
    kr_diffusion *d;
    kr_graph *g;
    int64_t S, width;     /* rows of the graph, numbers of a row */
    int32_t *classes;     /* [S] of the pictures at hand */
    float *plain;         /* [S, width] the noise without a class */
} run;

/* --- what is wanted -------------------------------------------------------------------------------- */

static kr_status read_sizes(const kr_model *m, kr_samples *s) {
    const json_t *grid = json_object_get(m->preprocessor, "grid"), *names = json_object_get(m->preprocessor, "classes");
    if (m->config.condition != &kr_part_condition_diffusion)
        KR_FAIL(KR_ERR_CONFIG, "this model (head %s) draws no pictures: want one trained with data.task \"noise\"", m->config.head->name);
    int64_t *const size[] = {&s->H, &s->W, &s->channels};
    for (size_t i = 0; i < 3; i++) *size[i] = (int64_t)json_number_value(json_array_get(grid, i));
    if (json_array_size(grid) != 3 || s->H < 1 || s->W < 1 || s->channels < 1 || s->H > INT32_MAX || s->W > INT32_MAX || s->channels > 4)
        KR_FAIL(KR_ERR_CONFIG, "this model does not say what pictures it draws: want preprocessor_config.json with \"grid\" in its folder, as krait train writes it");
    if (!(s->class_names = kr_mem_array(json_array_size(names) + 1, sizeof *s->class_names))) return KR_ERR_NOMEM;
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (!(s->class_names[i] = kr_mem_strdup(name ? name : "?"))) return KR_ERR_NOMEM;
        s->n_classes++;
    }
    return KR_OK;
}

static kr_status find_class(const run *r, const kr_samples *s, int32_t *class) {
    const char *name = r->o->class_name;
    *class = r->d->classes ? EVERY : TOLD_NONE;
    if (!name) return KR_OK;
    *class = TOLD_NONE;
    if (strcmp(name, "none") == 0) return KR_OK;
    if (!r->d->classes) KR_FAIL(KR_ERR_ARG, "this model was trained without classes, so it cannot be asked for \"%s\"", name);
    for (int64_t i = 0; i < s->n_classes && i < r->d->classes; i++)
        if (strcmp(s->class_names[i], name) == 0) return *class = (int32_t)i, KR_OK;
    char known[200] = "";
    for (int64_t i = 0; i < s->n_classes && strlen(known) < 120; i++) snprintf(known + strlen(known), sizeof known - strlen(known), "%s%.40s", i ? ", " : "", s->class_names[i]);
    KR_FAIL(KR_ERR_ARG, "there is no class \"%s\"; there are %s", name, known);
}

/* --- drawing ---------------------------------------------------------------------------------------- */

static void run_graph(run *r, int64_t t, const float *x, bool told) {
    float *time = kr_graph_data(r->g, "time");
    int32_t *class = kr_graph_data(r->g, "class");
    memcpy(kr_graph_data(r->g, "x"), x, (size_t)(r->S * r->width) * sizeof *x);
    for (int64_t i = 0; i < r->S; i++) {
        kr_diffusion_features(r->d, (double)t, time + i * r->d->n_features);
        if (class) class[i] = told ? r->classes[i] : TOLD_NONE;
    }
    kr_graph_run(r->g, KR_RUN_FORWARD);
}

/* The noise as the model tells it, and with guidance g: e + (g - 1) (e - e without the class). */
static kr_status denoise(void *user, int64_t t, const float *x, float *noise) {
    run *r = user;
    size_t n = (size_t)(r->S * r->width);
    float g = (float)r->o->guidance;
    bool guided = g != 1 && r->d->classes;
    if (guided) run_graph(r, t, x, false), memcpy(r->plain, kr_graph_data(r->g, "prediction"), n * sizeof *x);
    run_graph(r, t, x, true);
    KR_TRY(kr_graph_wait(r->g));
    memcpy(noise, kr_graph_data(r->g, "prediction"), n * sizeof *x);
    for (size_t i = 0; guided && i < n; i++) noise[i] = r->plain[i] + g * (noise[i] - r->plain[i]);
    for (size_t i = 0; i < n; i++)
        if (!isfinite(noise[i])) KR_FAIL(KR_ERR_NUMERIC, "the model's answer at noise step %lld is not finite", (long long)t);
    return KR_OK;
}

static kr_status draw(run *r, kr_samples *s, int32_t class) {
    float *x = kr_mem_array((size_t)(r->S * r->width), sizeof *x);
    kr_status st = x ? KR_OK : KR_ERR_NOMEM;
    kr_diffusion_walk w = {.n = r->S, .width = r->width, .steps = r->o->steps ? r->o->steps : r->d->T, .eta = r->o->eta, .low = -1, .high = 1, .seed = r->o->seed};
    for (w.first = 0; w.first < s->n && st == KR_OK; w.first += r->S) {
        for (int64_t i = 0; i < r->S; i++) r->classes[i] = class == EVERY ? (int32_t)((w.first + i) % r->d->classes) : class;
        st = kr_diffusion_sample(r->d, &w, denoise, r, x);
        for (int64_t i = 0; i < r->S && w.first + i < s->n && st == KR_OK; i++) {
            s->of_class[w.first + i] = r->classes[i];
            uint8_t *to = s->pixels + (w.first + i) * r->width;
            for (int64_t k = 0; k < r->width; k++) to[k] = (uint8_t)fmin(fmax(rint((x[i * r->width + k] + 1) * 127.5), 0), 255);
        }
    }
    kr_mem_free(x);
    return st;
}

static kr_status take_memory(run *r, kr_samples *s) {
    size_t bytes;
    r->width = s->H * s->W * s->channels, r->S = s->n < ROWS ? s->n : ROWS;
    if (__builtin_mul_overflow((size_t)s->n, (size_t)r->width, &bytes)) KR_FAIL(KR_ERR_NOMEM, "%lld pictures are too many", (long long)s->n);
    s->pixels = kr_mem_new(bytes), s->of_class = kr_mem_array((size_t)s->n, sizeof *s->of_class);
    r->classes = kr_mem_array((size_t)r->S, sizeof *r->classes), r->plain = kr_mem_array((size_t)(r->S * r->width), sizeof *r->plain);
    if (!s->pixels || !s->of_class || !r->classes || !r->plain) return KR_ERR_NOMEM;
    kr_model_graph_options o = {.mode = KR_MODEL_ALL, .S = r->S, .L = s->H * s->W};
    KR_TRY(kr_model_graph((kr_model *)r->m, &o, &r->g));
    KR_TRY(kr_graph_alloc(r->g));
    const kr_node *x = kr_graph_find(r->g, "x"), *y = kr_graph_find(r->g, "prediction");
    if (!x || !y || kr_node_dim(x, -1) != s->channels || kr_node_dim(y, -1) != r->width)
        KR_FAIL(KR_ERR_CONFIG, "the model's encoder \"%s\" does not read the pictures of %lld x %lld that preprocessor_config.json tells of", r->m->config.encoder->name, (long long)s->H,
                (long long)s->W);
    return KR_OK;
}

int64_t kr_sample_steps(const kr_model *m) {
    return m->config.condition == &kr_part_condition_diffusion ? ((const kr_condition *)m->config.condition_opt)->noise_steps : 0;
}

kr_status kr_sample(kr_samples **out, const kr_model *m, const kr_sample_options *o) {
    run r = {.m = m, .o = o};
    int32_t class = TOLD_NONE;
    *out = NULL;
    if (o->n < 1) KR_FAIL(KR_ERR_ARG, "%lld pictures, want at least 1", (long long)o->n);
    if (!isfinite(o->guidance)) KR_FAIL(KR_ERR_ARG, "guidance is %g, want a number", o->guidance);
    kr_samples *s = kr_mem_new(sizeof *s);
    if (!s) return KR_ERR_NOMEM;
    s->n = o->n;
    kr_status st = read_sizes(m, s);
    if (st == KR_OK) st = kr_diffusion_of(&r.d, &m->config);
    if (st == KR_OK) st = find_class(&r, s, &class);
    if (st == KR_OK) st = take_memory(&r, s);
    if (st == KR_OK) st = draw(&r, s, class);
    kr_graph_free(r.g);
    kr_diffusion_free(r.d);
    kr_mem_free(r.classes), kr_mem_free(r.plain);
    if (st != KR_OK) kr_samples_free(s);
    else *out = s;
    return st;
}

void kr_samples_free(kr_samples *s) {
    if (!s) return;
    for (int64_t i = 0; s->class_names && i < s->n_classes; i++) kr_mem_free(s->class_names[i]);
    kr_mem_free(s->class_names);
    kr_mem_free(s->pixels);
    kr_mem_free(s->of_class);
    kr_mem_free(s);
}

/* --- files ------------------------------------------------------------------------------------------- */

static kr_status want_colours(const kr_samples *s) {
    if (s->channels == 1 || s->channels == 3) return KR_OK;
    KR_FAIL(KR_ERR_CONFIG, "a PNG has 1 or 3 channels, and this model draws %lld", (long long)s->channels);
}

/* Pictures with a grey line of one pixel between them. */
kr_status kr_samples_grid(const kr_samples *s, int64_t columns, int64_t zoom, const char *path) {
    KR_TRY(want_colours(s));
    if (columns < 1) columns = (int64_t)ceil(sqrt((double)s->n));
    if (columns > s->n) columns = s->n;
    if (zoom < 1 || zoom > 64) KR_FAIL(KR_ERR_ARG, "zoom is %lld, want 1 to 64", (long long)zoom);
    int64_t rows = (s->n + columns - 1) / columns, C = s->channels, h = s->H * zoom + 1, w = s->W * zoom + 1, H = rows * h - 1, W = columns * w - 1;
    size_t bytes;
    if (H > INT32_MAX || W > INT32_MAX || __builtin_mul_overflow((size_t)H, (size_t)(W * C), &bytes)) KR_FAIL(KR_ERR_ARG, "%lld pictures are too many for one", (long long)s->n);
    uint8_t *all = kr_mem_new(bytes);
    if (!all) return KR_ERR_NOMEM;
    memset(all, 128, bytes);
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t y = 0; y < s->H * zoom; y++)
            for (int64_t x = 0; x < s->W * zoom; x++)
                memcpy(all + ((i / columns * h + y) * W + i % columns * w + x) * C, s->pixels + ((i * s->H + y / zoom) * s->W + x / zoom) * C, (size_t)C);
    kr_status st = kr_png_save(path, W, H, (int)C, all);
    kr_mem_free(all);
    return st;
}

kr_status kr_samples_folder(const kr_samples *s, const char *folder) {
    char of[4096], name[32], path[4096];
    KR_TRY(want_colours(s));
    for (int64_t i = 0; i < s->n; i++) {
        int32_t class = s->of_class[i];
        snprintf(of, sizeof of, "%s", folder);
        if (class >= 0 && class < s->n_classes) KR_TRY(kr_path_join(of, sizeof of, folder, s->class_names[class]));
        KR_TRY(kr_dir_make(of));
        snprintf(name, sizeof name, "%05lld.png", (long long)i);
        KR_TRY(kr_path_join(path, sizeof path, of, name));
        KR_TRY(kr_png_save(path, s->W, s->H, (int)s->channels, s->pixels + i * s->H * s->W * s->channels));
    }
    return KR_OK;
}
