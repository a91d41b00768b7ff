/* source_sequence.c - sequences of letters out of tables (CSV, FASTA, FASTQ, JSON lines, ...): DNA,
 * proteins, SMILES, any text; with a class, a number, or letters that were hidden.
 *
 *   class    a class for the whole sequence, in the column `label`; of several columns yes or no (1 or 0) each
 *   regress  a number, there too, or several; with mean 0 and deviation 1 over the sequences to train on
 *   masked   15 % of the letters are hidden, and are to be told (80 % of them are shown as a mask,
 *            10 % as another letter, 10 % as they are: BERT, Devlin et al. 2018); no labels
 *   infill   spans are hidden and come at the end (fim.h); every letter is told from those before it, and
 *            where the last of a span is; for models that go from left to right; no labels
 *
 * `sequence` may name two columns: a row is then a pair, the first sequence in its first half and the second in the
 * other, each cut or padded to the same length, and its class is what the two are to each other (head_match.c).
 *
 * With several columns of answers an empty cell is one that is not known: it is not learnt, nor scored.
 *
 * Ids: 0 pads (of infill it is the end, too), 1 masks, 2 is any other letter, and the alphabet's letters follow (of SMILES signs: smiles.h).  A row is `length`
 * long, or as the longest sequence to train on; what is longer is cut. */
#include <ctype.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/fim.h"
#include "data/set.h"
#include "data/smiles.h"

enum { DNA, PROTEIN, SMILES, BYTES };
enum { CLASS, REGRESS, MASKED, INFILL };
enum { PAD, MASK, OTHER, LETTERS };

typedef struct sequence_keys {
    const char *kind;
    const json_t *sequence, *label;
    kr_set_keys set;
    int64_t length;
    int alphabet, task;
    bool reverse_complement, strands;
    double mask_fraction, infill_fraction;
} sequence_keys;

typedef struct sequence {
    sequence_keys k;
    kr_set set;                /* ids as bytes; of a pair with a PAD between the two */
    unsigned char id_of[256], complement[256];
    int64_t n_ids, L, n_letters; /* L: steps of a row, of infill more than it has letters; n_letters: of each of a pair */
    int64_t n_parts;           /* 2: a row is a pair */
    int32_t *room;             /* infill, [L]: a row before its order changes */
    int64_t *at;               /* ... its order */
    pthread_mutex_t lock;      /* of these two */
    kr_set asked;              /* its classes are the columns of answers */
    int64_t T;                 /* of them */
    bool several;
    double *learnt, *mean, *std; /* [1 + 2 T] the length, and [T] of the numbers */
} sequence;

/* --- letters -------------------------------------------------------------------------------------- */

static void make_alphabet(sequence *q) {
    static const char *const letters[] = {"ACGT", "ACDEFGHIKLMNPQRSTVWY", ""};
    memset(q->id_of, OTHER, sizeof q->id_of);
    q->n_ids = LETTERS;
    if (q->k.alphabet == BYTES) {
        for (int c = 1; c < 253; c++) q->id_of[c] = (unsigned char)(LETTERS + c - 1);
        q->n_ids = LETTERS + 252;
    } else if (q->k.alphabet == SMILES) {
        q->n_ids = LETTERS + KR_SMILES_SIGNS;
    } else {
        for (const char *p = letters[q->k.alphabet]; *p; p++) {
            unsigned char id = (unsigned char)q->n_ids++;
            q->id_of[(unsigned char)*p] = id;
            q->id_of[tolower((unsigned char)*p)] = id;
        }
    }
    if (q->k.alphabet == DNA) q->id_of['U'] = q->id_of['u'] = q->id_of['T'];
    for (int i = 0; i < 256; i++) q->complement[i] = (unsigned char)i;
    for (int i = 0; i < 4 && q->k.alphabet == DNA; i++) q->complement[LETTERS + i] = (unsigned char)(LETTERS + 3 - i); /* A T, C G */
}

/* --- reading ---------------------------------------------------------------------------------------- */

/* The i-th column of sequences. */
static const char *column_of(const sequence *q, int64_t i) {
    const json_t *c = q->k.sequence;
    return !c ? "sequence" : json_string_value(json_is_array(c) ? json_array_get(c, (size_t)i) : c);
}

