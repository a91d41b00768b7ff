/* source_items.c - what users took, one thing behind the other, and which they take next: SASRec
 * (Kang & McAuley 2018), Mamba4Rec (Liu et al. 2024).
 *
 * Lines are `user item item ...`, or `user item` again and again, or a table with such columns, in
 * the order of time.  Of each user with three items or more the last is kept for TEST and the one
 * before for EVAL, each answered from all before it by ranking every item; with all else, next
 * items are learnt at every step.
 *
 * A row to train on holds the pasts of several users behind each other (seq_idx), so that few steps
 * are empty; longer ones go in pieces.  Who shares a row is drawn once.  Ids are the items themselves,
 * as they first come: no id pads, as behind a row's end nothing is read, learnt or ranked. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/set.h"

typedef struct items_keys {
    const char *kind, *user, *items, *at;
    const json_t *paths;
    int64_t length;
} items_keys;

/* Names by number, and numbers by name: open addressing, at most half full. */
typedef struct names {
    kr_arena arena;
    const char **name;
    int64_t n, room, *slot, slots; /* slot: number + 1; 0: free */
} names;

typedef struct event { int32_t user, item, file; int64_t line; } event;

typedef struct items {
    items_keys k;
    kr_set set;                /* int32 ids: what is seen, and the one to tell (not while predicting) */
    names users, items;
    bool items_fixed;
    event *event;
    int64_t n_events, events_room;
    int64_t *bin, n_bins;      /* [n_bins + 1] where a row's examples begin in `order` */
    int64_t *order;            /* examples to train on */
    char metric[24], more[160]; /* "ndcg@10", "hr@10 ndcg@5 hr@5 mrr" */
} items;

/* --- names ------------------------------------------------------------------------------------------ */

static uint64_t hash(const char *s, size_t n) { /* FNV-1a */
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)s[i]) * 0x100000001b3u;
    return h;
}

static int64_t *slot_of(const names *t, const char *s, size_t n) {
    for (uint64_t i = hash(s, n);; i++) {
        int64_t *slot = &t->slot[i & (uint64_t)(t->slots - 1)];
        const char *name = *slot ? t->name[*slot - 1] : NULL;
        if (!name || (strncmp(name, s, n) == 0 && !name[n])) return slot;
    }
}

static bool more_names(names *t) {
    int64_t room = 2 * t->room + 512, *old = t->slot;
    const char **name = kr_mem_resize(t->name, (size_t)room * sizeof *name);
    if (!name) return false;
    t->name = name;
    if (!(t->slot = kr_mem_array((size_t)(4 * room), sizeof *t->slot))) return t->slot = old, false;
    for (t->slots = 1; t->slots < 2 * room;) t->slots *= 2;
    memset(t->slot, 0, (size_t)t->slots * sizeof *t->slot);
    for (int64_t i = 0; i < t->n; i++) *slot_of(t, name[i], strlen(name[i])) = i + 1;
    t->room = room;
    kr_mem_free(old);
    return true;
}

/* The number of a name; a new one if it may be (else -1); -2: no memory. */
static int64_t number_of(names *t, const char *s, size_t n, bool fixed) {
    if (t->n == t->room && !more_names(t)) return -2;
    int64_t *slot = slot_of(t, s, n);
    if (*slot) return *slot - 1;
    if (fixed) return -1;
    char *copy = kr_arena_new(&t->arena, n + 1);
    if (!copy || t->n >= INT32_MAX) return -2;
    memcpy(copy, s, n);
    copy[n] = 0;
    t->name[t->n] = copy;
    return (*slot = ++t->n) - 1;
}

static void free_names(names *t) {
    kr_arena_clear(&t->arena);
    kr_mem_free(t->name);
    kr_mem_free(t->slot);
}

/* --- reading ---------------------------------------------------------------------------------------- */

static kr_status add_event(items *q, event e) {
    if (q->n_events == q->events_room) {
        int64_t room = 2 * q->events_room + 1024;
        event *p = kr_mem_resize(q->event, (size_t)room * sizeof *p);
        if (!p) return KR_ERR_NOMEM;
        q->event = p, q->events_room = room;
    }
    q->event[q->n_events++] = e;
    return KR_OK;
}

