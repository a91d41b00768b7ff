/* decode_test.c - each format: a file of known contents gives them, a damaged one a sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "data/decode.h"
#include "data/picture.h"

#define BYTES(...) (const uint8_t[]){__VA_ARGS__}

static void expect_array(kr_array *a, const uint8_t *p, size_t n, const char *what, int n_dims, const int64_t *dim) {
    if (kr_decode_array_of(a, p, n, what) != KR_OK) fail_msg("%s", kr_error());
    assert_int_equal(a->n_dims, n_dims);
    for (int i = 0; i < n_dims; i++) assert_int_equal(a->dim[i], dim[i]);
}
static void refuse_array(const uint8_t *p, size_t n, const char *what, const char *says) {
    kr_array a;
    assert_int_not_equal(kr_decode_array_of(&a, p, n, what), KR_OK);
    if (!strstr(kr_error(), says) || strncmp(kr_error(), what, strlen(what)) != 0) fail_msg("%s", kr_error());
}

static void idx(void **state) {
    kr_array a;
    const uint8_t bytes[] = {0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 255};
    const uint8_t shorts[] = {0, 0, 11, 1, 0, 0, 0, 2, 1, 0, 255, 254};
    const uint8_t doubles[] = {0, 0, 14, 1, 0, 0, 0, 1, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0};
    (void)state;
    expect_array(&a, bytes, sizeof bytes, "a.idx", 2, (const int64_t[]){2, 3});
    assert_memory_equal(a.u8, bytes + 12, 6);
    kr_array_free(&a);
    expect_array(&a, shorts, sizeof shorts, "a.idx", 1, (const int64_t[]){2});
    assert_true(a.f32[0] == 256 && a.f32[1] == -2);
    kr_array_free(&a);
    expect_array(&a, doubles, sizeof doubles, "a.idx", 1, (const int64_t[]){1});
    assert_true(a.f32[0] == 1.5f);
    kr_array_free(&a);
    refuse_array(bytes, sizeof bytes - 1, "a.idx", "ask for 6 elements of 1 bytes, and 5 bytes follow");
    refuse_array(bytes, 9, "a.idx", "cut off");
    refuse_array(BYTES(0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1), 17, "a.idx", "elements");
    refuse_array(BYTES(1, 2, 3), 3, "a.bin", "neither its first bytes nor its ending");
}

static size_t npy_of(uint8_t *to, const char *dict, const void *data, size_t n) {
    size_t len = strlen(dict);
    memcpy(to, "\x93NUMPY\1\0", 8);
    to[8] = (uint8_t)len, to[9] = 0;
    memcpy(to + 10, dict, len);
    memcpy(to + 10 + len, data, n);
    return 10 + len + n;
}

static void npy(void **state) {
    kr_array a;
    uint8_t file[400];
    (void)state;
    const float x[6] = {1, 2, 3, 4, 5, 6.5f};
    size_t n = npy_of(file, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", x, sizeof x);
    expect_array(&a, file, n, "x.npy", 2, (const int64_t[]){2, 3});
    assert_memory_equal(a.f32, x, sizeof x);
    kr_array_free(&a);
    refuse_array(file, n - 1, "x.npy", "asks for 6 elements of 4 bytes, and 23 bytes follow");
    n = npy_of(file, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }\n", x, sizeof x);
    expect_array(&a, file, n, "x.npy", 2, (const int64_t[]){2, 3});
    assert_true(a.f32[0] == 1 && a.f32[1] == 3 && a.f32[2] == 5 && a.f32[3] == 2 && a.f32[5] == 6.5f);
    kr_array_free(&a);
    n = npy_of(file, "{'descr': '>i2', 'fortran_order': False, 'shape': (2,), }\n", BYTES(255, 255, 0, 7), 4);
    expect_array(&a, file, n, "x.npy", 1, (const int64_t[]){2});
    assert_true(a.f32[0] == -1 && a.f32[1] == 7);
    kr_array_free(&a);
    n = npy_of(file, "{'descr': '<f2', 'fortran_order': False, 'shape': (), }\n", BYTES(0, 0x3c), 2);
    expect_array(&a, file, n, "x.npy", 0, NULL);
    assert_true(a.f32[0] == 1);
    kr_array_free(&a);
    n = npy_of(file, "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", x, 8);
    refuse_array(file, n, "x.npy", "its header is");
    n = npy_of(file, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n", (const float[]){1, NAN}, 8);
    refuse_array(file, n, "x.npy", "number 1 is nan, want finite ones");
    n = npy_of(file, "{'descr': '|u1', 'fortran_order': False, 'shape': (9223372036854775807, 16), }\n", x, 8);
    refuse_array(file, n, "x.npy", "elements");
    n = npy_of(file, "{'descr': '|u1', 'fortran_order': False, 'shape': (0, 4611686018427387904, 8), }\n", x, 8);
    refuse_array(file, n, "x.npy", "too large"); /* of no elements, but who multiplies its sides gets nonsense */
}

