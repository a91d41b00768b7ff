/* check_augment.c - what is done to rows while training: a function of the seed and the row's number, never
 * done to what is held out, and what it says it is. */
#include <unistd.h>

#include "data/source.h"
#include "model_case.h"

static char folder[64];

typedef struct rows { kr_source *s; float *x; int32_t *targets; float *y; kr_batch b; int64_t each; } rows;

static kr_status try_open(rows *r, const char *data, uint64_t seed) {
    json_t *j = json_of(data);
    *r = (rows){0};
    kr_status st = kr_source_open(&r->s, &(kr_source_options){.data = j, .S = 4, .seed = seed});
    json_decref(j);
    return st;
}
static rows open_rows(const char *data, uint64_t seed) {
    rows r;
    if (try_open(&r, data, seed) != KR_OK) fail_msg("%s: %s", data, kr_error());
    const kr_source_info *i = kr_source_get_info(r.s);
    r.each = i->L * i->x_width;
    r.x = kr_mem_array((size_t)(4 * r.each), sizeof *r.x), r.targets = kr_mem_array((size_t)(4 * (i->n_targets + 1)), sizeof *r.targets);
    r.y = kr_mem_array((size_t)(4 * (i->y_width + 1)), sizeof *r.y);
    r.b = (kr_batch){.S = 4, .L = i->L, .x = r.x, .targets = r.targets, .y = r.y};
    return r;
}
static void close_rows(rows *r) {
    kr_source_close(r->s);
    kr_mem_free(r->x), kr_mem_free(r->targets), kr_mem_free(r->y);
}
static const float *take(rows *r, kr_split split, int64_t step) {
    if (kr_source_batch(r->s, split, step, &r->b) != KR_OK) fail_msg("%s", kr_error());
    return r->x;
}

/* Held-out rows are those of a source that does nothing; rows to train on differ from it, and with the seed, but
 * not from themselves.  `plain` has the same examples in the same order. */
static void check(const char *plain, const char *changed) {
    rows p = open_rows(plain, 1), c = open_rows(changed, 1), again = open_rows(changed, 1);
    size_t bytes = (size_t)(4 * c.each) * sizeof(float);
    int same = 0, equal = 0;
    for (int64_t step = 0; step < 4; step++) {
        take(&c, KR_SPLIT_TRAIN, step), take(&again, KR_SPLIT_TRAIN, step);
        assert_memory_equal(c.x, again.x, bytes);
        take(&p, KR_SPLIT_TRAIN, step);
        same += p.each == c.each && memcmp(c.x, p.x, bytes) == 0;
        take(&again, KR_SPLIT_TRAIN, step + 4); /* the same examples or others: drawn anew */
        equal += memcmp(c.x, again.x, bytes) == 0;
    }
    assert_true(same == 0 && equal == 0);
    if (p.each == c.each) assert_memory_equal(take(&c, KR_SPLIT_EVAL, 0), take(&p, KR_SPLIT_EVAL, 0), bytes);
    close_rows(&p), close_rows(&c), close_rows(&again);
}

/* --- pictures: 40 of 7 x 9, whose pixel (h, w) is 20 h + 2 w, so that it says where it came from ------------ */

#define PICTURES "{'kind': 'image', 'paths': 'x-idx3-ubyte', 'labels': 'y-idx1-ubyte', 'eval_fraction': 0.2"

static void write_pictures(void) {
    unsigned char x[16 + 40 * 63] = {0, 0, 8, 3, 0, 0, 0, 40, 0, 0, 0, 7, 0, 0, 0, 9}, y[8 + 40] = {0, 0, 8, 1, 0, 0, 0, 40};
    for (int i = 0; i < 40 * 63; i++) x[16 + i] = (unsigned char)(20 * (i % 63 / 9) + 2 * (i % 9));
    for (int i = 0; i < 40; i++) y[8 + i] = (unsigned char)(i % 2);
    assert_int_equal(kr_file_write("x-idx3-ubyte", x, sizeof x), KR_OK);
    assert_int_equal(kr_file_write("y-idx1-ubyte", y, sizeof y), KR_OK);
}

