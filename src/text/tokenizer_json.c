/* tokenizer_json.c - reading Hugging Face's tokenizer.json.
 *
 * Every part of the file that would change an id is either understood or refused by name. */
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

enum { MAX_TOKENS = 1 << 24 };

typedef struct reader { kr_tokenizer *t; const char *path; kr_str letters; uint32_t at; } reader; /* at: the end of the texts so far */

#define REFUSE(...) KR_FAIL(KR_ERR_FORMAT, __VA_ARGS__)

static const char *type_of(const json_t *j) {
    const char *type = json_string_value(json_object_get(j, "type"));
    return type ? type : "without a type";
}

static bool flag(const json_t *j, const char *name, bool absent) {
    const json_t *v = json_object_get(j, name);
    return json_is_boolean(v) ? json_is_true(v) : absent;
}

static bool nothing(const json_t *v) { /* absent, null, false, "", 0 */
    return !v || json_is_null(v) || json_is_false(v) || (json_is_string(v) && !*json_string_value(v)) || (json_is_number(v) && json_number_value(v) == 0);
}

/* --- letters that stand for bytes --------------------------------------------------------- */

/* Printable bytes stand for themselves, the others for U+0100 and on, in order. */
static int byte_of(uint32_t c) {
    if ((c >= '!' && c <= '~') || (c >= 0xA1 && c <= 0xAC) || (c >= 0xAE && c <= 0xFF)) return (int)c;
    if (c >= 0x100 && c <= 0x120) return (int)(c - 0x100);
    if (c >= 0x121 && c <= 0x142) return (int)(c - 0x121 + 0x7F);
    return c == 0x143 ? 0xAD : -1;
}

void kr_spell_bytes(kr_str *to, const void *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t b = ((const unsigned char *)bytes)[i];
        bool itself = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        kr_utf8_put(to, itself ? b : b < '!' ? 0x100 + b : b < 0xAD ? 0x121 + b - 0x7F : 0x143);
    }
}

/* Into r->letters the bytes that a token's letters stand for; false if any letter stands for none. */
static bool spell(reader *r, const char *text, size_t n) {
    const unsigned char *p = (const unsigned char *)text, *end = p + n;
    kr_str_cut(&r->letters, 0);
    for (int k; p < end; p += k) {
        int b = byte_of(kr_utf8_get(p, &k));
        if (b < 0) return false;
        kr_str_append_char(&r->letters, (char)b);
    }
    return n > 0;
}

/* A token that cannot be spelt is taken as it is: no merge can make it. */
static kr_status bytes_of(reader *r, const char *text, size_t n, kr_token *to, bool *spelt) {
    *spelt = spell(r, text, n);
    KR_TRY(kr_str_status(&r->letters));
    size_t bytes = *spelt ? r->letters.n : n; /* no more than its letters, for which there is room */
    if (bytes) memcpy(r->t->texts + r->at, *spelt ? r->letters.text : text, bytes);
    *to = (kr_token){r->at, (uint32_t)bytes};
    r->at += (uint32_t)bytes + 1;
    return KR_OK;
}

/* --- the vocabulary ------------------------------------------------------------------------ */

static kr_status count_ids(reader *r, const json_t *vocab, const json_t *added) {
    const char *name;
    const json_t *v;
    size_t i, room = 1; /* a text begins behind 0 */
    int64_t most = -1;
    json_object_foreach((json_t *)(uintptr_t)vocab, name, v) {
        if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) >= MAX_TOKENS)
            REFUSE("%s: model.vocab: the id of \"%.60s\" is no number from 0 to %d", r->path, name, MAX_TOKENS - 1);
        if (json_integer_value(v) > most) most = json_integer_value(v);
        room += strlen(name) + 1;
    }
    json_array_foreach(added, i, v) {
        const json_t *id = json_object_get(v, "id");
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= MAX_TOKENS)
            REFUSE("%s: added_tokens[%zu]: its id is no number from 0 to %d", r->path, i, MAX_TOKENS - 1);
        if (json_integer_value(id) > most) most = json_integer_value(id);
        if (json_is_string(json_object_get(v, "content"))) room += json_string_length(json_object_get(v, "content")) + 1;
    }
    if (most < 0) REFUSE("%s: there are no tokens in it", r->path);
    if (room > UINT32_MAX) REFUSE("%s: its tokens are longer than 4 GB together", r->path);
    kr_tokenizer *t = r->t;
    t->n_tokens = most + 1;
    t->token = kr_arena_new(&t->arena, (size_t)t->n_tokens * sizeof *t->token);
    t->whole = kr_arena_new(&t->arena, (size_t)t->n_tokens * sizeof *t->whole);
    t->texts = kr_arena_new(&t->arena, room);
    r->at = 1;
    return t->token && t->whole && t->texts ? KR_OK : KR_ERR_NOMEM;
}