/* Items of a cell stand behind each other.  While predicting those that the model does not know are left out. */
static kr_status add_row(items *q, const kr_table *t, int64_t row, int64_t user_column, int64_t items_column, const char *path) {
    const char *user = kr_table_cell(t, row, user_column), *p = kr_table_cell(t, row, items_column);
    if (!*user) KR_FAIL(KR_ERR_FORMAT, "%s: line %lld: no user", path, (long long)t->line[row]);
    event e = {.user = (int32_t)number_of(&q->users, user, strlen(user), false), .file = (int32_t)q->set.files.n - 1, .line = t->line[row]};
    if (e.user < 0) return KR_ERR_NOMEM;
    for (size_t n = 0;; p += n, n = 0) {
        while (isspace((unsigned char)*p)) p++;
        while (p[n] && !isspace((unsigned char)p[n])) n++;
        if (!n) return KR_OK;
        int64_t item = number_of(&q->items, p, n, q->items_fixed);
        if (item == -2) return KR_ERR_NOMEM;
        e.item = (int32_t)item;
        if (item >= 0) KR_TRY(add_event(q, e));
    }
}

static kr_status column(const kr_table *t, const char *name, const char *key, const char *path, int64_t *at) {
    KR_TRY(kr_table_only(t, name, path, at));
    if (*at < 0) KR_FAIL(KR_ERR_CONFIG, "%s: there is no column \"%s\" (data.%s)", path, name, key);
    return KR_OK;
}

static kr_status read_file(void *user, kr_set *set, const char *path, kr_split part) {
    items *q = user;
    kr_table t;
    int64_t users = 0, list = 0;
    (void)set, (void)part;
    KR_TRY(kr_decode_table(&t, path));
    kr_status st = column(&t, q->k.user, "user", path, &users);
    if (st == KR_OK) st = column(&t, q->k.items, "items", path, &list);
    for (int64_t i = 0; i < t.n_rows && st == KR_OK; i++) st = add_row(q, &t, i, users, list, path);
    kr_table_free(&t);
    return st;
}

/* --- examples ----------------------------------------------------------------------------------------- */

static kr_status add_example(items *q, const event *e, int64_t n, kr_split part) {
    int32_t *to = kr_set_add(&q->set, (size_t)n, part, e->line, -1, NULL);
    if (!to) return KR_ERR_NOMEM;
    for (int64_t i = 0; i < n; i++) to[i] = e[i].item;
    q->set.file[q->set.n - 1] = e->file;
    return KR_OK;
}

/* The last of e[0 .. n - 1] is to be told from at most L before it. */
static kr_status add_last(items *q, const event *e, int64_t n, kr_split part) {
    int64_t from = n - 1 > q->k.length ? n - 1 - q->k.length : 0;
    return add_example(q, e + from, n - from, part);
}

static kr_status add_user(items *q, const event *e, int64_t n, bool predict) {
    if (predict) return add_example(q, e + (n > q->k.length ? n - q->k.length : 0), n > q->k.length ? q->k.length : n, KR_SPLIT_EVAL);
    if (n >= 3) {
        KR_TRY(add_last(q, e, n, KR_SPLIT_TEST));
        KR_TRY(add_last(q, e, n - 1, KR_SPLIT_EVAL));
        n -= 2;
    }
    for (; n > 1; n -= q->k.length) KR_TRY(add_last(q, e, n, KR_SPLIT_TRAIN)); /* pieces, from the end */
    return KR_OK;
}

/* Users in the order in which they come, the events of each in theirs. */
static kr_status add_users(items *q, bool predict) {
    int64_t *start = kr_mem_new((size_t)(q->users.n + 2) * sizeof *start);
    event *by_user = kr_mem_array((size_t)q->n_events + 1, sizeof *by_user);
    kr_status st = start && by_user ? KR_OK : KR_ERR_NOMEM;
    for (int64_t i = 0; i < q->n_events && st == KR_OK; i++) start[q->event[i].user + 2]++;
    for (int64_t u = 0; u < q->users.n && st == KR_OK; u++) start[u + 2] += start[u + 1];
    for (int64_t i = 0; i < q->n_events && st == KR_OK; i++) by_user[start[q->event[i].user + 1]++] = q->event[i];
    for (int64_t u = 0; u < q->users.n && st == KR_OK; u++) {
        int64_t n = start[u + 1] - start[u];
        if (predict && n == 0) st = kr_fail(KR_ERR_FORMAT, "data: of user %s no item is known to the model", q->users.name[u]);
        else if (n) st = add_user(q, by_user + start[u], n, predict);
    }
    kr_mem_free(start), kr_mem_free(by_user);
    return st;
}

/* Examples in a drawn order fill rows one by one. */
static kr_status fill_bins(kr_source *s, items *q) {
    int64_t n = q->set.n_in[KR_SPLIT_TRAIN], used = q->k.length;
    kr_rng r = kr_source_rng(s, KR_SPLIT_TRAIN, "who shares a row", 0);
    uint64_t key = kr_rng_u64(&r);
    q->order = kr_mem_array((size_t)n + 1, sizeof *q->order), q->bin = kr_mem_array((size_t)n + 1, sizeof *q->bin);
    if (!q->order || !q->bin) return KR_ERR_NOMEM;
    for (int64_t i = 0; i < n; i++) {
        q->order[i] = q->set.index[KR_SPLIT_TRAIN][kr_permute(key, n, i)];
        int64_t steps = kr_set_length(&q->set, q->order[i]) - 1;
        if (used + steps > q->k.length) q->bin[q->n_bins++] = i, used = 0;
        used += steps;
    }
    q->bin[q->n_bins] = n;
    s->info.train_batches = (q->n_bins + s->info.S - 1) / s->info.S;
    return KR_OK;
}

