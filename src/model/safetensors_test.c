/* safetensors_test.c - round trips, shards, and files that lie. */
#include "model/safetensors.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem_test.h"
#include "base/str.h"

static char root[256];

static const char *at(const char *name) {
    static char path[4][512];
    static int turn;
    char *p = path[turn++ % 4];
    assert_int_equal(kr_path_join(p, sizeof path[0], root, name), KR_OK);
    return p;
}

static void assert_error_has(const char *part) {
    if (!strstr(kr_error(), part)) fail_msg("\"%s\" does not say \"%s\"", kr_error(), part);
}

/* A file of this header (its length put before it) and n bytes 0, 1, 2, ... of data. */
static void save(const char *name, const char *header, size_t n) {
    kr_str s = {0};
    uint64_t length = strlen(header);
    kr_str_append_n(&s, &length, 8);
    kr_str_append(&s, header);
    for (size_t i = 0; i < n; i++) kr_str_append_char(&s, (char)i);
    assert_int_equal(kr_file_write(at(name), s.text, s.n), KR_OK);
    kr_str_free(&s);
}

/* --- files that are well ------------------------------------------------------ */

static void opens_what_is_valid(void **state) {
    (void)state;
    kr_st *st;
    /* keys in any order, unknown ones ignored, spaces behind, a scalar, an empty tensor, data out of header order */
    save("ok", "{\"b\":{\"data_offsets\":[1,9],\"shape\":[2,1,2],\"dtype\":\"BF16\",\"more\":null},"
               "\"__metadata__\":{\"format\":\"pt\",\"x\":\"\xc3\xa9\"},\"scalar\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]},"
               "\"none\":{\"dtype\":\"F32\",\"shape\":[3,0],\"data_offsets\":[1,1]}}   ", 9);
    assert_int_equal(kr_st_open(&st, at("ok")), KR_OK);
    assert_int_equal(kr_st_count(st), 3);
    assert_string_equal(kr_st_at(st, 0)->name, "b");
    assert_string_equal(kr_st_at(st, 1)->name, "none");
    assert_string_equal(kr_st_at(st, 2)->name, "scalar");
    const kr_st_tensor *b = kr_st_find(st, "b");
    assert_int_equal(b->dtype, KR_ST_BF16);
    assert_int_equal(b->n_dims, 3);
    assert_int_equal(b->count, 4);
    assert_int_equal(b->n_bytes, 8);
    assert_memory_equal(b->data, "\1\2\3\4\5\6\7\10", 8);
    assert_null(kr_st_find(st, "c"));
    assert_null(kr_st_find(st, "__metadata__"));
    assert_string_equal(kr_st_metadata(st, "x"), "\xc3\xa9");
    assert_null(kr_st_metadata(st, "y"));
    float f[4]; /* from an odd address */
    assert_int_equal(kr_st_read_f32(st, "b", 3, (int64_t[]){2, 1, 2}, f), KR_OK);
    for (int i = 0; i < 4; i++) assert_true(f[i] == kr_from_bf16((uint16_t)(2 * i + 1 + (2 * i + 2) * 256)));
    int32_t k;
    assert_int_equal(kr_st_read(st, "scalar", 0, NULL, KR_I32, &k), KR_OK);
    assert_int_equal(k, 0);
    assert_int_equal(kr_st_read_f32(st, "none", 2, (int64_t[]){3, 0}, NULL), KR_OK);
    kr_st_close(st);
    save("ok", "{\"__metadata__\":null}", 0);
    assert_int_equal(kr_st_open(&st, at("ok")), KR_OK);
    assert_null(kr_st_metadata(st, "x"));
    kr_st_close(st);
    save("ok", "{}", 0);
    assert_int_equal(kr_st_open(&st, at("ok")), KR_OK);
    assert_int_equal(kr_st_count(st), 0);
    assert_null(kr_st_find(st, ""));
    kr_st_close(st);
    kr_st_close(NULL);
}

