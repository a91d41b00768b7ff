/* fuzz_decode_array.c - files of any bytes as arrays: refused with a sentence, or readable to the last element.
 * The first line is the file's name. */
#include "fuzz.h"

#include <string.h>

#include "base/mem.h"
#include "data/decode.h"

static const uint8_t idx[] = "a.idx\n\0\0\10\2\0\0\0\2\0\0\0\3\1\2\3\4\5\6", shorts[] = "a.idx\n\0\0\13\1\0\0\0\2\1\2\3\4";
static const uint8_t npy[] = "a.npy\n\223NUMPY\1\0\73\0{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2), }  \n\0\0\0\0\0\0\200\77";
static const uint8_t wav[] = "a.wav\nRIFF\0\0\0\0WAVEfmt \20\0\0\0\1\0\2\0\100\37\0\0\0\175\0\0\4\0\20\0data\10\0\0\0\0\200\377\177\0\0\0\100";
static const uint8_t npz[] = "a.npz\nPK\3\4\24\0\0\0\0\0\0\0\0\0\0\0\0\0\117\0\0\0\117\0\0\0\5\0\0\0a.npy\223NUMPY\1\0\73\0{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }  \n\1\2\3";
static const uint8_t png[] = "a.png\n\211PNG\r\n\32\n\0\0\0\15IHDR\0\0\0\2\0\0\0\1\10\0\0\0\0\321\111\40\126\0\0\0\13IDATx\234c`d\0\0\0\5\0\2";
static const uint8_t jpg[] = "a.jpg\n\377\330\377\340\0\20JFIF\0\1\1\0\0\1\0\1\0\0\377\300\0\13\10\0\1\0\1\1\1\21\0", flac[] = "a.flac\nfLaC\0\0\0\42\20\0\20\0";
static const uint8_t gz[] = "a.idx.gz\n\37\213\10\0\0\0\0\0\0\3";
static const uint8_t off[] = "a.off\nOFF\n2 1 0\n0 0 1\n1 2 3\n", xyz[] = "a.xyz\nx y z\n1 2 3\n4,5,6\n";
static const struct { const uint8_t *p; size_t n; } seeds[] = {{off, sizeof off - 1}, {xyz, sizeof xyz - 1}, {idx, sizeof idx - 1}, {shorts, sizeof shorts - 1}, {npy, sizeof npy - 1}, {wav, sizeof wav - 1}, {npz, sizeof npz - 1},
                                                               {png, sizeof png - 1}, {jpg, sizeof jpg - 1}, {flac, sizeof flac - 1}, {gz, sizeof gz - 1}};
const long fuzz_inputs = 150000;
const char *const fuzz_words[] = {"IHDR", "IDAT", "IEND", "PLTE", "tRNS", "\377\330\377", "\377\304", "\377\332", "RIFF", "data", "fmt ", "PK\3\4", "\223NUMPY", "'descr': '<f8'", "(1,)", "fLaC", "OggS", "FORM", NULL};

size_t fuzz_seed(int i, uint8_t *to, size_t room) {
    if (i >= (int)(sizeof seeds / sizeof *seeds)) return 0;
    FUZZ_MUST(seeds[i].n <= room);
    memcpy(to, seeds[i].p, seeds[i].n);
    return seeds[i].n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    char name[40] = "";
    const uint8_t *end = n ? memchr(data, '\n', n) : NULL;
    size_t len = end ? (size_t)(end - data) : 0;
    int64_t live = kr_mem_get_stats().n_live;
    kr_array a;
    if (!end || len >= sizeof name || memchr(data, 0, len)) return 0;
    memcpy(name, data, len);
    kr_status st = kr_decode_array_of(&a, end + 1, n - len - 1, name);
    if (st == KR_OK) {
        int64_t all = 1;
        double sum = 0;
        FUZZ_MUST(a.n_dims <= KR_ARRAY_DIMS && !a.u8 != !a.f32);
        for (int i = 0; i < a.n_dims; i++) all *= a.dim[i];
        FUZZ_MUST(all == a.n);
        for (int64_t i = 0; i < a.n; i++) sum += kr_array_at(&a, i) > 0;
        FUZZ_MUST(sum <= (double)a.n);
        kr_array_free(&a);
    } else {
        FUZZ_MUST(strncmp(kr_error(), name, len) == 0 || st == KR_ERR_NOMEM);
    }
    FUZZ_MUST(kr_mem_get_stats().n_live == live);
    return 0;
}
