/* fuzz_source.c - "data" of a recipe over files of any bytes: refused with a sentence that names a file or a key, or
 * every batch holds what it says, and what was learnt opens the same files for a model.
 *
 * The first line is "data", with ' for "; the second what a model has learnt, or empty.  Files follow, each a byte 30,
 * its name and a newline before it; names begin with the key whose folder they lie in: paths/cat/1.npy.  Numbers
 * and sizes among the keys are made small: how long a row may be is the machine's to say. */
#include "fuzz_case.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "data/source.h"

enum { MARK = 30, RATE = 8000, MOST_NUMBER = 200, MOST_FILES = 24, ROOM = 1 << 18 };

/* --- seeds ------------------------------------------------------------------------------------------ */

/* A text as it is, or a tensor of bytes (behind "f4" of floats) of this shape, "wav", or "zip": of members "name|text|name|text". */
typedef struct member { const char *name, *text, *shape; } member;
static const struct { const char *data, *fitted; member file[8]; } seeds[] = {
    {"{'kind': 'image', 'paths': 'x', 'labels': 'x', 'eval_fraction': 0.4, 'flip': 'all', 'shift': 1}", "", {{"paths/a.npy", "aAbBcCdDeEfF", "3, 2, 2, 1"}, {"labels/a.npy", "\1\2\1", "3,"}}},
    {"{'kind': 'image', 'paths': 'x', 'labels': 'x', 'tile': '2x2', 'channels': 'grey', 'crop': '1x2', 'eval_fraction': 0}", "", {{"paths/a.npy", "abcdefghijklmnopqrstuvwx", "4, 2, 3"}, {"labels/a.npy", "\1\2\1\2\1\2\1\2", "4, 2"}}},
    {"{'kind': 'image', 'paths': 'x', 'task': 'noise', 'size': '2x3'}", "", {{"paths/one/a.npy", "abcd", "2, 2"}, {"paths/two/b.npy", "abcdef", "3, 2"}}},
    {"{'kind': 'image', 'paths': 'x'}", "{'mean': [1], 'std': [2], 'size': [2, 2, 1], 'classes': ['a', 'b'], 'dense': false}", {{"paths/a.npy", "abcd", "2, 2"}}},
    {"{'kind': 'series', 'paths': 'x', 'history': 3, 'horizon': 2, 'test_fraction': 0.3, 'jitter': 0.1}", "", {{"paths/a.csv", "t,a,b\nx,1,2\ny,2,3\nz,4,1\ny,2,3\nz,4,1\ny,2,3\nz,4,1\ny,2,3\nz,4,1\ny,2,3\nz,4,1\ny,2,3\n"}}},
    {"{'kind': 'audio', 'paths': 'x', 'n_mels': 3, 'window_ms': 2, 'hop_ms': 1, 'mask_ms': 2, 'mask_bands': 2, 'shift_ms': 1}", "", {{"paths/a/1.wav", "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz", "wav"}, {"paths/b/2.wav", "acegikmoqsuwyacegikmoqsuwy", "wav"}, {"paths/b/3.wav", "acegikmo", "wav"}}},
    {"{'kind': 'audio', 'paths': 'x', 'features': 'raw', 'label': 'name', 'seconds': 0.002, 'rate': 8000, 'noise': 0.1}", "", {{"paths/a_1.npy", "abcdefghij", "10,"}, {"paths/b_2.wav", "acegikmoqsuwyace", "wav"}}},
    {"{'kind': 'sequence', 'paths': 'x', 'eval_paths': 'x', 'reverse_complement': true}", "", {{"paths/a.csv", "sequence,label\nACGT,x\nGGA,y\nTTTTT,x\n"}, {"eval_paths/b.csv", "label,sequence\ny,ACG\n"}}},
    {"{'kind': 'sequence', 'paths': 'x', 'alphabet': 'smiles', 'task': 'regress', 'label': ['p', 'q'], 'length': 6}", "", {{"paths/a.jsonl", "{\"sequence\": \"CC[NH3+]%12\", \"p\": 1, \"q\": null}\n{\"sequence\": \"Clc1\", \"p\": -2.5, \"q\": 3}\n"}}},
    {"{'kind': 'sequence', 'paths': 'x', 'alphabet': 'protein', 'task': 'masked'}", "", {{"paths/a.fa", ">1\nMKV\n>2 b\nAAWYX\n"}}},
    {"{'kind': 'sequence', 'paths': 'x', 'task': 'infill', 'alphabet': 'bytes', 'infill_fraction': 0.5}", "", {{"paths/a.sto", "# STOCKHOLM 1.0\na ACGTACGTACGT\nb GGGGGGGGGGGG\n//\n"}}},
    {"{'kind': 'sequence', 'paths': 'x', 'sequence': ['s', 't'], 'label': 'l', 'alphabet': 'bytes'}", "", {{"paths/a.tsv", "s\tt\tl\nab\tc\tx\nd\tef\ty\n"}}},
    {"{'kind': 'sequence', 'paths': 'x', 'task': 'class', 'label': ['p', 'q'], 'strands': true}", "", {{"paths/a.csv", "sequence,p,q\nACGT,1,\nGGA,0,1\n"}}},
    {"{'kind': 'table', 'paths': 'x', 'label': 'y', 'task': 'regress', 'jitter': 0.5, 'test_fraction': 0.3}", "", {{"paths/a.csv", "a,b,y\n1,2,3\n2,,1\n4,5,6\n"}}},
    {"{'kind': 'table', 'paths': 'x', 'label': 'y', 'columns': ['b', 'a']}", "", {{"paths/a.csv", "a;b;y\n1;2;u\n2;1;v\n4;5;u\n"}}},
    {"{'kind': 'table', 'paths': 'x'}", "{'columns': ['a'], 'classes': ['u', 'v'], 'mean': [1, 2], 'std': [1, 2]}", {{"paths/a.csv", "a,b\n1,2\n"}}},
    {"{'kind': 'items', 'paths': 'x', 'length': 3, 'at': '2,1'}", "", {{"paths/a.txt", "1 5 6 7\n2 5 7\n1 8 9 5\n3 6\n4 5 6 7 8 9\n"}}},
    {"{'kind': 'items', 'paths': 'x', 'user': 'u', 'items': 'i'}", "{'items': ['5', '6', '7']}", {{"paths/a.csv", "u,i\na,5\nb,6\na,9\n"}}},
    {"{'kind': 'graph', 'paths': 'x', 'walk_steps': 3, 'redraw': true, 'draws': 2}", "", {{"paths/R.zip", "R_A.txt|1, 2\n2, 1\n3,4\n|R_graph_indicator.txt|1\n1\n2\n2\n3\n|R_graph_labels.txt|1\n-1\n1\n|R_node_labels.txt|0\n1\n0\n2\n1\n|R_edge_labels.txt|0\n1\n0\n", "zip"}}},
    {"{'kind': 'graph', 'paths': '*.nodes.tsv', 'draws': 3}", "", {{"paths/g.nodes.tsv", "id\tclass\tpart\tfeatures\na\tx\ttrain\t1 3\nb\ty\tval\t2\nc\tx\ttest\t\n"}, {"paths/g.edges.tsv", "from\tto\na\tb\nb\tc\n"}}},
    {"{'kind': 'points', 'paths': 'x', 'points': 6, 'curves': ['hilbert', 'zyx'], 'jitter': 0.1, 'turn': 30}", "", {{"paths/a/1.off", "OFF\n3 1 0\n0 0 1\n1 2 3\n-1 0.5 2\n3 0 1 2\n"}, {"paths/b/1.xyz", "x y z\n1 2 3\n4 5 6\n"}}},
    {"{'kind': 'points', 'paths': 'x', 'points': 5, 'patches': 3, 'patch_points': 2, 'label': 'name', 'curves': ['z', 'hilbert']}", "", {{"paths/a_1.xyz", "1 2 3\n4 5 6\n7 8 8\n0 0 1\n"}, {"paths/b-1.npy", "\1\2\3\4\5\6\7\10\11", "3, 3"}}},
    {"{'kind': 'clip', 'paths': 'x', 'frames': 4, 'jitter': 0.1}", "", {{"paths/a/1.npy", "abcdefghijkl", "3, 2, 2"}, {"paths/b/1.npy", "abcdefgh", "2, 2, 2"}}},
    {"{'kind': 'clip', 'paths': 'x', 'frames': 3}", "", {{"paths/a/1.npy", "abc\276abc>abc?abc@abc\277abc@abc\276abc>", "f4 2, 4"}, {"paths/b/1.npy", "abc\276abc?abc?abc@", "f4 1, 4"}}},
    {"{'kind': 'points', 'paths': 'x', 'points': 4}", "", {{"paths/a/1.npy", "abc\276abc>abc?abc@abc\277abc@abc\276abc>", "f4 2, 4"}, {"paths/b/1.npy", "abc\276abc?abc?", "f4 1, 3"}}},
    {"{'kind': 'audio', 'paths': 'x', 'n_mels': 3, 'rate': 8000, 'window_ms': 0.5, 'hop_ms': 0.3}", "", {{"paths/a/1.npy", "abc\276abc>abc?abc>abc\277abc?abc\276abc>", "f4 8,"}, {"paths/b/1.npy", "abc\276abc?abc?", "f4 3,"}}},
    {"{'kind': 'image', 'paths': 'x'}", "", {{"paths/a/1.npy", "abc\276abc>abc?abc>", "f4 2, 2"}, {"paths/b/1.npy", "abc\276abc>abc?abc>", "f4 2, 2"}}},
    {"{'kind': 'clip', 'paths': 'x', 'frames': 2, 'joints': 2}", "{'classes': ['a', 'b'], 'frame': [1, 6, 1]}", {{"paths/a/1.xyz", "1 2 3\n4 5 6\n7 8 9\n1 2 3\n"}}},
    {"{'kind': 'text', 'paths': 'x', 'mode': 'packed', 'separator': '--', 'end_byte': 0, 'fim': 0.5, 'length': 12}", "", {{"paths/a.txt", "some words--that are--three documents, of which one is held out"}, {"paths/b.txt", "more of them"}}},
    {"{'kind': 'text', 'paths': 'x', 'eval_paths': 'x', 'mode': 'carry', 'length': 5}", "", {{"paths/a.txt", "some words that are one document"}, {"eval_paths/b.txt", "more of them"}}},
};
const long fuzz_inputs = 7000;
const char *const fuzz_words[] = {"'kind': ", "'image'", "'series'", "'audio'", "'sequence'", "'table'", "'items'", "'graph'", "'points'", "'clip'", "'text'", "'task': ", "'class'", "'regress'", "'masked'",
                                  "'noise'", "'infill'", "'label': ", "'labels': 'x', ", "'columns': ", "'fold': 1, ", "'hold_out': 'last', ", "'eval_fraction': 0, ", "'test_fraction': 0.9, ", "\36paths/a/c.npy\n",
                                  "\36paths/d.csv\n", "\36eval_paths/e.csv\n", "nan", "1e38", "\377\377\177\177", "\377\377\177\377", "<f4", ",", "\n", "'mean': [], ", "'classes': ['a'], ", "\223NUMPY", "RIFF", "OFF\n", "PK\3\4", NULL};

