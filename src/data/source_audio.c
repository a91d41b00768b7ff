/* source_audio.c - sound with a class: as samples, or as log-mel frames.
 *
 *   raw   x[S, samples, 1], for the encoder `patch`, whose overlapping patches are a strided convolution
 *   mel   x[S, frames, n_mels]: log of the energy in bands of the mel scale (HTK's), windows of
 *         window_ms (Hann) every hop_ms
 *
 * A row is as long as `seconds`, or as the longest sound to train on; what is longer is cut, what is
 * shorter has zeros behind it, and `len` says where it ends.  Numbers have mean 0 and deviation 1 over
 * the sounds to train on, each band for itself. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fft.h"
#include "base/mem.h"
#include "data/set.h"

enum { MEL, RAW };

typedef struct audio_keys {
    const char *kind;
    kr_set_keys set;
    int label, features;
    int64_t n_mels, rate, masks, mask_bands;
    double window_ms, hop_ms, seconds, shift_ms, noise, mask_ms;
} audio_keys;

typedef struct audio {
    audio_keys k;
    kr_set set;              /* an example is [steps, width] floats */
    int64_t width, L, rate;
    int64_t n_window, n_hop, n_fft;
    kr_fft *fft;
    float *hann, *bands, *in, *spectrum; /* bands [n_mels, n_fft / 2 + 1] */
    double *mean, *std;      /* [width] */
} audio;

/* --- log-mel frames ------------------------------------------------------------------------------- */

static double mel_of(double hertz) { return 2595 * log10(1 + hertz / 700); }

static kr_status open_mel(audio *a) {
    int64_t n = a->k.n_mels;
    a->n_window = (int64_t)((double)a->rate * a->k.window_ms / 1000 + .5), a->n_hop = (int64_t)((double)a->rate * a->k.hop_ms / 1000 + .5);
    if (a->n_window < 2 || a->n_hop < 1) KR_FAIL(KR_ERR_CONFIG, "data.window_ms %g and hop_ms %g are less than two samples and one at %lld Hz", a->k.window_ms, a->k.hop_ms, (long long)a->rate);
    a->n_fft = kr_fft_fast_size(a->n_window);
    int64_t bins = a->n_fft / 2 + 1;
    a->hann = kr_mem_array((size_t)a->n_window, sizeof(float)), a->bands = kr_mem_array((size_t)(n * bins), sizeof(float));
    a->in = kr_mem_array((size_t)a->n_fft, sizeof(float)), a->spectrum = kr_mem_array((size_t)(2 * bins), sizeof(float));
    if (!a->hann || !a->bands || !a->in || !a->spectrum) return KR_ERR_NOMEM;
    KR_TRY(kr_fft_new(&a->fft, a->n_fft));
    for (int64_t i = 0; i < a->n_window; i++) a->hann[i] = (float)(.5 - .5 * cos(6.283185307179586 * (double)i / (double)a->n_window));
    double top = mel_of((double)a->rate / 2) / (double)(n + 1);
    for (int64_t m = 0; m < n; m++)
        for (int64_t k = 0; k < bins; k++) { /* a triangle around band m + 1, of one band each way */
            double at = mel_of((double)k * (double)a->rate / (double)a->n_fft) / top - (double)m;
            a->bands[m * bins + k] = (float)fmax(0, fmin(at, 2 - at));
        }
    return KR_OK;
}

static void mel_frame(audio *a, const float *x, int64_t n, float *to) {
    int64_t bins = a->n_fft / 2 + 1;
    memset(a->in, 0, (size_t)a->n_fft * sizeof(float));
    for (int64_t i = 0; i < a->n_window && i < n; i++) a->in[i] = x[i] * a->hann[i];
    kr_fft_forward(a->fft, a->in, a->spectrum);
    for (int64_t m = 0; m < a->k.n_mels; m++) {
        double sum = 0;
        for (int64_t k = 0; k < bins; k++)
            sum += (double)a->bands[m * bins + k] * ((double)a->spectrum[2 * k] * a->spectrum[2 * k] + (double)a->spectrum[2 * k + 1] * a->spectrum[2 * k + 1]);
        to[m] = (float)log(sum + 1e-6);
    }
}

/* --- reading ------------------------------------------------------------------------------------------ */

static float mono(const kr_array *s, int64_t i) {
    double sum = 0;
    int64_t channels = s->n_dims > 1 ? s->dim[1] : 1;
    for (int64_t c = 0; c < channels; c++) sum += kr_array_at(s, i * channels + c);
    return (float)(sum / (double)channels);
}