static void says_what_was_wanted(void **state) {
    (void)state;
    kr_st *st;
    float f[8];
    save("want", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]},\"i\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[8,16]}}", 16);
    assert_int_equal(kr_st_open(&st, at("want")), KR_OK);
    assert_int_equal(kr_st_read_f32(st, "b", 1, (int64_t[]){4}, f), KR_ERR_MISSING);
    assert_error_has("want: there is no tensor b, want one of [4]");
    assert_int_equal(kr_st_read_f32(st, "a", 2, (int64_t[]){2, 1}, f), KR_ERR_SHAPE);
    assert_error_has("want: tensor a is [1, 2], want [2, 1]");
    assert_int_equal(kr_st_read_f32(st, "a", 1, (int64_t[]){1}, f), KR_ERR_SHAPE);
    assert_int_equal(kr_st_read(st, "a", 2, (int64_t[]){1, 2}, KR_I32, f), KR_ERR_DTYPE);
    assert_error_has("tensor a is F32, which cannot be read as int32");
    assert_int_equal(kr_st_read_f32(st, "i", 1, (int64_t[]){1}, f), KR_ERR_DTYPE);
    assert_int_equal(kr_st_read(st, "i", 1, (int64_t[]){1}, KR_I32, f), KR_ERR_FORMAT); /* 0x0f0e0d0c0b0a0908 */
    assert_error_has("tensor i: element 0 is 1084818905618843912, want one that fits int32");
    const kr_st_tensor *a = kr_st_find(st, "a");
    assert_int_equal(kr_st_read_part(a, 1, 1, KR_F32, f), KR_OK);
    assert_memory_equal(f, "\4\5\6\7", 4);
    assert_int_equal(kr_st_read_part(a, 1, 2, KR_F32, f), KR_ERR_ARG);
    assert_int_equal(kr_st_read_part(a, -1, 1, KR_F32, f), KR_ERR_ARG);
    assert_int_equal(kr_st_read_part(a, 1, INT64_MAX, KR_F32, f), KR_ERR_ARG);
    kr_st_close(st);
}

static void reads_every_integer(void **state) {
    (void)state;
    static const struct { const char *dtype; int width; } kinds[] = {{"BOOL", 1}, {"U8", 1}, {"I8", 1}, {"U16", 2}, {"I16", 2},
                                                                     {"U32", 4}, {"I32", 4}, {"U64", 8}, {"I64", 8}};
    static const int64_t want[9] = {1, 255, -1, 65535, -1, -2, -1, -2, -1}; /* all bits set; -2: does not fit */
    for (int k = 0; k < 9; k++) {
        kr_st *st;
        kr_str s = {0};
        int32_t x = 0;
        kr_str_appendf(&s, "{\"a\":{\"dtype\":\"%s\",\"shape\":[],\"data_offsets\":[0,%d]}}", kinds[k].dtype, kinds[k].width);
        uint64_t n = s.n;
        kr_str file = {0};
        kr_str_append_n(&file, &n, 8);
        kr_str_append_n(&file, s.text, s.n);
        kr_str_append_n(&file, "\xff\xff\xff\xff\xff\xff\xff\xff", (size_t)kinds[k].width);
        assert_int_equal(kr_file_write(at("int"), file.text, file.n), KR_OK);
        assert_int_equal(kr_st_open(&st, at("int")), KR_OK);
        kr_status got = kr_st_read(st, "a", 0, NULL, KR_I32, &x);
        assert_int_equal(got, want[k] == -2 ? KR_ERR_FORMAT : KR_OK);
        if (want[k] != -2) assert_int_equal(x, want[k]);
        kr_st_close(st);
        kr_str_free(&s);
        kr_str_free(&file);
    }
}

/* --- files that lie ----------------------------------------------------------- */

