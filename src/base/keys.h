/* keys.h - the options of a part, as one table: what may stand in its JSON object.
 *
 * A table names every key with its type, default, bounds and a line of help; reading an
 * object fills the part's own struct from it.  One table serves the reader, the messages
 * and the printed help, so the three cannot drift. */
#ifndef KR_BASE_KEYS_H
#define KR_BASE_KEYS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"

typedef enum kr_key_type {
    KR_KEY_INT,    /* int64_t */
    KR_KEY_REAL,   /* double */
    KR_KEY_BOOL,   /* bool */
    KR_KEY_TEXT,   /* const char *; belongs to the JSON object (or to the table) */
    KR_KEY_CHOICE, /* int: an index into `choices` */
    KR_KEY_LIST    /* const json_t *: an array of strings or one string, or NULL; belongs to the object */
} kr_key_type;

typedef struct kr_key {
    const char *name;
    kr_key_type type;
    size_t offset;
    double def, min, max;      /* numbers, 0/1, or the index of a choice */
    const char *text, *choices; /* default of a text; "random|packed|carry" */
    const char *help;
} kr_key;

#define KR_KEY_INT(type, field, def, min, max, help) \
    {#field, KR_KEY_INT, offsetof(type, field), def, min, max, NULL, NULL, help}
#define KR_KEY_REAL(type, field, def, min, max, help) \
    {#field, KR_KEY_REAL, offsetof(type, field), def, min, max, NULL, NULL, help}
#define KR_KEY_BOOL(type, field, def, help) {#field, KR_KEY_BOOL, offsetof(type, field), def, 0, 1, NULL, NULL, help}
#define KR_KEY_TEXT(type, field, def, help) {#field, KR_KEY_TEXT, offsetof(type, field), 0, 0, 0, def, NULL, help}
#define KR_KEY_CHOICE(type, field, choices, help) \
    {#field, KR_KEY_CHOICE, offsetof(type, field), 0, 0, 0, NULL, choices, help} /* the first is the default */
#define KR_KEY_LIST(type, field, help) {#field, KR_KEY_LIST, offsetof(type, field), 0, 0, 0, NULL, NULL, help}
#define KR_KEY_END {NULL, KR_KEY_INT, 0, 0, 0, 0, NULL, NULL, NULL}

/* Fills a struct with its defaults, then with what `object` holds (NULL: nothing).
 * `where` is the object's own name in messages, for example "data".
 * KR_ERR_CONFIG: not an object, an unknown key, a wrong type, out of bounds. */
kr_status kr_keys_read(const kr_key *keys, const json_t *object, const char *where, void *out);
/* The same where the object holds more: names of `also` (NULL ends) are someone else's. */
kr_status kr_keys_read_with(const kr_key *keys, const json_t *object, const char *where, const char *const *also, void *out);
/* What differs from the defaults (or everything, if all) as members of `object`. */
kr_status kr_keys_write(const kr_key *keys, const void *opt, json_t *object, bool all);
/* Text, as from a command line, as the JSON value the key wants.  New reference in *out. */
kr_status kr_key_parse(const kr_key *key, const char *text, const char *where, json_t **out);
/* The name most like this one; NULL if none is near. */
const char *kr_keys_nearest(const kr_key *keys, const char *name);
/* The default as it would be written in JSON; for help. */
void kr_key_default(const kr_key *key, char *out, size_t n_bytes);
/* By name in a table; NULL if it is not there. */
const kr_key *kr_key_find(const kr_key *keys, const char *name);
#endif
