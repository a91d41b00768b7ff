/* source_text.c - text as bytes: every row is a piece of the documents, every target the
 * byte that comes next.
 *
 * With a tokenizer the same holds of tokens: every document is encoded once, on opening.
 *
 * Both splits are streams (corpus.h): the documents end to end.  A row is a span of its
 * stream, and the modes differ only in which span:
 *
 *   random  anywhere, drawn for each row;
 *   packed  documents shuffled and put end to end anew for each epoch, cut into rows of L,
 *           the rows dealt in random order: each byte once an epoch.  The last cut is moved
 *           back to be whole, and what it repeats is not scored;
 *   carry   row s walks through its own S-th of the stream, L bytes a step, so that state
 *           can be carried from step to step; at its end it starts again.
 *
 * EVAL takes the documents as they stand: "carry" the same way, else cut into rows that
 * are dealt in a fixed random order. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "data/corpus.h"
#include "data/source_kind.h"

enum { N_MARKS = 4 }; /* before the beginning, the end and the middle of a piece, and behind the middle */
enum { MODE_RANDOM, MODE_PACKED, MODE_CARRY };

typedef struct text_keys {
    const char *kind;
    int64_t length, end_byte;
    const json_t *paths, *eval_paths;
    int mode, eval_split;
    const json_t *fim_tokens;
    double eval_fraction, fim;
    const char *separator, *tokenizer, *end_token;
} text_keys;

/* The train documents in the order of one epoch; made when first asked for. */
typedef struct order {
    int64_t epoch; /* -1: none yet */
    int64_t *doc, *before;
} order;

typedef struct text {
    text_keys k;
    kr_corpus corpus;
    kr_tokenizer *tokenizer; /* NULL: bytes */
    kr_stream stream[2];
    order orders[2];      /* packed: two, because a batch may lie in two epochs */
    int32_t *room;        /* [L] of fill_in */
    int32_t mark[N_MARKS];
    pthread_mutex_t lock; /* of the orders, which are a cache: the answers do not depend on them; and of the room */
} text;

/* --- one row ------------------------------------------------------------------------- */

typedef struct span {
    int64_t from, to;     /* bytes of the stream to give; after them the row is padding */
    int64_t scored_from;  /* bytes before were scored elsewhere */
} span;

/* The last document that starts at or before `pos`. */
static int64_t document_at(const int64_t *before, int64_t n, int64_t pos) {
    int64_t lo = 0, hi = n;
    while (hi - lo > 1) {
        int64_t mid = lo + (hi - lo) / 2;
        if (before[mid] <= pos) lo = mid;
        else hi = mid;
    }
    return lo;
}

/* A byte, or a token. */
static inline int32_t unit(const kr_corpus *c, int64_t at) { return c->ids ? c->ids[at] : c->bytes[at]; }

/* A piece of a document as beginning, end, middle, with a mark before each and one behind: the last four
 * units make room for them.  The middle is drawn anywhere, of any length. */
static void fill_in(const text *t, kr_rng *r, int32_t *ids, int32_t *targets, int64_t n) {
    if (n < 2 * N_MARKS || kr_rng_uniform(r) >= t->k.fim) return;
    int64_t units = n - N_MARKS, a = kr_rng_below(r, units + 1), c = kr_rng_below(r, units + 1), at = 0;
    int32_t *room = t->room;
    if (a > c) at = a, a = c, c = at, at = 0;
    memcpy(room, ids, (size_t)units * sizeof *ids);
    const int64_t part[3][2] = {{0, a}, {c, units}, {a, c}};
    for (int k = 0; k < 3; k++) {
        ids[at++] = t->mark[k];
        for (int64_t i = part[k][0]; i < part[k][1]; i++) ids[at++] = room[i];
    }
    ids[at] = t->mark[3];
    for (int64_t i = 0; i < n; i++) targets[i] = i + 1 < n && ids[i + 1] != t->mark[1] && ids[i + 1] != t->mark[2] ? ids[i + 1] : -1; /* where parts end is not told, but of the middle */
}