static kr_status add_sound(audio *a, kr_set *set, const char *path, kr_split part, const float *x, int64_t n, int32_t label) {
    int64_t frames = a->k.features == RAW ? n : n <= a->n_window ? 1 : (n - a->n_window) / a->n_hop + 1;
    int64_t most = a->k.seconds > 0 ? (int64_t)(a->k.seconds * (double)a->rate) : 0;
    if (most && a->k.features == MEL) most = most <= a->n_window ? 1 : (most - a->n_window) / a->n_hop + 1;
    if (most && frames > most) frames = most;
    if (n < 1) KR_FAIL(KR_ERR_FORMAT, "%s: no sound in it", path);
    float *to = kr_set_add(set, (size_t)(frames * a->width), part, -1, label, NULL);
    if (!to) return KR_ERR_NOMEM;
    if (a->k.features == RAW) memcpy(to, x, (size_t)frames * sizeof *to);
    else
        for (int64_t f = 0; f < frames; f++) mel_frame(a, x + f * a->n_hop, n - f * a->n_hop, to + f * a->width);
    return KR_OK;
}

/* The first file says the rate, unless data.rate or the model does. */
static kr_status read_file(void *user, kr_set *set, const char *path, kr_split part) {
    audio *a = user;
    kr_array s = {0};
    KR_TRY(kr_decode_array(&s, path));
    kr_status st = KR_OK;
    int64_t n = s.n_dims > 1 ? s.dim[0] : s.n, rate = s.rate > 0 ? (int64_t)s.rate : a->rate;
    if (s.n_dims < 1 || s.n_dims > 2 || (s.n_dims == 2 && s.dim[1] < 1)) st = kr_fail(KR_ERR_FORMAT, "%s: %d axes, want samples, or samples by channels", path, s.n_dims);
    if (!a->rate && !rate) st = kr_fail(KR_ERR_CONFIG, "%s: the file does not say its rate; want data.rate", path);
    bool first = !a->rate;
    if (st == KR_OK && first) a->rate = rate;
    if (st == KR_OK && rate != a->rate) st = kr_fail(KR_ERR_FORMAT, "%s: %lld samples a second, want %lld as those before; bring all to one rate", path, (long long)rate, (long long)a->rate);
    if (st == KR_OK && a->k.features == MEL && !a->fft) st = open_mel(a);
    int32_t label = kr_set_class_of_path(&a->set, path, a->k.label);
    if (st == KR_OK && label == -2) st = KR_ERR_NOMEM;
    float *x = st == KR_OK ? kr_mem_array((size_t)n + 1, sizeof *x) : NULL;
    if (st == KR_OK && !x) st = KR_ERR_NOMEM;
    for (int64_t i = 0; i < n && st == KR_OK; i++) x[i] = mono(&s, i);
    if (st == KR_OK) st = add_sound(a, set, path, part, x, n, label);
    kr_mem_free(x);
    kr_array_free(&s);
    return st;
}

/* --- what is learnt ---------------------------------------------------------------------------------------- */

static kr_status measure(kr_source *s, audio *a) {
    double L, n = 0, rate = (double)a->rate;
    a->mean = kr_mem_array((size_t)a->width, sizeof *a->mean), a->std = kr_mem_array((size_t)a->width, sizeof *a->std);
    if (!a->mean || !a->std) return KR_ERR_NOMEM;
    if (s->fitted) {
        KR_TRY(kr_fitted_reals(s, "length", &L, 1));
        if (!(L >= 1 && L < 1e9)) KR_FAIL(KR_ERR_FORMAT, "preprocessor_config.json: length is %g", L);
        a->L = (int64_t)L;
        KR_TRY(kr_fitted_reals(s, "mean", a->mean, a->width));
        return kr_fitted_reals(s, "std", a->std, a->width);
    }
    for (int64_t e = 0; e < a->set.n_in[KR_SPLIT_TRAIN]; e++) {
        int64_t i = a->set.index[KR_SPLIT_TRAIN][e], steps = kr_set_length(&a->set, i) / a->width;
        const float *x = kr_set_data(&a->set, i);
        for (int64_t k = 0; k < steps * a->width; k++) a->mean[k % a->width] += x[k], a->std[k % a->width] += (double)x[k] * x[k];
        n += (double)steps;
        if (steps > a->L) a->L = steps;
    }
    for (int64_t c = 0; c < a->width; c++) {
        a->mean[c] /= n;
        a->std[c] = sqrt(fmax(a->std[c] / n - a->mean[c] * a->mean[c], 0));
        if (!(a->std[c] > 1e-9)) a->std[c] = 1;
    }
    L = (double)a->L;
    KR_TRY(kr_learnt_reals(s, "length", &L, 1));
    KR_TRY(kr_learnt_reals(s, "rate", &rate, 1));
    KR_TRY(kr_learnt_reals(s, "mean", a->mean, a->width));
    KR_TRY(kr_learnt_reals(s, "std", a->std, a->width));
    KR_TRY(kr_set_sort_classes(&a->set));
    return kr_learnt_classes(s, &a->set);
}

