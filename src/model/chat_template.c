/* chat_template.c - a model's chat template, kept as text from file to file; infer/chat.c runs it. */
#include <string.h>

#include "base/file.h"
#include "model/model.h"

/* One text, or a list of {"name", "template"}: the default, else the first. */
const char *kr_chat_template_of(const json_t *v) {
    const json_t *one;
    const char *first = NULL;
    size_t i;
    if (json_is_string(v)) return json_string_value(v);
    json_array_foreach(v, i, one) {
        const char *name = json_string_value(json_object_get(one, "name")), *text = json_string_value(json_object_get(one, "template"));
        if (text && name && strcmp(name, "default") == 0) return text;
        if (!first) first = text;
    }
    return first;
}

static kr_status from_folder(char **text, const char *folder) {
    char path[4096];
    json_t *j;
    void *all;
    size_t n;
    KR_TRY(kr_path_join(path, sizeof path, folder, "chat_template.jinja"));
    if (kr_file_exists(path)) {
        KR_TRY(kr_file_read(&all, &n, path));
        return *text = all, KR_OK;
    }
    KR_TRY(kr_path_join(path, sizeof path, folder, "tokenizer_config.json"));
    if (!kr_file_exists(path)) return KR_OK;
    kr_status st = kr_json_load(&j, path);
    if (st == KR_ERR_FORMAT) return KR_OK; /* whoever wants to chat is told */
    KR_TRY(st);
    const char *found = kr_chat_template_of(json_object_get(j, "chat_template"));
    if (found && !(*text = kr_mem_strdup(found))) st = KR_ERR_NOMEM;
    json_decref(j);
    return st;
}

kr_status kr_model_read_chat(char **text, const char *path) {
    kr_arena arena = {0};
    kr_gguf_chat g;
    *text = NULL;
    if (!kr_model_is_gguf(path)) return from_folder(text, path);
    kr_status st = kr_gguf_get_chat(&g, &arena, path);
    if (st == KR_ERR_FORMAT) st = KR_OK;
    else if (st == KR_OK && g.text && !(*text = kr_mem_strdup(g.text))) st = KR_ERR_NOMEM;
    kr_arena_clear(&arena);
    return st;
}

kr_status kr_model_write_chat(const kr_model *m, const char *folder) {
    char path[4096];
    if (!m->chat_template) return KR_OK;
    KR_TRY(kr_path_join(path, sizeof path, folder, "chat_template.jinja"));
    return kr_file_write(path, m->chat_template, strlen(m->chat_template));
}