static size_t put(uint8_t *to, size_t at, const void *p, size_t n) { return memcpy(to + at, p, n), at + n; }

static size_t put_zip(uint8_t *to, size_t at, const char *text) {
    for (const char *name = text; *name;) {
        size_t n_name = strcspn(name, "|"), n = strcspn(name + n_name + 1, "|");
        uint8_t head[30] = {'P', 'K', 3, 4, [18] = (uint8_t)n, [22] = (uint8_t)n, [26] = (uint8_t)n_name};
        at = put(to, put(to, put(to, at, head, 30), name, n_name), name + n_name + 1, n);
        name += n_name + 1 + n;
        name += *name == '|';
    }
    return at;
}

static size_t put_member(uint8_t *to, size_t at, const member *m) {
    char head[120];
    size_t n = strlen(m->text);
    at = put(to, at, head, (size_t)snprintf(head, sizeof head, "%c%s\n", MARK, m->name));
    if (m->shape && strcmp(m->shape, "zip") == 0) return put_zip(to, at, m->text);
    if (m->shape && strcmp(m->shape, "wav") == 0) {
        at = put(to, at, "RIFF\0\0\0\0WAVEfmt \20\0\0\0\1\0\1\0\100\37\0\0\200\76\0\0\2\0\20\0data", 40);
        at = put(to, at, (const uint8_t[]){(uint8_t)n, 0, 0, 0}, 4);
    } else if (m->shape) {
        bool floats = strncmp(m->shape, "f4", 2) == 0;
        int len = snprintf(head + 10, sizeof head - 10, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }\n", floats ? "<f4" : "|u1", m->shape + 2 * floats);
        memcpy(head, "\223NUMPY\1\0", 8), head[8] = (char)len, head[9] = 0;
        at = put(to, at, head, 10 + (size_t)len);
    }
    return put(to, at, m->text, n);
}

