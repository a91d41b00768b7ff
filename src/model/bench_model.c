/* bench_model.c - opening models for timing, and where their time goes. */
#include "model/bench_model.h"

#include <string.h>

#include "base/file.h"
#include "model/bench_call.h"

static kr_status load_config(json_t **out, const char *path) {
    char file[4096];
    if (!kr_dir_exists(path)) return kr_json_load(out, path);
    KR_TRY(kr_path_join(file, sizeof file, path, "config.json"));
    if (!kr_file_exists(file)) KR_TRY(kr_path_join(file, sizeof file, path, "recipe.json"));
    return kr_json_load(out, file);
}

/* The model of a recipe, or the config itself. */
static kr_status read_config(json_t **out, const char *path) {
    json_t *j;
    KR_TRY(load_config(&j, path));
    bool recipe = !json_object_get(j, "model_type") && !json_object_get(j, "ssm_cfg") &&
                  json_is_object(json_object_get(j, "model"));
    if (recipe) {
        json_t *m = json_deep_copy(json_object_get(j, "model"));
        json_decref(j);
        if (!(j = m)) KR_FAIL(KR_ERR_NOMEM, "out of memory for the model of %s", path);
        if (!json_object_get(j, "model_type") && !json_object_get(j, "ssm_cfg"))
            json_object_set_new(j, "model_type", json_string("krait"));
    }
    *out = j;
    return KR_OK;
}

/* The type of matrices. */
static kr_status choose_types(kr_model *m, const char *name) {
    kr_dtype type = 0;
    while (type <= KR_Q6_K && strcmp(name, kr_dtype_text(type)) != 0) type++;
    if (type > KR_Q6_K || type == KR_F64 || type == KR_I32)
        KR_FAIL(KR_ERR_ARG, "dtype is \"%s\", want float32, bfloat16, float16, q8_0, q4_0, q4_k or q6_k", name);
    for (kr_param *p = m->params->first; p; p = p->next)
        if (p->matrix) kr_model_choose_dtype(m, p, kr_matrix_dtype(p, type));
    return KR_OK;
}

kr_status kr_bench_model_open(kr_model **out, const char *path, bool training, const kr_bench_options *opt) {
    json_t *config = NULL;
    kr_model *m;
    kr_dtype dtype;
    bool on_cpu = !opt->device || strcmp(opt->device, "cpu") == 0, chosen = !training && opt->dtype && (on_cpu || kr_bench_blocks(opt));
    if (chosen) dtype = on_cpu ? KR_F32 : KR_BF16;
    else KR_TRY(kr_bench_dtype(opt, &dtype));
    KR_TRY(read_config(&config, path));
    kr_status st = kr_model_describe(&m, config, path, dtype, opt->device);
    json_decref(config);
    KR_TRY(st);
    if (chosen && (st = choose_types(m, opt->dtype)) != KR_OK) return kr_model_release(m), st;
    st = kr_params_alloc(m->params, training);
    if (st == KR_OK) {
        kr_params_init(m->params, 1);
        st = m->params->device || training ? kr_params_push(m->params)
                                            : kr_params_weave(m->params, opt->mapped ? KR_WEAVE_NONE : opt->woven ? KR_WEAVE_ALL : KR_WEAVE_BLOCKS);
    }
    if (st != KR_OK) return kr_model_release(m), st;
    *out = m;
    return KR_OK;
}

void kr_bench_fill_inputs(kr_graph *g, int64_t vocab_size) {
    static const char *const names[] = {"ids", "targets", "x", "y"};
    kr_rng rng = {1, kr_rng_stream("bench"), 0};
    for (int i = 0; i < 4; i++) {
        kr_node *n = kr_graph_find(g, names[i]);
        if (!n) continue;
        kr_tensor t = kr_node_tensor(n);
        for (int64_t k = 0; k < kr_count(&t); k++) {
            if (t.dtype == KR_I32) ((int32_t *)t.data)[k] = (int32_t)kr_rng_below(&rng, vocab_size);
            else ((float *)t.data)[k] = (float)kr_rng_uniform(&rng);
        }
    }
}

int kr_bench_profile(const kr_graph *g, int runs, kr_bench_part *part, int cap) {
    kr_profile_row rows[KR_BENCH_PARTS];
    int n = kr_graph_get_profile(g, rows, cap < KR_BENCH_PARTS ? cap : KR_BENCH_PARTS);
    for (int k = 0; k < n; k++) {
        kr_bench_part p = {.what = rows[k].op,
                           .backward = rows[k].backward,
                           .seconds = rows[k].seconds / runs,
                           .flops = rows[k].flops / runs,
                           .calls = rows[k].calls / runs};
        int i = k;
        for (; i > 0 && part[i - 1].seconds < p.seconds; i--) part[i] = part[i - 1];
        part[i] = p;
    }
    return n;
}