static kr_status find_column(const kr_table *t, const char *name, const char *key, const char *path, int64_t *at) {
    KR_TRY(kr_table_only(t, name, path, at));
    if (*at >= 0) return KR_OK;
    char known[200] = "";
    for (int64_t i = 0; i < t->n_columns && strlen(known) < 120; i++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%.30s", i ? ", " : "", kr_table_cell(t, -1, i));
    }
    KR_FAIL(KR_ERR_CONFIG, "%s: there is no column \"%s\" (data.%s); there are %s", path, name, key, known);
}

static kr_status wrong(const char *path, int64_t line, const char *name, const char *cell, const char *want) {
    KR_FAIL(KR_ERR_FORMAT, "%s: line %lld: %s is \"%.40s\", want %s", path, (long long)line, name, cell, want);
}

/* y[i]: a number, or 0 or 1; NaN: not known. */
static kr_status read_answer(const sequence *q, const char *cell, const char *path, int64_t line, int64_t i, float *y) {
    const char *name = q->asked.classes.name[i];
    char *end;
    *y = strtof(cell, &end);
    if (!*cell && q->several) return *y = NAN, KR_OK;
    if (end == cell || *end || !isfinite(*y)) return wrong(path, line, name, cell, "a number");
    if (q->k.task == CLASS && *y != 0 && *y != 1) return wrong(path, line, name, cell, "0, 1 or nothing");
    return KR_OK;
}

static int64_t count_letters(const sequence *q, const char *text) {
    int64_t n = 0;
    if (q->k.alphabet == SMILES) return kr_smiles_read(text, LETTERS, OTHER, NULL);
    for (bool all = q->k.alphabet == BYTES; *text; text++) n += all || !isspace((unsigned char)*text); /* a space is a letter of a text, and layout elsewhere */
    return n;
}

static void put_letters(const sequence *q, const char *text, unsigned char *to) {
    if (q->k.alphabet == SMILES) kr_smiles_read(text, LETTERS, OTHER, to);
    else
        for (bool all = q->k.alphabet == BYTES; *text; text++)
            if (all || !isspace((unsigned char)*text)) *to++ = q->id_of[(unsigned char)*text];
}

typedef struct reading { sequence *q; bool labels; int64_t *at; float *y; } reading; /* [T] columns, answers */

static kr_status add_row(const reading *r, kr_set *set, const kr_table *t, int64_t row, const int64_t column[2], const char *path, kr_split part) {
    sequence *q = r->q;
    int64_t n[2] = {0};
    int32_t class = -1;
    if (r->labels && q->k.task == CLASS && !q->several) {
        const char *label = kr_table_cell(t, row, r->at[0]);
        if ((class = kr_set_class(set, label)) == -2) return KR_ERR_NOMEM;
        if (class < 0) KR_FAIL(KR_ERR_CONFIG, "%s: line %lld: the class \"%.40s\" is none of those trained on", path, (long long)t->line[row], label);
    }
    for (int64_t i = 0; i < set->y_width; i++) {
        if (r->labels) KR_TRY(read_answer(q, kr_table_cell(t, row, r->at[i]), path, t->line[row], i, &r->y[i]));
        else r->y[i] = 0;
    }
    for (int64_t i = 0; i < q->n_parts; i++)
        if (!(n[i] = count_letters(q, kr_table_cell(t, row, column[i])))) KR_FAIL(KR_ERR_FORMAT, "%s: line %lld: an empty sequence", path, (long long)t->line[row]);
    unsigned char *to = kr_set_add(set, (size_t)(n[0] + n[1] + (q->n_parts == 2)), part, t->line[row], class, set->y_width ? r->y : NULL);
    if (!to) return KR_ERR_NOMEM;
    put_letters(q, kr_table_cell(t, row, column[0]), to);
    if (q->n_parts == 2) to[n[0]] = PAD, put_letters(q, kr_table_cell(t, row, column[1]), to + n[0] + 1);
    return KR_OK;
}

static kr_status read_file(void *user, kr_set *set, const char *path, kr_split part) {
    const reading *r = user;
    sequence *q = r->q;
    kr_table t;
    int64_t column[2] = {-1, -1};
    kr_status st = KR_OK;
    KR_TRY(kr_decode_table(&t, path));
    for (int64_t i = 0; i < q->n_parts && st == KR_OK; i++) st = find_column(&t, column_of(q, i), "sequence", path, &column[i]);
    for (int64_t i = 0; i < q->T && r->labels && st == KR_OK; i++) st = find_column(&t, q->asked.classes.name[i], "label", path, &r->at[i]);
    for (int64_t i = 0; i < t.n_rows && st == KR_OK; i++) st = add_row(r, set, &t, i, column, path, part);
    kr_table_free(&t);
    return st;
}