static void wav(void **state) {
    kr_array a;
    (void)state;
    uint8_t file[] = "RIFF\0\0\0\0WAVEfmt \x10\0\0\0\1\0\2\0\x40\x1f\0\0\0\x7d\0\0\4\0\x10\0LIST\1\0\0\0x\0data\x8\0\0\0\0\x80\xff\x7f\0\0\0\x40";
    size_t n = sizeof file - 1;
    expect_array(&a, file, n, "s.wav", 2, (const int64_t[]){2, 2});
    assert_true(a.rate == 8000 && a.f32[0] == -1 && fabs(a.f32[1] - 32767. / 32768) < 1e-6 && a.f32[2] == 0 && a.f32[3] == .5f);
    kr_array_free(&a);
    file[22] = 0;
    refuse_array(file, n, "s.wav", "0 channels");
    file[22] = 2, file[27] = 0xff;
    refuse_array(file, n, "s.wav", "4278198080 Hz");
    file[27] = 0, file[34] = 12;
    refuse_array(file, n, "s.wav", "12 bits");
    refuse_array(file, 30, "s.wav", "without samples");
}

#define CELL(t, row, column, text) assert_string_equal(kr_table_cell(t, row, column), text)
static void expect_table(kr_table *t, const char *text, const char *what, int64_t rows, int64_t columns) {
    if (kr_decode_table_of(t, (const uint8_t *)text, strlen(text), what) != KR_OK) fail_msg("%s", kr_error());
    assert_int_equal(t->n_rows, rows);
    assert_int_equal(t->n_columns, columns);
}
static void refuse_table(const char *text, const char *what, const char *says) {
    kr_table t;
    assert_int_equal(kr_decode_table_of(&t, (const uint8_t *)text, strlen(text), what), KR_ERR_FORMAT);
    if (!strstr(kr_error(), says)) fail_msg("%s", kr_error());
}

static void csv(void **state) {
    kr_table t;
    (void)state;
    expect_table(&t, "name,size\r\n\"a, b\",1\r\n\"say \"\"no\"\"\nor not\",\n\nlast,3", "t.csv", 3, 2);
    CELL(&t, -1, 1, "size");
    CELL(&t, 0, 0, "a, b");
    CELL(&t, 1, 0, "say \"no\"\nor not");
    CELL(&t, 1, 1, "");
    CELL(&t, 2, 1, "3");
    assert_int_equal(t.line[2], 6);
    assert_int_equal(kr_table_find(&t, "size"), 1);
    assert_int_equal(kr_table_find(&t, "none"), -1);
    kr_table_free(&t);
    expect_table(&t, "1\t2\n3\t4\n", "t.tsv", 2, 2); /* numbers are no names */
    CELL(&t, -1, 1, "2");
    CELL(&t, 0, 0, "1");
    kr_table_free(&t);
    expect_table(&t, "a;b\n", "t.csv", 0, 2);
    kr_table_free(&t);
    refuse_table("a,b\n1,2\n3\n", "t.csv", "t.csv: line 3 has 1 cell, want 2");
    refuse_table("a,b\n1,\"2\n3\n", "t.csv", "line 2: a quote that is never closed");
    refuse_table("\n\n", "t.csv", "without a line");
}

