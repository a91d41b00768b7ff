/* decode.h - other people's files as numbers or tables: one decoder a format.
 *
 * A decoder gets all bytes of a file and gives one of two things:
 *
 *   kr_array   numbers of some shape: a picture [H, W, C], sound [n, channels], a tensor
 *   kr_table   columns of text, with names: CSV, FASTA, JSON lines, ...
 *
 * Every byte is hostile: sizes are checked before memory is asked for, and a file that is
 * not what it says is refused with a sentence that names it (KR_ERR_FORMAT), and its line
 * where it has lines.  A build without a format's library says so (KR_ERR_MISSING).
 *
 * Adding a format: decode_NAME.c with one const record, and a line in decode.def. */
#ifndef KR_DATA_DECODE_H
#define KR_DATA_DECODE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

enum { KR_ARRAY_DIMS = 6 };
#define KR_MOST_UNPACKED ((size_t)1 << 31) /* bytes that a packed file may become */
enum { KR_MOST_RATE = 1 << 24 }; /* samples a second of sound: windows are milliseconds, and take memory by it */

typedef struct kr_array {
    int n_dims;
    int64_t dim[KR_ARRAY_DIMS], n; /* n: all elements */
    uint8_t *u8;                   /* the elements, if the file has unsigned bytes ... */
    float *f32;                    /* ... else these */
    double rate;                   /* of sound: samples a second */
} kr_array;

/* Checks the sizes and takes memory.  `what` names the file. */
kr_status kr_array_new(kr_array *a, bool bytes, int n_dims, const int64_t *dim, const char *what);
void kr_array_free(kr_array *a);
static inline double kr_array_at(const kr_array *a, int64_t i) { return a->u8 ? (double)a->u8[i] : (double)a->f32[i]; }

typedef struct kr_table {
    int64_t n_rows, n_columns;
    kr_str text;    /* all cells, each ended by a zero byte */
    int64_t *at;    /* [1 + n_rows, n_columns] where a cell begins; the names come first */
    int64_t *line;  /* [n_rows] of the file, from 1 */
    int64_t cells_room, line_room;
    struct kr_table_name { int64_t first, second; } *slot; /* [n_slots] where a name is, and is again: column + 1, 0: nowhere */
    int64_t n_slots;
} kr_table;

/* row -1: the column's name. */
static inline const char *kr_table_cell(const kr_table *t, int64_t row, int64_t column) {
    return t->text.text + t->at[(row + 1) * t->n_columns + column];
}
int64_t kr_table_find(const kr_table *t, const char *name); /* a column; -1: there is none */
/* The same; two of that name are refused. */
kr_status kr_table_only(const kr_table *t, const char *name, const char *path, int64_t *column);
/* For decoders: the names first, then each row cell by cell from the left. */
kr_status kr_table_start(kr_table *t, int64_t n_columns);
kr_status kr_table_row(kr_table *t, int64_t line);
void kr_table_put(kr_table *t, const char *text, size_t n); /* the next cell; zero bytes in it end it */
kr_status kr_table_end(kr_table *t, const char *what);      /* after the last row */
void kr_table_free(kr_table *t);

typedef struct kr_decoder {
    const char *name, *about;
    const char *endings;                                 /* ".csv .tsv" */
    bool (*is)(const uint8_t *p, size_t n);              /* by its first bytes; NULL: by the ending alone */
    kr_status (*array)(kr_array *out, const uint8_t *p, size_t n, const char *what); /* one of array and table */
    kr_status (*labels)(kr_array *out, const uint8_t *p, size_t n, const char *what); /* array, where numbers are not light; NULL: array */
    kr_status (*table)(kr_table *out, const uint8_t *p, size_t n, const char *what);
} kr_decoder;

extern const kr_decoder *const kr_decoders[]; /* NULL ends */

/* Reads a file with the decoder that fits its bytes or its ending; .gz is unpacked on the way.  Numbers
 * that are not finite, or beyond 1e30, are refused, and a file without a row.
 * The caller frees. */
kr_status kr_decode_array(kr_array *out, const char *path);
kr_status kr_decode_labels(kr_array *out, const char *path); /* numbers that mean classes: as they stand in the file */
kr_status kr_decode_table(kr_table *out, const char *path);
bool kr_decode_is_table(const char *path); /* by its ending */
bool kr_decode_ends(const char *name, const char *ending); /* in ".csv", or that and .gz */
/* The same of bytes in memory; `what` names them, and its ending counts. */
kr_status kr_decode_array_of(kr_array *out, const uint8_t *p, size_t n, const char *what);
kr_status kr_decode_labels_of(kr_array *out, const uint8_t *p, size_t n, const char *what);
kr_status kr_decode_table_of(kr_table *out, const uint8_t *p, size_t n, const char *what);

/* inflate.c: unpacked bytes (kr_mem_free them).  window_bits as zlib has them: 31 gzip, -15 raw.
 * At most `most` bytes come out. */
kr_status kr_inflate(uint8_t **out, size_t *n_out, const uint8_t *p, size_t n, int window_bits, size_t most, const char *what);
#endif
