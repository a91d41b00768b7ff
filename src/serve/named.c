/* named.c - named states as requests use them. */
#include "serve/named.h"

#include <string.h>

kr_states *kr_named_states(kr_exchange *x) {
    kr_states *s = kr_server_of(x)->states;
    if (!s) kr_refuse(x, 501, NULL, "no_states", "This server keeps no states: start it with krait serve --states FOLDER.");
    return s;
}

void kr_refuse_state(kr_exchange *x, kr_status st, const char *param) {
    switch (st) {
    case KR_ERR_MISSING: kr_refuse(x, 404, param, "state_not_found", "%s.", kr_error()); break;
    case KR_ERR_BUSY:
        kr_refuse(x, 503, NULL, "states_busy", "%s.", kr_error());
        kr_exchange_set(x, "Retry-After", "1");
        break;
    case KR_ERR_CONFIG: kr_refuse(x, 507, param, "no_room_for_states", "%s.", kr_error()); break;
    case KR_ERR_IO: kr_refuse(x, 507, param, "state_not_written", "%s.", kr_error()); break;
    case KR_ERR_FORMAT: kr_refuse(x, 422, param, "state_damaged", "%s.", kr_error()); break;
    default: kr_refuse_status(x, st, param);
    }
}

kr_status kr_read_state(void *engine, kr_snapshot **out, const char *path) { return kr_engine_load_state(engine, out, path); }

void kr_append_state(kr_str *to, const kr_state_info *i, const char *model) {
    kr_str_append(to, "{\"object\":\"state\",\"name\":");
    kr_str_append_json_text(to, i->name, strlen(i->name));
    kr_str_append(to, ",\"parent\":");
    if (*i->parent) kr_str_append_json_text(to, i->parent, strlen(i->parent));
    else kr_str_append(to, "null");
    kr_str_appendf(to, ",\"n_tokens\":%lld,\"bytes\":%lld,\"shared_by\":%lld,\"created\":%.3f,\"used\":%.3f,\"checksum\":\"%016llx\",\"model\":\"%s\",\"fits\":%s,\"open\":%s}",
                   (long long)i->n_tok, (long long)i->bytes, (long long)i->n_names, i->created, i->used, (unsigned long long)i->checksum, i->model,
                   strcmp(i->model, model) == 0 ? "true" : "false", i->open ? "true" : "false");
}

/* A field that is a name of a state, or not there. */
static bool read_name(kr_ask *a, const char *field, const char **name) {
    const json_t *j = json_object_get(a->body, field);
    if (!j || json_is_null(j)) return true;
    if (!json_is_string(j)) return kr_refuse(a->x, 400, field, "invalid_value", "%s wants the name of a state.", field), false;
    if (!kr_named_states(a->x)) return false;
    *name = json_string_value(j);
    if (strlen(*name) == json_string_length(j) && kr_states_check_name(*name) == KR_OK) return true;
    kr_refuse(a->x, 400, field, "invalid_value", "%s: a state's name wants 1 to %d of A-Z a-z 0-9 . _ -, and not dots alone.", field, KR_STATE_NAME);
    return false;
}

bool kr_ask_states(kr_ask *a) {
    const kr_server *s = kr_server_of(a->x);
    kr_state_info info;
    if (!read_name(a, "state", &a->state) || !read_name(a, "save_state", &a->save_state)) return false;
    if (!a->state) return true;
    kr_status st = kr_states_get(s->states, a->state, kr_read_state, s->engine, &a->from, &info);
    if (st == KR_ERR_ARG) kr_refuse(a->x, 409, "state", "state_of_another_model", "%s.", kr_error());
    else if (st != KR_OK) kr_refuse_state(a->x, st, "state");
    a->from_open = st == KR_OK && info.open;
    return st == KR_OK;
}

void kr_keep_state(const kr_ask *a, const char *name, const kr_request *r, kr_str *out) {
    kr_snapshot *state = NULL;
    kr_status st = kr_request_state(r, &state);
    if (st == KR_OK) st = kr_states_put(kr_server_of(a->x)->states, name, a->state, state);
    kr_str_append(out, "{\"name\":");
    kr_str_append_json_text(out, name, strlen(name));
    if (st == KR_OK) {
        kr_str_appendf(out, ",\"n_tokens\":%lld}", (long long)kr_snapshot_n_tok(state));
    } else {
        kr_str_append(out, ",\"error\":");
        kr_str_append_json_text(out, kr_error(), strlen(kr_error()));
        kr_str_append_char(out, '}');
    }
    kr_snapshot_free(state);
}