size_t fuzz_seed(int i, uint8_t *to, size_t room) {
    if (i >= (int)(sizeof seeds / sizeof *seeds)) return 0;
    size_t at = put(to, 0, seeds[i].data, strlen(seeds[i].data));
    at = put(to, at, "\n", 1);
    at = put(to, at, seeds[i].fitted, strlen(seeds[i].fitted));
    at = put(to, at, "\n", 1);
    for (const member *m = seeds[i].file; m->name; m++) at = put_member(to, at, m);
    FUZZ_MUST(at <= room);
    return at;
}

/* --- an input ------------------------------------------------------------------------------------------- */

static const char *const path_keys[] = {"paths", "eval_paths", "test_paths", "labels", "eval_labels", "test_labels"};
enum { N_PATH_KEYS = sizeof path_keys / sizeof *path_keys };

/* Numbers and digits in texts that a machine can take. */
static json_t *made_small(const json_t *j) {
    const char *key;
    json_t *v, *out;
    size_t i;
    char text[200];
    if (json_is_object(j)) {
        out = json_object();
        json_object_foreach((json_t *)(uintptr_t)j, key, v) json_object_set_new(out, key, made_small(v));
    } else if (json_is_array(j)) {
        out = json_array();
        json_array_foreach(j, i, v) json_array_append_new(out, made_small(v));
    } else if (json_is_integer(j) && json_integer_value(j) > MOST_NUMBER && json_integer_value(j) != RATE) {
        out = json_integer(json_integer_value(j) % MOST_NUMBER);
    } else if (json_is_real(j) && json_real_value(j) > MOST_NUMBER) {
        out = json_real(MOST_NUMBER);
    } else if (json_is_string(j) && json_string_length(j) < sizeof text) {
        size_t n = 0, digits = 0;
        for (const char *p = json_string_value(j); *p; p++) {
            digits = isdigit((unsigned char)*p) ? digits + 1 : 0;
            if (digits <= 2) text[n++] = *p;
        }
        out = json_stringn(text, n);
    } else {
        out = json_deep_copy(j);
    }
    FUZZ_MUST(out);
    return out;
}

