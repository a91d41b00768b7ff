/* fuzz_decode_table.c - files of any bytes as tables: refused with a sentence, or readable to the last element.
 * The first line is the file's name. */
#include "fuzz.h"

#include <string.h>

#include "base/mem.h"
#include "data/decode.h"

static const char *const seeds[] = {"a.csv\nname,size\n\"a, \"\"b\"\"\",1\nc,2\n", "a.tsv\n1\t2\n3\t4\n", "a.fa\n>s1 first\nACGT\nAC\n>s2\nTT\n", "a.fq\n@r\nACGT\n+\nIIII\n",
                                    "a.sto\n# STOCKHOLM 1.0\na AC\nb GG\n\na TT\nb CC\n//\n", "a.jsonl\n{\"a\": \"x\", \"b\": [1]}\n{\"b\": 2}\n",
                                    "a.smi\nCCO ethanol\n\nC[NH3+]\n", "a.txt\n1 2 3\r\n 4 5\n"};
const long fuzz_inputs = 200000;
const char *const fuzz_words[] = {"\"", "\"\"", ",", ";", "\t", "\n", "\r\n", ">", "@", "+\n", "//\n", "# STOCKHOLM", "#=GC ", "{\"", "\\u0000", "null", NULL};

size_t fuzz_seed(int i, uint8_t *to, size_t room) {
    return i < (int)(sizeof seeds / sizeof *seeds) ? fuzz_text(seeds[i], to, room) : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    char name[40] = "";
    const uint8_t *end = n ? memchr(data, '\n', n) : NULL;
    size_t len = end ? (size_t)(end - data) : 0;
    int64_t live = kr_mem_get_stats().n_live;
    kr_table t;
    if (!end || len >= sizeof name || memchr(data, 0, len)) return 0;
    memcpy(name, data, len);
    kr_status st = kr_decode_table_of(&t, end + 1, n - len - 1, name);
    if (st == KR_OK) {
        size_t sum = 0;
        for (int64_t r = -1; r < t.n_rows; r++)
            for (int64_t c = 0; c < t.n_columns; c++) sum += strlen(kr_table_cell(&t, r, c));
        FUZZ_MUST(sum <= t.text.n);
        for (int64_t r = 1; r < t.n_rows; r++) FUZZ_MUST(t.line[r] >= t.line[r - 1]);
        kr_table_free(&t);
    } else {
        FUZZ_MUST(strncmp(kr_error(), name, len) == 0 || st == KR_ERR_NOMEM);
    }
    FUZZ_MUST(kr_mem_get_stats().n_live == live);
    return 0;
}