#define T(dtype, shape, offsets) "{\"a\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void refuses_lies(void **state) {
    (void)state;
    static const struct { const char *header; size_t n; const char *says; } lies[] = {
        {"", 8, "line 1"},
        {"[]", 0, "the header is not an object"},
        {"{", 0, "line 1"},
        {"{}x", 0, "line 1"},
        {"{\"a\":1}", 0, "tensor a is not described by an object"},
        {"{\"a\\u0000\":{}}", 0, "line 1"},
        {"{\"a\\u001b\":{}}", 0, "control character"},
        {"{\"\xff\":{}}", 0, "line 1"},
        {"{\"a\":{},\"a\":{}}", 0, "duplicate"},
        {T("F33", "[2]", "[0,8]"), 8, "dtype is F33"},
        {"{\"a\":{\"dtype\":5,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "dtype is not a string"},
        {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "dtype is not a string"},
        {T("F32", "2", "[0,8]"), 8, "shape is not a list"},
        {T("F32", "[-2]", "[0,8]"), 8, "is no size"},
        {T("F32", "[2.0]", "[0,8]"), 8, "is no size"},
        {T("F32", "[\"2\"]", "[0,8]"), 8, "is no size"},
        {T("F32", "[99999999999999999999]", "[0,8]"), 8, "line 1"},
        {T("F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]"), 8, "has 9 sizes, want at most 8"},
        {T("F32", "[4294967296,4294967296]", "[0,8]"), 8, "more elements than memory"},
        {T("F32", "[4611686018427387906]", "[0,8]"), 8, "more elements than memory"}, /* times 4 wraps to 8 */
        {T("F64", "[4294967296,4294967296,0]", "[0,0]"), 0, "more elements than memory"},
        {T("F4", "[3]", "[0,1]"), 1, "not whole bytes"},
        {T("F32", "[2]", "[8,0]"), 8, "not [begin, end]"},
        {T("F32", "[2]", "[0]"), 8, "not [begin, end]"},
        {T("F32", "[2]", "[0,8,9]"), 8, "not [begin, end]"},
        {T("F32", "[2]", "[-8,0]"), 8, "not [begin, end]"},
        {T("F32", "[2]", "{}"), 8, "not [begin, end]"},
        {T("F32", "[2]", "[0,8]"), 7, "ends at 8, but the file holds 7"},
        {T("F32", "[2]", "[9223372036854775800,9223372036854775807]"), 8, "ends at 9223372036854775807"},
        {T("F32", "[2]", "[0,4]"), 8, "its data is 4 bytes, want 8 (2 elements of F32)"},
        {T("F32", "[2]", "[0,8]"), 9, "the last tensor ends at 8, but the file holds 9"},
        {T("F32", "[2]", "[1,9]"), 9, "its data begins at 1, want 0"},
        {"{}", 1, "the last tensor ends at 0"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}", 6, "begins at 2, want 4"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, "begins at 0, want 4"},
        {"{\"__metadata__\":[]}", 0, "__metadata__ is not an object"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__: a is not a string"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        kr_st *st;
        save("lie", lies[i].header, lies[i].n);
        kr_status got = kr_st_open(&st, at("lie"));
        if (got != KR_ERR_FORMAT) fail_msg("taken: %s", lies[i].header);
        assert_null(st);
        assert_error_has("lie: ");
        assert_error_has(lies[i].says);
    }
}

static void refuses_lying_lengths(void **state) {
    (void)state;
    static const uint64_t lengths[] = {3, 100000001, UINT64_MAX, UINT64_MAX - 7, 1ull << 63};
    kr_st *st;
    char bytes[10];
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        memcpy(bytes, &lengths[i], 8);
        memcpy(bytes + 8, "{}", 2);
        assert_int_equal(kr_file_write(at("length"), bytes, 10), KR_OK);
        assert_int_equal(kr_st_open(&st, at("length")), KR_ERR_FORMAT);
        assert_error_has("want at most 2");
    }
    for (size_t n = 0; n < 8; n++) {
        assert_int_equal(kr_file_write(at("length"), bytes, n), KR_OK);
        assert_int_equal(kr_st_open(&st, at("length")), KR_ERR_FORMAT);
        assert_error_has("8 bytes of header length");
    }
    assert_int_equal(kr_st_open(&st, at("nothing")), KR_ERR_IO);
    assert_int_equal(kr_st_open(&st, root), KR_ERR_MISSING);
    assert_error_has("holds neither");
}

