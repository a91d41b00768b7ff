/* torch_test.c - a checkpoint of torch.save (tests/data/torch.bin, made by bench/peers/torch_golden.py), and files to refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "model/safetensors.h"

#define FILE_BIN KRAIT_SOURCE_DIR "/tests/data/torch.bin"

static void values(void **state) {
    (void)state;
    kr_st *st;
    float a[6], b[3];
    int32_t n;
    assert_int_equal(kr_st_open(&st, FILE_BIN), KR_OK);
    assert_int_equal(kr_st_count(st), 6);
    assert_int_equal(kr_st_read_f32(st, "a.weight", 2, (const int64_t[]){2, 3}, a), KR_OK);
    for (int i = 0; i < 6; i++) assert_true(a[i] == (float)i);
    assert_int_equal(kr_st_read_f32(st, "tied", 2, (const int64_t[]){2, 3}, a), KR_OK);
    assert_ptr_equal(kr_st_find(st, "tied")->data, kr_st_find(st, "a.weight")->data);
    assert_int_equal(kr_st_find(st, "b")->dtype, KR_ST_BF16);
    assert_int_equal(kr_st_read_f32(st, "b", 1, (const int64_t[]){3}, b), KR_OK);
    assert_true(b[0] == 1.5f && b[1] == -2 && b[2] == 3);
    assert_int_equal(kr_st_read_f32(st, "c", 1, (const int64_t[]){3}, b), KR_OK); /* a slice of a longer storage */
    assert_true(b[0] == 4 && b[1] == 5 && b[2] == 6);
    assert_int_equal(kr_st_read(st, "n", 0, NULL, KR_I32, &n), KR_OK);
    assert_int_equal(n, -7);
    assert_int_equal(kr_st_find(st, "e")->count, 0);
    kr_st_close(st);
}

/* Replaces a piece of the file by one of the same length, and wants the sentence. */
static void spoilt(const char *from, const char *to, size_t n, size_t cut, const char *say) {
    char path[64]; /* its own: several test runs may share a machine */
    snprintf(path, sizeof path, "/tmp/krait-torch-test-%ld.bin", (long)getpid());
    void *data;
    size_t size;
    kr_st *st = NULL;
    assert_int_equal(kr_file_read(&data, &size, FILE_BIN), KR_OK);
    char *at = memmem(data, size, from, n);
    assert_non_null(at);
    memcpy(at, to, n);
    assert_int_equal(kr_file_write(path, data, size - cut), KR_OK);
    kr_mem_free(data);
    int64_t live = kr_mem_get_stats().n_live;
    assert_int_equal(kr_st_open(&st, path), KR_ERR_FORMAT);
    if (!strstr(kr_error(), say)) fail_msg("said: %s\nwant: %s", kr_error(), say);
    assert_int_equal(kr_mem_get_stats().n_live, live);
    kr_file_remove(path);
}

static void refused(void **state) {
    (void)state;
    spoilt("ctorch._utils\n_rebuild_tensor_v2", "cposix\nsystem___________________", 32, 0, "would call posix system");
    spoilt("FloatStorage", "QuantStorage", 12, 0, "which Krait does not read");
    spoilt("PK", "PK", 2, 30, "a zip file without an end");
    spoilt("PK\1\2", "PK\1\3", 4, 0, "there is no entry data.pkl");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(values), cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
