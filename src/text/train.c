/* train.c - a new vocabulary: kr_tokenizer_train.
 *
 * First a tokenizer without merges is made, which cuts the texts into words as the finished
 * one will; then the merges are learnt and written into its file. */
#include <string.h>

#include "base/cpu.h"
#include "base/file.h"
#include "text/learn.h"
#include "text/unicode.h"

static const char *const rule_names[] = {[KR_SPLIT_GPT2] = "gpt2", [KR_SPLIT_LLAMA3] = "llama3", [KR_SPLIT_QWEN2] = "qwen2"};

typedef struct trainer {
    kr_tokenizer_options o;
    kr_split_rule rule;
    int32_t byte[256];
    kr_word *token;        /* [vocab_size] their bytes, in `bytes`; special ones have none */
    kr_str bytes, json, letters;
    kr_words words;
    kr_learner learner;
} trainer;

/* --- the file -------------------------------------------------------------------------------- */

static bool stands_for_itself(int b) { return (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE; }

static const char *letters(trainer *t, int32_t left, int32_t right) { /* of one token, or of two with a space between */
    kr_str_cut(&t->letters, 0);
    kr_spell_bytes(&t->letters, t->bytes.text + t->token[left].at, t->token[left].n);
    if (right >= 0) {
        kr_str_append_char(&t->letters, ' ');
        kr_spell_bytes(&t->letters, t->bytes.text + t->token[right].at, t->token[right].n);
    }
    return kr_str_text(&t->letters);
}

static void write_stages(trainer *t) {
    kr_str *j = &t->json;
    const char *regex = kr_split_regex(t->rule), *level = "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": ";
    kr_str_appendf(j, "  \"normalizer\": %s,\n  \"pre_tokenizer\": ", t->o.nfc ? "{\"type\": \"NFC\"}" : "null");
    if (t->rule == KR_SPLIT_GPT2) kr_str_appendf(j, "%strue},\n", level);
    else {
        kr_str_append(j, "{\"type\": \"Sequence\", \"pretokenizers\": [\n    {\"type\": \"Split\", \"pattern\": {\"Regex\": ");
        kr_str_append_json(j, regex);
        kr_str_appendf(j, "}, \"behavior\": \"Isolated\", \"invert\": false},\n    %sfalse}\n  ]},\n", level);
    }
    kr_str_appendf(j, "  \"post_processor\": %strue},\n  \"decoder\": %strue},\n", level, level);
}

static kr_status write_file(trainer *t) {
    kr_str *j = &t->json;
    const kr_learner *l = &t->learner;
    kr_str_cut(j, 0);
    kr_str_append(j, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [");
    for (int64_t i = 0; i < t->o.n_special; i++) {
        kr_str_appendf(j, "%s\n    {\"id\": %lld, \"content\": ", i ? "," : "", (long long)i);
        kr_str_append_json(j, t->o.special[i]);
        kr_str_append(j, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": true}");
    }
    kr_str_append(j, t->o.n_special ? "\n  ],\n" : "],\n");
    write_stages(t);
    kr_str_append(j, "  \"model\": {\n    \"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, \"continuing_subword_prefix\": null,\n"
                     "    \"end_of_word_suffix\": null, \"fuse_unk\": false, \"byte_fallback\": false, \"ignore_merges\": false,\n    \"vocab\": {");
    for (int64_t i = 0; i < l->n_tokens; i++) {
        kr_str_append(j, i ? ",\n      " : "\n      ");
        const char *text = i < t->o.n_special ? t->o.special[i] : letters(t, (int32_t)i, -1);
        for (int k = 0; k < t->o.n_special && k < i; k++)
            if (strcmp(t->o.special[k], text) == 0) KR_FAIL(KR_ERR_ARG, "special token \"%s\" is how a file spells another token", text);
        kr_str_append_json(j, text);
        kr_str_appendf(j, ": %lld", (long long)i);
    }
    kr_str_append(j, "\n    },\n    \"merges\": [");
    for (size_t i = 0; i < l->n_merges; i++) {
        kr_str_append(j, i ? ",\n      " : "\n      ");
        kr_str_append_json(j, letters(t, l->merge[i].left, l->merge[i].right));
    }
    kr_str_append(j, l->n_merges ? "\n    ]\n  }\n}\n" : "]\n  }\n}\n");
    KR_TRY(kr_str_status(&t->letters));
    return kr_str_status(j);
}

static kr_status make(trainer *t, kr_tokenizer **out) {
    KR_TRY(write_file(t));
    return kr_tokenizer_open_text(out, t->json.text, t->json.n, "the new tokenizer");
}

/* --- texts -------------------------------------------------------------------------------- */

static kr_status count_file(trainer *t, const kr_tokenizer *cutter, const char *path) {
    bool plain = strcmp(path, "-") != 0;
    const void *map = NULL;
    void *read = NULL;
    size_t n;
    if (plain) KR_TRY(kr_file_map(&map, &n, path));
    else KR_TRY(kr_file_read(&read, &n, path));
    kr_status st = kr_words_count(&t->words, cutter, plain ? map : read, n, t->o.n_threads);
    if (plain) kr_file_unmap(map, n);
    kr_mem_free(read);
    return st;
}

static kr_status count_files(trainer *t, const kr_tokenizer *cutter, const char *const *path, int n) {
    kr_file_list list = {0};
    char file[4096];
    kr_status st = KR_OK;
    for (int i = 0; i < n && st == KR_OK; i++) {
        if (t->o.progress) t->o.progress(t->o.user, "texts", i, n);
        if (!kr_dir_exists(path[i])) {
            st = count_file(t, cutter, path[i]);
            continue;
        }
        size_t k = list.n;
        st = kr_dir_list(&list, path[i], KR_LIST_FILES | KR_LIST_DEEP);
        for (; k < list.n && st == KR_OK; k++) {
            st = kr_path_join(file, sizeof file, path[i], list.name[k]);
            if (st == KR_OK) st = count_file(t, cutter, file);
        }
    }
    kr_file_list_free(&list);
    if (st == KR_OK && t->o.progress) t->o.progress(t->o.user, "texts", n, n);
    if (st == KR_OK && t->words.n == 0) KR_FAIL(KR_ERR_ARG, "there is no text in what a vocabulary is to be learnt from");
    return st;
}

/* --- all of it ------------------------------------------------------------------------------- */

static kr_status check(trainer *t) {
    kr_tokenizer_options *o = &t->o;
    if (o->vocab_size == 0) o->vocab_size = 8192;
    if (o->min_count < 1) o->min_count = 2;
    if (o->n_threads < 1) o->n_threads = kr_cpu_threads();
    t->rule = KR_SPLIT_GPT2;
    for (int i = KR_SPLIT_GPT2; o->split; i++) {
        if (i > KR_SPLIT_QWEN2) KR_FAIL(KR_ERR_ARG, "there is no pre-tokeniser \"%s\", want gpt2, llama3 or qwen2", o->split);
        if (strcmp(rule_names[i], o->split) != 0) continue;
        t->rule = (kr_split_rule)i;
        break;
    }
    if (o->n_special < 0 || o->vocab_size < 256 + o->n_special || o->vocab_size > 1 << 24)
        KR_FAIL(KR_ERR_ARG, "vocab_size is %lld, want 256 for the bytes and %d for special tokens at least, and 16777216 at most",
                (long long)o->vocab_size, o->n_special);
    for (int i = 0; i < o->n_special; i++) {
        const char *name = o->special[i];
        if (!*name || kr_utf8_valid(name, strlen(name)) < strlen(name)) KR_FAIL(KR_ERR_ARG, "special token %d is empty or no UTF-8", i);
        if (!name[1]) KR_FAIL(KR_ERR_ARG, "special token \"%s\" is a single letter, which every vocabulary has", name);
        for (int k = 0; k < i; k++)
            if (strcmp(name, o->special[k]) == 0) KR_FAIL(KR_ERR_ARG, "special token \"%s\" is given twice", name);
    }
    return KR_OK;
}

/* Ids as Hugging Face's trainer gives them: special tokens, bytes in the order of their letters, merges. */
static kr_status number_bytes(trainer *t) {
    int32_t id = t->o.n_special;
    if (!(t->token = kr_mem_array((size_t)t->o.vocab_size, sizeof *t->token))) return KR_ERR_NOMEM;
    for (int itself = 1; itself >= 0; itself--)
        for (int b = 0; b < 256; b++) {
            if (stands_for_itself(b) != itself) continue;
            t->token[id] = (kr_word){t->bytes.n, 0, 1, 0};
            kr_str_append_char(&t->bytes, (char)b);
            t->byte[b] = id++;
        }
    t->learner = (kr_learner){t->byte, id, t->o.vocab_size, t->o.min_count, t->o.progress, t->o.user, NULL, 0};
    return kr_str_status(&t->bytes);
}

static kr_status spell_merges(trainer *t) {
    for (size_t i = 0; i < t->learner.n_merges; i++) {
        kr_learned_merge m = t->learner.merge[i];
        kr_word a = t->token[m.left], b = t->token[m.right];
        if (t->token[m.to].n) continue;
        t->token[m.to] = (kr_word){t->bytes.n, 0, a.n + b.n, 0};
        for (uint32_t k = 0; k < a.n + b.n; k++) kr_str_append_char(&t->bytes, t->bytes.text[k < a.n ? a.at + k : b.at + k - a.n]);
        KR_TRY(kr_str_status(&t->bytes));
    }
    return KR_OK;
}

static kr_status train(trainer *t, kr_tokenizer **out, const char *const *path, int n_paths) {
    kr_tokenizer *cutter;
    KR_TRY(check(t));
    KR_TRY(number_bytes(t));
    KR_TRY(make(t, &cutter));
    kr_status st = count_files(t, cutter, path, n_paths);
    kr_tokenizer_free(cutter);
    if (st == KR_OK) st = kr_learn(&t->learner, &t->words);
    if (st == KR_OK) st = spell_merges(t);
    return st == KR_OK ? make(t, out) : st;
}

kr_status kr_tokenizer_train(kr_tokenizer **out, const char *const *path, int n_paths, const kr_tokenizer_options *opt) {
    trainer t = {.o = opt ? *opt : (kr_tokenizer_options){0}};
    kr_status st = train(&t, out, path, n_paths);
    kr_words_free(&t.words);
    kr_mem_free(t.token);
    kr_mem_free(t.learner.merge);
    kr_str_free(&t.bytes);
    kr_str_free(&t.json);
    kr_str_free(&t.letters);
    return st;
}