/* --- rows ----------------------------------------------------------------------------------------------------- */

/* SpecAugment (Park et al. 2019): stretches of time and of bands that are not heard. */
static void hide(const audio *a, kr_rng *r, double ms_per_step, float *x) {
    int64_t longest = (int64_t)(a->k.mask_ms / ms_per_step), most = a->k.mask_bands < a->width ? a->k.mask_bands : a->width;
    if (longest > a->L) longest = a->L;
    for (int64_t k = 0; k < a->k.masks; k++) {
        int64_t n = kr_rng_below(r, longest + 1), at = kr_rng_below(r, a->L - n + 1);
        memset(x + at * a->width, 0, (size_t)(n * a->width) * sizeof *x);
        n = kr_rng_below(r, most + 1), at = kr_rng_below(r, a->width - n + 1);
        for (int64_t l = 0; l < a->L && n; l++) memset(x + l * a->width + at, 0, (size_t)n * sizeof *x);
    }
}

/* Moved by up to shift_ms, with noise, in part hidden, while training. */
static void fill(const kr_source *s, const audio *a, kr_split split, int64_t row, int64_t example, float *x, int32_t *len) {
    const float *from = kr_set_data(&a->set, example);
    int64_t steps = kr_set_length(&a->set, example) / a->width, later = 0;
    bool train = split == KR_SPLIT_TRAIN;
    kr_rng r = kr_source_row_rng(s, split, row);
    double per_step = a->k.features == RAW ? 1000. / (double)a->rate : a->k.hop_ms;
    int64_t most = (int64_t)(a->k.shift_ms / per_step);
    if (train && most > 0) later = kr_rng_below(&r, 2 * most + 1) - most;
    if (len) *len = (int32_t)(steps + later < 1 ? 1 : steps + later < a->L ? steps + later : a->L);
    for (int64_t l = 0; l < a->L; l++)
        for (int64_t c = 0; c < a->width; c++) {
            int64_t at = l - later;
            float v = at >= 0 && at < steps ? (float)((from[at * a->width + c] - a->mean[c]) / a->std[c]) : 0;
            x[l * a->width + c] = train && a->k.noise > 0 ? v + (float)(a->k.noise * kr_rng_normal(&r)) : v;
        }
    if (train && (a->k.mask_ms > 0 || a->k.mask_bands)) hide(a, &r, per_step, x);
}

static void audio_batch(const kr_source *s, kr_split split, int64_t step, kr_batch *b) {
    const audio *a = s->own;
    b->n_rows = 0;
    for (int64_t i = 0; i < b->S; i++) {
        int64_t example = kr_set_at(s, &a->set, split, step, i);
        b->targets[i] = example < 0 ? -1 : a->set.label[example];
        if (b->len) b->len[i] = 1;
        if (example < 0) memset(b->x + i * a->L * a->width, 0, (size_t)(a->L * a->width) * sizeof *b->x);
        else fill(s, a, split, step * b->S + i, example, b->x + i * a->L * a->width, b->len ? b->len + i : NULL);
        b->n_rows += example >= 0;
    }
}

/* --- open and close --------------------------------------------------------------------------------------------- */

static kr_status describe(kr_source *s, const audio *a) {
    kr_source_info *i = &s->info;
    char size[24], test[48] = "";
    if (i->L && i->L != a->L) KR_FAIL(KR_ERR_CONFIG, "train.seq_len is %lld; a row of sound has data.seconds, so leave it out", (long long)i->L);
    i->n_classes = (int64_t)a->set.classes.n;
    if (i->n_classes < 2) KR_FAIL(KR_ERR_CONFIG, "data: the sounds have %lld class%s, want at least 2: a folder for each, or data.label \"name\"", (long long)i->n_classes, i->n_classes == 1 ? "" : "es");
    for (int64_t k = 0; k < a->set.n && !s->predict; k++)
        if (a->set.label[k] < 0) KR_FAIL(KR_ERR_CONFIG, "%s: its class is none of those trained on", a->set.files.name[a->set.file[k]]);
    snprintf(size, sizeof size, "%lld", (long long)a->L);
    if (a->k.features == RAW) s->encoder = json_pack("{s:s, s:s, s:I}", "type", "patch", "size", size, "channels", (json_int_t)1);
    else s->encoder = json_pack("{s:s, s:I}", "type", "linear", "width", (json_int_t)a->width);
    s->head = json_pack("{s:s, s:I, s:b}", "type", "class", "n_classes", (json_int_t)i->n_classes, "lengths", a->k.features == MEL);
    if (!s->encoder || !s->head) KR_FAIL(KR_ERR_NOMEM, "data: out of memory");
    i->L = a->L, i->x_width = a->width, i->n_targets = 1, i->metric = "accuracy", i->more_metrics = i->n_classes == 2 ? "f1 auroc mcc" : "f1 mcc";
    if (i->n_test) snprintf(test, sizeof test, ", %lld to test", (long long)i->n_test);
    snprintf(i->about, sizeof i->about, "%lld sounds of %lld classes to train on, %lld held out%s; %lld %s at %lld Hz", (long long)i->n_train, (long long)i->n_classes, (long long)i->n_eval,
             test, (long long)a->L, a->k.features == RAW ? "samples" : "log-mel frames", (long long)a->rate);
    return KR_OK;
}

