/* routes_states.c - /v1/states: what the model remembers of a text, under a name. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "serve/named.h"

static const char *model_of(const kr_exchange *x) { return kr_server_of(x)->states_model; }

static void show(kr_exchange *x, const char *name) {
    kr_state_info i;
    kr_status st = kr_states_get_info(kr_server_of(x)->states, name, &i);
    if (st != KR_OK) return kr_refuse_state(x, st, "name");
    kr_append_state(&x->out, &i, model_of(x));
    kr_str_append_char(&x->out, '\n');
}

static void list(kr_exchange *x) {
    kr_states *s = kr_named_states(x);
    const char *prefix = kr_exchange_query(x, "prefix"), *comma = "";
    kr_state_info *all;
    kr_states_stats n;
    int64_t count;
    if (!s) return;
    kr_status st = kr_states_list(s, &all, &count);
    if (st != KR_OK) return kr_refuse_state(x, st, NULL);
    kr_str_append(&x->out, "{\"object\":\"list\",\"data\":[");
    for (int64_t i = 0; i < count; i++) {
        if (prefix && strncmp(all[i].name, prefix, strlen(prefix)) != 0) continue;
        kr_str_append(&x->out, comma);
        kr_append_state(&x->out, &all[i], model_of(x));
        comma = ",";
    }
    kr_states_get_stats(s, &n);
    kr_str_appendf(&x->out, "],\"files\":%lld,\"bytes\":%lld,\"max_bytes\":%lld}\n", (long long)n.n_files, (long long)n.bytes, (long long)n.budget);
    kr_mem_free(all);
}

/* --- a state as a file ------------------------------------------------------------------------------- */

static void download(kr_exchange *x, kr_states *s, const char *name) {
    enum { PIECE = 1 << 20 };
    kr_state_info i;
    int fd;
    kr_status st = kr_states_get_file(s, name, &fd, &i);
    if (st != KR_OK) return kr_refuse_state(x, st, "name");
    char *piece = kr_mem_new(PIECE);
    ssize_t n = piece ? 1 : 0;
    while (n > 0) {
        n = read(fd, piece, PIECE);
        if (n < 0 && errno == EINTR) n = 1;
        else if (n > 0) kr_str_append_n(&x->out, piece, (size_t)n);
    }
    close(fd);
    kr_mem_free(piece);
    if (!piece || x->out.failed) {
        kr_str_free(&x->out);
        return kr_refuse_status(x, KR_ERR_NOMEM, NULL);
    }
    if (n < 0 || (int64_t)x->out.n != i.bytes) return kr_refuse(x, 422, "name", "state_damaged", "The file of the state \"%s\" is not what was written.", name);
    x->type = "application/octet-stream";
    kr_exchange_set(x, "Content-Disposition", "attachment; filename=\"%s.safetensors\"", name);
}

static void get(kr_exchange *x) {
    kr_states *s = kr_named_states(x);
    const char *name = kr_exchange_param(x, 0), *raw = kr_exchange_query(x, "raw");
    if (!s) return;
    if (raw && strcmp(raw, "0") != 0) download(x, s, name);
    else show(x, name);
}

/* --- making one ---------------------------------------------------------------------------------------- */

typedef struct making { kr_ask ask; kr_request *req; kr_str kept; bool kept_it, cancelled; } making;

static void drop_making(kr_exchange *x) {
    making *m = x->state;
    kr_request_free(m->req);
    kr_ask_close(&m->ask);
    kr_str_free(&m->kept);
    kr_mem_free(m);
}

static void keep(kr_exchange *x) {
    making *m = x->state;
    kr_snapshot *state;
    kr_states *s = kr_server_of(x)->states;
    m->kept_it = true;
    kr_status st = kr_request_state(m->req, &state);
    if (st != KR_OK) return kr_refuse_status(x, KR_ERR_NOMEM, NULL);
    st = kr_states_put(s, m->ask.save_state, m->ask.state, state);
    kr_snapshot_free(state);
    if (st != KR_OK) kr_refuse_state(x, st, "name");
    else show(x, m->ask.save_state);
}

static bool step_making(kr_exchange *x) {
    making *m = x->state;
    kr_event e;
    if (m->kept_it) return true;
    while (kr_request_next(m->req, &e, 0)) {
        if (e.finish == KR_GOES_ON) continue;
        if (e.finish == KR_FINISH_LENGTH) return kr_exchange_work(x, keep), false;
        if (e.finish == KR_FINISH_CANCEL) kr_refuse_status(x, KR_ERR_STOPPED, NULL);
        else kr_refuse(x, 500, NULL, "internal", "%s", kr_request_error(m->req));
        return true;
    }
    return false;
}