/* --- shards ------------------------------------------------------------------- */

static void save_text(const char *name, const char *text) {
    assert_int_equal(kr_file_write(at(name), text, strlen(text)), KR_OK);
}

static void opens_shards(void **state) {
    (void)state;
    static const char index[] = "model.safetensors.index.json";
    static const struct { const char *text, *says; } lies[] = {
        {"{}", "weight_map is missing"},
        {"{\"weight_map\":[]}", "weight_map is missing"},
        {"{\"weight_map\":{\"a\":1}}", "its file is not a string"},
        {"{\"weight_map\":{\"a\":\"../one\"}}", "want the name of a file beside"},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "want the name of a file beside"},
        {"{\"weight_map\":{\"a\":\"..\"}}", "want the name of a file beside"},
        {"{\"weight_map\":{\"b\":\"one\"}}", "tensor b should be in one, which does not hold it"},
        {"{\"weight_map\":{\"a\\u0007\":\"one\"}}", "control character"},
    };
    kr_st *st;
    save("one", "{\"__metadata__\":{\"k\":\"1\"},\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
                "\"z\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}", 3);
    save("two", "{\"__metadata__\":{\"k\":\"2\",\"l\":\"3\"},\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}", 3);
    save_text(index, "{\"metadata\":{\"total_size\":6},\"weight_map\":{\"z\":\"one\",\"b\":\"two\",\"a\":\"one\"}}");
    for (int way = 0; way < 2; way++) {
        assert_int_equal(kr_st_open(&st, way ? at(index) : root), KR_OK);
        assert_int_equal(kr_st_count(st), 3);
        assert_string_equal(kr_st_at(st, 1)->name, "b");
        assert_string_equal(kr_st_find(st, "b")->file, "two");
        assert_string_equal(kr_st_metadata(st, "k"), "1");
        assert_string_equal(kr_st_metadata(st, "l"), "3");
        const char *key, *value;
        size_t n = 0;
        while (kr_st_metadata_at(st, n, &key, &value)) n++;
        assert_int_equal(n, 3);
        assert_true(kr_st_metadata_at(st, 1, &key, &value) && key[0] == 'k' && value[0] == '2');
        kr_st_close(st);
    }
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        save_text(index, lies[i].text);
        assert_int_equal(kr_st_open(&st, root), KR_ERR_FORMAT);
        assert_error_has(lies[i].says);
    }
    save_text(index, "{\"weight_map\":{\"a\":\"three\"}}");
    assert_int_equal(kr_st_open(&st, root), KR_ERR_IO);
    assert_error_has("three: cannot open");
    kr_file_remove(at(index));
}

/* --- writing ------------------------------------------------------------------ */

