/* states_none.c - a build without SQLite has no named states, and says so. */
#include "base/error.h"
#include "serve/states.h"

#define NONE KR_FAIL(KR_ERR_MISSING, "this build has no named states: SQLite was not there when it was configured (Debian: libsqlite3-dev)")

kr_status kr_states_open(kr_states **out, const char *dir, const kr_states_options *opt) {
    (void)out, (void)dir, (void)opt;
    NONE;
}
void kr_states_close(kr_states *s) { (void)s; }
kr_status kr_states_check_name(const char *name) {
    (void)name;
    NONE;
}
kr_status kr_states_put(kr_states *s, const char *name, const char *parent, kr_snapshot *state) {
    (void)s, (void)name, (void)parent, (void)state;
    NONE;
}
kr_status kr_states_put_file(kr_states *s, const char *name, const void *bytes, size_t n, bool open, kr_states_reader check, void *user) {
    (void)s, (void)name, (void)bytes, (void)n, (void)open, (void)check, (void)user;
    NONE;
}
kr_status kr_states_get(kr_states *s, const char *name, kr_states_reader read, void *user, kr_snapshot **out, kr_state_info *info) {
    (void)s, (void)name, (void)read, (void)user, (void)out, (void)info;
    NONE;
}
kr_status kr_states_get_file(kr_states *s, const char *name, int *fd, kr_state_info *info) {
    (void)s, (void)name, (void)fd, (void)info;
    NONE;
}
kr_status kr_states_get_info(kr_states *s, const char *name, kr_state_info *info) {
    (void)s, (void)name, (void)info;
    NONE;
}
kr_status kr_states_fork(kr_states *s, const char *name, const char *to) {
    (void)s, (void)name, (void)to;
    NONE;
}
kr_status kr_states_remove(kr_states *s, const char *name) {
    (void)s, (void)name;
    NONE;
}
kr_status kr_states_list(kr_states *s, kr_state_info **out, int64_t *n) {
    (void)s, (void)out, (void)n;
    NONE;
}
void kr_states_get_stats(kr_states *s, kr_states_stats *out) { (void)s, *out = (kr_states_stats){0}; }