static kr_status read_vocab(reader *r, const json_t *vocab) {
    kr_tokenizer *t = r->t;
    const char *name;
    const json_t *v;
    t->slot_mask = 15;
    while (t->slot_mask < 2 * json_object_size(vocab)) t->slot_mask = 2 * t->slot_mask + 1;
    if (!(t->slot = kr_arena_new(&t->arena, ((size_t)t->slot_mask + 1) * sizeof *t->slot))) return KR_ERR_NOMEM;
    for (int b = 0; b < 256; b++) t->byte[b] = -1;
    json_object_foreach((json_t *)(uintptr_t)vocab, name, v) {
        int32_t id = (int32_t)json_integer_value(v);
        bool spelt;
        if (t->token[id].at) REFUSE("%s: model.vocab: the id %d is given twice", r->path, id);
        KR_TRY(bytes_of(r, name, strlen(name), &t->token[id], &spelt));
        if (!spelt) continue;
        uint32_t hash = kr_bytes_hash(kr_token_bytes(t, id), t->token[id].n), i = hash & t->slot_mask;
        while (t->slot[i]) i = (i + 1) & t->slot_mask;
        t->slot[i] = kr_slot_make(hash, (uint32_t)id);
        if (t->token[id].n == 1) t->byte[(unsigned char)*kr_token_bytes(t, id)] = id;
    }
    for (int b = 0; b < 256; b++)
        if (t->byte[b] < 0 && b != 0xC0 && b != 0xC1 && b < 0xF5) /* no UTF-8 has these */
            REFUSE("%s: model.vocab: there is no token for the byte 0x%02x, want one for every byte of UTF-8", r->path, b);
    return KR_OK;
}

/* --- merges ------------------------------------------------------------------------------- */

static kr_status find_part(reader *r, size_t rank, const char *text, size_t n, int32_t *id) {
    bool spelt = spell(r, text, n);
    KR_TRY(kr_str_status(&r->letters));
    *id = spelt ? kr_tokens_find(r->t, r->letters.text, r->letters.n) : -1;
    if (*id < 0) REFUSE("%s: model.merges[%zu]: \"%.*s\" is no token of the vocabulary", r->path, rank, n > 60 ? 60 : (int)n, text);
    return KR_OK;
}

static kr_status read_merge(reader *r, size_t rank, const json_t *v) {
    kr_tokenizer *t = r->t;
    int32_t left, right, to;
    const char *a = json_string_value(v), *b = NULL;
    size_t n_a = 0, n_b = 0;
    if (a) {
        const char *space = strchr(a, ' ');
        if (space) n_a = (size_t)(space - a), b = space + 1, n_b = strlen(b);
    } else if (json_array_size(v) == 2) {
        a = json_string_value(json_array_get(v, 0)), b = json_string_value(json_array_get(v, 1));
        n_a = a ? strlen(a) : 0, n_b = b ? strlen(b) : 0;
    }
    if (!a || !b || !n_a || !n_b) REFUSE("%s: model.merges[%zu] is no pair of tokens", r->path, rank);
    KR_TRY(find_part(r, rank, a, n_a, &left));
    KR_TRY(find_part(r, rank, b, n_b, &right));
    kr_str_cut(&r->letters, 0);
    kr_str_append_n(&r->letters, kr_token_bytes(t, left), t->token[left].n);
    kr_str_append_n(&r->letters, kr_token_bytes(t, right), t->token[right].n);
    KR_TRY(kr_str_status(&r->letters));
    if ((to = kr_tokens_find(t, r->letters.text, r->letters.n)) < 0)
        REFUSE("%s: model.merges[%zu]: what \"%.60s\" and \"%.60s\" make together is no token of the vocabulary", r->path, rank, a, b);
    kr_merge *same = (kr_merge *)(uintptr_t)kr_merges_find(t, left, right);
    uint32_t hash = kr_pair_hash(left, right), i = hash & t->merge_mask;
    if (same) same->to = -1; /* said twice: the last one holds, as in Hugging Face's */
    while (t->merge_slot[i] && !(same && kr_slot_may_be(t->merge_slot[i], hash) && &t->merge[kr_slot_index(t->merge_slot[i])] == same)) i = (i + 1) & t->merge_mask;
    t->merge_slot[i] = kr_slot_make(hash, (uint32_t)rank);
    t->merge[rank] = (kr_merge){left, right, to};
    return KR_OK;
}