/* The value of a pixel, of a source whose numbers are from -1 to 1. */
static int pixel(const rows *r, int64_t row, int64_t at) { return (int)lrintf((r->x[row * r->each + at] + 1) * 127.5f); }

static void test_pictures(void **state) {
    (void)state;
    write_pictures();
    check(PICTURES "}", PICTURES ", 'shift': 2}");
    check(PICTURES "}", PICTURES ", 'flip': 'sides', 'crop': '5x6'}");
    rows r = open_rows(PICTURES ", 'task': 'noise', 'crop': '5x6'}", 3);
    int seen[3][4] = {{0}};
    assert_int_equal(r.each, 30);
    for (int64_t step = 0; step < 60; step++) {
        take(&r, KR_SPLIT_TRAIN, step);
        for (int row = 0; row < 4; row++) {
            int corner = pixel(&r, row, 0), top = corner / 20, left = corner % 20 / 2;
            assert_true(top <= 2 && left <= 3);
            seen[top][left]++;
            for (int i = 0; i < 30; i++) assert_int_equal(pixel(&r, row, i), 20 * (top + i / 6) + 2 * (left + i % 6));
        }
    }
    for (int i = 0; i < 12; i++) assert_true(seen[i / 4][i % 4] > 5); /* 20 on average */
    take(&r, KR_SPLIT_EVAL, 0);
    for (int i = 0; i < 30; i++) assert_int_equal(pixel(&r, 0, i), 20 * (1 + i / 6) + 2 * (1 + i % 6));
    close_rows(&r);
    r = open_rows(PICTURES ", 'task': 'noise', 'shift': 2}", 3); /* the edge goes on */
    take(&r, KR_SPLIT_TRAIN, 0);
    for (int i = 0; i < 4 * 63; i++) assert_true(pixel(&r, i / 63, i % 63) <= 136 && pixel(&r, i / 63, i % 63) % 2 == 0);
    close_rows(&r);
    rows none;
    assert_int_equal(try_open(&none, PICTURES ", 'crop': '8x9'}", 1), KR_ERR_CONFIG);
    assert_non_null(strstr(kr_error(), "data.crop is \"8x9\""));
    assert_int_equal(try_open(&none, PICTURES ", 'crop': '8'}", 1), KR_ERR_CONFIG);
}

/* --- sound: 10 of noise, 0.2 s ------------------------------------------------------------------------------- */

#define SOUND "{'kind': 'audio', 'paths': 'sound', 'eval_fraction': 0.4, 'n_mels': 10"

static void write_sound(const char *path, uint64_t seed) {
    enum { N = 1600 };
    unsigned char wav[44 + 2 * N] = "RIFF\0\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\x80\xc\0\0";
    kr_rng r = {seed, 5, 0};
    for (int i = 0; i < N; i++) {
        int v = (int)(3000 * kr_rng_normal(&r));
        wav[44 + 2 * i] = (unsigned char)v, wav[45 + 2 * i] = (unsigned char)(v >> 8);
    }
    assert_int_equal(kr_file_write(path, wav, sizeof wav), KR_OK);
}

