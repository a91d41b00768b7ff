/* check_data.c - files of every kind, from training to an answer: a few samples are written, a
 * small model learns them, is scored, opened again, and says the same of the files. */
#include "data_case.h"

/* A model whose preprocessor was edited, and files, do not go together: a sentence, and no answer. */
static kr_status no_answer(void *user, const kr_answer *a) {
    (void)user, (void)a;
    fail_msg("an answer");
    return KR_OK;
}
static void refuse_predict(kr_model *m, const char *file, const char *says) {
    if (kr_predict(m, &file, 1, no_answer, NULL) == KR_OK) fail_msg("%s: not refused", says);
    if (!strstr(kr_error(), says)) fail_msg("%s", kr_error());
}

typedef struct answers { int n, right; char name[100]; double value; } answers;

/* --- pictures ----------------------------------------------------------------------------- */

/* n pictures of 6 x 8 with a bright row (class 0) or column (class 1) at a place of their own. */
enum { H = 6, W = 8 };
static void write_pictures(int n) {
    unsigned char images[16 + 60 * H * W] = {0, 0, 8, 3, 0, 0, 0, (unsigned char)n, 0, 0, 0, H, 0, 0, 0, W}, labels[8 + 60] = {0, 0, 8, 1, 0, 0, 0, (unsigned char)n};
    unsigned char masks[16 + 60 * H * W];
    for (int i = 0; i < n; i++) {
        labels[8 + i] = (unsigned char)(i % 2 ? 7 : 3);
        for (int k = 0; k < H * W; k++) images[16 + i * H * W + k] = (unsigned char)(i % 2 ? (k % W == i / 2 % W ? 250 : 20) : (k / W == i / 2 % H ? 250 : 20));
    }
    write_bytes("images.idx", images, (size_t)(16 + n * H * W));
    write_bytes("labels.idx", labels, (size_t)(8 + n));
    memcpy(masks, images, sizeof masks);
    for (size_t k = 16; k < sizeof masks; k++) masks[k] = images[k] > 100 ? 255 : 0;
    write_bytes("masks.idx", masks, (size_t)(16 + n * H * W));
}

static kr_status count_class(void *user, const kr_answer *a) {
    answers *all = user;
    const char *want = all->n % 2 ? "7" : "3";
    assert_int_equal(a->kind, KR_ANSWER_CLASS);
    assert_int_equal(a->n, 2);
    assert_true(fabs(a->values[0] + a->values[1] - 1) < 1e-5);
    if (all->n == 0) snprintf(all->name, sizeof all->name, "%s", a->name);
    all->right += strcmp(a->label[a->best], want) == 0;
    all->n++;
    return KR_OK;
}

static void pictures(void **state) {
    (void)state;
    kr_model *m;
    kr_eval_source_result r;
    answers all = {0};
    const char *const files[] = {"images.idx"};
    write_pictures(60);
    train("{'model': {'d_model': 16, 'n_layer': 1, 'encoder': {'patch': '2x2'}, 'order': {'type': 'scan', 'path': 'cross', 'share': true}, 'mixer': {'type': 'mamba1', 'd_state': 4}},"
          " 'data': {'kind': 'image', 'paths': 'images.idx', 'labels': 'labels.idx', 'test_fraction': 0.2, 'shift': 0}, " TRAIN "}");
    assert_true(last_metric > 0.9);
    if (kr_model_open(&m, "m", NULL) != KR_OK) fail_msg("%s", kr_error());
    if (kr_predict(m, files, 1, count_class, &all) != KR_OK) fail_msg("%s", kr_error());
    assert_int_equal(all.n, 60);
    assert_true(all.right >= 56);
    assert_string_equal(all.name, "images.idx:0");
    if (kr_eval_source(m, "{\"data\": {\"kind\": \"image\", \"paths\": \"images.idx\", \"labels\": \"labels.idx\", \"test_fraction\": 0.2}}", 0, true, &r) != KR_OK) fail_msg("%s", kr_error());
    assert_int_equal(r.n_rows, 12);
    assert_true(fabs(r.metric - last_metric) < 1e-9); /* the run's own last score was of the same */
    assert_int_equal(r.n_more, 3);
    json_array_append_new(json_object_get(m->preprocessor, "classes"), json_string("9"));
    refuse_predict(m, "images.idx", "scores 2 classes, but the data \"image\" have 3");
    json_object_set_new(m->preprocessor, "dense", json_true());
    refuse_predict(m, "images.idx", "choose the head that fits");
    json_object_set_new(m->preprocessor, "size", json_pack("[f, f, f]", 12., 16., 1.));
    refuse_predict(m, "images.idx", "but a row has");
    kr_model_free(m);
}