static kr_status choose_sequences(sequence *q) {
    size_t n = json_is_array(q->k.sequence) ? json_array_size(q->k.sequence) : 1;
    if (n < 1 || n > 2) KR_FAIL(KR_ERR_CONFIG, "data.sequence names %zu columns, want one, or two for pairs", n);
    if (n == 2 && (q->k.task != CLASS || json_is_array(q->k.label)))
        KR_FAIL(KR_ERR_CONFIG, "data.sequence names two columns: such pairs have one class each (data.task class, data.label one column)");
    q->n_parts = (int64_t)n;
    return KR_OK;
}

/* Which columns tell the answers. */
static kr_status choose_labels(sequence *q) {
    const json_t *l = q->k.label;
    if (q->k.task >= MASKED) return KR_OK;
    for (size_t i = 0; i < (json_is_array(l) ? json_array_size(l) : 1); i++)
        if (kr_set_class(&q->asked, json_is_array(l) ? json_string_value(json_array_get(l, i)) : l ? json_string_value(l) : "label") == -2) return KR_ERR_NOMEM;
    q->T = (int64_t)q->asked.classes.n, q->several = q->T > 1;
    if (!q->T) KR_FAIL(KR_ERR_CONFIG, "data.label names no column");
    q->set.y_width = q->k.task == REGRESS || q->several ? q->T : 0;
    return KR_OK;
}

static kr_status read_all(kr_source *s, sequence *q) {
    reading r = {.q = q, .labels = !s->predict, .at = kr_mem_array((size_t)q->T + 1, sizeof *r.at), .y = kr_mem_array((size_t)q->T + 1, sizeof *r.y)};
    kr_status st = r.at && r.y ? kr_set_load(s, &q->set, &q->k.set, read_file, &r) : KR_ERR_NOMEM;
    kr_mem_free(r.at), kr_mem_free(r.y);
    return st;
}

/* Where the letters of an example begin, and how many they are: n[0], and n[1] behind a PAD of a pair. */
static const unsigned char *letters_of(const sequence *q, int64_t example, int64_t n[2]) {
    const unsigned char *from = kr_set_data(&q->set, example);
    int64_t all = kr_set_length(&q->set, example);
    const unsigned char *gap = q->n_parts == 2 ? memchr(from, PAD, (size_t)all) : NULL;
    n[0] = gap ? gap - from : all, n[1] = gap ? all - n[0] - 1 : 0;
    return from;
}

/* --- what is learnt ----------------------------------------------------------------------------------- */

/* Mean and deviation of the i-th number where it is known. */
static void measure_number(sequence *q, int64_t i) {
    double n = 0, sum = 0, square = 0;
    for (int64_t e = 0; e < q->set.n_in[KR_SPLIT_TRAIN]; e++) {
        double y = q->set.y[q->set.index[KR_SPLIT_TRAIN][e] * q->T + i];
        if (!isnan(y)) n++, sum += y, square += y * y;
    }
    if (n > 0) q->mean[i] = sum / n, q->std[i] = sqrt(fmax(square / n - q->mean[i] * q->mean[i], 0));
    if (!(q->std[i] > 1e-12)) q->std[i] = 1;
}

static kr_status measure(kr_source *s, sequence *q) {
    int64_t n = 1 + 2 * (q->k.task == REGRESS ? q->T : 1);
    if (!(q->learnt = kr_mem_array((size_t)n, sizeof *q->learnt))) return KR_ERR_NOMEM;
    q->mean = q->learnt + 1, q->std = q->learnt + 1 + (n - 1) / 2;
    for (int64_t i = 0; i < (n - 1) / 2; i++) q->std[i] = 1;
    if (s->fitted) {
        KR_TRY(kr_fitted_reals(s, "length_mean_std", q->learnt, n));
    } else {
        for (int64_t e = 0, of[2]; e < q->set.n_in[KR_SPLIT_TRAIN]; e++) {
            letters_of(q, q->set.index[KR_SPLIT_TRAIN][e], of);
            q->learnt[0] = fmax(q->learnt[0], (double)(of[0] > of[1] ? of[0] : of[1]));
        }
        if (q->k.length) q->learnt[0] = (double)q->k.length;
        for (int64_t i = 0; i < q->T && q->k.task == REGRESS; i++) measure_number(q, i);
        KR_TRY(kr_set_sort_classes(&q->set));
        KR_TRY(kr_learnt_reals(s, "length_mean_std", q->learnt, n));
        KR_TRY(kr_learnt_classes(s, &q->set));
    }
    if (!(q->learnt[0] >= 1 && q->learnt[0] < 1e9) && s->fitted) KR_FAIL(KR_ERR_FORMAT, "preprocessor_config.json: rows of %g letters", q->learnt[0]);
    if (!(q->learnt[0] >= 1 && q->learnt[0] < 1e9)) KR_FAIL(KR_ERR_CONFIG, "data: the longest sequence has %.0f letters, want less than 1e9; set data.length to cut", q->learnt[0]);
    q->L = q->n_letters = (int64_t)q->learnt[0];
    if (q->k.task == INFILL) q->L += 2 * KR_FIM_SPANS;
    q->L *= q->n_parts;
    return KR_OK;
}

