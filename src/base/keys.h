/* keys.h - options as a table: one line a key gives reading, checking, writing and help.
 *
 *     typedef struct wave { int64_t length; double gain; bool wrap; int64_t shape; char name[64]; } wave;
 *     static const kr_key keys[] = {
 *         KR_KEY_INT(wave, length, 8, 1, 1024, "samples in a period"),
 *         KR_KEY_REAL(wave, gain, 1, 0, KR_INF, "factor of the output"),
 *         KR_KEY_BOOL(wave, wrap, false, "start anew at the end"),
 *         KR_KEY_CHOICE(wave, shape, "sine", "sine|saw", "form of a period"),
 *         KR_KEY_TEXT(wave, name, "", "what to call it"),
 *         KR_KEY_END};
 *
 * Integers are int64_t, reals double, booleans bool, choices int64_t (the index of the
 * word), texts char arrays inside the struct. */
#ifndef KR_BASE_KEYS_H
#define KR_BASE_KEYS_H
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"

typedef enum kr_key_type { KR_KEY_T_INT, KR_KEY_T_REAL, KR_KEY_T_BOOL, KR_KEY_T_CHOICE, KR_KEY_T_TEXT } kr_key_type;

typedef struct kr_key {
    const char *name;
    kr_key_type type;
    size_t offset, size;
    double def, min, max;
    const char *text;    /* a text's or a choice's default */
    const char *choices; /* "sine|saw" */
    const char *help;    /* one line, with the unit */
} kr_key;

#define KR_INF ((double)INFINITY)
#define KR_KEY_AT(type, field) offsetof(type, field), sizeof(((type *)0)->field)
#define KR_KEY_INT(type, field, def, min, max, help) {#field, KR_KEY_T_INT, KR_KEY_AT(type, field), def, min, max, NULL, NULL, help}
#define KR_KEY_REAL(type, field, def, min, max, help) {#field, KR_KEY_T_REAL, KR_KEY_AT(type, field), def, min, max, NULL, NULL, help}
#define KR_KEY_BOOL(type, field, def, help) {#field, KR_KEY_T_BOOL, KR_KEY_AT(type, field), def, 0, 1, NULL, NULL, help}
#define KR_KEY_CHOICE(type, field, def, choices, help) {#field, KR_KEY_T_CHOICE, KR_KEY_AT(type, field), 0, 0, 0, def, choices, help}
#define KR_KEY_TEXT(type, field, def, help) {#field, KR_KEY_T_TEXT, KR_KEY_AT(type, field), 0, 0, 0, def, NULL, help}
#define KR_KEY_END {NULL, KR_KEY_T_INT, 0, 0, 0, 0, 0, NULL, NULL, NULL}

void kr_keys_defaults(const kr_key *keys, void *opt);
/* Reads the members of an object.  `where` (a file, "config.json: mixer") starts every
 * sentence.  A key of `also` (NULL-ended, may be NULL) belongs to someone else; any other
 * unknown key is refused with the nearest known one named. */
kr_status kr_keys_read(const kr_key *keys, void *opt, const json_t *object, const char *where, const char *const *also);
/* Sets one key from text, as from a command line. */
kr_status kr_keys_set(const kr_key *keys, void *opt, const char *name, const char *value);
/* Adds every key that is not at its default (or every one, if all) to a JSON object. */
kr_status kr_keys_write(const kr_key *keys, const void *opt, json_t *object, bool all);
const kr_key *kr_keys_find(const kr_key *keys, const char *name);
/* "4", "0.001", "sine|saw (sine)": the default in words. */
void kr_key_print_default(const kr_key *key, char *to, size_t size);
/* The name of keys most like this one; NULL if none is near. */
const char *kr_keys_nearest(const kr_key *keys, const char *name);
/* The word of a choice. */
const char *kr_key_choice(const kr_key *keys, const char *name, int64_t value, char *to, size_t size);
#endif