static kr_status count_cells(void *user, const kr_answer *a) {
    answers *all = user;
    assert_int_equal(a->kind, KR_ANSWER_CELLS);
    assert_true(a->H == H && a->W == W && a->n == H * W);
    for (int k = 0; k < H * W; k++) {
        int i = all->n, bright = i % 2 ? k % W == i / 2 % W : k / W == i / 2 % H;
        all->right += a->cells[k] == bright;
    }
    all->n++;
    return KR_OK;
}
static void pixels(void **state) {
    (void)state;
    kr_model *m;
    answers all = {0};
    const char *const files[] = {"images.idx"};
    write_pictures(60);
    train("{'model': {'d_model': 16, 'n_layer': 1, 'encoder': {'patch': '2x2'}, 'mixer': {'type': 'mamba1', 'd_state': 4}},"
          " 'data': {'kind': 'image', 'paths': 'images.idx', 'labels': 'masks.idx', 'flip': 'all'}, " TRAIN "}");
    assert_true(last_metric > 0.95);
    if (kr_model_open(&m, "m", NULL) != KR_OK) fail_msg("%s", kr_error());
    if (kr_predict(m, files, 1, count_cells, &all) != KR_OK) fail_msg("%s", kr_error());
    assert_true(all.right > 60 * H * W * 95 / 100);
    kr_model_free(m);
}

static void pictures_refused(void **state) {
    (void)state;
    write_pictures(60);
#define SMALL "'d_model': 8, 'n_layer': 1, 'mixer': {'type': 'mamba1'}"
#define IMAGE(keys) "{'model': {" SMALL "}, 'data': {'kind': 'image', " keys "}, 'train': {'out': 'none'}}"
    refuse(IMAGE("'paths': 'images.idx', 'labels': ['labels.idx'], 'eval_paths': 'images.idx', 'eval_labels': 'masks.idx'"), "do not go together");
    refuse(IMAGE("'paths': ['images.idx', 'images.idx'], 'labels': 'labels.idx'"), "more files of pictures than of labels");
    refuse(IMAGE("'paths': 'images.idx'"), "the pictures have 0 classes, want at least 2: give data.labels");
    refuse(IMAGE("'paths': 'none*.png'"), "data.paths: none*.png: no file fits this pattern");
    refuse(IMAGE("'paths': 'none.png'"), "none.png");
    refuse(IMAGE("'labels': 'labels.idx'"), "data.paths names no file");
    refuse(IMAGE("'paths': 'labels.idx', 'labels': 'labels.idx'"), "is no picture");
    refuse("{'model': {" SMALL ", 'head': {'type': 'regress'}}, 'data': {'kind': 'image', 'paths': 'images.idx', 'labels': 'labels.idx'}, 'train': {'out': 'none'}}",
           "choose the head that fits");
    refuse("{'model': {" SMALL ", 'encoder': {'patch': '9x9'}}, 'data': {'kind': 'image', 'paths': 'images.idx', 'labels': 'labels.idx'}, 'train': {'out': 'none'}}",
           "encoder.patch is larger than encoder.size");
}