static void sequences(void **state) {
    kr_table t;
    (void)state;
    expect_table(&t, ">s1 the first\nACGT\nac-gt\n\n>s2\nTT\n", "s.fa", 2, 3);
    CELL(&t, 0, 0, "s1");
    CELL(&t, 0, 1, "the first");
    CELL(&t, 0, 2, "ACGTac-gt");
    CELL(&t, 1, 2, "TT");
    assert_int_equal(t.line[1], 5);
    kr_table_free(&t);
    expect_table(&t, "@r1\nACGT\n+\nIIII\n", "s.fq", 1, 4);
    CELL(&t, 0, 3, "IIII");
    kr_table_free(&t);
    expect_table(&t, "# STOCKHOLM 1.0\n\na  AC.\nbb GG.\n\na  TT\nbb CC\n#=GC x\n//\n", "s.sto", 2, 3);
    CELL(&t, 0, 2, "AC.TT");
    CELL(&t, 1, 2, "GG.CC");
    kr_table_free(&t);
    refuse_table("ACGT\n>s\n", "s.fa", "line 1: letters before the first name");
    refuse_table("@r\nACGT\n+\nIII\n", "s.fq", "line 1: no read");
}

/* The first word of a line, and the others; a .txt with commas is a table all the same. */
static void words(void **state) {
    static const char smiles[] = "CCO ethyl  alcohol \r\n\n\tC\n", lists[] = "u 1 2\nv 3\n", table[] = "a b,c\n1,2\n";
    kr_table t;
    (void)state;
    expect_table(&t, smiles, "a.smi", 2, 2);
    assert_string_equal(kr_table_cell(&t, -1, 0), "smiles");
    assert_string_equal(kr_table_cell(&t, 0, 0), "CCO");
    assert_string_equal(kr_table_cell(&t, 0, 1), "ethyl  alcohol");
    assert_string_equal(kr_table_cell(&t, 1, 0), "C");
    assert_string_equal(kr_table_cell(&t, 1, 1), "");
    assert_int_equal(t.line[1], 3);
    kr_table_free(&t);
    expect_table(&t, lists, "a.txt", 2, 2);
    assert_string_equal(kr_table_cell(&t, -1, 1), "items");
    assert_string_equal(kr_table_cell(&t, 0, 1), "1 2");
    kr_table_free(&t);
    expect_table(&t, table, "a.txt", 1, 2);
    assert_string_equal(kr_table_cell(&t, -1, 0), "a b");
    kr_table_free(&t);
    refuse_table("\n \n", "a.smi", "no line in it");
}