/* The folder of a key, or what there has the ending "*.csv". */
static json_t *path_of(const char *key, const json_t *asked) {
    char path[300];
    const char *text = json_string_value(asked);
    bool pattern = text && *text == '*' && strlen(text) < 40 && !strchr(text, '/');
    snprintf(path, sizeof path, "%s%s%s", fuzz_at(key), pattern ? "/" : "", pattern ? text : "");
    return json_string(path);
}

/* A line of JSON with ' for ", an object; NULL: it is none. */
static json_t *read_line(const char *from, size_t n) {
    static char text[1 << 16];
    json_t *j;
    if (n > sizeof text) return NULL;
    for (size_t i = 0; i < n; i++) text[i] = from[i] == '\'' ? '"' : from[i];
    if (kr_json_parse(&j, text, n, "fuzz") != KR_OK) return NULL; /* fuzz_json's */
    if (json_is_object(j)) return j;
    json_decref(j);
    return NULL;
}

/* Writes the files where their names say; those of other names are left out. */
static void write_files(const char *p, const char *end) {
    char name[80], folder[80];
    const char *next = p < end ? memchr(p, MARK, (size_t)(end - p)) : NULL;
    for (int k = 0; next && k < MOST_FILES; k++) {
        p = next + 1;
        const char *line = memchr(p, '\n', (size_t)(end - p)), *slash = p;
        next = memchr(p, MARK, (size_t)(end - p));
        if (!line || (next && next < line)) continue;
        size_t n = (size_t)(line - p);
        bool good = n < sizeof name && memchr(p, '/', n) != NULL;
        for (size_t i = 0; i < n && good; i++) {
            good = isalnum((unsigned char)p[i]) || ((p[i] == '_' || p[i] == '-' || p[i] == '.' || p[i] == '/') && i && i + 1 < n && !(p[i] == '.' && p[i - 1] == '.'));
            if (p[i] == '/') slash = p + i;
        }
        if (!good) continue;
        memcpy(name, p, n), name[n] = 0;
        memcpy(folder, p, (size_t)(slash - p)), folder[slash - p] = 0;
        if (kr_dir_make(fuzz_at(folder)) != KR_OK) continue;
        FILE *f = fopen(fuzz_at(name), "wb"); /* a folder may be called so */
        if (!f) continue;
        size_t bytes = (size_t)((next ? next : end) - line - 1);
        FUZZ_MUST((!bytes || fwrite(line + 1, bytes, 1, f) == 1) && fclose(f) == 0);
    }
}