/* --- series --------------------------------------------------------------------------------- */

static kr_status keep_numbers(void *user, const kr_answer *a) {
    answers *all = user;
    assert_int_equal(a->kind, KR_ANSWER_NUMBERS);
    snprintf(all->name, sizeof all->name, "%s %s %s", a->name, a->label[0], a->label[a->n - 1]);
    all->n += (int)a->n;
    all->value = 0;
    for (int t = 0; t < 4; t++) all->value += fabs(a->values[t] - (100 + 5 * sin(.5 * (200 + t)))); /* of the first variable */
    return KR_OK;
}
static void write_series(void) {
    kr_str s = {0};
    kr_str_append(&s, "date,a,b\n");
    for (int t = 0; t < 200; t++) kr_str_appendf(&s, "day %d,%.6f,%.6f\n", t, 100 + 5 * sin(.5 * t), -3 + cos(.5 * t));
    write_bytes("s.csv", s.text, s.n);
    kr_str_free(&s);
}
static void series(void **state) {
    (void)state;
    static const char *const tokens[] = {"variables", "patches", "steps"};
    const char *const files[] = {"s.csv"};
    write_series();
    for (int i = 0; i < 3; i++) {
        char recipe[1000];
        kr_model *m;
        answers all = {0};
        snprintf(recipe, sizeof recipe, "{'model': {'d_model': 16, 'n_layer': 1, 'encoder': {'tokens': '%s', 'patch_length': 4, 'patch_stride': 4}, 'mixer': {'type': 'mamba1', 'd_state': 4}},"
                 " 'data': {'kind': 'series', 'paths': 's.csv', 'history': 16, 'horizon': 4, 'window_norm': %s}, " TRAIN "}", tokens[i], i ? "true" : "false");
        train(recipe);
        assert_true(last_metric < 0.1); /* of a variance of 1 */
        if (kr_model_open(&m, "m", NULL) != KR_OK) fail_msg("%s", kr_error());
        if (kr_predict(m, files, 1, keep_numbers, &all) != KR_OK) fail_msg("%s", kr_error());
        assert_int_equal(all.n, 8);
        assert_string_equal(all.name, "s.csv:200 a b");
        if (all.value > 4 * 2.5) fail_msg("%s: the next steps are off by %g each", tokens[i], all.value / 4);
        kr_eval_source_result r;
        assert_int_equal(kr_eval_source(m, "{\"data\": {\"kind\": \"series\", \"paths\": \"s.csv\", \"history\": 16, \"horizon\": 7}}", 0, false, &r), KR_ERR_CONFIG);
        assert_non_null(strstr(kr_error(), "choose the head that fits"));
        json_object_set_new(json_object_get(m->preprocessor, "data"), "horizon", json_integer(1000));
        refuse_predict(m, "s.csv", "wants 8 numbers a row, but the data \"series\" give 2000 numbers");
        write_bytes("empty.csv", "date,a,b\n", 9);
        refuse_predict(m, "empty.csv", "empty.csv: a table of names without a row");
        kr_model_free(m);
    }
    refuse("{'model': {'d_model': 8, 'n_layer': 1, 'mixer': {'type': 'ss2d', 'path': 'tree', 'conv': 'line'}}, 'data': {'kind': 'series', 'paths': 's.csv', 'history': 16, 'horizon': 4}, 'train': {'out': 'none'}}",
           "ss2d along a tree wants pictures");
#define SERIES(keys) "{'model': {" SMALL "}, 'data': {'kind': 'series', 'paths': 's.csv', " keys "}, 'train': {'out': 'none'}}"
    refuse(SERIES("'columns': ['date']"), "s.csv: line 2: date is \"day 0\", want a number");
    refuse(SERIES("'columns': ['c']"), "it has none of data.columns");
    refuse(SERIES("'history': 190"), "no window of 190 + 96 steps fits");
}