static kr_status read_merges(reader *r, const json_t *merges) {
    kr_tokenizer *t = r->t;
    const json_t *v;
    size_t i;
    if (!json_is_array(merges)) REFUSE("%s: model.merges is missing or no list", r->path);
    if (json_array_size(merges) > KR_MOST_INDEX) REFUSE("%s: model.merges: %zu pairs, want at most %d", r->path, json_array_size(merges), KR_MOST_INDEX);
    t->merge_mask = 15;
    while (t->merge_mask < 2 * json_array_size(merges)) t->merge_mask = 2 * t->merge_mask + 1;
    t->n_merges = (uint32_t)json_array_size(merges);
    t->merge = kr_arena_new(&t->arena, ((size_t)t->n_merges + 1) * sizeof *t->merge);
    t->merge_slot = kr_arena_new(&t->arena, ((size_t)t->merge_mask + 1) * sizeof *t->merge_slot);
    if (!t->merge || !t->merge_slot) return KR_ERR_NOMEM;
    json_array_foreach(merges, i, v) KR_TRY(read_merge(r, i, v));
    return KR_OK;
}

static kr_status read_model(reader *r, const json_t *model, const json_t *added) {
    static const char *const unknown[] = {"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"};
    const json_t *vocab = json_object_get(model, "vocab");
    const char *type = json_string_value(json_object_get(model, "type"));
    if (!json_is_object(model) || (type && strcmp(type, "BPE") != 0))
        REFUSE("%s: model is %s, want one of type BPE", r->path, json_is_object(model) ? type : "no object");
    for (int i = 0; i < 4; i++)
        if (i != 1 && !nothing(json_object_get(model, unknown[i]))) REFUSE("%s: model.%s is set, and Krait does not read it", r->path, unknown[i]);
    if (!json_is_object(vocab)) REFUSE("%s: model.vocab is missing or no object", r->path);
    r->t->ignore_merges = flag(model, "ignore_merges", false);
    KR_TRY(count_ids(r, vocab, added));
    KR_TRY(read_vocab(r, vocab));
    return read_merges(r, json_object_get(model, "merges"));
}

/* --- added tokens ------------------------------------------------------------------------- */

static kr_status read_added_token(reader *r, size_t i, const json_t *v) {
    kr_tokenizer *t = r->t;
    const char *text = json_string_value(json_object_get(v, "content"));
    int32_t id = (int32_t)json_integer_value(json_object_get(v, "id"));
    bool spelt;
    if (!text) REFUSE("%s: added_tokens[%zu] has no content", r->path, i);
    if (flag(v, "single_word", false)) REFUSE("%s: added_tokens[%zu]: single_word is true, and Krait does not read such tokens", r->path, i);
    kr_added_token *a = &t->added[t->n_added++];
    *a = (kr_added_token){.id = id, .lstrip = flag(v, "lstrip", false), .rstrip = flag(v, "rstrip", false), .special = flag(v, "special", false)};
    a->normalized = flag(v, "normalized", !a->special);
    kr_str_cut(&r->letters, 0);
    if (a->normalized && t->nfc) KR_TRY(kr_nfc(&r->letters, text, strlen(text)));
    else kr_str_append(&r->letters, text);
    KR_TRY(kr_str_status(&r->letters));
    a->n = r->letters.n;
    if (!(a->text = kr_arena_strdup(&t->arena, kr_str_text(&r->letters)))) return KR_ERR_NOMEM;
    kr_token bytes;
    KR_TRY(bytes_of(r, text, strlen(text), &bytes, &spelt));
    kr_token *same = &t->token[id];
    if (same->at && (same->n != bytes.n || memcmp(t->texts + same->at, t->texts + bytes.at, bytes.n) != 0))
        REFUSE("%s: added_tokens[%zu]: \"%.60s\" has the id %d of another token", r->path, i, text, id);
    *same = bytes;
    return KR_OK;
}