static void leave_making(kr_exchange *x) { kr_request_cancel(((making *)x->state)->req); }
static void wake(void *user) { kr_exchange_wake(user); }

/* From a prompt or messages, perhaps behind another state. */
static void make(kr_exchange *x, const char *name) {
    json_t *body = kr_exchange_json(x);
    const json_t *messages = json_object_get(body, "messages");
    bool chat = messages && !json_is_null(messages);
    making *m = body ? kr_mem_new(sizeof *m) : NULL;
    kr_request_options o;
    if (!m) {
        if (body) kr_refuse_status(x, KR_ERR_NOMEM, NULL);
        json_decref(body);
        return;
    }
    x->state = m;
    if (!kr_ask_open_body(&m->ask, x, chat, body) || (chat ? !kr_ask_messages(&m->ask, false) : !kr_ask_prompts(&m->ask, "prompt"))) return drop_making(x);
    if (m->ask.n_prompt != 1 || m->ask.save_state || m->ask.stream) {
        kr_refuse(x, 400, "prompt", "invalid_value", "A state is made of one prompt, without stream and save_state.");
        return drop_making(x);
    }
    m->ask.save_state = name;
    kr_ask_request(&m->ask, 0, 0, &o);
    o.only_read = o.keep_state = true;
    o.in_turn = false; /* the last turn is closed */
    o.on_event = wake, o.user = x;
    kr_status st = kr_engine_submit(kr_server_of(x)->engine, &o, &m->req);
    if (st != KR_OK) {
        kr_refuse_request(x, st);
        return drop_making(x);
    }
    x->step = step_making, x->gone = x->cut = leave_making, x->drop = drop_making;
}

static void put(kr_exchange *x) {
    kr_states *s = kr_named_states(x);
    const char *name = kr_exchange_param(x, 0), *type = kr_exchange_header(x, "Content-Type");
    if (!s) return;
    kr_status st = kr_states_check_name(name);
    if (st != KR_OK) return kr_refuse_state(x, st, "name");
    if (!type || strncmp(type, "application/octet-stream", 24) != 0) return make(x, name);
    const char *open = kr_exchange_query(x, "open");
    st = kr_states_put_file(s, name, kr_str_text(&x->body), x->body.n, open && strcmp(open, "0") != 0, kr_read_state, kr_server_of(x)->engine);
    if (st == KR_ERR_FORMAT || st == KR_ERR_MISSING || st == KR_ERR_SHAPE) kr_refuse(x, 400, NULL, "not_a_state", "The body is no state of this model.");
    else if (st != KR_OK) kr_refuse_state(x, st, "name");
    else show(x, name);
}

/* --- the rest -------------------------------------------------------------------------------------------- */

static void fork_state(kr_exchange *x) {
    kr_states *s = kr_named_states(x);
    json_t *body = s ? kr_exchange_json(x) : NULL, *to = json_object_get(body, "name"), *j;
    const char *key;
    if (!body) return;
    json_object_foreach(body, key, j) {
        if (strcmp(key, "name") == 0) continue;
        kr_refuse(x, 400, key, "unknown_parameter", "There is no parameter %.60s; want {\"name\": the new state's}.", key);
        json_decref(body);
        return;
    }
    const char *name = json_string_value(to);
    if (!name || strlen(name) != json_string_length(to)) {
        kr_refuse(x, 400, "name", "invalid_value", "name is missing or no text, want {\"name\": the new state's}.");
    } else {
        kr_state_info there;
        kr_status st = kr_states_fork(s, kr_exchange_param(x, 0), name);
        if (st == KR_ERR_BUSY && kr_states_get_info(s, name, &there) == KR_OK) kr_refuse(x, 409, "name", "state_exists", "There is a state \"%s\" already.", name);
        else if (st != KR_OK) kr_refuse_state(x, st, "name");
        else show(x, name);
    }
    json_decref(body);
}

static void remove_state(kr_exchange *x) {
    kr_states *s = kr_named_states(x);
    const char *name = kr_exchange_param(x, 0);
    if (!s) return;
    kr_status st = kr_states_remove(s, name);
    if (st != KR_OK) return kr_refuse_state(x, st, "name");
    kr_str_append(&x->out, "{\"object\":\"state\",\"name\":");
    kr_str_append_json_text(&x->out, name, strlen(name));
    kr_str_append(&x->out, ",\"deleted\":true}\n");
}

const kr_route kr_routes_states[] = {
    {"GET", "/v1/states", list, 0},
    {"GET", "/v1/states/{name}", get, 0},
    {"PUT", "/v1/states/{name}", put, 0},
    {"DELETE", "/v1/states/{name}", remove_state, 0},
    {"POST", "/v1/states/{name}/fork", fork_state, 0},
    {0},
};
