/* fuzz_grammar.c - grammars and JSON schemas: refused with a sentence, or a matcher whose sets of
 * tokens are those that fit one by one.  The first byte: 's' for a schema; a text to read follows a zero byte. */
#include "fuzz_case.h"

#include <string.h>

#include "base/json.h"
#include "infer/grammar.h"
#include "model/model.h"

static const char *const seeds[] = {
    "groot ::= \"a\" | [b-z]+ (\",\" item){0,3} # c\nitem ::= [^\\n\\u00e9] root?",
    "groot ::= \"(\" root \")\" | .*",
    "groot ::= [\xc3\xa9\xf0\x9f\x98\x80-\\U0010FFFF] ([0-9]{2} | \"x\"?)*",
    "s{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"string\", \"maxLength\": 9}, \"b\": {\"$ref\": \"#\"}}, \"required\": [\"a\"]}",
    "s{\"anyOf\": [{\"enum\": [1, null, \"x\"]}, {\"type\": \"array\", \"items\": {\"type\": \"integer\", \"minimum\": -3, \"maximum\": 120}, \"minItems\": 1}]}",
    "s{\"allOf\": [{\"properties\": {\"a\": true}}, {\"$ref\": \"#/$defs/b\"}], \"$defs\": {\"b\": {\"prefixItems\": [{}], \"additionalProperties\": {}}}}",
};
const long fuzz_inputs = 8000;
const char *const fuzz_words[] = {"root ::= ", "\n", "|", "(", ")", "*", "+", "?", "{1,2000}", "{2}", "{3,}", "[^", "]", "\"", "\\x", "\\u00e9", "a", ".", "#",
                                  "\"type\":", "\"object\"", "\"properties\":", "{", "}", "\"$ref\": \"#\"", "\"allOf\": [", "\"minimum\":", "\"additionalProperties\":", NULL};

size_t fuzz_seed(int i, uint8_t *to, size_t room) {
    if (i >= (int)(sizeof seeds / sizeof *seeds)) return 0;
    size_t n = strlen(seeds[i]);
    FUZZ_MUST(n + 3 <= room);
    memcpy(to, seeds[i], n);
    memcpy(to + n, "\0(a", 3);
    return n + 3;
}

static void read_some(kr_grammar *g, const uint8_t *text, size_t n) {
    int32_t at = g->start;
    for (size_t i = 0; i <= n && at > 0 && i < 16; i++) {
        uint64_t allowed[4];
        bool may_end;
        if (kr_grammar_allowed(g, at, allowed, &may_end) != KR_OK) return;
        for (int c = 0; c < 256; c++) {
            int32_t to = at;
            char byte = (char)c;
            kr_status st = kr_grammar_step(g, &to, &byte, 1);
            FUZZ_MUST(st != KR_OK || (to > 0) == (allowed[c >> 6] >> (c & 63) & 1));
        }
        if (i < n && kr_grammar_step(g, &at, (const char *)text + i, 1) != KR_OK) return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static kr_model *m;
    if (n == 0 || n > 3000 || *data == 0) return 0;
    if (!m) m = fuzz_bytes_model();
    int64_t live = kr_mem_get_stats().n_live;
    const uint8_t *end = memchr(data, 0, n);
    size_t size = end ? (size_t)(end - data) : n, rest = end ? n - size - 1 : 0;
    kr_grammar *g = NULL;
    kr_status st = *data == 's' ? kr_grammar_from_schema(&g, m, (const char *)data + 1, (int64_t)size - 1) : kr_grammar_new(&g, m, (const char *)data + 1, (int64_t)size - 1);
    FUZZ_MUST(st == KR_OK || *kr_error());
    if (st == KR_OK) read_some(g, end ? end + 1 : data, rest);
    else FUZZ_MUST(st == KR_ERR_FORMAT || st == KR_ERR_CONFIG || st == KR_ERR_NOMEM);
    if (st == KR_OK) kr_grammar_free(g);
    FUZZ_MUST(kr_mem_get_stats().n_live == live);
    return 0;
}
