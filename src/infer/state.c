/* state.c - a session's state as a file: safetensors with the states by name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "infer/session.h"
#include "model/safetensors.h"

static kr_status add_states(const kr_session *s, kr_st_writer *w) {
    const kr_graph *g = s->graph[0];
    int64_t V = s->model->config.vocab_size;
    char text[96];
    KR_TRY(kr_graph_fetch_states(s->graph[0]));
    for (int i = 0; i < kr_graph_n_states(g); i++) {
        kr_tensor t = kr_node_tensor(kr_graph_get_state(g, i));
        KR_TRY(kr_st_writer_add(w, kr_node_name(kr_graph_get_state(g, i)), &t, t.dtype == KR_I32 ? KR_I32 : KR_F32)); /* whatever the session keeps */
    }
    KR_TRY(kr_st_writer_add(w, "logits", &(kr_tensor){.data = (void *)s->logits, .dtype = KR_F32, .n_dims = 1, .dim = {V}}, KR_F32));
    kr_st_tensor seen = {.name = "seen", .dtype = KR_ST_U8, .n_dims = 1, .dim = {V}, .count = V, .data = s->seen, .n_bytes = (size_t)V};
    KR_TRY(kr_st_writer_add_raw(w, &seen));
    snprintf(text, sizeof text, "%llu %llu %lld", (unsigned long long)s->rng.seed, (unsigned long long)s->rng.index, (long long)s->n_tok);
    KR_TRY(kr_st_writer_metadata(w, "format", "krait-session"));
    return kr_st_writer_metadata(w, "position", text);
}

kr_status kr_session_save(const kr_session *s, const char *path) {
    kr_st_writer *w;
    if (!s->logits) KR_FAIL(KR_ERR_ARG, "%s: nothing was read yet, so there is no state to save", path);
    KR_TRY(kr_st_writer_new(&w));
    kr_status st = add_states(s, w);
    if (st == KR_OK) st = kr_st_writer_save(w, path);
    kr_st_writer_free(w);
    return st;
}

static kr_status read_states(kr_session *s, const kr_st *st, const char *path) {
    const kr_graph *g = s->graph[0];
    int64_t V = s->model->config.vocab_size;
    unsigned long long seed, index;
    long long n_tok;
    const char *format = kr_st_metadata(st, "format"), *position = kr_st_metadata(st, "position");
    if (!format || strcmp(format, "krait-session") != 0 || !position || sscanf(position, "%llu %llu %lld", &seed, &index, &n_tok) != 3)
        KR_FAIL(KR_ERR_FORMAT, "%s is not a saved session", path);
    for (int i = 0; i < kr_graph_n_states(g); i++) { /* all checked before any is changed */
        kr_tensor t = kr_node_tensor(kr_graph_get_state(g, i));
        const kr_st_tensor *found;
        KR_TRY(kr_st_want(&found, st, kr_node_name(kr_graph_get_state(g, i)), t.n_dims, t.dim));
    }
    const kr_st_tensor *seen = kr_st_find(st, "seen");
    if (!seen || seen->n_bytes != (size_t)V) KR_FAIL(KR_ERR_FORMAT, "%s is the session of another model", path);
    float *logits = kr_graph_data(g, "logits");
    KR_TRY(kr_st_read_f32(st, "logits", 1, &V, logits));
    for (int i = 0; i < kr_graph_n_states(g); i++) {
        kr_tensor t = kr_node_tensor(kr_graph_get_state(g, i));
        KR_TRY(kr_st_read(st, kr_node_name(kr_graph_get_state(g, i)), t.n_dims, t.dim, t.dtype, t.data));
    }
    memcpy(s->seen, seen->data, (size_t)V);
    s->rng.seed = seed, s->rng.index = index;
    s->n_tok = n_tok;
    s->logits = logits;
    return kr_graph_push_states(s->graph[0]);
}

kr_status kr_session_load(kr_session *s, const char *path) {
    kr_st *st;
    KR_TRY(kr_st_open(&st, path));
    kr_status status = read_states(s, st, path);
    kr_st_close(st);
    return status == KR_ERR_MISSING || status == KR_ERR_SHAPE ? kr_fail(KR_ERR_FORMAT, "%s is the session of another model: %s", path, kr_error()) : status;
}