static kr_status read_added(reader *r, const json_t *added) {
    kr_tokenizer *t = r->t;
    const json_t *v;
    size_t i;
    t->added = kr_arena_new(&t->arena, (json_array_size(added) + 1) * sizeof *t->added);
    if (!t->added) return KR_ERR_NOMEM;
    json_array_foreach(added, i, v) KR_TRY(read_added_token(r, i, v));
    KR_TRY(kr_finder_make(&t->raw, t, false));
    return kr_finder_make(&t->normalized, t, true);
}

/* --- the stages around the model ------------------------------------------------------------ */

static kr_status read_normalizer(reader *r, const json_t *j) {
    const json_t *list = json_object_get(j, "normalizers"), *v;
    size_t i;
    if (!j || json_is_null(j)) return KR_OK;
    if (strcmp(type_of(j), "Sequence") == 0 && json_is_array(list)) {
        json_array_foreach(list, i, v)
            if (strcmp(type_of(v), "NFC") != 0) REFUSE("%s: normalizer %s, and Krait reads NFC only", r->path, type_of(v));
        r->t->nfc = json_array_size(list) > 0;
        return KR_OK;
    }
    if (strcmp(type_of(j), "NFC") != 0) REFUSE("%s: normalizer %s, and Krait reads NFC only", r->path, type_of(j));
    r->t->nfc = true;
    return KR_OK;
}

static kr_status read_byte_level(reader *r, const json_t *j) {
    r->t->prefix_space = flag(j, "add_prefix_space", true);
    if (!flag(j, "use_regex", true)) return KR_OK;
    if (r->t->split != KR_SPLIT_NONE) REFUSE("%s: pre_tokenizer: a Split before a ByteLevel that splits too, which Krait does not read", r->path);
    r->t->split = KR_SPLIT_GPT2;
    return KR_OK;
}

static kr_status read_split(reader *r, const json_t *j) {
    const char *regex = json_string_value(json_object_get(json_object_get(j, "pattern"), "Regex"));
    const char *behaviour = json_string_value(json_object_get(j, "behavior"));
    bool isolated = behaviour && strcmp(behaviour, "Isolated") == 0, removed = behaviour && strcmp(behaviour, "Removed") == 0;
    if (!(isolated && !flag(j, "invert", false)) && !(removed && flag(j, "invert", false)))
        REFUSE("%s: pre_tokenizer Split with behavior %s, want Isolated", r->path, behaviour ? behaviour : "absent");
    if (!regex || !kr_split_find(regex, &r->t->split))
        REFUSE("%s: pre_tokenizer: Krait does not know the pattern %.200s (it knows those of GPT-2, Llama 3, Qwen 2 and Falcon)", r->path, regex ? regex : "(no Regex)");
    return KR_OK;
}

static bool has(const json_t *j, const char *key, const char *text) {
    const char *own = json_string_value(json_object_get(j, key));
    return own && strcmp(own, text) == 0;
}

/* The four of Falcon and Falcon-Mamba, which are one rule to us. */
static bool is_falcon(const json_t *list) {
    const json_t *marks = json_array_get(list, 0), *level = json_array_get(list, 1), *digits = json_array_get(list, 2), *split = json_array_get(list, 3);
    return json_array_size(list) == 4 && has(marks, "type", "Punctuation") && has(marks, "behavior", "Contiguous") && has(level, "type", "ByteLevel") &&
           flag(level, "use_regex", true) && !flag(level, "add_prefix_space", true) && has(digits, "type", "Digits") && !flag(digits, "individual_digits", false) &&
           has(split, "type", "Split") && has(json_object_get(split, "pattern"), "Regex", "[0-9][0-9][0-9]") && has(split, "behavior", "Isolated") && !flag(split, "invert", false);
}

static kr_status read_pre_tokenizer(reader *r, const json_t *j) {
    const json_t *list = json_object_get(j, "pretokenizers"), *v, *last = j;
    size_t i, n = json_array_size(list);
    if (strcmp(type_of(j), "Sequence") == 0) {
        if (is_falcon(list)) return r->t->split = KR_SPLIT_FALCON, KR_OK;
        if (n < 1 || n > 2) REFUSE("%s: pre_tokenizer: a Sequence of %zu, want a Split and a ByteLevel", r->path, n);
        json_array_foreach(list, i, v) {
            last = v;
            if (i + 1 == n) break;
            if (strcmp(type_of(v), "Split") != 0) REFUSE("%s: pre_tokenizer %s, and Krait reads Split and ByteLevel only", r->path, type_of(v));
            KR_TRY(read_split(r, v));
        }
    }
    if (strcmp(type_of(last), "ByteLevel") != 0) REFUSE("%s: pre_tokenizer %s, and Krait reads ByteLevel only", r->path, type_of(last));
    KR_TRY(read_byte_level(r, last));
    if (n == 2 && r->t->prefix_space) REFUSE("%s: pre_tokenizer: add_prefix_space behind a Split, which Krait does not read", r->path);
    return KR_OK;
}