/* What a step is says the encoder, not how many there are: of three moments of three variables, of one
 * variable in pieces. */
static void check_head(const char *tokens, int variables, int history, int64_t rows, int64_t columns) {
    char config[600];
    kr_model *m;
    snprintf(config, sizeof config, "{\"model_type\": \"krait\", \"d_model\": 8, \"n_layer\": 1, \"mixer\": {\"type\": \"mamba1\"}, "
             "\"encoder\": {\"type\": \"series\", \"tokens\": \"%s\", \"variables\": %d, \"history\": %d, \"patch_length\": 4, \"patch_stride\": 4}, "
             "\"head\": {\"type\": \"forecast\", \"variables\": %d, \"horizon\": 5}}", tokens, variables, history, variables);
    json_t *j = json_loads(config, 0, NULL);
    assert_non_null(j);
    if (kr_model_describe(&m, j, "test", KR_F32, NULL) != KR_OK) fail_msg("%s", kr_error());
    json_decref(j);
    const kr_param *p = m->params->first;
    while (p && strcmp(p->name, "head.weight") != 0) p = p->next;
    assert_non_null(p);
    if (p->dim[0] != rows || p->dim[1] != columns)
        fail_msg("%s, %d variables of %d moments: the head is %d x %d, want %d x %d", tokens, variables, history, (int)p->dim[0], (int)p->dim[1], (int)rows, (int)columns);
    kr_model_release(m);
}
static void forecasts(void **state) {
    (void)state;
    for (int variables = 1; variables < 4; variables++)
        for (int history = 1; history < 10; history++) {
            check_head("variables", variables, history, 5, 8);
            check_head("steps", variables, history, 5 * variables, 8);
            if (history >= 4) check_head("patches", variables, history, 5, 8 * (history / 4));
        }
}

/* --- sound ---------------------------------------------------------------------------------------- */

/* 0.2 s of a tone at 8 kHz with some noise. */
static void write_tone(const char *path, double hertz, int seed) {
    enum { N = 1600 };
    unsigned char wav[44 + 2 * N] = "RIFF\0\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\x80\xc\0\0";
    kr_rng r = {(uint64_t)seed, 5, 0};
    for (int i = 0; i < N; i++) {
        int v = (int)(8000 * sin(6.2831853 * hertz * i / 8000 + seed) + 500 * kr_rng_normal(&r));
        wav[44 + 2 * i] = (unsigned char)v, wav[45 + 2 * i] = (unsigned char)(v >> 8);
    }
    write_bytes(path, wav, sizeof wav);
}
static kr_status count_tone(void *user, const kr_answer *a) {
    answers *all = user;
    all->n++;
    all->right += strncmp(strrchr(a->name, '/') + 1, a->label[a->best], 3) == 0;
    return KR_OK;
}
static void sound(void **state) {
    (void)state;
    static const char *const features[] = {"'n_mels': 12, 'shift_ms': 20", "'features': 'raw', 'seconds': 0.1"};
    static const char *const encoders[] = {"", "'encoder': {'patch': '16', 'stride': '8'},"};
    const char *const files[] = {"tones"};
    char path[60], recipe[1000];
    assert_int_equal(kr_dir_make("tones"), KR_OK);
    for (int i = 0; i < 40; i++) {
        snprintf(path, sizeof path, "tones/%s_%d.wav", i % 2 ? "high" : "low1", i);
        write_tone(path, i % 2 ? 1500 : 400, i);
    }
    for (int i = 0; i < 2; i++) {
        kr_model *m;
        answers all = {0};
        snprintf(recipe, sizeof recipe, "{'model': {'d_model': 16, 'n_layer': 1, %s 'mixer': {'type': 'mamba1', 'd_state': 4}}, 'data': {'kind': 'audio', 'paths': 'tones/*.wav', 'label': 'name', %s}, " TRAIN "}",
                 encoders[i], features[i]);
        train(recipe);
        assert_true(last_metric > 0.9);
        if (kr_model_open(&m, "m", NULL) != KR_OK) fail_msg("%s", kr_error());
        if (kr_predict(m, files, 1, count_tone, &all) != KR_OK) fail_msg("%s", kr_error());
        assert_int_equal(all.n, 40);
        assert_true(all.right >= 38);
        kr_model_free(m);
    }
}