static void points(void **state) {
    static const char off[] = "OFF\n# corners\n2 1 0\n0 0 1.5\n\n -1 2e1 3 9\n3 0 1 0\n", one_line[] = "OFF1 0 0\n1 2 3\n", xyz[] = "x,y,z\n1,2,3,0.5\r\n4 5 6\n";
    kr_array a;
    (void)state;
    expect_array(&a, (const uint8_t *)off, sizeof off - 1, "a.off", 2, (const int64_t[]){2, 3});
    assert_true(a.f32[2] == 1.5f && a.f32[3] == -1 && a.f32[4] == 20 && a.f32[5] == 3);
    kr_array_free(&a);
    expect_array(&a, (const uint8_t *)one_line, sizeof one_line - 1, "a.off", 2, (const int64_t[]){1, 3});
    kr_array_free(&a);
    expect_array(&a, (const uint8_t *)xyz, sizeof xyz - 1, "a.xyz", 2, (const int64_t[]){2, 3});
    assert_true(a.f32[0] == 1 && a.f32[5] == 6);
    kr_array_free(&a);
    expect_array(&a, (const uint8_t *)"# by hand\n\nOFF\n1 0 0\n1 2 3\n", 28, "a.off", 2, (const int64_t[]){1, 3});
    kr_array_free(&a);
    refuse_array((const uint8_t *)"COFF\n2 0 0\n1 2 3 0\n4 5 6 0\n", 27, "a.off", "no OFF in its first line");
    refuse_array((const uint8_t *)"1 2 3\n", 6, "a.OFF", "no OFF in its first line");
    refuse_array((const uint8_t *)"OFF\n9 0 0\n1 2 3\n", 16, "a.off", "want how many points");
    refuse_array((const uint8_t *)"OFF\n2 0 0\n1 2 3\n1 2 nan\n", 24, "a.off", "line 4: no point");
    refuse_array((const uint8_t *)"a\nb\n", 4, "a.xyz", "no line of three numbers");
    refuse_array((const uint8_t *)"1 2 3\nb\n", 8, "a.xyz", "line 2: no point");
}

static void jsonl(void **state) {
    kr_table t;
    (void)state;
    expect_table(&t, "{\"a\": \"x\", \"b\": [1, 2]}\n\n{\"b\": 2.5}\n", "t.jsonl", 2, 2);
    CELL(&t, 0, kr_table_find(&t, "b"), "[1,2]");
    CELL(&t, 1, kr_table_find(&t, "a"), "");
    CELL(&t, 1, kr_table_find(&t, "b"), "2.5");
    assert_int_equal(t.line[1], 3);
    kr_table_free(&t);
    refuse_table("{\"a\": 1}\n[1]\n", "t.jsonl", "line 2 is no JSON object");
    kr_str s = {0}; /* many keys, then many lines of none */
    for (int i = 0; i < 4000; i++) kr_str_appendf(&s, "%s\"%d\": 1", i ? ", " : "{", i);
    kr_str_append(&s, "}\n");
    for (int i = 0; i < 400; i++) kr_str_append(&s, "{}\n");
    refuse_table(kr_str_text(&s), "t.jsonl", "nearly all empty");
    kr_str_free(&s);
}

static void packed(void **state) { /* gzip of "a,b\n1,2\n" */
    static const uint8_t gz[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 0xff, 0x4b, 0xd4, 0x49, 0xe2, 0x32, 0xd4, 0x31, 0xe2, 2, 0, 0x7b, 7, 0x97, 0xa, 8, 0, 0, 0};
    kr_table t;
    (void)state;
    kr_status st = kr_decode_table_of(&t, gz, sizeof gz, "t.csv.gz");
    if (st == KR_ERR_MISSING) skip();
    if (st != KR_OK) fail_msg("%s", kr_error());
    CELL(&t, 0, 1, "2");
    kr_table_free(&t);
    assert_int_equal(kr_decode_table_of(&t, gz, sizeof gz - 12, "t.csv.gz"), KR_ERR_FORMAT);
    assert_non_null(strstr(kr_error(), "t.csv.gz: its packed bytes are cut off"));
}

/* Two blocks of many names: each has two pieces, and none is looked for among all. */
static void many_names(void **state) {
    enum { N = 60000 };
    kr_str s = {0};
    kr_table t;
    char cell[20];
    (void)state;
    kr_str_append(&s, "# STOCKHOLM 1.0\n");
    for (int block = 0; block < 2; block++)
        for (int i = 0; i < N; i++) kr_str_appendf(&s, "n%d %s%c\n", i, block ? "GG" : "AC", 'A' + i % 26);
    kr_str_append(&s, "//\n");
    if (kr_decode_table_of(&t, (const uint8_t *)s.text, s.n, "s.sto") != KR_OK) fail_msg("%s", kr_error());
    assert_int_equal(t.n_rows, N);
    for (int i = 0; i < N; i += 997) {
        snprintf(cell, sizeof cell, "n%d", i);
        assert_string_equal(kr_table_cell(&t, i, 0), cell);
        snprintf(cell, sizeof cell, "AC%cGG%c", 'A' + i % 26, 'A' + i % 26);
        assert_string_equal(kr_table_cell(&t, i, 2), cell);
    }
    kr_table_free(&t);
    kr_str_free(&s);
}

