/* fuzz_tokenizer.c - a tokenizer.json of any bytes is refused with a sentence or encodes any text; and any
 * text, given to a good tokenizer, comes back whole where it is UTF-8 in NFC already. */
#include "fuzz.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

static const char head[] = "{\"added_tokens\":[{\"id\":300,\"content\":\"<e>\",\"special\":true,\"lstrip\":true},{\"id\":301,\"content\":\"  \",\"normalized\":true}],"
    "\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"post_processor\":{\"type\":\"TemplateProcessing\","
    "\"single\":[{\"SpecialToken\":{\"id\":\"<e>\"}},{\"Sequence\":{}}],\"special_tokens\":{\"<e>\":{\"ids\":[300]}}},\"model\":{\"type\":\"BPE\",\"vocab\":{";
static const char tail[] = "\"ab\":256,\"abc\":257,\"\\u0120a\":258},\"merges\":[\"a b\",[\"ab\",\"c\"],\"\\u0120 a\"]}}";
const long fuzz_inputs = 5000;
const char *const fuzz_words[] = {"\"vocab\":", "\"merges\":", "\"a b\",", "\"content\":\"\"", "null", "true", "\"NFC\"", "\"Sequence\"", "\"Split\"", "\"\\u0120\"", "\xff",
                                  "\xcc\x81", "a\xcc\xa3\xcc\x81", "<e>", "    ", "\xf0\x9f\x98\x80", "\xc2\xb2", "\xef\xbc\x8c", "'s", "123", "\n\n", "-1", "16777216", NULL};

static size_t good(uint8_t *to, size_t room) {
    kr_str s = {0};
    kr_str_append(&s, head);
    for (int b = 0; b < 256; b++) { /* the letters that stand for bytes, in the order of the bytes */
        static int others;
        bool self = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        if (b == 0) others = 0;
        kr_str_append(&s, "\"");
        if (b == '"' || b == '\\') kr_str_append_char(&s, '\\');
        kr_utf8_put(&s, self ? (uint32_t)b : 0x100u + (uint32_t)others++);
        kr_str_appendf(&s, "\":%d,", b);
    }
    kr_str_append(&s, tail);
    FUZZ_MUST(kr_str_status(&s) == KR_OK && s.n <= room);
    memcpy(to, s.text, s.n);
    size_t n = s.n;
    kr_str_free(&s);
    return n;
}

size_t fuzz_seed(int i, uint8_t *to, size_t room) {
    static const char text[] = "The krait's 12345  a<e> \n\n ab\xcc\xa3\xcc\x81 \xe4\xbd\xa0 \xff\xc3 abcabc";
    if (i == 0) return good(to, room);
    if (i > 1) return 0;
    memcpy(to, text, sizeof text);
    return sizeof text;
}

static kr_status open_bytes(kr_tokenizer **t, const uint8_t *data, size_t n) {
    kr_tokenizer *p = kr_mem_new(sizeof *p);
    FUZZ_MUST(p != NULL && (p->json = kr_mem_new(n + 1)) != NULL);
    memcpy(p->json, data, n);
    p->json_bytes = n;
    kr_status st = kr_tokenizer_parse(p, p->json, n, "fuzz");
    if (st != KR_OK) kr_tokenizer_free(p);
    else *t = p;
    return st;
}

static void encode(const kr_tokenizer *t, const uint8_t *data, size_t n, bool exact) {
    static int32_t tok[1 << 18];
    kr_str back = {0};
    int64_t k = kr_tokenizer_encode(t, (const char *)data, (int64_t)n, tok, 1 << 18);
    FUZZ_MUST(k >= 0 && k <= 1 << 18);
    for (int64_t i = 0, bytes; i < k; i++) {
        FUZZ_MUST(tok[i] >= 0 && tok[i] < kr_tokenizer_size(t));
        const char *piece = kr_tokenizer_text(t, tok[i], &bytes);
        FUZZ_MUST(piece != NULL);
        if (!exact || i > 0) kr_str_append_n(&back, piece, (size_t)bytes); /* the first is the post-processor's */
    }
    if (exact && kr_utf8_valid(data, n) == n && kr_nfc_surely(data, n) && !memmem(data, n, "<e>", 3))
        FUZZ_MUST(back.n == n && memcmp(kr_str_text(&back), data, n) == 0);
    kr_str_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static kr_tokenizer *sound;
    static uint8_t seed[1 << 14];
    if (!sound) FUZZ_MUST(open_bytes(&sound, seed, good(seed, sizeof seed)) == KR_OK);
    int64_t live = kr_mem_get_stats().n_live;
    kr_tokenizer *t = NULL;
    kr_status st = open_bytes(&t, data, n);
    FUZZ_MUST(st == KR_OK || (st == KR_ERR_FORMAT && strncmp(kr_error(), "fuzz", 4) == 0));
    if (t) encode(t, (const uint8_t *)fuzz_words, 0, false), encode(t, data, n < 4096 ? n : 4096, false);
    kr_tokenizer_free(t);
    for (int i = 0; n < 1 << 16 && i < 2; i++) {
        sound->split = i ? KR_SPLIT_FALCON : KR_SPLIT_GPT2;
        encode(sound, data, n, true);
    }
    FUZZ_MUST(kr_mem_get_stats().n_live == live);
    return 0;
}