/* Hidden numbers are one stretch of frames and one of bands, no longer than said; now and then both are there. */
static void test_sound(void **state) {
    char path[64];
    int times = 0, bands = 0;
    (void)state;
    for (int i = 0; i < 10; i++) {
        snprintf(path, sizeof path, "sound/%d", i % 2);
        assert_int_equal(kr_dir_make(path), KR_OK);
        snprintf(path, sizeof path, "sound/%d/%d.wav", i % 2, i);
        write_sound(path, (uint64_t)i);
    }
    check(SOUND "}", SOUND ", 'mask_ms': 60, 'mask_bands': 3, 'masks': 2}");
    rows p = open_rows(SOUND "}", 1), r = open_rows(SOUND ", 'mask_ms': 60, 'mask_bands': 3}", 1);
    int64_t L = kr_source_get_info(r.s)->L;
    for (int64_t step = 0; step < 30; step++) {
        take(&p, KR_SPLIT_TRAIN, step), take(&r, KR_SPLIT_TRAIN, step);
        for (int row = 0; row < 4; row++) {
            const float *x = r.x + row * r.each, *was = p.x + row * r.each;
            bool frame[1000], band[10];
            int64_t n_frames = 0, n_bands = 0, edges = 0;
            for (int64_t l = 0; l < L; l++) {
                frame[l] = true;
                for (int c = 0; c < 10; c++) frame[l] = frame[l] && x[l * 10 + c] == 0;
                n_frames += frame[l], edges += l > 0 && frame[l] != frame[l - 1];
            }
            assert_true(n_frames <= 6 && edges <= 2);
            edges = 0;
            for (int c = 0; c < 10; c++) {
                band[c] = true;
                for (int64_t l = 0; l < L; l++) band[c] = band[c] && x[l * 10 + c] == 0;
                n_bands += band[c], edges += c > 0 && band[c] != band[c - 1];
            }
            assert_true(n_bands <= 3 && edges <= 2);
            for (int64_t i = 0; i < r.each; i++) assert_true(frame[i / 10] || band[i % 10] || x[i] == was[i]);
            times += n_frames > 0, bands += n_bands > 0;
        }
    }
    assert_true(times > 60 && bands > 60);
    close_rows(&p), close_rows(&r);
    rows none;
    assert_int_equal(try_open(&none, "{'kind': 'audio', 'paths': 'sound', 'features': 'raw', 'mask_bands': 1}", 1), KR_ERR_CONFIG);
    assert_non_null(strstr(kr_error(), "one band only"));
}

/* --- numbers ------------------------------------------------------------------------------------------------- */

#define SERIES "{'kind': 'series', 'paths': 's.csv', 'history': 12, 'horizon': 3"
#define TABLE "{'kind': 'table', 'paths': 's.csv', 'label': 'b', 'task': 'regress'"

/* What is added to the inputs has mean 0 and this deviation; answers stay. */
static void check_jitter(const char *plain, const char *changed, double deviation) {
    rows p = open_rows(plain, 1), r = open_rows(changed, 1);
    double sum = 0, square = 0, n = 0;
    check(plain, changed);
    for (int64_t step = 0; step < 200; step++) {
        take(&p, KR_SPLIT_TRAIN, step), take(&r, KR_SPLIT_TRAIN, step);
        for (int64_t i = 0; i < 4 * r.each; i++, n++) sum += r.x[i] - p.x[i], square += pow((double)r.x[i] - p.x[i], 2);
        assert_memory_equal(r.y, p.y, (size_t)(4 * kr_source_get_info(r.s)->y_width) * sizeof *r.y);
    }
    assert_true(fabs(sum / n) < 5 * deviation / sqrt(n) && fabs(square / n / deviation / deviation - 1) < 5 * sqrt(2 / n));
    close_rows(&p), close_rows(&r);
}

static void test_numbers(void **state) {
    char text[6000];
    size_t n = (size_t)snprintf(text, sizeof text, "a,b\n");
    (void)state;
    for (int i = 0; i < 200; i++) n += (size_t)snprintf(text + n, sizeof text - n, "%.3f,%.3f\n", sin(i * 0.3), cos(i * 0.11) + 0.01 * i);
    assert_int_equal(kr_file_write("s.csv", text, n), KR_OK);
    check_jitter(SERIES "}", SERIES ", 'jitter': 0.2}", 0.2);
    check_jitter(TABLE "}", TABLE ", 'jitter': 0.5}", 0.5);
}

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "%s", new_folder());
    return chdir(folder);
}
static int remove_folder(void **state) {
    (void)state;
    return chdir("/") || kr_dir_remove(folder) != KR_OK;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pictures), cmocka_unit_test(test_sound), cmocka_unit_test(test_numbers)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