/* As many columns as genes: each is found without looking through all. */
static void many_columns(void **state) {
    enum { N = 60000 };
    kr_str s = {0};
    kr_table t;
    char name[20];
    int64_t at;
    (void)state;
    for (int i = 0; i < N; i++) kr_str_appendf(&s, "g%d,", i);
    kr_str_append(&s, "g7\n");
    if (kr_decode_table_of(&t, (const uint8_t *)s.text, s.n, "g.csv") != KR_OK) fail_msg("%s", kr_error());
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "g%d", i);
        assert_int_equal(kr_table_find(&t, name), i);
        if (i != 7) assert_true(kr_table_only(&t, name, "g.csv", &at) == KR_OK && at == i);
    }
    assert_int_equal(kr_table_only(&t, "g7", "g.csv", &at), KR_ERR_FORMAT);
    assert_non_null(strstr(kr_error(), "columns 8 and 60001 are both called \"g7\""));
    assert_true(kr_table_only(&t, "g", "g.csv", &at) == KR_OK && at == -1);
    kr_table_free(&t);
    kr_str_free(&s);
}

static void pictures(void **state) { /* a grey PNG of 2 x 1 pixels: 7, 200 */
    static const uint8_t png[] = {0x89, 'P', 'N', 'G', 13, 10, 26, 10, 0, 0, 0, 13, 'I', 'H', 'D', 'R', 0, 0, 0, 2, 0, 0, 0, 1, 8, 0, 0, 0, 0};
    kr_array a;
    (void)state;
    kr_status st = kr_decode_array_of(&a, png, sizeof png, "p.png");
    if (st == KR_ERR_MISSING) skip();
    assert_int_equal(st, KR_ERR_FORMAT);
    assert_non_null(strstr(kr_error(), "p.png: PNG"));
    refuse_array(BYTES(0xff, 0xd8, 0xff, 0xe0, 0), 5, "p.jpg", "p.jpg: JPEG");
}

static uint32_t crc(const uint8_t *p, size_t n) {
    uint32_t c = ~0u;
    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
    }
    return ~c;
}
static size_t chunk(uint8_t *to, const char *name, const uint8_t *p, size_t n) {
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(n >> (24 - 8 * i));
    memcpy(to + 4, name, 4);
    memcpy(to + 8, p, n);
    uint32_t c = crc(to + 4, n + 4);
    for (int i = 0; i < 4; i++) to[8 + n + (size_t)i] = (uint8_t)(c >> (24 - 8 * i));
    return n + 12;
}

/* A line of W pixels, n bytes; type 0 grey, 2 colour, 3 palette, 4 grey with alpha.  gamma 0: none is named. */
static size_t png_of(uint8_t *to, int W, int depth, int type, uint32_t gamma, const uint8_t *line, size_t n) {
    uint8_t head[13] = {0, 0, 0, (uint8_t)W, 0, 0, 0, 1, (uint8_t)depth, (uint8_t)type}, data[100] = {0x78, 1, 1, (uint8_t)(n + 1), 0, (uint8_t)~(n + 1), 0xff};
    uint8_t g[4] = {(uint8_t)(gamma >> 24), (uint8_t)(gamma >> 16), (uint8_t)(gamma >> 8), (uint8_t)gamma};
    static const uint8_t palette[] = {10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120};
    uint32_t a = 1, b = 1;
    memcpy(data + 8, line, n); /* behind the filter, none */
    for (size_t i = 0; i < n; i++) a = (a + line[i]) % 65521, b = (b + a) % 65521;
    const uint8_t adler[] = {(uint8_t)(b >> 8), (uint8_t)b, (uint8_t)(a >> 8), (uint8_t)a};
    memcpy(data + 8 + n, adler, 4);
    memcpy(to, "\x89PNG\r\n\x1a\n", 8);
    size_t at = 8 + chunk(to + 8, "IHDR", head, 13);
    if (gamma) at += chunk(to + at, "gAMA", g, 4);
    if (type == 3) at += chunk(to + at, "PLTE", palette, sizeof palette);
    at += chunk(to + at, "IDAT", data, n + 12);
    return at + chunk(to + at, "IEND", palette, 0);
}