/* --- rows ------------------------------------------------------------------------------------------------ */

/* What is seen of example `e` from step `at` on; returns its steps. */
static int64_t put_past(const items *q, int64_t e, bool told, int32_t *ids) {
    const int32_t *item = kr_set_data(&q->set, e);
    int64_t n = kr_set_length(&q->set, e) - told;
    for (int64_t l = 0; l < n; l++) ids[l] = item[l];
    return n;
}

static void fill_bin(const items *q, int64_t bin, kr_batch *b, int64_t row) {
    int64_t L = q->k.length, at = 0;
    int32_t *ids = b->ids + row * L, *targets = b->targets + row * L, *seq_idx = b->seq_idx ? b->seq_idx + row * L : NULL;
    for (int64_t k = q->bin[bin]; k < q->bin[bin + 1]; k++) {
        const int32_t *item = kr_set_data(&q->set, q->order[k]);
        int64_t n = put_past(q, q->order[k], true, ids + at);
        for (int64_t l = 0; l < n; l++) {
            targets[at + l] = item[l + 1];
            if (seq_idx) seq_idx[at + l] = (int32_t)(k - q->bin[bin]);
        }
        at += n;
    }
    for (; at < L; at++) {
        ids[at] = 0, targets[at] = -1;
        if (seq_idx) seq_idx[at] = (int32_t)(q->bin[bin + 1] - q->bin[bin]);
    }
    if (b->len) b->len[row] = (int32_t)L;
}

static void train_batch(const kr_source *s, const items *q, int64_t step, kr_batch *b) {
    for (int64_t i = 0; i < b->S; i++) {
        int64_t number = step * b->S + i;
        kr_rng r = kr_source_rng(s, KR_SPLIT_TRAIN, "order of rows", number / q->n_bins);
        fill_bin(q, kr_permute(kr_rng_u64(&r), q->n_bins, number % q->n_bins), b, i);
    }
}

static void items_batch(const kr_source *s, kr_split split, int64_t step, kr_batch *b) {
    const items *q = s->own;
    if (split == KR_SPLIT_TRAIN) {
        train_batch(s, q, step, b);
        return;
    }
    b->n_rows = 0;
    for (int64_t i = 0; i < b->S; i++) {
        int64_t L = q->k.length, e = kr_set_at(s, &q->set, split, step, i), n = 0;
        int32_t *ids = b->ids + i * L;
        if (e >= 0) n = put_past(q, e, !s->predict, ids), b->n_rows++;
        b->targets[i] = e >= 0 && !s->predict ? ((const int32_t *)kr_set_data(&q->set, e))[n] : -1;
        for (int64_t l = n; l < L; l++) ids[l] = 0;
        if (b->len) b->len[i] = (int32_t)(n ? n : 1);
        if (b->seq_idx) memset(b->seq_idx + i * L, 0, (size_t)L * sizeof *b->seq_idx);
    }
}

static const char *items_label(const kr_source *s, int64_t i) {
    const items *q = s->own;
    return i >= 0 && i < q->items.n ? q->items.name[i] : NULL;
}

/* --- open and close ----------------------------------------------------------------------------------------- */

static kr_status fitted_items(const kr_source *s, items *q) {
    const json_t *a = json_object_get(s->fitted, "items");
    q->items_fixed = true;
    for (size_t i = 0; i < json_array_size(a); i++) {
        const char *name = json_string_value(json_array_get(a, i));
        if (!name || !*name || number_of(&q->items, name, strlen(name), false) != (int64_t)i) KR_FAIL(KR_ERR_FORMAT, "preprocessor_config.json: items wants an array of names, each once");
    }
    if (!q->items.n) KR_FAIL(KR_ERR_FORMAT, "preprocessor_config.json: no items");
    return KR_OK;
}

static kr_status learnt_items(kr_source *s, const items *q) {
    json_t *a = json_array();
    for (int64_t i = 0; a && i < q->items.n; i++)
        if (json_array_append_new(a, json_string(q->items.name[i])) != 0) {
            json_decref(a);
            KR_FAIL(KR_ERR_FORMAT, "data: the name of item \"%.60s\" is no UTF-8 text", q->items.name[i]);
        }
    return kr_learnt(s, "items", a);
}

