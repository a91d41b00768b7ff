/* fft.c - kissfft, with memory from mem.h. */
#include "base/fft.h"

#include <kiss_fftr.h>

#include "base/mem.h"

struct kr_fft {
    kiss_fftr_cfg forward, back; /* both lie behind this struct, in the same block */
};

static size_t align(size_t n) { return (n + 63) / 64 * 64; }

kr_status kr_fft_new(kr_fft **f, int64_t n) {
    *f = NULL;
    if (n < 2 || n % 2 != 0 || n > 1 << 30)
        KR_FAIL(KR_ERR_ARG, "fft: length %lld, want an even one up to 2^30", (long long)n);
    size_t each = 0;
    kiss_fftr_alloc((int)n, 0, NULL, &each); /* asks only for the size */
    char *p = kr_mem_new(align(sizeof **f) + 2 * align(each));
    if (!p) return KR_ERR_NOMEM;
    size_t room = each;
    *f = (kr_fft *)p;
    (*f)->forward = kiss_fftr_alloc((int)n, 0, p + align(sizeof **f), &room);
    room = each;
    (*f)->back = kiss_fftr_alloc((int)n, 1, p + align(sizeof **f) + align(each), &room);
    KR_ASSERT((*f)->forward && (*f)->back);
    return KR_OK;
}

void kr_fft_free(kr_fft *f) { kr_mem_free(f); }

int64_t kr_fft_fast_size(int64_t n) {
    for (int64_t m = n < 2 ? 2 : n + n % 2;; m += 2) {
        int64_t rest = m;
        while (rest % 2 == 0) rest /= 2;
        while (rest % 3 == 0) rest /= 3;
        while (rest % 5 == 0) rest /= 5;
        if (rest == 1) return m;
    }
}

void kr_fft_forward(kr_fft *f, const float *x, float *X) { kiss_fftr(f->forward, x, (kiss_fft_cpx *)X); }
void kr_fft_back(kr_fft *f, const float *X, float *x) { kiss_fftri(f->back, (const kiss_fft_cpx *)X, x); }
