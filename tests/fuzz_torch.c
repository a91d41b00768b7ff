/* fuzz_torch.c - a PyTorch checkpoint of any bytes: refused with a sentence, or readable to the last byte. */
#include "fuzz.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "model/torch.h"

const long fuzz_inputs = 80000;
const char *const fuzz_words[] = {"PK\1\2", "PK\3\4", "PK\5\6", "PK\6\6", "PK\6\7", "data.pkl", "data/0", "ctorch\nFloatStorage\n", "ccollections\nOrderedDict\n", "ctorch._utils\n_rebuild_tensor_v2\n",
                                  "cos\nsystem\n", ")R", "(", "t", "u", "}", "\x85", "\x86", "\x87", "K\1", "q\1", "h\1", "Q", "R", ".", "X\1", "\xff\xff\xff\xff", NULL};

size_t fuzz_seed(int i, uint8_t *to, size_t room) {
    void *data;
    size_t n;
    if (i > 0) return 0;
    FUZZ_MUST(kr_file_read(&data, &n, KRAIT_SOURCE_DIR "/tests/data/torch.bin") == KR_OK && n <= room);
    memcpy(to, data, n);
    kr_mem_free(data);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    int64_t live = kr_mem_get_stats().n_live;
    kr_arena arena = {0};
    kr_st_tensor *t = NULL;
    size_t n_tensors = 0;
    kr_status st = kr_torch_read(&arena, data, n, "fuzz", &t, &n_tensors);
    FUZZ_MUST(st == KR_OK || (st == KR_ERR_FORMAT && strncmp(kr_error(), "fuzz: ", 6) == 0));
    for (size_t i = 0; st == KR_OK && i < n_tensors; i++) {
        unsigned sum = 0;
        FUZZ_MUST(t[i].n_bytes <= n);
        for (size_t b = 0; b < t[i].n_bytes; b++) sum += ((const uint8_t *)t[i].data)[b];
        FUZZ_MUST(sum <= 255 * t[i].n_bytes);
    }
    kr_arena_clear(&arena);
    FUZZ_MUST(kr_mem_get_stats().n_live == live);
    return 0;
}