/* --- rows ------------------------------------------------------------------------------------------------ */

static void hide(const sequence *q, kr_rng *r, int64_t n, int32_t *ids, int32_t *targets) {
    for (int64_t l = 0; l < q->L; l++) targets[l] = -1;
    for (int64_t l = 0; l < n; l++) {
        if (kr_rng_uniform(r) >= q->k.mask_fraction) continue;
        double how = kr_rng_uniform(r);
        targets[l] = ids[l];
        if (how < .8) ids[l] = MASK;
        else if (how < .9) ids[l] = (int32_t)(LETTERS + kr_rng_below(r, q->n_ids - LETTERS));
    }
}

/* What stands in the middle of the row cannot be told where a mark hides it; else each step tells the next. */
static void infill(const sequence *q, kr_rng *r, const int32_t *letters, int64_t n, int64_t *at, int32_t *ids, int32_t *targets, int32_t *positions) {
    kr_fim f;
    int64_t head;
    kr_fim_draw(&f, r, n, q->k.infill_fraction);
    int64_t steps = kr_fim_order(&f, n, at, &head);
    for (int64_t l = 0; l < q->L; l++) {
        bool in = l < steps;
        ids[l] = !in ? PAD : at[l] < 0 ? MASK : letters[at[l]];
        if (positions) positions[l] = in ? (int32_t)kr_fim_position(&f, at[l]) : 0;
        if (l > 0) targets[l - 1] = l > steps || (l < head && at[l] < 0) ? -1 : ids[l];
    }
    targets[q->L - 1] = steps == q->L ? PAD : -1;
}

/* Errors count in the file's units; those of what is not known (NaN) not at all. */
static void put_answer(const sequence *q, float y, kr_batch *b, int64_t at, int64_t t) {
    bool known = !isnan(y);
    if (q->k.task == CLASS) {
        b->targets[at] = known ? (int32_t)y : -1;
        return;
    }
    b->y[at] = known ? (float)((y - q->mean[t]) / q->std[t]) : 0;
    if (b->weight) b->weight[at] = known;
    if (b->scale) b->scale[at] = known ? (float)q->std[t] : 0;
}

static void fill(const kr_source *s, const sequence *q, kr_split split, int64_t row, int64_t example, kr_batch *b, int64_t i) {
    int64_t of[2], n = 0, each = q->L / q->n_parts;
    const unsigned char *from = letters_of(q, example, of);
    int32_t *ids = b->ids + i * q->L;
    kr_rng r = kr_source_row_rng(s, split, row);
    for (int64_t k = 0; k < q->n_parts; k++, from += of[0] + 1) {
        bool back = split == KR_SPLIT_TRAIN && q->k.reverse_complement && kr_rng_below(&r, 2);
        n = of[k] < q->n_letters ? of[k] : q->n_letters;
        for (int64_t l = 0; l < each; l++) ids[k * each + l] = l >= n ? PAD : back ? q->complement[from[n - 1 - l]] : from[l];
        if (b->len) b->len[i * q->n_parts + k] = (int32_t)n;
    }
    if (q->k.task == MASKED) hide(q, &r, n, ids, b->targets + i * q->L);
    else if (q->k.task == INFILL) {
        memcpy(q->room, ids, (size_t)n * sizeof *ids);
        infill(q, &r, q->room, n, q->at, ids, b->targets + i * q->L, b->positions ? b->positions + i * q->L : NULL);
    } else if (!q->set.y_width) b->targets[i] = q->set.label[example];
    for (int64_t t = 0; t < q->set.y_width; t++) put_answer(q, q->set.y[example * q->T + t], b, i * q->T + t, t);
}

