/* reduce.c - krait reduce: S4D layers with fewer modes, by balanced truncation of each channel.
 *
 * What a channel runs is the discrete recurrence, so that is what is truncated: pole and residue of each mode
 * by the layer's own discretisation, and back by its inverse.  B is one, so C takes the whole residue. */
#include "krait/reduce.h"

#include <complex.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "model/model.h"
#include "ops/lti_scan/lti_scan.h"
#include "parts/balance.h"

/* --- one channel --------------------------------------------------------------------------- */

typedef struct channel { float *A_log, *A_imag, *C_real, *C_imag; } channel; /* its row in each */

/* A whose pole is z, the other way round of lti_discretise. */
static double complex rate_of(int64_t disc, double dt, double complex z) {
    if (disc == LTI_EULER) return (z - 1) / dt;
    if (disc == LTI_BILINEAR) return 2 * (z - 1) / (z + 1) / dt;
    return clog(cabs(z) > 1e-30 ? z : 1e-30) / dt;
}

static void read_modes(int64_t disc, double log_dt, const channel *c, int64_t n, double *pole, double *residue) {
    for (int64_t i = 0; i < n; i++) {
        lti_mode m = lti_discretise(disc, log_dt, (lti_complex){-exp((double)c->A_log[i]), c->A_imag[i]});
        lti_complex r = lti_mul(m.gain, (lti_complex){c->C_real[i], c->C_imag[i]});
        pole[2 * i] = m.a.re, pole[2 * i + 1] = m.a.im;
        residue[2 * i] = r.re, residue[2 * i + 1] = r.im;
    }
}

static void write_modes(int64_t disc, double log_dt, const double *pole, const double *residue, int64_t n, const channel *c) {
    for (int64_t i = 0; i < n; i++) {
        double complex A = rate_of(disc, exp(log_dt), pole[2 * i] + I * pole[2 * i + 1]);
        double decay = -creal(A) > 1e-6 ? -creal(A) : 1e-6; /* a parameter says its logarithm */
        c->A_log[i] = (float)log(decay);
        c->A_imag[i] = (float)cimag(A);
        lti_mode m = lti_discretise(disc, log_dt, (lti_complex){-exp((double)c->A_log[i]), c->A_imag[i]});
        double complex C = (residue[2 * i] + I * residue[2 * i + 1]) / (m.gain.re + I * m.gain.im);
        c->C_real[i] = (float)creal(C);
        c->C_imag[i] = (float)cimag(C);
    }
}

/* What a channel says of itself: its Hankel values over the largest, [n]; then tail, error, bound. */
static kr_status reduce_channel(int64_t disc, double log_dt, const channel *from, int64_t n, const channel *to, int64_t r, double *said) {
    double *room = kr_mem_array((size_t)(4 * n + 4 * r), sizeof *room), *pole = room, *residue = pole + 2 * n, *small = residue + 2 * n, *rest = small + 2 * r;
    if (!room) return KR_ERR_NOMEM;
    read_modes(disc, log_dt, from, n, pole, residue);
    kr_status st = kr_truncate(n, pole, residue, r, small, rest, said);
    if (st == KR_OK) {
        double sum = 0, tail = 0, most = said[0] > 0 ? said[0] : 1;
        write_modes(disc, log_dt, small, rest, r, to);
        read_modes(disc, log_dt, to, r, small, rest); /* as float32 has it */
        double peak = kr_truncate_peak(n, pole, residue, 0, NULL, NULL), error = kr_truncate_peak(n, pole, residue, r, small, rest);
        for (int64_t i = 0; i < n; i++) sum += said[i], tail += i < r ? 0 : said[i];
        for (int64_t i = 0; i < n; i++) said[i] /= most;
        said[n] = sum > 0 ? tail / sum : 0;
        said[n + 1] = peak > 0 ? error / peak : 0;
        said[n + 2] = peak > 0 ? 4 * tail / peak : 0; /* 2 for the modes, 2 for their conjugates */
    }
    kr_mem_free(room);
    return st;
}

