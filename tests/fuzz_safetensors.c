/* fuzz_safetensors.c - a model file of any bytes: refused with a sentence, or readable to the last byte. */
#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "model/safetensors.h"

static const char *const headers[] = {
    "{\"__metadata__\":{\"format\":\"pt\"},\"a.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
    "\"b\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[24,32]},\"c\":{\"dtype\":\"BOOL\",\"shape\":[],\"data_offsets\":[32,33]}}  ",
    "{\"i\":{\"dtype\":\"I64\",\"shape\":[1,2],\"data_offsets\":[0,16]},\"f\":{\"dtype\":\"F4\",\"shape\":[6],\"data_offsets\":[17,20]},"
    "\"h\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[16,17]},\"n\":{\"dtype\":\"F64\",\"shape\":[0,5],\"data_offsets\":[20,20]}}",
    "{}",
};
static const size_t data_bytes[] = {33, 20, 0};
const long fuzz_inputs = 16000;
const char *const fuzz_words[] = {"\"F32\"", "\"F64\"", "\"I8\"", "\"U64\"", "\"F6_E2M3\"", "\"dtype\":", "\"shape\":", "\"data_offsets\":",
                                  "\"__metadata__\":", "[", "]", "{", "}", ",", ":", "\"", "[0,0]", "{\"a\":\"b\"}", "null", "-1",
                                  "\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},", NULL};

size_t fuzz_seed(int i, uint8_t *to, size_t room) {
    if (i >= (int)(sizeof headers / sizeof *headers)) return 0;
    uint64_t n = strlen(headers[i]);
    FUZZ_MUST(8 + n + data_bytes[i] <= room);
    memcpy(to, &n, 8);
    memcpy(to + 8, headers[i], n);
    memset(to + 8 + n, 0x3f, data_bytes[i]);
    return 8 + n + data_bytes[i];
}

/* Every byte behind the header belongs to a tensor, and can be read as anything. */
static void read_all(const kr_st *st, size_t n_data) {
    static double to[512];
    const char *key, *value;
    size_t total = 0;
    for (size_t i = 0; i < kr_st_count(st); i++) {
        const kr_st_tensor *t = kr_st_at(st, i), *same;
        FUZZ_MUST(kr_st_find(st, t->name) != NULL);
        FUZZ_MUST(kr_st_want(&same, st, t->name, t->n_dims, t->dim) == KR_OK);
        unsigned sum = 0;
        for (size_t b = 0; b < t->n_bytes; b++) sum += ((const unsigned char *)t->data)[b];
        FUZZ_MUST(sum <= 255 * t->n_bytes);
        total += t->n_bytes;
        for (int64_t at = 0; at < t->count; at += 512)
            for (int type = 0; type <= KR_Q6_K; type++)
                (void)!kr_st_read_part(t, at, t->count - at < 512 ? t->count - at : 512, (kr_dtype)type, to);
    }
    FUZZ_MUST(total == n_data);
    for (size_t i = 0; kr_st_metadata_at(st, i, &key, &value); i++) FUZZ_MUST(kr_st_metadata(st, key) != NULL);
}

static void open_as(int fd, const uint8_t *data, size_t n) {
    char path[40];
    kr_st *st = NULL;
    int64_t live = kr_mem_get_stats().n_live;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    FUZZ_MUST(ftruncate(fd, 0) == 0 && pwrite(fd, data, n, 0) == (ssize_t)n);
    kr_status status = kr_st_open(&st, path);
    FUZZ_MUST((status == KR_OK) == (st != NULL));
    FUZZ_MUST(status == KR_OK || (status == KR_ERR_FORMAT && strncmp(kr_error(), path, strlen(path)) == 0));
    if (st) {
        uint64_t n_header;
        memcpy(&n_header, data, sizeof n_header);
        read_all(st, n - sizeof n_header - n_header);
    }
    kr_st_close(st);
    FUZZ_MUST(kr_mem_get_stats().n_live == live);
}

/* As it is, and once more with the header's length put right, or few inputs would get past it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static uint8_t fixed[1 << 20];
    static int fd = -1;
    if (n > sizeof fixed) return 0;
    if (fd < 0) fd = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_MUST(fd >= 0);
    open_as(fd, data, n);
    uint64_t end = n;
    while (end > 8 && data[end - 1] != '}') end--;
    if (end <= 8) return 0;
    memcpy(fixed, data, n);
    end -= 8;
    memcpy(fixed, &end, 8);
    open_as(fd, fixed, n);
    return 0;
}