static void sequence_batch(const kr_source *s, kr_split split, int64_t step, kr_batch *b) {
    sequence *q = s->own;
    b->n_rows = 0;
    if (b->positions) memset(b->positions, 0, (size_t)(b->S * q->L) * sizeof *b->positions);
    pthread_mutex_lock(&q->lock);
    for (int64_t i = 0; i < b->S; i++) {
        int64_t example = kr_set_at(s, &q->set, split, step, i);
        if (b->seq_idx) memset(b->seq_idx + i * q->L, 0, (size_t)q->L * sizeof *b->seq_idx);
        if (example >= 0) {
            fill(s, q, split, step * b->S + i, example, b, i);
            b->n_rows++;
            continue;
        }
        for (int64_t l = 0; l < q->L; l++) b->ids[i * q->L + l] = PAD;
        for (int64_t t = 0; t < s->info.n_targets; t++) b->targets[i * s->info.n_targets + t] = -1;
        for (int64_t t = 0; t < s->info.y_width; t++) put_answer(q, NAN, b, i * q->T + t, t);
        for (int64_t k = 0; k < q->n_parts && b->len; k++) b->len[i * q->n_parts + k] = 1;
    }
    pthread_mutex_unlock(&q->lock);
}

static void sequence_restore(const kr_source *s, kr_split split, int64_t step, int64_t row, float *y) {
    const sequence *q = s->own;
    (void)split, (void)step, (void)row;
    for (int64_t t = 0; t < q->T; t++) y[t] = (float)(y[t] * q->std[t] + q->mean[t]);
}
static const char *sequence_label(const kr_source *s, int64_t i) {
    const sequence *q = s->own;
    const kr_file_list *names = q->set.y_width ? &q->asked.classes : &q->set.classes;
    return i >= 0 && i < (int64_t)names->n ? names->name[i] : NULL;
}

/* --- open and close ----------------------------------------------------------------------------------------- */

static kr_status describe(kr_source *s, const sequence *q) {
    static const char *const what[] = {"with a class", "with a number", "with letters to tell", "to fill in"};
    kr_source_info *i = &s->info;
    char test[48] = "";
    if (i->L && i->L != q->L) KR_FAIL(KR_ERR_CONFIG, "train.seq_len is %lld; set data.length instead", (long long)i->L);
    i->L = q->L, i->vocab_size = q->n_ids;
    if (q->k.task == CLASS && q->several) {
        i->n_targets = q->T, i->n_classes = 2, i->yes_or_no = true, i->metric = "auroc", i->more_metrics = "accuracy";
        s->head = json_pack("{s:s, s:i, s:I, s:b}", "type", "class", "n_classes", 2, "answers", (json_int_t)q->T, "lengths", true);
    } else if (q->k.task == CLASS) {
        i->n_targets = 1, i->n_classes = (int64_t)q->set.classes.n, i->more_metrics = i->n_classes == 2 ? "f1 mcc auroc" : "f1 mcc";
        if (i->n_classes < 2) KR_FAIL(KR_ERR_CONFIG, "data: the column \"%s\" has %lld value%s, want at least 2 classes", q->asked.classes.name[0], (long long)i->n_classes, i->n_classes == 1 ? "" : "s");
        s->head = json_pack("{s:s, s:I, s:b}", "type", q->n_parts == 2 ? "match" : "class", "n_classes", (json_int_t)i->n_classes, "lengths", true);
    } else if (q->k.task == REGRESS) {
        i->y_width = q->T, i->metric = "mse", i->more_metrics = "rmse mae r2";
        s->head = json_pack("{s:s, s:I, s:b, s:b}", "type", "regress", "width", (json_int_t)q->T, "lengths", true, "weighted", q->several);
    } else {
        i->n_targets = i->L, i->metric = "perplexity";
        s->head = json_pack("{s:s}", "type", "lm");
    }
    if (q->k.task == INFILL) {
        i->positions = true;
        s->encoder = json_pack("{s:s, s:I}", "type", "token", "positions", (json_int_t)q->n_letters);
    }
    if (q->k.strands) {
        char list[40] = "";
        if (q->k.alphabet != DNA || q->k.task == INFILL || q->n_parts == 2) KR_FAIL(KR_ERR_CONFIG, "data.strands: only single sequences of DNA have two, and the task \"infill\" goes along one");
        for (int64_t id = 0; id < q->n_ids; id++) snprintf(list + strlen(list), sizeof list - strlen(list), "%s%d", id ? " " : "", q->complement[id]);
        s->encoder = json_pack("{s:s, s:s, s:b}", "type", "token", "complement", list, "lengths", true);
    }
    if (q->n_parts == 2) s->encoder = json_pack("{s:s, s:I}", "type", "token", "pair", (json_int_t)q->n_letters);
    if (!s->head || ((q->k.task == INFILL || q->n_parts == 2 || q->k.strands) && !s->encoder)) KR_FAIL(KR_ERR_NOMEM, "data: out of memory");
    if (i->n_test) snprintf(test, sizeof test, ", %lld to test", (long long)i->n_test);
    snprintf(i->about, sizeof i->about, "%lld %s of up to %lld letters %s to train on, %lld held out%s", (long long)i->n_train, q->n_parts == 2 ? "pairs" : "sequences", (long long)q->n_letters, what[q->k.task], (long long)i->n_eval, test);
    return KR_OK;
}