/* NDCG and HR at each K of data.at; the first NDCG chooses. */
static kr_status choose_metrics(items *q) {
    size_t used = 0;
    int64_t k, n = 0;
    char *end;
    for (const char *p = q->k.at; ; p = end + 1, n++) {
        k = strtoll(p, &end, 10);
        if (end == p || k < 1 || k > 1000000 || (*end && *end != ',') || n == 4) KR_FAIL(KR_ERR_CONFIG, "data.at is \"%s\", want up to 4 numbers from 1 to 1000000, as \"10,5\"", q->k.at);
        if (n) used += (size_t)snprintf(q->more + used, sizeof q->more - used, "ndcg@%lld ", (long long)k);
        else snprintf(q->metric, sizeof q->metric, "ndcg@%lld", (long long)k);
        used += (size_t)snprintf(q->more + used, sizeof q->more - used, "hr@%lld ", (long long)k);
        if (!*end) break;
    }
    snprintf(q->more + used, sizeof q->more - used, "mrr");
    return KR_OK;
}

static kr_status describe(kr_source *s, items *q) {
    kr_source_info *i = &s->info;
    KR_TRY(choose_metrics(q));
    if (i->L && i->L != q->k.length) KR_FAIL(KR_ERR_CONFIG, "train.seq_len is %lld; set data.length instead", (long long)i->L);
    if (q->items.n < 2) KR_FAIL(KR_ERR_CONFIG, "data: %lld item%s, want at least 2", (long long)q->items.n, q->items.n == 1 ? "" : "s");
    i->L = q->k.length, i->vocab_size = q->items.n, i->n_targets = i->L, i->n_held_targets = 1, i->causal = true;
    i->n_train_docs = i->n_train;
    i->metric = q->metric, i->more_metrics = q->more;
    s->head = json_pack("{s:s, s:b}", "type", "lm", "lengths", true);
    if (!s->head) KR_FAIL(KR_ERR_NOMEM, "data: out of memory");
    snprintf(i->about, sizeof i->about, "%lld users, %lld items, %lld times taken; %lld rows of %lld steps to train on, %lld answers held out, %lld to test", (long long)q->users.n,
             (long long)q->items.n, (long long)q->n_events, (long long)q->n_bins, (long long)i->L, (long long)i->n_eval, (long long)i->n_test);
    return KR_OK;
}

static kr_status items_open(kr_source *s, const json_t *data) {
    items *q = s->own = kr_mem_new(sizeof *q);
    if (!q) return KR_ERR_NOMEM;
    s->set = &q->set;
    q->set.each = sizeof(int32_t);
    KR_TRY(kr_keys_read(s->kind->keys, data, "data", &q->k));
    if (s->fitted) KR_TRY(fitted_items(s, q));
    kr_set_keys keys = {.paths = q->k.paths};
    KR_TRY(kr_set_load(s, &q->set, &keys, read_file, q));
    KR_TRY(add_users(q, s->predict));
    KR_TRY(kr_set_split(s, &q->set, &keys));
    if (!s->predict) KR_TRY(fill_bins(s, q));
    if (!s->fitted) KR_TRY(learnt_items(s, q));
    KR_TRY(describe(s, q));
    q->k.user = q->k.items = q->k.at = NULL, q->k.paths = NULL; /* the JSON object is the caller's */
    return KR_OK;
}

static void items_close(kr_source *s) {
    items *q = s->own;
    if (q) {
        kr_set_free(&q->set);
        free_names(&q->users), free_names(&q->items);
        kr_mem_free(q->event), kr_mem_free(q->bin), kr_mem_free(q->order);
    }
    kr_mem_free(q);
}

static const kr_key items_keys_table[] = {
    KR_KEY_TEXT(items_keys, kind, "items", "where rows come from"),
    KR_KEY_LIST(items_keys, paths, "files, folders (with all below) and patterns"),
    KR_KEY_INT(items_keys, length, 50, 1, 1e6, "items of a user's past that are seen"),
    KR_KEY_TEXT(items_keys, user, "user", "the column of the users; of .txt files the first word of a line"),
    KR_KEY_TEXT(items_keys, items, "items", "the column of the items, spaces between them if there are several; of .txt files the other words"),
    KR_KEY_TEXT(items_keys, at, "10,5", "K of NDCG@K and HR@K, with commas between; a model is chosen by the first NDCG"),
    KR_KEY_END,
};

const kr_source_kind kr_source_items = {
    .name = "items",
    .about = "what users took, one behind the other; the next is to be told",
    .keys = items_keys_table,
    .open = items_open,
    .batch = items_batch,
    .who = kr_set_who,
    .label = items_label,
    .close = items_close,
};