/* --- batches ---------------------------------------------------------------------------------------------- */

static bool within(const int32_t *x, int64_t n, int64_t low, int64_t high) {
    for (int64_t i = 0; x && i < n; i++)
        if (x[i] < low || x[i] >= high) return false;
    return true;
}
static bool all_finite(const float *x, int64_t n) {
    for (int64_t i = 0; x && i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

/* What a batch holds; its numbers are some if they were brought to a scale that these files gave. */
static void check(const kr_source_info *i, kr_split split, const kr_batch *b, bool own_scale) {
    int64_t steps = b->S * b->L, told = b->S * (split == KR_SPLIT_TRAIN ? i->n_targets : kr_source_held_targets(i));
    FUZZ_MUST(b->n_rows >= 0 && b->n_rows <= b->S);
    FUZZ_MUST(within(b->ids, steps, 0, i->vocab_size) && within(b->targets, told, -1, i->n_classes ? i->n_classes : i->vocab_size));
    FUZZ_MUST(within(b->seq_idx, steps, 0, i->L + 1) && within(b->len, b->S, 1, i->L + 1) && within(b->positions, steps, 0, i->L + 1));
    FUZZ_MUST(within(b->edge_from, b->S * i->n_edges, -1, i->L) && within(b->edge_to, b->S * i->n_edges, -1, i->L));
    FUZZ_MUST(!i->n_row_classes || within(b->classes, b->S, -1, i->n_row_classes));
    if (own_scale) FUZZ_MUST(all_finite(b->x, steps * i->x_width) && all_finite(b->y, b->S * i->y_width) && all_finite(b->scale, b->S * i->y_width));
}

/* The arrays of a batch in one piece of memory, each with a wall of its own under sanitizers. */
static void batches(const kr_source *s, bool predict, bool own_scale) {
    const kr_source_info *i = kr_source_get_info(s);
    int64_t S = i->S, L = i->L, told = S * (i->n_targets > kr_source_held_targets(i) ? i->n_targets : kr_source_held_targets(i));
    FUZZ_MUST(S >= 1 && L >= 1 && *i->about && i->n_classes >= 0 && i->x_width >= 0 && i->n_edges >= 0);
    if (L > ROOM || i->x_width > ROOM || i->y_width > ROOM || i->n_edges > ROOM || S * (L + 1) * (i->x_width + 1) > ROOM || (i->n_edges + 1) * (i->edge_width + 1) > ROOM) return;
    kr_batch b = {.S = S, .L = L};
    int32_t *ids[9];
    float *x[5];
    const int64_t n_ids[9] = {i->vocab_size ? S * L : 0, told, S, S * i->n_edges, S * i->n_edges, S * L, S * L, told, 2 * S};
    const int64_t n_x[5] = {i->vocab_size ? 0 : S * L * i->x_width, S * i->y_width, S * i->y_width, S * i->y_width, S * i->n_edges * i->edge_width};
    for (int k = 0; k < 9; k++) ids[k] = n_ids[k] ? calloc((size_t)n_ids[k], sizeof **ids) : NULL;
    for (int k = 0; k < 5; k++) x[k] = n_x[k] ? calloc((size_t)n_x[k], sizeof **x) : NULL;
    b.ids = ids[0], b.targets = ids[1], b.classes = ids[2], b.edge_from = ids[3], b.edge_to = ids[4], b.seq_idx = ids[5], b.place = ids[7], b.len = ids[8];
    if (i->positions) b.positions = ids[6];
    b.x = x[0], b.y = x[1], b.scale = x[2], b.weight = x[3], b.e = x[4];
    static const int64_t steps[] = {0, 1, 77};
    for (int p = predict ? KR_SPLIT_EVAL : KR_SPLIT_TRAIN; p < KR_N_SPLIT; p++)
        for (int k = 0; k < 3; k++) {
            char name[100];
            if (p == KR_SPLIT_EVAL ? !i->eval_batches : p == KR_SPLIT_TEST && !i->test_batches) continue;
            b.draw = p != KR_SPLIT_TRAIN && i->n_draws > 1 ? k % i->n_draws : 0;
            for (int64_t n = 0; b.len && n < S; n++) b.len[n] = 1;
            FUZZ_MUST(kr_source_batch(s, (kr_split)p, steps[k], &b) == KR_OK);
            check(i, (kr_split)p, &b, own_scale);
            for (int64_t row = 0; row < S; row++) {
                bool named = kr_source_name(s, (kr_split)p, steps[k], row, name, sizeof name);
                (void)kr_source_resets(s, (kr_split)p, steps[k], row);
                if (named && b.y) kr_source_restore(s, (kr_split)p, steps[k], row, b.y + row * i->y_width);
            }
        }
    for (int64_t k = 0; k < 3; k++) (void)kr_source_label(s, k);
    for (int k = 0; k < 9; k++) free(ids[k]);
    for (int k = 0; k < 5; k++) free(x[k]);
}

static bool sentence(kr_status st) {
    if (st == KR_ERR_NOMEM) return true;
    bool known = st == KR_ERR_FORMAT || st == KR_ERR_CONFIG || st == KR_ERR_IO || st == KR_ERR_MISSING || st == KR_ERR_ARG || st == KR_ERR_NUMERIC;
    bool named = strstr(kr_error(), fuzz_root) || strstr(kr_error(), "data") || strstr(kr_error(), "preprocessor_config.json: ");
    if (!known || !named) fprintf(stderr, "%d %s\n", (int)st, kr_error());
    return known && named;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    const char *p = (const char *)bytes, *end = p + n, *line = n ? memchr(p, '\n', n) : NULL, *second = line ? memchr(line + 1, '\n', (size_t)(end - line - 1)) : NULL;
    json_t *given, *data, *fitted;
    if (!second || !(given = read_line(p, (size_t)(line - p)))) return 0;
    fuzz_folder();
    for (int k = 0; k < N_PATH_KEYS; k++) kr_dir_remove(fuzz_at(path_keys[k]));
    write_files(second + 1, end);
    int64_t live = kr_mem_get_stats().n_live;
    data = made_small(given);
    for (int k = 0; k < N_PATH_KEYS; k++)
        if (json_object_get(data, path_keys[k])) json_object_set_new(data, path_keys[k], path_of(path_keys[k], json_object_get(data, path_keys[k])));
    json_object_del(data, "tokenizer"); /* fuzz_tokenizer's */
    fitted = second > line + 1 ? read_line(line + 1, (size_t)(second - line - 1)) : NULL;
    for (int again = 0; again < 2; again++) { /* then with what was learnt, as a model opens them */
        kr_source *s = NULL;
        kr_source_options o = {.data = data, .S = 2, .L = 0, .seed = n, .fitted = fitted, .predict = fitted != NULL};
        kr_status st = kr_source_open(&s, &o);
        FUZZ_MUST(st == KR_OK ? s != NULL : sentence(st));
        if (st != KR_OK) break;
        batches(s, o.predict, !fitted || again);
        json_t *learnt = again || fitted ? NULL : json_deep_copy(kr_source_learnt(s));
        kr_source_close(s);
        if (!learnt) break;
        fitted = learnt;
    }
    json_decref(fitted), json_decref(data);
    FUZZ_MUST(kr_mem_get_stats().n_live == live);
    json_decref(given);
    return 0;
}