static kr_status sequence_open(kr_source *s, const json_t *data) {
    sequence *q = s->own = kr_mem_new(sizeof *q);
    if (!q) return KR_ERR_NOMEM;
    s->set = &q->set;
    q->set.each = 1;
    pthread_mutex_init(&q->lock, NULL);
    KR_TRY(kr_keys_read(s->kind->keys, data, "data", &q->k));
    make_alphabet(q);
    KR_TRY(choose_sequences(q));
    KR_TRY(choose_labels(q));
    if (s->fitted) KR_TRY(kr_fitted_classes(s, &q->set));
    KR_TRY(read_all(s, q));
    KR_TRY(kr_set_split(s, &q->set, &q->k.set));
    KR_TRY(measure(s, q));
    KR_TRY(describe(s, q));
    q->room = kr_mem_array((size_t)q->L, sizeof *q->room), q->at = kr_mem_array((size_t)q->L, sizeof *q->at);
    if (!q->room || !q->at) return KR_ERR_NOMEM;
    q->k.sequence = NULL, q->k.label = NULL; /* the JSON object is the caller's */
    return KR_OK;
}

static void sequence_close(kr_source *s) {
    sequence *q = s->own;
    if (!q) return;
    kr_set_free(&q->set), kr_set_free(&q->asked);
    kr_mem_free(q->room), kr_mem_free(q->at), kr_mem_free(q->learnt);
    pthread_mutex_destroy(&q->lock);
    kr_mem_free(q);
}

static const kr_key sequence_keys_table[] = {
    KR_KEY_TEXT(sequence_keys, kind, "sequence", "where rows come from"),
    KR_SET_KEYS(sequence_keys),
    KR_KEY_INT(sequence_keys, length, 0, 0, 1e9, "letters of a row; 0: of the longest sequence to train on"),
    KR_KEY_CHOICE(sequence_keys, alphabet, "dna|protein|smiles|bytes", "which letters have ids of their own"),
    KR_KEY_CHOICE(sequence_keys, task, "class|regress|masked|infill", "what is to be told: a class, a number, letters that were hidden, each next letter with spans moved to the end"),
    KR_KEY_LIST(sequence_keys, sequence, "the column of the sequences (sequence); two: a row is a pair, its class what they are to each other"),
    KR_KEY_LIST(sequence_keys, label, "the column of the classes or numbers (label); a list: several of yes or no, or of numbers"),
    KR_KEY_BOOL(sequence_keys, reverse_complement, false, "DNA, training: half of the sequences as the other strand has them"),
    KR_KEY_BOOL(sequence_keys, strands, false, "DNA: the model reads both strands, so that it does not matter which comes (Caduceus)"),
    KR_KEY_REAL(sequence_keys, mask_fraction, 0.15, 0.01, 0.9, "masked: share of the letters to hide"),
    KR_KEY_REAL(sequence_keys, infill_fraction, 0.2, 0, 0.9, "infill: share of the letters that spans hide at most"),
    KR_KEY_END,
};

const kr_source_kind kr_source_sequence = {
    .name = "sequence",
    .about = "DNA, proteins, SMILES, texts out of tables, with a class, a number or hidden letters",
    .keys = sequence_keys_table,
    .open = sequence_open,
    .batch = sequence_batch,
    .who = kr_set_who,
    .label = sequence_label,
    .restore = sequence_restore,
    .close = sequence_close,
};