/* --- sequences, tables ---------------------------------------------------------------------------------- */

static void write_letters(void) {
    kr_str s = {0}, fasta = {0};
    kr_rng r = {7, 7, 0};
    kr_str_append(&s, "sequence,label,gc\n");
    for (int i = 0; i < 80; i++) { /* rich in A and T, or in C and G */
        char text[31] = "";
        int gc = 0;
        for (int k = 0; k < 30; k++) text[k] = (i % 2 ? "ACGTAATT" : "ACGTCCGG")[kr_rng_below(&r, 8)];
        for (int k = 0; k < 30; k++) gc += text[k] == 'G' || text[k] == 'C';
        kr_str_appendf(&s, "%.*s,%s,%d\n", 20 + i % 11, text, i % 2 ? "at" : "none", gc);
        kr_str_appendf(&fasta, ">%d\n%s\n", i, text);
    }
    write_bytes("dna.csv", s.text, s.n);
    write_bytes("dna.fa", fasta.text, fasta.n);
    kr_str_free(&s), kr_str_free(&fasta);
}
/* Put back to their positions, a row's letters are a sequence of the file; each step tells the next, but no mark
 * within the sequence. */
static void infill(void **state) {
    (void)state;
    kr_source *src;
    enum { MASK = 1, FIRST = 3, ROWS = 8 };
    write_letters();
    json_t *data = json_loads("{\"kind\": \"sequence\", \"paths\": \"dna.fa\", \"task\": \"infill\", \"infill_fraction\": 0.5}", 0, NULL);
    if (kr_source_open(&src, &(kr_source_options){.data = data, .S = ROWS, .seed = 1}) != KR_OK) fail_msg("%s", kr_error());
    const kr_source_info *info = kr_source_get_info(src);
    assert_true(info->L == 40 && info->positions);
    int32_t ids[ROWS * 40], targets[ROWS * 40], positions[ROWS * 40];
    void *file;
    size_t n;
    int spans = 0;
    assert_int_equal(kr_file_read(&file, &n, "dna.fa"), KR_OK);
    for (int64_t step = 0; step < 30; step++) {
        kr_batch b = {.S = ROWS, .L = 40, .ids = ids, .targets = targets, .positions = positions};
        assert_int_equal(kr_source_batch(src, KR_SPLIT_TRAIN, step, &b), KR_OK);
        for (int r = 0; r < ROWS; r++) {
            const int32_t *id = ids + 40 * r, *t = targets + 40 * r, *at = positions + 40 * r;
            char text[33] = "\n";
            int steps = 40, marks = 0, seen = id[0] == MASK;
            while (steps > 0 && id[steps - 1] == 0) steps--;
            for (int i = 0; i < steps; i++) {
                marks += id[i] == MASK;
                if (id[i] != MASK) text[1 + at[i]] = "ACGT"[id[i] - FIRST];
            }
            text[31] = '\n';
            assert_true(steps == 30 + marks && marks % 2 == 0 && strstr(file, text));
            for (int i = 0; i < 40; i++) {
                bool hidden = i + 1 < steps && id[i + 1] == MASK && ++seen <= marks / 2;
                assert_int_equal(t[i], i >= steps || hidden || (i == 39 && steps < 40) ? -1 : i + 1 < 40 ? id[i + 1] : 0);
            }
            if (marks && id[0] == MASK) assert_true(at[0] == 0);
            spans += marks / 2;
        }
    }
    assert_true(spans > 150 && spans < 330); /* of 240 rows, one each */
    kr_mem_free(file);
    kr_source_close(src);
    json_decref(data);
    train("{'model': {'d_model': 16, 'n_layer': 1, 'mixer': {'type': 'mamba1', 'd_state': 4}}, 'data': {'kind': 'sequence', 'paths': 'dna.fa', 'task': 'infill'}, " TRAIN "}");
    assert_true(last_metric < 4.2);
    refuse("{'model': {" SMALL ", 'encoder': {'positions': 9}}, 'data': {'kind': 'sequence', 'paths': 'dna.fa', 'task': 'masked'}, 'train': {'out': 'none'}}",
           "model.encoder.positions wants data that say where their steps stand");
}