static void fill(const text *t, const kr_stream *st, const order *o, span sp, kr_rng *fim, const kr_batch *b, int64_t row) {
    const int64_t *before = o ? o->before : st->before;
    int64_t L = b->L, l = 0, pos = sp.from, d = document_at(before, st->n_docs, pos), seq = 0;
    int32_t *ids = b->ids + row * L, *targets = b->targets + row * L, *idx = b->seq_idx ? b->seq_idx + row * L : NULL;
    for (; l < L && pos < sp.to; d++, seq++) {
        int64_t at = st->at[o ? o->doc[d] : d] + (pos - before[d]);
        int64_t rest = before[d + 1] - pos, run = rest;
        if (run > L - l) run = L - l;
        if (run > sp.to - pos) run = sp.to - pos;
        for (int64_t i = 0; i < run; i++) ids[l + i] = unit(&t->corpus, at + i);
        for (int64_t i = 0; i < run; i++)
            targets[l + i] = i + 1 < rest && pos + i >= sp.scored_from ? unit(&t->corpus, at + i + 1) : -1;
        if (idx)
            for (int64_t i = 0; i < run; i++) idx[l + i] = (int32_t)seq;
        if (fim) fill_in(t, fim, ids + l, targets + l, run);
        l += run, pos += run;
    }
    for (; l < L; l++) {
        ids[l] = 0, targets[l] = -1;
        if (idx) idx[l] = (int32_t)seq;
    }
}

/* The i-th cut of n bytes into rows of L, the last one moved back to be whole. */
static span cut(int64_t n, int64_t L, int64_t i) {
    span s = {i * L, (i + 1) * L, i * L};
    if (s.to > n) s.to = n, s.from = n > L ? n - L : 0;
    return s;
}

static int64_t n_cuts(int64_t n, int64_t L) { return (n + L - 1) / L; }

/* --- modes --------------------------------------------------------------------------- */

static const order *order_of(const kr_source *s, text *t, int64_t epoch) {
    order *o = &t->orders[epoch & 1];
    const kr_stream *st = &t->stream[KR_SPLIT_TRAIN];
    if (o->epoch == epoch) return o;
    kr_rng r = kr_source_rng(s, KR_SPLIT_TRAIN, "document order", epoch);
    for (int64_t i = 0; i < st->n_docs; i++) { /* Fisher-Yates, inside out */
        int64_t j = kr_rng_below(&r, i + 1);
        o->doc[i] = o->doc[j];
        o->doc[j] = i;
    }
    for (int64_t i = 0; i < st->n_docs; i++)
        o->before[i + 1] = o->before[i] + (st->before[o->doc[i] + 1] - st->before[o->doc[i]]);
    o->epoch = epoch;
    return o;
}

static void packed_batch(const kr_source *s, text *t, int64_t step, kr_batch *b) {
    const kr_stream *st = &t->stream[KR_SPLIT_TRAIN];
    int64_t rows = n_cuts(st->n_bytes, b->L);
    pthread_mutex_lock(&t->lock);
    for (int64_t i = 0; i < b->S; i++) {
        int64_t number = step * b->S + i, epoch = number / rows;
        kr_rng r = kr_source_rng(s, KR_SPLIT_TRAIN, "row order", epoch);
        int64_t at = kr_permute(kr_rng_u64(&r), rows, number % rows);
        kr_rng own = kr_source_row_rng(s, KR_SPLIT_TRAIN, number);
        fill(t, st, order_of(s, t, epoch), cut(st->n_bytes, b->L, at), t->k.fim > 0 ? &own : NULL, b, i);
    }
    pthread_mutex_unlock(&t->lock);
}

static void random_batch(const kr_source *s, text *t, int64_t step, kr_batch *b) {
    const kr_stream *st = &t->stream[KR_SPLIT_TRAIN];
    pthread_mutex_lock(&t->lock);
    for (int64_t i = 0; i < b->S; i++) {
        kr_rng r = kr_source_row_rng(s, KR_SPLIT_TRAIN, step * b->S + i);
        int64_t from = kr_rng_below(&r, st->n_bytes - b->L + 1);
        fill(t, st, NULL, (span){from, from + b->L, from}, t->k.fim > 0 ? &r : NULL, b, i);
    }
    pthread_mutex_unlock(&t->lock);
}