static void values_as_stored(void **state) {
    static const struct { int W, depth, type; uint32_t gamma; uint8_t line[12]; size_t n; int C; uint8_t light[9], label[9]; } cases[] = {
        {2, 8, 0, 0, {7, 200}, 2, 1, {7, 200}, {7, 200}},
        {2, 8, 0, 100000, {7, 200}, 2, 1, {7, 200}, {7, 200}},               /* linear light, it says */
        {2, 8, 2, 20000, {1, 2, 3, 250, 100, 50}, 6, 3, {1, 2, 3, 250, 100, 50}, {1, 2, 3, 250, 100, 50}},
        {3, 16, 0, 0, {128, 128, 0, 5, 0, 200}, 6, 1, {128, 0, 1}, {0}},      /* the nearest of 8 bits */
        {3, 16, 0, 100000, {0, 1, 0, 5, 0, 200}, 6, 1, {0, 0, 1}, {1, 5, 200}},
        {2, 8, 4, 0, {90, 0, 91, 128}, 4, 1, {90, 91}, {90, 91}},              /* alpha is dropped, not mixed in */
        {4, 2, 0, 45455, {0x1b}, 1, 1, {0, 85, 170, 255}, {0, 1, 2, 3}},
        {3, 2, 3, 45455, {0x1b}, 1, 3, {10, 20, 30, 40, 50, 60, 70, 80, 90}, {0, 1, 2}},
        {2, 8, 3, 0, {3, 1}, 2, 3, {100, 110, 120, 40, 50, 60}, {3, 1}},
    };
    uint8_t png[400];
    kr_array a;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = png_of(png, cases[i].W, cases[i].depth, cases[i].type, cases[i].gamma, cases[i].line, cases[i].n);
        kr_status st = kr_decode_array_of(&a, png, n, "p.png");
        if (st == KR_ERR_MISSING) skip();
        if (st != KR_OK) fail_msg("%d: %s", (int)i, kr_error());
        assert_int_equal(a.dim[2], cases[i].C);
        if (memcmp(a.u8, cases[i].light, (size_t)a.n) != 0) fail_msg("case %d: %d %d %d", (int)i, a.u8[0], a.u8[1], a.n > 2 ? a.u8[2] : 0);
        kr_array_free(&a);
        if (i == 3) {
            assert_int_equal(kr_decode_labels_of(&a, png, n, "p.png"), KR_ERR_FORMAT);
            assert_non_null(strstr(kr_error(), "label 32896, want at most 255"));
            continue;
        }
        if (kr_decode_labels_of(&a, png, n, "p.png") != KR_OK) fail_msg("%d: %s", (int)i, kr_error());
        if (memcmp(a.u8, cases[i].label, (size_t)a.n) != 0) fail_msg("labels of case %d: %d %d", (int)i, a.u8[0], a.u8[1]);
        kr_array_free(&a);
        for (size_t cut = 8; cut < n - 12; cut++) assert_int_equal(kr_decode_labels_of(&a, png, cut, "p.png"), KR_ERR_FORMAT);
    }
}