static kr_status count_answers(void *user, const kr_answer *a) {
    answers *all = user;
    all->n++;
    snprintf(all->name, sizeof all->name, "%s", a->name);
    return KR_OK;
}
#define BI "'model': {'d_model': 16, 'n_layer': 1, 'order': {'type': 'bidirectional'}, 'mixer': {'type': 'mamba1', 'd_state': 4}}"
static void letters(void **state) {
    (void)state;
    kr_model *m;
    answers all = {0};
    const char *const files[] = {"dna.fa"};
    write_letters();
    train("{" BI ", 'data': {'kind': 'sequence', 'paths': 'dna.csv', 'eval_fraction': 0.2}, " TRAIN "}");
    assert_true(last_metric >= 0.7);
    if (kr_model_open(&m, "m", NULL) != KR_OK) fail_msg("%s", kr_error());
    if (kr_predict(m, files, 1, count_answers, &all) != KR_OK) fail_msg("%s", kr_error()); /* another format, no labels */
    assert_int_equal(all.n, 80);
    assert_string_equal(all.name, "dna.fa:159");
    kr_model_free(m);
    train("{" BI ", 'data': {'kind': 'sequence', 'paths': 'dna.csv', 'task': 'regress', 'label': 'gc', 'reverse_complement': true}, " TRAIN "}");
    assert_true(last_metric < 40); /* a variance of about 55 */
    train("{" BI ", 'data': {'kind': 'sequence', 'paths': 'dna.fa', 'task': 'masked'}, " TRAIN "}");
    assert_true(last_metric < 5.5); /* one of four letters */
    train("{" BI ", 'data': {'kind': 'sequence', 'paths': 'dna.csv', 'eval_fraction': 0.2, 'task': 'regress', 'label': 'gc', 'strands': true}, " TRAIN "}");
    assert_true(last_metric < 40);
    if (kr_model_open(&m, "m", NULL) != KR_OK) fail_msg("%s", kr_error());
    all = (answers){0};
    if (kr_predict(m, files, 1, count_answers, &all) != KR_OK) fail_msg("%s", kr_error());
    assert_int_equal(all.n, 80);
    kr_model_free(m);
    train("{" BI ", 'data': {'kind': 'sequence', 'paths': 'dna.fa', 'task': 'masked', 'strands': true}, " TRAIN "}");
    assert_true(last_metric < 5.5);
    refuse("{" BI ", 'data': {'kind': 'sequence', 'alphabet': 'protein', 'paths': 'dna.csv', 'strands': true}}", "only single sequences of DNA have two");
    refuse("{" BI ", 'data': {'kind': 'sequence', 'paths': 'dna.csv', 'label': 'class'}}", "there is no column \"class\" (data.label); there are sequence, label, gc");
    refuse("{" BI ", 'data': {'kind': 'sequence', 'paths': 'dna.csv', 'task': 'regress'}}", "dna.csv: line 2: label is \"none\", want a number");
}