static void round_trip(void **state) {
    (void)state;
    enum { N = 20011 }; /* several buffers and a tail */
    static const kr_dtype types[] = {KR_F32, KR_F64, KR_BF16, KR_F16};
    static float source[N];
    static double want[N], got[N];
    static char converted[8 * N];
    static const int32_t ids[3] = {-1, 0, 2147483647};
    kr_st_writer *w;
    kr_st *st;
    char name[40];
    for (int i = 0; i < N; i++) source[i] = (float)sin(i * 0.37) * expf((float)(i % 19) - 9);
    assert_int_equal(kr_st_writer_new(&w), KR_OK);
    for (int a = 0; a < 4; a++)
        for (int b = 0; b < 4; b++) { /* every dtype in memory to every dtype in the file */
            static char held[4][8 * N];
            kr_convert(held[a], types[a], source, KR_F32, N);
            snprintf(name, sizeof name, "t.%s.%s", kr_dtype_text(types[a]), kr_dtype_text(types[b]));
            kr_tensor t = {.data = held[a], .dtype = types[a], .n_dims = 2, .dim = {1, N}};
            assert_int_equal(kr_st_writer_add(w, name, &t, types[b]), KR_OK);
        }
    kr_tensor i32 = {.data = (void *)(uintptr_t)ids, .dtype = KR_I32, .n_dims = 1, .dim = {3}};
    kr_tensor scalar = {.data = source, .dtype = KR_F32}, none = {.dtype = KR_F32, .n_dims = 1};
    kr_st_tensor raw = {.name = "raw \"q\"\\", .dtype = KR_ST_U8, .n_dims = 1, .dim = {5}, .count = 5, .data = "hello", .n_bytes = 5};
    assert_int_equal(kr_st_writer_add(w, "ids", &i32, KR_I32), KR_OK);
    assert_int_equal(kr_st_writer_add(w, "scalar", &scalar, KR_F32), KR_OK);
    assert_int_equal(kr_st_writer_add(w, "none", &none, KR_F32), KR_OK);
    assert_int_equal(kr_st_writer_add_raw(w, &raw), KR_OK);
    assert_int_equal(kr_st_writer_add(w, "ids", &i32, KR_I32), KR_ERR_ARG);
    assert_error_has("ids is named twice");
    assert_int_equal(kr_st_writer_add(w, "x", &i32, KR_F32), KR_ERR_DTYPE);
    assert_int_equal(kr_st_writer_add(w, "__metadata__", &i32, KR_I32), KR_ERR_ARG);
    assert_int_equal(kr_st_writer_add(w, "a\n", &i32, KR_I32), KR_ERR_ARG);
    assert_int_equal(kr_st_writer_metadata(w, "format", "np"), KR_OK);
    assert_int_equal(kr_st_writer_metadata(w, "format", "pt"), KR_OK);
    assert_int_equal(kr_st_writer_metadata(w, "config", "{\"a\":\n1}"), KR_OK);
    assert_int_equal(kr_st_writer_save(w, at("round")), KR_OK);
    assert_int_equal(kr_st_writer_save(w, at("again")), KR_OK);
    assert_int_equal(kr_st_open(&st, at("again")), KR_OK);
    assert_int_equal(kr_st_count(st), 20);
    assert_string_equal(kr_st_metadata(st, "format"), "pt");
    assert_string_equal(kr_st_metadata(st, "config"), "{\"a\":\n1}");
    for (size_t i = 0; i < kr_st_count(st); i++) { /* each is aligned in the map */
        const kr_st_tensor *t = kr_st_at(st, i);
        assert_true(t->count == 0 || (uintptr_t)t->data % (t->n_bytes / (size_t)t->count) == 0);
    }
    for (int a = 0; a < 4; a++)
        for (int b = 0; b < 4; b++) {
            static char held[8 * N];
            kr_convert(held, types[a], source, KR_F32, N);
            kr_convert(converted, types[b], held, types[a], N);
            kr_convert(want, KR_F64, converted, types[b], N);
            snprintf(name, sizeof name, "t.%s.%s", kr_dtype_text(types[a]), kr_dtype_text(types[b]));
            assert_int_equal(kr_st_read(st, name, 2, (int64_t[]){1, N}, KR_F64, got), KR_OK);
            assert_memory_equal(got, want, sizeof want);
        }
    int32_t back[3];
    assert_int_equal(kr_st_read(st, "ids", 1, (int64_t[]){3}, KR_I32, back), KR_OK);
    assert_memory_equal(back, ids, sizeof ids);
    assert_memory_equal(kr_st_find(st, "raw \"q\"\\")->data, "hello", 5);
    kr_st_close(st);
    kr_st_writer_free(w);
    kr_st_writer_free(NULL);
}