static void eval_batch(const kr_source *s, const text *t, int64_t step, kr_batch *b) {
    const kr_stream *st = &t->stream[KR_SPLIT_EVAL];
    int64_t rows = n_cuts(st->n_bytes, b->L);
    step %= s->info.eval_batches;
    for (int64_t i = 0; i < b->S; i++) {
        int64_t number = step * b->S + i;
        span sp = {0, 0, 0}; /* the last batch may have rows to spare: all padding */
        if (number < rows) sp = cut(st->n_bytes, b->L, kr_permute(kr_rng_stream("eval rows"), rows, number));
        fill(t, st, NULL, sp, NULL, b, i);
    }
}

/* Where row `row` of S stands at `step`, each reading its own stretch of n bytes. */
static int64_t carry_batches(int64_t n, int64_t S, int64_t L) { return n_cuts(n_cuts(n, S), L); }

static span carry_span(const kr_source *s, const kr_stream *st, int64_t step, int64_t row) {
    int64_t S = s->info.S, L = s->info.L, stretch = n_cuts(st->n_bytes, S);
    int64_t from = row * stretch, end = from + stretch;
    if (end > st->n_bytes) end = st->n_bytes;
    from += step % carry_batches(st->n_bytes, S, L) * L;
    if (from > end) from = end;
    return (span){from, from + L < end ? from + L : end, from};
}

static void text_batch(const kr_source *s, kr_split split, int64_t step, kr_batch *b) {
    text *t = s->own;
    if (t->k.mode == MODE_CARRY)
        for (int64_t i = 0; i < b->S; i++)
            fill(t, &t->stream[split], NULL, carry_span(s, &t->stream[split], step, i), NULL, b, i);
    else if (split == KR_SPLIT_EVAL)
        eval_batch(s, t, step, b);
    else if (t->k.mode == MODE_PACKED)
        packed_batch(s, t, step, b);
    else
        random_batch(s, t, step, b);
}

/* True also where a document starts just there: its past is another document. */
static bool text_resets(const kr_source *s, kr_split split, int64_t step, int64_t row) {
    const text *t = s->own;
    const kr_stream *st = &t->stream[split];
    if (t->k.mode != MODE_CARRY || !st->n_bytes) return true;
    if (step % carry_batches(st->n_bytes, s->info.S, s->info.L) == 0) return true;
    span sp = carry_span(s, st, step, row);
    return st->before[document_at(st->before, st->n_docs, sp.from)] == sp.from;
}

/* --- open and close ------------------------------------------------------------------ */

static kr_status check_sizes(const kr_source *s, const text *t) {
    const char *path = json_string_value(json_is_array(t->k.paths) ? json_array_get(t->k.paths, 0) : t->k.paths);
    bool more = json_array_size(t->k.paths) > 1;
    long long n = t->stream[0].n_bytes, held = t->stream[1].n_bytes, L = s->info.L, S = s->info.S;
    long long want = t->k.mode == MODE_CARRY ? S * L : L;
    if (want < 2) want = 2;
    if (n < want)
        KR_FAIL(KR_ERR_CONFIG, "%s%s: %lld bytes to train on, want at least %lld (%s): give more text or a "
                "smaller length", path, more ? " and the other paths" : "", n, want,
                t->k.mode == MODE_CARRY ? "a stretch for every row" : "one row");
    if (held < 2 && (t->k.eval_fraction > 0 || t->k.eval_paths))
        KR_FAIL(KR_ERR_CONFIG, "%s%s: %lld bytes are held out to score on, want at least 2: raise data.eval_fraction "
                "(%g), name data.eval_paths, or set the fraction to 0 to hold out nothing", path,
                more ? " and the other paths" : "", held, t->k.eval_fraction);
    return KR_OK;
}

static kr_status orders_new(text *t) {
    size_t n = (size_t)t->stream[KR_SPLIT_TRAIN].n_docs + 1;
    for (int i = 0; i < 2; i++) {
        t->orders[i].epoch = -1;
        t->orders[i].doc = kr_mem_array(n, sizeof(int64_t));
        t->orders[i].before = kr_mem_array(n, sizeof(int64_t));
        if (!t->orders[i].doc || !t->orders[i].before) return KR_ERR_NOMEM;
    }
    return KR_OK;
}