/* A space is a letter of a text, and layout of DNA. */
static void spaces(void **state) {
    static const char *const data[] = {"{\"kind\": \"sequence\", \"paths\": \"sp.csv\", \"alphabet\": \"bytes\", \"eval_fraction\": 0}",
                                       "{\"kind\": \"sequence\", \"paths\": \"sp.csv\", \"alphabet\": \"dna\", \"eval_fraction\": 0}"};
    static const char text[] = "sequence,label\nA C G T,x\nAC,y\n";
    (void)state;
    write_bytes("sp.csv", text, sizeof text - 1);
    for (int i = 0; i < 2; i++) {
        json_t *j;
        kr_source *s;
        assert_int_equal(kr_json_parse(&j, data[i], strlen(data[i]), "data"), KR_OK);
        if (kr_source_open(&s, &(kr_source_options){.data = j, .S = 1}) != KR_OK) fail_msg("%s", kr_error());
        assert_int_equal(kr_source_get_info(s)->L, i ? 4 : 7);
        kr_source_close(s);
        json_decref(j);
    }
}

static void tables(void **state) {
    (void)state;
    kr_model *m;
    answers all = {0};
    kr_str s = {0};
    kr_rng r = {3, 3, 0};
    const char *const files[] = {"t.csv"};
    kr_str_append(&s, "x,y,side,note\n");
    for (int i = 0; i < 120; i++) {
        double x = kr_rng_normal(&r), y = kr_rng_normal(&r);
        kr_str_appendf(&s, "%.4f,%.4f,%s,n%d\n", 50 + x, 3 * y, x > y ? "right" : "left", i);
    }
    write_bytes("t.csv", s.text, s.n);
    kr_str_free(&s);
    train("{" BI ", 'data': {'kind': 'table', 'paths': 't.csv', 'label': 'side', 'columns': ['x', 'y'], 'test_fraction': 0.1, 'hold_out': 'last'}, " TRAIN "}");
    assert_true(last_metric > 0.8);
    if (kr_model_open(&m, "m", NULL) != KR_OK) fail_msg("%s", kr_error());
    if (kr_predict(m, files, 1, count_answers, &all) != KR_OK) fail_msg("%s", kr_error());
    assert_int_equal(all.n, 120);
    kr_model_free(m);
    train("{" BI ", 'data': {'kind': 'table', 'paths': 't.csv', 'label': 'x', 'columns': 'y', 'task': 'regress'}, " TRAIN "}");
    assert_true(last_metric < 3);
    refuse("{" BI ", 'data': {'kind': 'table', 'paths': 't.csv', 'label': 'side'}}", "t.csv: line 2: note is \"n0\", want a number");
    refuse("{" BI ", 'data': {'kind': 'table', 'paths': 't.csv'}}", "there is no column \"label\"");
    write_bytes("twice.csv", "x,y,x,side\n1,2,3,a\n4,5,6,b\n", 27);
    refuse("{" BI ", 'data': {'kind': 'table', 'paths': 'twice.csv', 'label': 'side'}}", "twice.csv: columns 1 and 3 are both called \"x\"");
    refuse("{" BI ", 'data': {'kind': 'table', 'paths': 'twice.csv', 'label': 'x', 'columns': 'y'}}", "columns 1 and 3 are both called");
    refuse("{" BI ", 'data': {'kind': 'series', 'paths': 'twice.csv', 'history': 2, 'horizon': 1}}", "columns 1 and 3 are both called");
    refuse("{" BI ", 'data': {'kind': 'sequence', 'alphabet': 'bytes', 'paths': 'twice.csv', 'sequence': 'x', 'label': 'side'}}", "columns 1 and 3 are both called");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(pictures), cmocka_unit_test(pixels), cmocka_unit_test(pictures_refused), cmocka_unit_test(series), cmocka_unit_test(forecasts),
                                       cmocka_unit_test(sound),    cmocka_unit_test(letters), cmocka_unit_test(infill), cmocka_unit_test(spaces), cmocka_unit_test(tables)};
    return cmocka_run_group_tests(tests, make_folder, NULL);
}