/* --- one layer ------------------------------------------------------------------------------ */

static int rising(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

/* Of column k of said[E][width]. */
static double median(const double *said, int64_t E, int64_t width, int64_t k, double *room) {
    for (int64_t e = 0; e < E; e++) room[e] = said[e * width + k];
    qsort(room, (size_t)E, sizeof *room, rising);
    return room[E / 2];
}

static void summarise(const double *said, int64_t E, int64_t n, int64_t r, double *room, kr_reduce_row *row) {
    int64_t width = n + 3;
    row->n_channels = E, row->n_modes = n, row->n_left = r;
    for (int64_t i = 0; i < n && i < 64; i++) row->hankel[i] = median(said, E, width, i, room);
    row->tail = median(said, E, width, n, room);
    row->error = median(said, E, width, n + 1, room);
    row->bound = median(said, E, width, n + 2, room);
    for (int64_t e = 0; e < E; e++) {
        double error = said[e * width + n + 1], bound = said[e * width + n + 2];
        row->worst_error = fmax(row->worst_error, error);
        row->worst_share = fmax(row->worst_share, bound > 1e-5 ? error / bound : 0); /* below that it is float32 that errs */
    }
}

static kr_param *sibling(const kr_params *ps, const char *layer, const char *name) {
    char full[512];
    snprintf(full, sizeof full, "%s.%s", layer, name);
    return kr_params_find(ps, full);
}

static channel channel_of(const kr_params *ps, const char *layer, int64_t e, int64_t n) {
    float *x[4];
    static const char *const names[] = {"A_log", "A_imag", "C_real", "C_imag"};
    for (int i = 0; i < 4; i++) x[i] = (float *)sibling(ps, layer, names[i])->data + e * n;
    return (channel){x[0], x[1], x[2], x[3]};
}

static kr_status reduce_layer(const kr_model *from, const kr_model *to, const char *layer, int64_t disc, kr_reduce_row *row) {
    const kr_param *big = sibling(from->params, layer, "A_log"), *small = sibling(to->params, layer, "A_log"), *log_dt = sibling(from->params, layer, "log_dt");
    int64_t E = big->dim[0], n = big->dim[1], r = small->dim[1], width = n + 3;
    kr_status st = KR_OK;
    double *said = kr_mem_array((size_t)(E * width + E), sizeof *said);
    if (!said) return KR_ERR_NOMEM;
#pragma omp parallel for num_threads(kr_cpu_threads()) schedule(dynamic)
    for (int64_t e = 0; e < E; e++) {
        channel a = channel_of(from->params, layer, e, n), b = channel_of(to->params, layer, e, r);
        kr_status mine = reduce_channel(disc, ((const float *)log_dt->data)[e], &a, n, &b, r, said + e * width);
#pragma omp critical(kr_reduce)
        if (mine != KR_OK) st = mine;
    }
    if (st == KR_OK) summarise(said, E, n, r, said + E * width, row);
    else st = kr_fail(st, "%s: a channel could not be reduced: its modes are not stable, or memory ran out", layer);
    row->layer = layer;
    kr_mem_free(said);
    return st;
}

/* --- the model ------------------------------------------------------------------------------ */

/* d_state of every S4D there is in the config; its discretisation, which all of them share. */
static kr_status shrink_config(json_t *config, int64_t d_state, int64_t *disc) {
    static const char *const discs[] = {"zoh", "euler", "bilinear", "mamba"};
    const char *name;
    json_t *mixers = json_object_get(config, "mixers"), *o, *all[33] = {json_object_get(config, "mixer")};
    int n = 1, found = 0;
    json_object_foreach(mixers, name, o) if (n < 33) all[n++] = o;
    for (int i = 0; i < n; i++) {
        const char *type = json_string_value(json_object_get(all[i], "type")), *d = json_string_value(json_object_get(all[i], "disc"));
        if (!type || strcmp(type, "s4d") != 0) continue;
        const char *init = json_string_value(json_object_get(all[i], "init"));
        int64_t old = json_integer_value(json_object_get(all[i], "d_state")), mine = 0;
        while (mine < 4 && (!d || strcmp(d, discs[mine]) != 0)) mine++;
        if (init && strcmp(init, "real") == 0) KR_FAIL(KR_ERR_CONFIG, "this S4D has real modes; what is reduced are conjugate pairs");
        if (d_state < 2 || d_state % 2 || d_state >= old)
            KR_FAIL(KR_ERR_CONFIG, "d_state %lld, want an even number below the model's %lld", (long long)d_state, (long long)old);
        if (mine == 4 || (found && mine != *disc)) KR_FAIL(KR_ERR_CONFIG, "layers of different discretisations are not reduced together");
        *disc = mine, found++;
        json_object_set_new(all[i], "d_state", json_integer(d_state));
    }
    if (!found) KR_FAIL(KR_ERR_CONFIG, "the model has no S4D layer; no other mixer has modes that do not look at the input");
    return KR_OK;
}

/* "backbone.layers.0.mixer", if p is the A_log of an S4D. */
static bool is_layer(const kr_model *m, const kr_param *p, char layer[400]) {
    size_t n = strlen(p->name);
    if (n < 7 || n >= 400 || strcmp(p->name + n - 6, ".A_log") != 0) return false;
    snprintf(layer, 400, "%.*s", (int)(n - 6), p->name);
    return sibling(m->params, layer, "A_imag") && sibling(m->params, layer, "C_imag") && sibling(m->params, layer, "log_dt");
}

static kr_status fill(const kr_model *from, const kr_model *to, int64_t disc, void (*row)(void *user, const kr_reduce_row *r), void *user) {
    char layer[400];
    for (kr_param *p = to->params->first; p; p = p->next) {
        const kr_param *q = kr_params_find(from->params, p->name);
        bool same = q && q->n_dims == p->n_dims && memcmp(q->dim, p->dim, (size_t)p->n_dims * sizeof *p->dim) == 0;
        if (same) kr_param_set(p, q->data);
        if (!is_layer(to, p, layer)) continue;
        kr_reduce_row r = {0};
        KR_TRY(reduce_layer(from, to, layer, disc, &r));
        if (row) row(user, &r);
    }
    return KR_OK;
}

static kr_status open_small(const kr_model *from, int64_t d_state, int64_t *disc, kr_model **to) {
    json_t *config;
    KR_TRY(kr_config_write(&from->config, &config));
    kr_status st = shrink_config(config, d_state, disc);
    if (st == KR_OK) st = kr_model_describe(to, config, "the smaller model", KR_F32, NULL);
    json_decref(config);
    KR_TRY(st);
    st = kr_params_alloc((*to)->params, false);
    if (st != KR_OK) kr_model_release(*to);
    return st;
}

kr_status kr_reduce(const char *from, const char *to, int64_t d_state, void (*row)(void *user, const kr_reduce_row *r), void *user) {
    char path[4096];
    kr_model *big, *small;
    int64_t disc = 0;
    KR_TRY(kr_path_join(path, sizeof path, to, "config.json"));
    if (kr_file_exists(path)) KR_FAIL(KR_ERR_CONFIG, "%s is there already; choose another folder", path);
    KR_TRY(kr_model_load(&big, from, false, KR_F32, NULL));
    kr_status st = open_small(big, d_state, &disc, &small);
    if (st == KR_OK) {
        small->tokenizer = big->tokenizer;
        st = fill(big, small, disc, row, user);
        if (st == KR_OK) st = kr_model_save(small, to, KR_F32);
        small->tokenizer = NULL;
        kr_model_release(small);
    }
    kr_model_release(big);
    return st;
}