/* A matrix in blocks is U8 to others, and itself to us; as blocks and as floats. */
static void keeps_blocks(void **state) {
    (void)state;
    enum { ROWS = 5, WIDTH = 768, N = ROWS * WIDTH };
    static const kr_dtype types[] = {KR_Q8_0, KR_Q4_0, KR_Q4_K, KR_Q6_K};
    static float source[N], want[N], got[N];
    static char held[4][2 * N], back[2 * N];
    kr_st_writer *w;
    kr_st *st;
    for (int i = 0; i < N; i++) source[i] = (float)sin(i * 0.37) * expf((float)(i % 19) - 9);
    kr_tensor t = {.data = source, .dtype = KR_F32, .n_dims = 2, .dim = {ROWS, WIDTH}}, odd = {.data = source, .dtype = KR_F32, .n_dims = 2, .dim = {2, 48}};
    assert_int_equal(kr_st_writer_new(&w), KR_OK);
    assert_int_equal(kr_st_writer_add(w, "x", &odd, KR_Q8_0), KR_ERR_SHAPE);
    assert_error_has("multiple of 32");
    for (int i = 0; i < 4; i++) assert_int_equal(kr_st_writer_add(w, kr_dtype_text(types[i]), &t, types[i]), KR_OK);
    assert_int_equal(kr_st_writer_save(w, at("blocks")), KR_OK);
    assert_int_equal(kr_st_open(&st, at("blocks")), KR_OK);
    for (int i = 0; i < 4; i++) {
        const char *name = kr_dtype_text(types[i]);
        const kr_st_tensor *f = kr_st_find(st, name);
        kr_convert(held[i], types[i], source, KR_F32, N);
        kr_convert(want, KR_F32, held[i], types[i], N);
        assert_int_equal(f->dtype, KR_ST_U8);
        assert_int_equal(f->block, types[i]);
        assert_int_equal(kr_st_read(st, name, 2, t.dim, types[i], back), KR_OK);
        assert_memory_equal(back, held[i], kr_dtype_row_bytes(types[i], N));
        assert_int_equal(kr_st_read_f32(st, name, 2, t.dim, got), KR_OK);
        assert_memory_equal(got, want, sizeof want);
        assert_int_equal(kr_st_read_part(f, 2 * WIDTH, WIDTH, KR_F32, got), KR_OK);
        assert_memory_equal(got, want + 2 * WIDTH, WIDTH * sizeof *got);
        assert_int_equal(kr_st_read_part(f, 3, 32, KR_F32, got), KR_ERR_ARG);
        assert_int_equal(kr_st_read_part(f, 0, 32, KR_I32, got), KR_ERR_DTYPE);
    }
    kr_st_close(st);
    kr_st_writer_free(w);
    save("lies", "{\"__metadata__\":{\"a\":\"q8_0\"},\"a\":{\"dtype\":\"U8\",\"shape\":[33],\"data_offsets\":[0,33]}}", 33);
    assert_int_equal(kr_st_open(&st, at("lies")), KR_ERR_FORMAT);
    assert_error_has("multiple of 34");
    save("lies", "{\"__metadata__\":{\"a\":\"q8_0\"},\"a\":{\"dtype\":\"F16\",\"shape\":[17],\"data_offsets\":[0,34]}}", 34);
    assert_int_equal(kr_st_open(&st, at("lies")), KR_ERR_FORMAT);
    save("lies", "{\"__metadata__\":{\"a\":\"q4_0\"},\"a\":{\"dtype\":\"U8\",\"shape\":[0,9223372036854775800],\"data_offsets\":[0,0]}}", 0);
    assert_int_equal(kr_st_open(&st, at("lies")), KR_ERR_FORMAT); /* which as numbers is beyond int64 */
    save("lies", "{\"__metadata__\":{\"a\":\"float16\",\"b\":\"q8_0\"},\"a\":{\"dtype\":\"U8\",\"shape\":[34],\"data_offsets\":[0,34]}}", 34);
    assert_int_equal(kr_st_open(&st, at("lies")), KR_OK); /* other people's words */
    assert_int_equal(kr_st_at(st, 0)->block, KR_F32);
    kr_st_close(st);
}

