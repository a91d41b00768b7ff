/* fuzz_index.c - an index of shards of any bytes, beside two shards that are well: refused with a sentence, or every
 * tensor that it lists is read from the shard that it names, and no file is opened but those beside it. */
#include "fuzz_case.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/safetensors.h"

static const char index_name[] = "model.safetensors.index.json";
static const char *const seeds[] = {
    "{'metadata': {'total_size': 11}, 'weight_map': {'z': 'one', 'b': 'two', 'a': 'one'}}",
    "{'weight_map': {'q': 'two'}}",
    "{'weight_map': {}}",
};
const long fuzz_inputs = 28000;
const char *const fuzz_words[] = {"'weight_map': ", "'one'", "'two'", "'three'", "'a': 'one', ", "'b': 'two', ", "'../one'", "'.'", "'one/'", "'/dev/zero'", "'model.safetensors.index.json'", "{", "}", "[", "]",
                                  "null", "1", "''", "\\u0000", "\\u0007", "\xc3\xa9", NULL};

size_t fuzz_seed(int i, uint8_t *to, size_t room) { return i < (int)(sizeof seeds / sizeof *seeds) ? fuzz_text(seeds[i], to, room) : 0; }

static void write_shard(const char *name, const char *header, size_t n_data) {
    char file[512];
    uint64_t n = strlen(header);
    FUZZ_MUST(8 + n + n_data <= sizeof file);
    memcpy(file, &n, 8);
    memcpy(file + 8, header, n);
    memset(file + 8 + n, 1, n_data);
    FUZZ_MUST(kr_file_write(fuzz_at(name), file, 8 + n + n_data) == KR_OK);
}

static void set_up(void) {
    if (!fuzz_folder()) return;
    write_shard("one", "{\"__metadata__\":{\"k\":\"1\"},\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"z\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[2,6]}}", 6);
    write_shard("two", "{\"__metadata__\":{\"q\":\"q8_0\",\"k\":\"2\"},\"b\":{\"dtype\":\"BF16\",\"shape\":[0,3],\"data_offsets\":[0,0]},\"q\":{\"dtype\":\"U8\",\"shape\":[34],\"data_offsets\":[0,34]}}", 34);
}

static void look_at(const kr_st *st, const json_t *index) {
    const json_t *map = json_object_get(index, "weight_map");
    const char *key, *value;
    float to[32];
    FUZZ_MUST(kr_st_count(st) == json_object_size(map));
    for (size_t i = 0; i < kr_st_count(st); i++) {
        const kr_st_tensor *t = kr_st_at(st, i), *same;
        const char *file = json_string_value(json_object_get(map, t->name));
        FUZZ_MUST(file && strcmp(file, t->file) == 0 && (strcmp(file, "one") == 0 || strcmp(file, "two") == 0));
        FUZZ_MUST(i == 0 || strcmp(kr_st_at(st, i - 1)->name, t->name) < 0);
        FUZZ_MUST(kr_st_find(st, t->name) == t && kr_st_want(&same, st, t->name, t->n_dims, t->dim) == KR_OK && same == t);
        FUZZ_MUST(t->count <= 32 && kr_st_read_part(t, 0, t->count, t->dtype == KR_ST_I32 || (t->dtype == KR_ST_U8 && !t->block) ? KR_I32 : KR_F32, to) == KR_OK);
    }
    for (size_t i = 0; kr_st_metadata_at(st, i, &key, &value); i++) FUZZ_MUST(kr_st_metadata(st, key) != NULL);
    FUZZ_MUST(strcmp(kr_st_format(st), "safetensors") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static char text[1 << 16];
    kr_st *st = NULL;
    json_t *index = NULL;
    if (n > sizeof text) return 0;
    for (size_t i = 0; i < n; i++) text[i] = data[i] == '\'' ? '"' : (char)data[i]; /* easier to read above */
    set_up();
    int64_t live = kr_mem_get_stats().n_live;
    FILE *f = fopen(fuzz_at(index_name), "wb");
    FUZZ_MUST(f && (!n || fwrite(text, n, 1, f) == 1) && fclose(f) == 0);
    kr_status status = kr_st_open(&st, fuzz_root);
    FUZZ_MUST((status == KR_OK) == (st != NULL));
    /* a shard that is not there is no fault of the format; what is wrong in a shard is said of its name alone */
    FUZZ_MUST(status == KR_OK || ((status == KR_ERR_FORMAT || status == KR_ERR_IO) && (strstr(kr_error(), fuzz_root) || strncmp(kr_error(), index_name, sizeof index_name - 1) == 0)));
    if (st) {
        FUZZ_MUST(kr_json_parse(&index, text, n, "index") == KR_OK);
        look_at(st, index);
        json_decref(index);
    }
    kr_st_close(st);
    FUZZ_MUST(kr_mem_get_stats().n_live == live);
    return 0;
}
