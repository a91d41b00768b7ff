/* fuzz_case.h - what several fuzz targets work on: a folder of their own, a model of bytes. */
#ifndef KR_TESTS_FUZZ_CASE_H
#define KR_TESTS_FUZZ_CASE_H
#include <stdbool.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "fuzz.h"
#include "model/model.h"

static char fuzz_root[64]; /* "" until fuzz_folder */
static inline void fuzz_clean_up(void) { kr_dir_remove(fuzz_root); }

/* A folder in memory where that can be: files by the thousand.  It is gone when the program ends.  False: it was there. */
static inline bool fuzz_folder(void) {
    if (*fuzz_root) return false;
    strcpy(fuzz_root, access("/dev/shm", W_OK) == 0 ? "/dev/shm/krait-fuzz-XXXXXX" : "/tmp/krait-fuzz-XXXXXX");
    FUZZ_MUST(mkdtemp(fuzz_root) && atexit(fuzz_clean_up) == 0);
    return true;
}

/* The path of a file there, until the next call. */
static inline const char *fuzz_at(const char *name) {
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", fuzz_root, name);
    return path;
}

/* 256 tokens of a byte each: every text has tokens. */
static inline kr_model *fuzz_bytes_model(void) {
    static const char config[] = "{\"model_type\": \"krait\", \"d_model\": 4, \"n_layer\": 1, \"vocab_size\": 256, \"mixer\": {\"type\": \"mamba1\", \"d_state\": 2}}";
    kr_model *m;
    json_t *j;
    FUZZ_MUST(kr_json_parse(&j, config, sizeof config - 1, "config") == KR_OK);
    FUZZ_MUST(kr_model_describe(&m, j, "config", KR_F32, NULL) == KR_OK);
    json_decref(j);
    FUZZ_MUST(kr_params_alloc(m->params, false) == KR_OK);
    kr_params_init(m->params, 1);
    return m;
}
#endif