/* Files of other people: Hugging Face's own, if they are here. */
static void reads_hugging_face(void **state) {
    (void)state;
    char path[512];
    const char *shared = getenv("KRAIT_SHARED");
    kr_st *st;
    assert_int_equal(kr_path_join(path, sizeof path, shared ? shared : KRAIT_SOURCE_DIR "/../shared", "fixtures/hf/mamba"), KR_OK);
    if (!kr_dir_exists(path)) skip();
    assert_int_equal(kr_st_open(&st, path), KR_OK);
    const kr_st_tensor *t;
    assert_int_equal(kr_st_want(&t, st, "backbone.layers.0.mixer.A_log", 2, (int64_t[]){128, 16}), KR_OK);
    float A[128 * 16];
    assert_int_equal(kr_st_read_f32(st, "backbone.layers.0.mixer.A_log", 2, (int64_t[]){128, 16}, A), KR_OK);
    for (int i = 0; i < 128 * 16; i++) assert_true(isfinite(A[i]));
    assert_string_equal(kr_st_metadata(st, "format"), "pt");
    kr_st_close(st);
}

/* The package itself reads what we write. */
static void python_reads_ours(void **state) {
    (void)state;
    if (system("python3 -c 'import safetensors.numpy' 2>/dev/null")) skip();
    static const float x[6] = {1, -2, 3.5f, 0, 1e30f, -1e-30f};
    kr_st_writer *w;
    char command[1024];
    kr_tensor t = {.data = (void *)(uintptr_t)x, .dtype = KR_F32, .n_dims = 2, .dim = {2, 3}};
    assert_int_equal(kr_st_writer_new(&w), KR_OK);
    assert_int_equal(kr_st_writer_add(w, "x", &t, KR_F32), KR_OK);
    assert_int_equal(kr_st_writer_add(w, "half", &t, KR_F16), KR_OK);
    assert_int_equal(kr_st_writer_metadata(w, "k", "v"), KR_OK);
    assert_int_equal(kr_st_writer_save(w, at("python.safetensors")), KR_OK);
    kr_st_writer_free(w);
    snprintf(command, sizeof command,
             "python3 -c \"import sys; from safetensors import safe_open; f = safe_open(sys.argv[1], 'np'); "
             "assert f.metadata() == {'k': 'v'} and sorted(f.keys()) == ['half', 'x']; "
             "x = f.get_tensor('x'); assert x.shape == (2, 3) and x.dtype == 'float32' and x[0, 2] == 3.5; "
             "assert f.get_tensor('half')[0, 1] == -2\" '%s'", at("python.safetensors"));
    assert_int_equal(system(command), 0);
}

static kr_status write_and_read(void *unused) {
    static const float x[4] = {1, 2, 3, 4};
    kr_tensor t = {.data = (void *)(uintptr_t)x, .dtype = KR_F32, .n_dims = 1, .dim = {4}};
    kr_st_writer *w;
    kr_st *st = NULL;
    float back[4];
    (void)unused;
    KR_TRY(kr_st_writer_new(&w));
    kr_status status = kr_st_writer_add(w, "x", &t, KR_BF16);
    if (status == KR_OK) status = kr_st_writer_metadata(w, "k", "v");
    if (status == KR_OK) status = kr_st_writer_save(w, at("oom"));
    if (status == KR_OK) status = kr_st_open(&st, at("oom"));
    if (status == KR_OK) status = kr_st_read_f32(st, "x", 1, (int64_t[]){4}, back);
    kr_st_close(st);
    kr_st_writer_free(w);
    return status;
}

static void survives_no_memory(void **state) {
    (void)state;
    assert_true(until_it_works(write_and_read, NULL) > 10);
}

static int set_up(void **state) {
    (void)state;
    snprintf(root, sizeof root, "%s/krait-st-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    return mkdtemp(root) == NULL;
}

static int tear_down(void **state) {
    (void)state;
    return kr_dir_remove(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_what_is_valid),
        cmocka_unit_test(says_what_was_wanted),
        cmocka_unit_test(reads_every_integer),
        cmocka_unit_test(refuses_lies),
        cmocka_unit_test(refuses_lying_lengths),
        cmocka_unit_test(opens_shards),
        cmocka_unit_test(round_trip),
        cmocka_unit_test(keeps_blocks),
        cmocka_unit_test(reads_hugging_face),
        cmocka_unit_test(python_reads_ours),
        cmocka_unit_test(survives_no_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