static void describe(kr_source *s, const text *t, kr_hold_out how) {
    kr_source_info *i = &s->info;
    const kr_stream *tr = &t->stream[0], *ev = &t->stream[1];
    int64_t row_bytes = i->S * i->L;
    bool carry = t->k.mode == MODE_CARRY;
    const char *units = t->tokenizer ? "tokens" : "bytes";
    i->vocab_size = t->tokenizer ? kr_tokenizer_size(t->tokenizer) : 256, i->tokenizer = t->tokenizer;
    i->text = true, i->carries = carry, i->metric = "bits_per_byte";
    i->n_train_bytes = tr->n_bytes, i->n_eval_bytes = ev->n_bytes;
    i->n_train_docs = tr->n_docs, i->n_eval_docs = ev->n_docs;
    i->train_batches = carry ? carry_batches(tr->n_bytes, i->S, i->L) : n_cuts(tr->n_bytes, row_bytes);
    i->eval_batches = carry ? carry_batches(ev->n_bytes, i->S, i->L) : n_cuts(ev->n_bytes, row_bytes);
    char held[80] = "nothing";
    if (ev->n_docs)
        snprintf(held, sizeof held, "%lld %s, %s", (long long)ev->n_bytes, units,
                 t->k.eval_paths                  ? "from eval_paths"
                 : how == KR_HOLD_OUT_DOCUMENTS ? "whole documents"
                                                : "the end of each document");
    snprintf(i->about, sizeof i->about, "%lld document%s, %lld %s to train on; held out: %s",
             (long long)t->corpus.n_docs, t->corpus.n_docs == 1 ? "" : "s", (long long)tr->n_bytes, units, held);
}

static kr_status tokenize(kr_source *s, text *t) {
    if (t->k.tokenizer && !*t->k.tokenizer) t->k.tokenizer = NULL; /* --data.tokenizer= takes a recipe's away */
    if (t->k.end_token && !*t->k.end_token) t->k.end_token = NULL;
    const char *end = t->k.end_token;
    if (!t->k.tokenizer) {
        if (end) KR_FAIL(KR_ERR_CONFIG, "data.end_token is \"%s\", but there is no data.tokenizer; bytes end with data.end_byte", end);
        return KR_OK;
    }
    if (t->k.end_byte >= 0) KR_FAIL(KR_ERR_CONFIG, "data.end_byte is %lld beside a tokenizer; want data.end_token, a token by its text", (long long)t->k.end_byte);
    KR_TRY(kr_tokenizer_open(&t->tokenizer, t->k.tokenizer));
    if (end && (s->info.end_id = kr_tokenizer_find(t->tokenizer, end)) < 0)
        KR_FAIL(KR_ERR_CONFIG, "data.end_token is \"%s\", and %s has no such token", end, t->k.tokenizer);
    return kr_corpus_encode(&t->corpus, t->tokenizer, s->info.end_id);
}

/* Marks are tokens of their names; of bytes four that no text in UTF-8 has. */
static kr_status open_fim(const kr_source *s, text *t) {
    static const int32_t bytes[N_MARKS] = {0xfc, 0xfd, 0xfe, 0xff};
    if (t->k.fim > 0 && t->k.mode == MODE_CARRY) KR_FAIL(KR_ERR_CONFIG, "data.fim with data.mode \"carry\": a row goes on where it ended, so nothing of it can be moved");
    if (t->k.fim > 0 && t->tokenizer && json_array_size(t->k.fim_tokens) != N_MARKS)
        KR_FAIL(KR_ERR_CONFIG, "data.fim of tokens wants data.fim_tokens: those before the beginning, the end and the middle, and the one behind it");
    for (int k = 0; k < N_MARKS && t->k.fim > 0; k++) {
        const char *name = t->tokenizer ? json_string_value(json_array_get(t->k.fim_tokens, (size_t)k)) : NULL;
        t->mark[k] = !t->tokenizer ? bytes[k] : name ? kr_tokenizer_find(t->tokenizer, name) : -1;
        if (t->mark[k] < 0) KR_FAIL(KR_ERR_CONFIG, "data.fim_tokens: \"%s\" is no token of %s", name ? name : "", t->k.tokenizer);
    }
    return t->k.fim > 0 && !(t->room = kr_mem_array((size_t)s->info.L, sizeof *t->room)) ? KR_ERR_NOMEM : KR_OK;
}

