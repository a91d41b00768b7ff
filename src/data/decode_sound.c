/* decode_sound.c - FLAC, Ogg, AIFF and AU sound as [n, channels]; the one door to libsndfile. */
#include <string.h>

#include "base/mem.h"
#include "data/decode.h"

static bool is_sound(const uint8_t *p, size_t n) {
    return n >= 4 && (memcmp(p, "fLaC", 4) == 0 || memcmp(p, "OggS", 4) == 0 || memcmp(p, "FORM", 4) == 0 || memcmp(p, ".snd", 4) == 0);
}

#ifdef KR_WITH_SNDFILE
#include <sndfile.h>

#include "base/lib.h"

#define CALLS(_) _(open_virtual) _(readf_float) _(strerror) _(close)
#define FIELD(f) __typeof__(sf_##f) *f;
#define NAME(f) "sf_" #f "\0"
static struct { CALLS(FIELD) } sf;

typedef struct memory { const uint8_t *p; int64_t n, at; } memory;

static sf_count_t length(void *user) { return ((memory *)user)->n; }
static sf_count_t tell(void *user) { return ((memory *)user)->at; }
static sf_count_t seek(sf_count_t offset, int whence, void *user) {
    memory *m = user;
    int64_t to = offset + (whence == SEEK_SET ? 0 : whence == SEEK_CUR ? m->at : m->n);
    if (to < 0 || to > m->n) return -1;
    return m->at = to;
}
static sf_count_t take(void *to, sf_count_t n, void *user) {
    memory *m = user;
    if (n > m->n - m->at) n = m->n - m->at;
    if (n > 0) memcpy(to, m->p + m->at, (size_t)n), m->at += n;
    return n > 0 ? n : 0;
}

/* As many frames as there are, whatever the header promises. */
static kr_status read_all(kr_array *out, SNDFILE *s, const SF_INFO *info, const char *what) {
    enum { BLOCK = 1 << 14 };
    int64_t n = 0, room = 0, most = (int64_t)1 << 30;
    float *x = NULL;
    for (sf_count_t got = BLOCK; got == BLOCK;) {
        if ((n + BLOCK) * info->channels > room) {
            room = (n + BLOCK) * info->channels + room;
            float *q = room > most ? NULL : kr_mem_resize(x, (size_t)room * sizeof *x);
            if (!q) {
                kr_mem_free(x);
                return room > most ? kr_fail(KR_ERR_FORMAT, "%s: more than %lld samples", what, (long long)most) : kr_fail_in(KR_ERR_NOMEM, what);
            }
            x = q;
        }
        got = sf.readf_float(s, x + n * info->channels, BLOCK);
        if (got > 0) n += got;
    }
    *out = (kr_array){.n_dims = 2, .dim = {n, info->channels}, .n = n * info->channels, .f32 = x, .rate = info->samplerate};
    return KR_OK;
}

static kr_status decode(kr_array *out, const uint8_t *p, size_t n, const char *what) {
    SF_VIRTUAL_IO io = {.get_filelen = length, .seek = seek, .read = take, .tell = tell};
    memory m = {p, (int64_t)n, 0};
    SF_INFO info = {0};
    if (!is_sound(p, n)) KR_FAIL(KR_ERR_FORMAT, "%s: no FLAC, Ogg, AIFF or AU file", what); /* the library would try others, and talk */
    KR_TRY(kr_lib_open(&sf, sizeof sf, KR_LIB_SNDFILE, CALLS(NAME)));
    SNDFILE *s = sf.open_virtual(&io, SFM_READ, &info, &m);
    if (!s) KR_FAIL(KR_ERR_FORMAT, "%s: %s", what, sf.strerror(NULL));
    kr_status st = info.channels >= 1 && info.channels <= 64 && info.samplerate >= 1 && info.samplerate <= KR_MOST_RATE ? read_all(out, s, &info, what)
                 : kr_fail(KR_ERR_FORMAT, "%s: sound of %d channels at %d Hz", what, info.channels, info.samplerate);
    sf.close(s);
    return st;
}
#else
static kr_status decode(kr_array *out, const uint8_t *p, size_t n, const char *what) {
    (void)out, (void)p, (void)n;
    KR_FAIL(KR_ERR_MISSING, "%s: this build reads only WAV sound; install libsndfile1-dev and build again", what);
}
#endif

const kr_decoder kr_decoder_sound = {.name = "sound", .about = "FLAC, Ogg, AIFF, AU", .endings = ".flac .ogg .aiff .aif .au",
                                     .is = is_sound, .array = decode};
