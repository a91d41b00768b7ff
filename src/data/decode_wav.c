/* decode_wav.c - WAV sound as [n, channels] from -1 to 1: whole numbers of 8 to 32 bits and floats. */
#include <string.h>

#include "data/decode.h"

enum { PCM = 1, FLOAT = 3, EXTENSIBLE = 0xfffe };
typedef struct format { unsigned code, channels, rate, bits; } format;

static unsigned u16(const uint8_t *p) { return p[0] | (unsigned)p[1] << 8; }
static unsigned u32(const uint8_t *p) { return u16(p) | u16(p + 2) << 16; }
static bool is_wav(const uint8_t *p, size_t n) { return n >= 12 && memcmp(p, "RIFF", 4) == 0 && memcmp(p + 8, "WAVE", 4) == 0; }

static float sample(const uint8_t *p, const format *f) {
    float x;
    double d;
    switch (f->bits) {
    case 8: return ((float)p[0] - 128) / 128;
    case 16: return (float)(int16_t)u16(p) / 32768;
    case 24: return (float)((int32_t)((unsigned)p[0] << 8 | (unsigned)p[1] << 16 | (unsigned)p[2] << 24) >> 8) / 8388608;
    case 64: return memcpy(&d, p, 8), (float)d;
    default:
        if (f->code == FLOAT) return memcpy(&x, p, 4), x;
        return (float)((double)(int32_t)u32(p) / 2147483648.);
    }
}

static kr_status read_samples(kr_array *out, const uint8_t *p, size_t n, const format *f, const char *what) {
    bool whole = f->code == PCM && (f->bits == 8 || f->bits == 16 || f->bits == 24 || f->bits == 32);
    if (!whole && !(f->code == FLOAT && (f->bits == 32 || f->bits == 64)))
        KR_FAIL(KR_ERR_FORMAT, "%s: WAV of code %u with %u bits, want whole numbers of 8, 16, 24 or 32 bits, or floats", what, f->code, f->bits);
    if (f->channels < 1 || f->channels > 64 || f->rate < 1 || f->rate > KR_MOST_RATE) KR_FAIL(KR_ERR_FORMAT, "%s: WAV of %u channels at %u Hz", what, f->channels, f->rate);
    size_t each = f->bits / 8;
    int64_t frames = (int64_t)(n / (each * f->channels));
    KR_TRY(kr_array_new(out, false, 2, (const int64_t[]){frames, f->channels}, what));
    for (int64_t i = 0; i < out->n; i++) out->f32[i] = sample(p + (size_t)i * each, f);
    out->rate = f->rate;
    return KR_OK;
}

/* Chunks: four letters, a size, the bytes, one more if they are odd.  The last may say more than
 * there is, as programs that write into a pipe cannot know. */
static kr_status decode(kr_array *out, const uint8_t *p, size_t n, const char *what) {
    format f = {0};
    if (!is_wav(p, n)) KR_FAIL(KR_ERR_FORMAT, "%s: no WAV file: it does not begin with RIFF and WAVE", what);
    for (size_t at = 12; n - at >= 8 && at < n;) {
        size_t size = u32(p + at + 4), left = n - at - 8;
        const uint8_t *body = p + at + 8;
        if (size > left) size = left;
        if (memcmp(p + at, "fmt ", 4) == 0 && size >= 16) {
            f = (format){u16(body), u16(body + 2), u32(body + 4), u16(body + 14)};
            if (f.code == EXTENSIBLE && size >= 26) f.code = u16(body + 24);
        }
        if (memcmp(p + at, "data", 4) == 0) {
            if (!f.code) KR_FAIL(KR_ERR_FORMAT, "%s: WAV whose samples come before their format", what);
            return read_samples(out, body, size, &f, what);
        }
        if (left - size < 1) break;
        at += 8 + size + (size & 1);
    }
    KR_FAIL(KR_ERR_FORMAT, "%s: WAV without samples", what);
}

const kr_decoder kr_decoder_wav = {.name = "wav", .about = "sound", .endings = ".wav", .is = is_wav, .array = decode};