static kr_status text_open(kr_source *s, const json_t *data) {
    text *t = s->own = kr_mem_new(sizeof *t);
    if (!t) return KR_ERR_NOMEM;
    pthread_mutex_init(&t->lock, NULL);
    KR_TRY(kr_keys_read(s->kind->keys, data, "data", &t->k));
    if (!s->info.L) s->info.L = t->k.length;
    KR_TRY(kr_corpus_add(&t->corpus, t->k.paths, "paths", t->k.separator, t->k.end_byte));
    int64_t n_train = t->corpus.n_docs;
    if (t->k.eval_paths)
        KR_TRY(kr_corpus_add(&t->corpus, t->k.eval_paths, "eval_paths", t->k.separator, t->k.end_byte));
    KR_TRY(tokenize(s, t));
    KR_TRY(open_fim(s, t));
    kr_hold_out how = (kr_hold_out)t->k.eval_split;
    KR_TRY(kr_corpus_split(&t->corpus, n_train, t->k.eval_fraction, &how, &t->stream[0], &t->stream[1]));
    KR_TRY(check_sizes(s, t));
    if (t->k.mode == MODE_PACKED) KR_TRY(orders_new(t));
    describe(s, t, how);
    t->k.paths = t->k.eval_paths = t->k.fim_tokens = NULL; /* the JSON object is the caller's */
    t->k.kind = t->k.separator = t->k.tokenizer = t->k.end_token = NULL;
    return KR_OK;
}

static void text_close(kr_source *s) {
    text *t = s->own;
    if (!t) return;
    for (int i = 0; i < 2; i++) {
        kr_stream_free(&t->stream[i]);
        kr_mem_free(t->orders[i].doc);
        kr_mem_free(t->orders[i].before);
    }
    kr_mem_free(t->room);
    kr_corpus_free(&t->corpus);
    kr_tokenizer_free(t->tokenizer);
    pthread_mutex_destroy(&t->lock);
    kr_mem_free(t);
}

static const kr_key text_keys_table[] = {
    KR_SOURCE_KEYS(text_keys, "text", 256),
    KR_KEY_LIST(text_keys, paths, "files, folders (with all below), patterns; \"-\" is standard input"),
    KR_KEY_CHOICE(text_keys, mode, "random|packed|carry",
                  "rows from anywhere; each byte once an epoch; or each row goes on where it ended"),
    KR_KEY_TEXT(text_keys, separator, NULL, "cut files into documents here; none: a file is a document"),
    KR_KEY_INT(text_keys, end_byte, -1, -1, 255, "byte to put after each document; -1: none"),
    KR_KEY_TEXT(text_keys, tokenizer, NULL, "a tokenizer.json, or a folder with one: tokens instead of bytes; none or empty: bytes"),
    KR_KEY_TEXT(text_keys, end_token, NULL, "token to put after each document, such as <|endoftext|>; none or empty: none"),
    KR_KEY_REAL(text_keys, fim, 0, 0, 1, "training: share of the documents' pieces to be learnt as beginning, end, middle (fill in the middle)"),
    KR_KEY_LIST(text_keys, fim_tokens, "four tokens for that: before the beginning, the end, the middle, and behind it; of bytes they are 252 to 255"),
    KR_KEY_REAL(text_keys, eval_fraction, 0.05, 0, 0.9, "share of the bytes to hold out"),
    KR_KEY_CHOICE(text_keys, eval_split, "auto|tail|documents",
                  "hold out the end of each document, or whole documents (auto: if there are 50)"),
    KR_KEY_LIST(text_keys, eval_paths, "score on these instead of holding out"),
    KR_KEY_END,
};

const kr_source_kind kr_source_text = {
    .name = "text",
    .about = "predict the next byte of a text",
    .keys = text_keys_table,
    .open = text_open,
    .batch = text_batch,
    .resets = text_resets,
    .close = text_close,
};