static kr_status add_template_token(reader *r, const json_t *post, const json_t *item, bool behind) {
    const char *name = json_string_value(json_object_get(json_object_get(item, "SpecialToken"), "id"));
    const json_t *ids = name ? json_object_get(json_object_get(json_object_get(post, "special_tokens"), name), "ids") : NULL, *v;
    int32_t *to = behind ? r->t->after : r->t->before;
    int *n = behind ? &r->t->n_after : &r->t->n_before;
    size_t i;
    if (!json_is_array(ids)) REFUSE("%s: post_processor: \"%.60s\" is none of its special_tokens", r->path, name ? name : "?");
    json_array_foreach(ids, i, v) {
        if (*n == 8) REFUSE("%s: post_processor: more than 8 tokens around a text", r->path);
        json_int_t id = json_is_integer(v) ? json_integer_value(v) : -1;
        if (id < 0 || id >= r->t->n_tokens || !kr_tokenizer_text(r->t, (int32_t)id, NULL)) REFUSE("%s: post_processor: an id that is no token's", r->path);
        to[(*n)++] = (int32_t)id;
    }
    return KR_OK;
}

static kr_status read_post_processor(reader *r, const json_t *j) {
    const json_t *list = json_object_get(j, "processors"), *single = json_object_get(j, "single"), *v;
    size_t i;
    bool behind = false;
    if (!j || json_is_null(j) || strcmp(type_of(j), "ByteLevel") == 0) return KR_OK; /* that one only moves offsets */
    if (strcmp(type_of(j), "Sequence") == 0 && json_is_array(list)) {
        json_array_foreach(list, i, v) {
            if (strcmp(type_of(v), "Sequence") == 0) REFUSE("%s: post_processor: a Sequence in a Sequence", r->path);
            KR_TRY(read_post_processor(r, v));
        }
        return KR_OK;
    }
    if (strcmp(type_of(j), "TemplateProcessing") != 0 || !json_is_array(single))
        REFUSE("%s: post_processor %s, and Krait reads ByteLevel and TemplateProcessing only", r->path, type_of(j));
    json_array_foreach(single, i, v) {
        if (json_object_get(v, "Sequence")) behind = true;
        else KR_TRY(add_template_token(r, j, v, behind));
    }
    return KR_OK;
}

static kr_status read_all(reader *r, const json_t *j) {
    const json_t *decoder = json_object_get(j, "decoder"), *added = json_object_get(j, "added_tokens");
    kr_tokenizer *t = r->t;
    if (!json_is_object(j)) REFUSE("%s is no JSON object", r->path);
    t->before = kr_arena_new(&t->arena, 8 * sizeof *t->before), t->after = kr_arena_new(&t->arena, 8 * sizeof *t->after);
    if (!t->before || !t->after) return KR_ERR_NOMEM;
    KR_TRY(read_normalizer(r, json_object_get(j, "normalizer")));
    KR_TRY(read_pre_tokenizer(r, json_object_get(j, "pre_tokenizer")));
    if (decoder && !json_is_null(decoder) && strcmp(type_of(decoder), "ByteLevel") != 0)
        REFUSE("%s: decoder %s, and Krait reads ByteLevel only", r->path, type_of(decoder));
    if (added && !json_is_array(added) && !json_is_null(added)) REFUSE("%s: added_tokens is no list", r->path);
    KR_TRY(read_model(r, json_object_get(j, "model"), added));
    KR_TRY(read_added(r, added));
    return read_post_processor(r, json_object_get(j, "post_processor"));
}

kr_status kr_tokenizer_parse(kr_tokenizer *t, const char *json, size_t n, const char *path) {
    reader r = {.t = t, .path = path};
    json_t *j;
    KR_TRY(kr_json_parse(&j, json, n, path));
    kr_status st = read_all(&r, j);
    json_decref(j);
    kr_str_free(&r.letters);
    kr_mem_trim(); /* a vocabulary in JSON is 20 times its size */
    return st;
}
