/* fuzz_json.c - JSON: whatever is taken can be written out and read back the same. */
#include "fuzz.h"

#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

static const char *const seeds[] = {
    ("{\"architectures\": [\"MambaForCausalLM\"], \"hidden_size\": 64, \"layer_norm_epsilon\": 1e-05, \"tie\": true,\n"
     " \"time_step_limit\": [0.0, {\"__float__\": \"Infinity\"}], \"nothing\": null, \"deep\": {\"a\": [[[]], {}]}}"),
    "[\"\\u00e9\\ud83d\\ude00\\n\\t\\\"\\\\\", \"\xc3\xa9\xf0\x9f\x98\x80\", -1, 9223372036854775807, -9223372036854775808, 1.5e300]",
    "{}", "[]",
};
const long fuzz_inputs = 150000;
const char *const fuzz_words[] = {"{", "}", "[", "]", ",", ":", "\"", "\\", "\\u0000", "\\ud800", "\\udc00", "\xc0\x80", "\xed\xa0\x80",
                                  "\xff", "null", "true", "false", "NaN", "Infinity", "1e", "-", "0x", "//", "\"a\":", "[[[[[[[[[[[[[[[[", NULL};

size_t fuzz_seed(int i, uint8_t *to, size_t room) {
    return i < (int)(sizeof seeds / sizeof *seeds) ? fuzz_text(seeds[i], to, room) : 0;
}

/* Our own quoting, against jansson's reading of it. */
static void check_strings(const json_t *j) {
    const char *key;
    const json_t *value;
    size_t i;
    if (json_is_string(j)) {
        kr_str s = {0};
        json_t *back = NULL;
        kr_str_append_char(&s, '[');
        kr_str_append_json(&s, json_string_value(j));
        kr_str_append_char(&s, ']');
        FUZZ_MUST(kr_json_parse(&back, s.text, s.n, "ours") == KR_OK);
        FUZZ_MUST(json_equal(json_array_get(back, 0), j));
        json_decref(back);
        kr_str_free(&s);
    }
    json_array_foreach(j, i, value) check_strings(value);
    json_object_foreach((json_t *)(uintptr_t)j, key, value) check_strings(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    int64_t live = kr_mem_get_stats().n_live;
    json_t *j = NULL, *again = NULL;
    kr_status st = kr_json_parse(&j, (const char *)data, n, "fuzz");
    FUZZ_MUST(st == KR_OK || (st == KR_ERR_FORMAT && strncmp(kr_error(), "fuzz: line ", 11) == 0));
    if (st == KR_OK) {
        char *text = json_dumps(j, JSON_COMPACT);
        FUZZ_MUST(text != NULL);
        FUZZ_MUST(kr_json_parse(&again, text, strlen(text), "again") == KR_OK);
        FUZZ_MUST(json_equal(j, again));
        check_strings(j);
        json_decref(again);
        json_decref(j);
        kr_mem_free(text);
    }
    FUZZ_MUST(kr_mem_get_stats().n_live == live);
    return 0;
}