static kr_status audio_open(kr_source *s, const json_t *data) {
    audio *a = s->own = kr_mem_new(sizeof *a);
    if (!a) return KR_ERR_NOMEM;
    s->set = &a->set;
    a->set.each = sizeof(float);
    KR_TRY(kr_keys_read(s->kind->keys, data, "data", &a->k));
    a->rate = a->k.rate, a->width = a->k.features == RAW ? 1 : a->k.n_mels;
    if (a->width == 1 && a->k.mask_bands) KR_FAIL(KR_ERR_CONFIG, "data.mask_bands is %lld, and there is one band only; want 0, or data.features \"mel\"", (long long)a->k.mask_bands);
    if (s->fitted) {
        double rate;
        KR_TRY(kr_fitted_classes(s, &a->set));
        KR_TRY(kr_fitted_reals(s, "rate", &rate, 1));
        if (!(rate >= 1 && rate <= 1e9)) KR_FAIL(KR_ERR_FORMAT, "preprocessor_config.json: rate is %g", rate);
        a->rate = (int64_t)rate;
    }
    KR_TRY(kr_set_load(s, &a->set, &a->k.set, read_file, a));
    KR_TRY(kr_set_split(s, &a->set, &a->k.set));
    KR_TRY(measure(s, a));
    return describe(s, a);
}

static void audio_close(kr_source *s) {
    audio *a = s->own;
    if (!a) return;
    kr_set_free(&a->set);
    kr_fft_free(a->fft);
    kr_mem_free(a->hann), kr_mem_free(a->bands), kr_mem_free(a->in), kr_mem_free(a->spectrum), kr_mem_free(a->mean), kr_mem_free(a->std);
    kr_mem_free(a);
}

static const kr_key audio_keys_table[] = {
    KR_KEY_TEXT(audio_keys, kind, "audio", "where rows come from"),
    KR_SET_KEYS(audio_keys),
    KR_KEY_CHOICE(audio_keys, label, "folder|name", "the class is the folder's name, or the file's up to the first _ or -"),
    KR_KEY_CHOICE(audio_keys, features, "mel|raw", "a step is a log-mel frame, or a sample"),
    KR_KEY_INT(audio_keys, n_mels, 40, 1, 4096, "bands of a frame"),
    KR_KEY_REAL(audio_keys, window_ms, 25, 0.01, 1e6, "length of a frame"),
    KR_KEY_REAL(audio_keys, hop_ms, 10, 0.01, 1e6, "from one frame to the next"),
    KR_KEY_REAL(audio_keys, seconds, 0, 0, 1e6, "length of a row; 0: of the longest sound to train on"),
    KR_KEY_INT(audio_keys, rate, 0, 0, 1e9, "samples a second, where files do not say; 0: as the first file"),
    KR_KEY_REAL(audio_keys, shift_ms, 0, 0, 1e6, "training: move by up to so much"),
    KR_KEY_REAL(audio_keys, noise, 0, 0, 100, "training: add noise of this deviation"),
    KR_KEY_REAL(audio_keys, mask_ms, 0, 0, 1e6, "training: hide stretches of time of up to so much"),
    KR_KEY_INT(audio_keys, mask_bands, 0, 0, 4096, "training: hide up to so many neighbouring bands"),
    KR_KEY_INT(audio_keys, masks, 1, 1, 100, "of each, so many"),
    KR_KEY_END,
};

const kr_source_kind kr_source_audio = {
    .name = "audio",
    .about = "sound with a class, as samples or log-mel frames",
    .keys = audio_keys_table,
    .open = audio_open,
    .batch = audio_batch,
    .who = kr_set_who,
    .label = kr_set_label,
    .close = audio_close,
};
