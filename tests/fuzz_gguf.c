/* fuzz_gguf.c - a GGUF file of any bytes: refused with a sentence, or readable to the last byte, config and
 * vocabulary too. */
#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "gguf_case.h"
#include "model/gguf.h"

const long fuzz_inputs = 800;
const char *const fuzz_words[] = {"GGUF", "general.alignment", "general.architecture", "mamba2", "krait.config", "tokenizer.ggml.tokens", "blk.0.ssm_a", "blk.1.ssm_in.weight",
                                  "token_embd.weight", "\4\0\0\0", "\10\0\0\0", "\11\0\0\0", "\36\0\0\0", "\1\0\0\0\0\0\0\0", "\377\377\377\377\377\377\377\177", NULL};

size_t fuzz_seed(int i, uint8_t *to, size_t room) {
    static const kr_dtype types[] = {KR_F16, KR_Q8_0, KR_BF16};
    kr_str s = {0};
    if (i == 3) put_header(&s, 2, 0, 0);
    else if (i < 3) put_model(&s, types[i]);
    else return 0;
    size_t n = s.n;
    FUZZ_MUST(n <= room);
    memcpy(to, s.text, n);
    kr_str_free(&s);
    return n;
}

static void read_tensors(const kr_st *st, size_t n) {
    static double to[512];
    for (size_t i = 0; i < kr_st_count(st); i++) {
        const kr_st_tensor *t = kr_st_at(st, i);
        unsigned sum = 0;
        FUZZ_MUST(t->n_bytes <= n);
        for (size_t b = 0; b < t->n_bytes; b++) sum += ((const unsigned char *)t->data)[b];
        FUZZ_MUST(sum <= 255 * t->n_bytes);
        for (int64_t at = 0; at < t->count; at += 512)
            (void)!kr_st_read_part(t, at, t->count - at < 512 ? t->count - at : 512, at / 512 % 2 ? KR_F32 : KR_BF16, to);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static int fd = -1;
    char path[40], reason[256];
    kr_st *st = NULL;
    kr_tokenizer *t = NULL;
    json_t *config = NULL;
    int64_t live = kr_mem_get_stats().n_live;
    if (n < 4 || memcmp(data, "GGUF", 4) != 0) return 0; /* another format's target */
    if (fd < 0) fd = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_MUST(fd >= 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    FUZZ_MUST(ftruncate(fd, 0) == 0 && pwrite(fd, data, n, 0) == (ssize_t)n);
    kr_status status = kr_st_open(&st, path);
    FUZZ_MUST(status == KR_OK || (status == KR_ERR_FORMAT && strncmp(kr_error(), path, strlen(path)) == 0));
    if (st) read_tensors(st, n);
    kr_st_close(st);
    status = kr_gguf_config(&config, path);
    FUZZ_MUST(status == KR_OK || (status == KR_ERR_FORMAT && strncmp(kr_error(), path, strlen(path)) == 0));
    if (status == KR_OK) json_decref(config);
    status = kr_gguf_tokenizer(&t, reason, sizeof reason, path);
    FUZZ_MUST(status == KR_OK || status == KR_ERR_FORMAT);
    kr_tokenizer_free(t);
    FUZZ_MUST(kr_mem_get_stats().n_live == live);
    return 0;
}