/* A progressive JPEG of 8 x 8 pixels; its last scan once more and once more is a bomb of time. */
static void many_scans(void **state) {
    enum { LAST = 284, ALL = 306, TIMES = 70, SCAN = ALL - 2 - LAST };
    static const uint8_t jpeg[ALL] = {
        255, 216, 255, 219, 0, 67, 0, 8, 6, 6, 7, 6, 5, 8, 7, 7, 7, 9, 9, 8, 10, 12, 20, 13, 12, 11, 11, 12, 25, 18, 19, 15, 20, 29, 26,
        31, 30, 29, 26, 28, 28, 32, 36, 46, 39, 32, 34, 44, 35, 28, 28, 40, 55, 41, 44, 48, 49, 52, 52, 52, 31, 39, 57, 61, 56, 50, 60,
        46, 51, 52, 50, 255, 194, 0, 11, 8, 0, 8, 0, 8, 1, 1, 17, 0, 255, 196, 0, 20, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 255, 218, 0, 8, 1, 1, 0, 0, 0, 1, 127, 255, 196, 0, 23, 16, 0, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 2, 255,
        218, 0, 8, 1, 1, 0, 1, 5, 2, 149, 182, 143, 255, 196, 0, 26, 16, 0, 1, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 17, 0, 1, 2, 18,
        33, 49, 255, 218, 0, 8, 1, 1, 0, 6, 63, 2, 123, 70, 2, 184, 28, 184, 193, 205, 95, 255, 196, 0, 24, 16, 1, 1, 1, 1, 1, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 1, 17, 33, 0, 161, 255, 218, 0, 8, 1, 1, 0, 1, 63, 33, 152, 11, 152, 22, 40, 53, 136, 190, 238, 119, 255,
        218, 0, 8, 1, 1, 0, 0, 0, 16, 255, 0, 255, 196, 0, 22, 16, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 17, 49, 255, 218, 0,
        8, 1, 1, 0, 1, 63, 16, 101, 201, 198, 245, 80, 203, 106, 6, 67, 0, 255, 217};
    uint8_t bomb[ALL + TIMES * SCAN];
    kr_array a;
    (void)state;
    kr_status st = kr_decode_array_of(&a, jpeg, ALL, "p.jpg");
    if (st == KR_ERR_MISSING) skip();
    if (st != KR_OK) fail_msg("%s", kr_error());
    kr_array_free(&a);
    memcpy(bomb, jpeg, ALL - 2);
    for (int i = 0; i < TIMES; i++) memcpy(bomb + ALL - 2 + i * SCAN, jpeg + LAST, SCAN);
    memcpy(bomb + sizeof bomb - 2, jpeg + ALL - 2, 2);
    refuse_array(bomb, sizeof bomb, "p.jpg", "more than 64 scans");
}

static void two_channels(void **state) { /* grey and how opaque, made half as wide */
    uint8_t bytes[] = {10, 20, 30, 40}, to[6];
    kr_array a = {.n_dims = 3, .dim = {1, 2, 2}, .n = 4, .u8 = bytes};
    kr_pictures p;
    (void)state;
    assert_int_equal(kr_pictures_of(&p, &a, "p"), KR_OK);
    kr_picture_get(to, &a, &p, 0, 1, 1, 2);
    assert_memory_equal(to, BYTES(20, 30), 2);
    kr_picture_get(to, &a, &p, 0, 1, 2, 3); /* colour of grey */
    assert_memory_equal(to, BYTES(10, 10, 10, 30, 30, 30), 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(idx), cmocka_unit_test(npy), cmocka_unit_test(wav), cmocka_unit_test(csv),
                                       cmocka_unit_test(sequences), cmocka_unit_test(words), cmocka_unit_test(points), cmocka_unit_test(jsonl), cmocka_unit_test(packed), cmocka_unit_test(pictures), cmocka_unit_test(values_as_stored), cmocka_unit_test(many_names), cmocka_unit_test(many_columns), cmocka_unit_test(many_scans),
                                       cmocka_unit_test(two_channels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
