/* torch.c - the zip around a PyTorch checkpoint, and the pickle in it. */
#include "model/torch.h"

#include <stdlib.h>
#include <string.h>

#define REFUSE(...) KR_FAIL(KR_ERR_FORMAT, __VA_ARGS__)

typedef struct value value;
typedef struct cell { value *key, *item; struct cell *next; } cell;
typedef enum kind { NOTHING, NUMBER, TEXT, GLOBAL, TUPLE, LIST, DICT, STORAGE, TENSOR, MARK } kind;
struct value {
    kind kind;
    int64_t number;               /* NUMBER; of a STORAGE its elements; of a TUPLE its items */
    const char *text;             /* TEXT, GLOBAL "module name"; of a STORAGE the key of its data */
    size_t n_text;
    value **item;                 /* TUPLE */
    cell *first;                  /* DICT, the latest first */
    kr_st_dtype dtype;            /* STORAGE */
    value *storage;               /* TENSOR */
    int64_t offset, dim[KR_ST_MAX_DIMS];
    int n_dims;
};

typedef struct reader {
    kr_arena *arena;
    const unsigned char *file, *p, *end; /* p: in the pickle */
    size_t n_bytes;
    const char *name;
    const unsigned char *directory;
    size_t n_directory;
    int64_t n_entries;
    value **stack, **memo;
    size_t n_stack, stack_room, n_memo, memo_room;
} reader;

static uint64_t little(const unsigned char *p, int n) {
    uint64_t x = 0;
    for (int i = 0; i < n; i++) x |= (uint64_t)p[i] << (8 * i);
    return x;
}

/* --- zip ------------------------------------------------------------------------------ */

/* The central directory, from the record at the end of the file (or its 64-bit form). */
static kr_status find_directory(reader *r) {
    const unsigned char *f = r->file;
    size_t at = r->n_bytes >= 22 ? r->n_bytes - 22 : 0, low = at > 65535 ? at - 65535 : 0;
    while (r->n_bytes >= 22 && memcmp(f + at, "PK\5\6", 4) != 0 && at > low) at--;
    if (r->n_bytes < 22 || memcmp(f + at, "PK\5\6", 4) != 0) REFUSE("%s: a zip file without an end: it was cut off, or is no checkpoint", r->name);
    uint64_t n = little(f + at + 10, 2), bytes = little(f + at + 12, 4), from = little(f + at + 16, 4);
    if (at >= 20 && memcmp(f + at - 20, "PK\6\7", 4) == 0) {
        uint64_t wide = little(f + at - 12, 8);
        if (wide > r->n_bytes || r->n_bytes - wide < 56 || memcmp(f + wide, "PK\6\6", 4) != 0) REFUSE("%s: the zip file's 64-bit end lies outside of it", r->name);
        n = little(f + wide + 32, 8), bytes = little(f + wide + 40, 8), from = little(f + wide + 48, 8);
    }
    if (from > r->n_bytes || bytes > r->n_bytes - from || n > bytes / 46) REFUSE("%s: the zip file's directory lies outside of it", r->name);
    r->directory = f + from, r->n_directory = (size_t)bytes, r->n_entries = (int64_t)n;
    return KR_OK;
}

/* The 64-bit numbers that stand in for those of all ones: size, packed size, offset. */
static void widen(const unsigned char *extra, size_t n, uint64_t *size, uint64_t *packed, uint64_t *offset) {
    for (size_t k; n >= 4 && (k = (size_t)little(extra + 2, 2)) <= n - 4; extra += 4 + k, n -= 4 + k) {
        if (little(extra, 2) != 1) continue;
        uint64_t *want[] = {size, packed, offset};
        const unsigned char *p = extra + 4;
        for (int i = 0; i < 3; i++)
            if (*want[i] == UINT32_MAX && k >= 8) *want[i] = little(p, 8), p += 8, k -= 8;
        return;
    }
}

/* The entry whose name ends with `tail` behind its first folder. */
static kr_status find_entry(reader *r, const char *tail, size_t n_tail, const unsigned char **data, size_t *n) {
    const unsigned char *p = r->directory, *end = p + r->n_directory;
    for (int64_t i = 0; i < r->n_entries; i++) {
        if (end - p < 46 || memcmp(p, "PK\1\2", 4) != 0) break;
        size_t n_name = (size_t)little(p + 28, 2), n_extra = (size_t)little(p + 30, 2), n_note = (size_t)little(p + 32, 2);
        uint64_t method = little(p + 10, 2), packed = little(p + 20, 4), size = little(p + 24, 4), at = little(p + 42, 4);
        if ((size_t)(end - p) < 46 + n_name + n_extra + n_note) break;
        const unsigned char *entry = p + 46, *slash = memchr(entry, '/', n_name);
        widen(entry + n_name, n_extra, &size, &packed, &at);
        p += 46 + n_name + n_extra + n_note;
        if (!slash || (size_t)(entry + n_name - slash - 1) != n_tail || memcmp(slash + 1, tail, n_tail) != 0) continue;
        if (method != 0 || packed != size) REFUSE("%s: the entry %.60s is compressed, which PyTorch never does", r->name, tail);
        if (at > r->n_bytes || r->n_bytes - at < 30) REFUSE("%s: the entry %.60s lies outside the file", r->name, tail);
        uint64_t head = 30 + little(r->file + at + 26, 2) + little(r->file + at + 28, 2);
        if (memcmp(r->file + at, "PK\3\4", 4) != 0 || head > r->n_bytes - at || size > r->n_bytes - at - head)
            REFUSE("%s: the entry %.60s lies outside the file", r->name, tail);
        *data = r->file + at + head, *n = (size_t)size;
        return KR_OK;
    }
    REFUSE("%s: there is no entry %.60s in the zip file", r->name, tail);
}

/* --- values and the stack ------------------------------------------------------------- */

static kr_status push(reader *r, value *v) {
    if (!v) return KR_ERR_NOMEM;
    if (r->n_stack == r->stack_room) {
        size_t room = r->stack_room ? 2 * r->stack_room : 256;
        value **s = kr_mem_resize(r->stack, room * sizeof *s);
        if (!s) return KR_ERR_NOMEM;
        r->stack = s, r->stack_room = room;
    }
    r->stack[r->n_stack++] = v;
    return KR_OK;
}

static value *make(reader *r, kind k) {
    value *v = kr_arena_new(r->arena, sizeof *v);
    if (v) v->kind = k;
    return v;
}

static kr_status push_number(reader *r, int64_t x) {
    value *v = make(r, NUMBER);
    if (v) v->number = x;
    return push(r, v);
}

static kr_status pop(reader *r, value **v) {
    if (!r->n_stack || r->stack[r->n_stack - 1]->kind == MARK) REFUSE("%s: its pickle takes more from its stack than is there", r->name);
    *v = r->stack[--r->n_stack];
    return KR_OK;
}

/* Where the items behind the last mark begin; the mark itself is before them. */
static kr_status mark_of(reader *r, size_t *from) {
    for (size_t i = r->n_stack; i-- > 0;)
        if (r->stack[i]->kind == MARK) return *from = i + 1, KR_OK;
    REFUSE("%s: its pickle ends a list that it never began", r->name);
}

static kr_status take(reader *r, size_t n, const unsigned char **p) {
    if ((size_t)(r->end - r->p) < n) REFUSE("%s: its pickle was cut off", r->name);
    *p = r->p;
    r->p += n;
    return KR_OK;
}

static kr_status push_text(reader *r, kind k, const unsigned char *p, size_t n) {
    value *v = make(r, k);
    char *copy = v ? kr_arena_new(r->arena, n + 1) : NULL;
    if (!copy) return KR_ERR_NOMEM;
    if (n) memcpy(copy, p, n);
    v->text = copy, v->n_text = n;
    return push(r, v);
}

static kr_status push_tuple(reader *r, size_t from) {
    value *v = make(r, TUPLE);
    size_t n = r->n_stack - from;
    if (!v || !(v->item = kr_arena_new(r->arena, (n + 1) * sizeof *v->item))) return KR_ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        v->item[i] = r->stack[from + i];
        if (v->item[i]->kind == MARK) REFUSE("%s: its pickle takes more from its stack than is there", r->name);
    }
    v->number = (int64_t)n;
    r->n_stack = from;
    return push(r, v);
}

/* --- what a checkpoint may call ----------------------------------------------------------- */

static value *argument(const value *args, int64_t i, kind k) {
    return args->kind == TUPLE && i < args->number && args->item[i]->kind == k ? args->item[i] : NULL;
}

static kr_status make_storage(reader *r, const value *id) {
    static const struct { const char *name; kr_st_dtype type; } types[] = {
        {"torch FloatStorage", KR_ST_F32}, {"torch HalfStorage", KR_ST_F16}, {"torch BFloat16Storage", KR_ST_BF16}, {"torch DoubleStorage", KR_ST_F64},
        {"torch LongStorage", KR_ST_I64}, {"torch IntStorage", KR_ST_I32}, {"torch ShortStorage", KR_ST_I16}, {"torch CharStorage", KR_ST_I8},
        {"torch ByteStorage", KR_ST_U8}, {"torch BoolStorage", KR_ST_BOOL}};
    const value *what = argument(id, 0, TEXT), *type = argument(id, 1, GLOBAL), *key = argument(id, 2, TEXT), *count = argument(id, 4, NUMBER);
    if (!what || strcmp(what->text, "storage") != 0 || !type || !key || !count || count->number < 0) REFUSE("%s: its pickle refers to something that is no storage", r->name);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(type->text, types[i].name) == 0) {
            value *v = make(r, STORAGE);
            if (!v) return KR_ERR_NOMEM;
            v->text = key->text, v->n_text = key->n_text, v->number = count->number, v->dtype = types[i].type;
            return push(r, v);
        }
    REFUSE("%s: a storage of type %.60s, which Krait does not read", r->name, type->text);
}

static kr_status make_tensor(reader *r, const value *args) {
    value *storage = argument(args, 0, STORAGE), *offset = argument(args, 1, NUMBER), *size = argument(args, 2, TUPLE), *stride = argument(args, 3, TUPLE);
    value *v = make(r, TENSOR);
    int64_t step = 1;
    if (!v) return KR_ERR_NOMEM;
    if (!storage || !offset || offset->number < 0 || !size || !stride || size->number != stride->number || size->number > KR_ST_MAX_DIMS)
        REFUSE("%s: its pickle describes a tensor that is none", r->name);
    v->storage = storage, v->offset = offset->number, v->n_dims = (int)size->number;
    for (int i = v->n_dims - 1; i >= 0; i--) {
        const value *n = argument(size, i, NUMBER), *s = argument(stride, i, NUMBER);
        if (!n || !s || n->number < 0) REFUSE("%s: its pickle describes a tensor that is none", r->name);
        v->dim[i] = n->number;
        if (n->number != 1 && s->number != step) REFUSE("%s: a tensor that is not contiguous; save it with .contiguous()", r->name);
        if (n->number > 0 && step > INT64_MAX / 64 / n->number) REFUSE("%s: a tensor with more elements than memory could hold", r->name);
        step *= n->number > 0 ? n->number : 1;
    }
    return push(r, v);
}

static kr_status call(reader *r) {
    value *args = NULL, *f = NULL;
    KR_TRY(pop(r, &args));
    KR_TRY(pop(r, &f));
    if (f->kind != GLOBAL) REFUSE("%s: its pickle calls what is no function", r->name);
    if (strcmp(f->text, "torch._utils _rebuild_tensor_v2") == 0) return make_tensor(r, args);
    if (strcmp(f->text, "torch._utils _rebuild_parameter") == 0 && argument(args, 0, TENSOR)) return push(r, argument(args, 0, TENSOR));
    if (strcmp(f->text, "collections OrderedDict") == 0) return push(r, make(r, DICT));
    REFUSE("%s: its pickle would call %.100s; Krait runs nothing from a file, and takes tensors only", r->name, f->text);
}

/* --- opcodes -------------------------------------------------------------------------- */

static kr_status set_items(reader *r, size_t from) {
    value *dict = from > 0 ? r->stack[from - 1] : NULL;
    if (!dict || dict->kind != DICT || (r->n_stack - from) % 2) REFUSE("%s: its pickle fills what is no dict", r->name);
    for (size_t i = from; i < r->n_stack; i += 2) {
        cell *c = kr_arena_new(r->arena, sizeof *c);
        if (!c) return KR_ERR_NOMEM;
        *c = (cell){r->stack[i], r->stack[i + 1], dict->first};
        dict->first = c;
    }
    r->n_stack = from;
    return KR_OK;
}

/* The items behind a mark, the mark taken away. */
static kr_status end_mark(reader *r, size_t *from) {
    KR_TRY(mark_of(r, from));
    memmove(r->stack + *from - 1, r->stack + *from, (r->n_stack - *from) * sizeof *r->stack);
    r->n_stack--, --*from;
    return KR_OK;
}

static kr_status memo_set(reader *r, uint64_t at) {
    if (!r->n_stack || r->stack[r->n_stack - 1]->kind == MARK || at > r->n_bytes) REFUSE("%s: its pickle remembers what is not there", r->name);
    if (at >= r->memo_room) {
        size_t room = (size_t)at + 256 + r->memo_room;
        value **m = kr_mem_resize(r->memo, room * sizeof *m);
        if (!m) return KR_ERR_NOMEM;
        memset(m + r->memo_room, 0, (room - r->memo_room) * sizeof *m);
        r->memo = m, r->memo_room = room;
    }
    r->memo[at] = r->stack[r->n_stack - 1];
    if (at >= r->n_memo) r->n_memo = (size_t)at + 1;
    return KR_OK;
}

static kr_status memo_get(reader *r, uint64_t at) {
    if (at >= r->n_memo || !r->memo[at]) REFUSE("%s: its pickle recalls what it never kept", r->name);
    return push(r, r->memo[at]);
}

static kr_status read_global(reader *r) { /* two lines: module, name */
    const unsigned char *from = r->p, *line = memchr(from, '\n', (size_t)(r->end - from)), *stop = line ? memchr(line + 1, '\n', (size_t)(r->end - line - 1)) : NULL;
    if (!stop) REFUSE("%s: its pickle was cut off", r->name);
    r->p = stop + 1;
    KR_TRY(push_text(r, GLOBAL, from, (size_t)(stop - from)));
    char *text = (char *)(uintptr_t)r->stack[r->n_stack - 1]->text;
    text[line - from] = ' ';
    return KR_OK;
}

static kr_status read_sized(reader *r, int width, bool text) {
    const unsigned char *p = NULL;
    KR_TRY(take(r, (size_t)width, &p));
    uint64_t n = little(p, width);
    if (n > (size_t)(r->end - r->p)) REFUSE("%s: its pickle was cut off", r->name);
    KR_TRY(take(r, (size_t)n, &p));
    if (text) return push_text(r, TEXT, p, (size_t)n);
    if (n > 8) REFUSE("%s: a number of %llu bytes in its pickle", r->name, (unsigned long long)n);
    uint64_t x = little(p, (int)n);
    if (n && n < 8 && p[n - 1] & 0x80) x |= UINT64_MAX << (8 * n); /* its sign */
    return push_number(r, (int64_t)x);
}

static kr_status step(reader *r, int op, bool *done) {
    const unsigned char *p = NULL;
    value *v = NULL, *id = NULL;
    size_t from = 0;
    switch (op) {
    case 0x80: return take(r, 1, &p);                                              /* PROTO */
    case 0x95: return take(r, 8, &p);                                              /* FRAME */
    case '.': return *done = true, KR_OK;
    case '(': return push(r, make(r, MARK));
    case 'N': return push(r, make(r, NOTHING));
    case 0x88: return push_number(r, 1);
    case 0x89: return push_number(r, 0);
    case 'K': KR_TRY(take(r, 1, &p)); return push_number(r, p[0]);
    case 'M': KR_TRY(take(r, 2, &p)); return push_number(r, (int64_t)little(p, 2));
    case 'J': KR_TRY(take(r, 4, &p)); return push_number(r, (int32_t)little(p, 4));
    case 0x8a: return read_sized(r, 1, false);                                     /* LONG1 */
    case 'G': KR_TRY(take(r, 8, &p)); return push(r, make(r, NOTHING));            /* a float: none that we need */
    case 'X': return read_sized(r, 4, true);
    case 0x8c: return read_sized(r, 1, true);                                      /* SHORT_BINUNICODE */
    case 'c': return read_global(r);
    case ')': return push_tuple(r, r->n_stack);
    case 't': KR_TRY(end_mark(r, &from)); return push_tuple(r, from);
    case 0x85: case 0x86: case 0x87:
        from = (size_t)(op - 0x84);
        if (r->n_stack < from) REFUSE("%s: its pickle takes more from its stack than is there", r->name);
        return push_tuple(r, r->n_stack - from);
    case '}': return push(r, make(r, DICT));
    case ']': return push(r, make(r, LIST));                                       /* its items are none that we need */
    case 'a': return pop(r, &v);
    case 'e': KR_TRY(mark_of(r, &from)); r->n_stack = from - 1; return KR_OK;
    case 's': return r->n_stack < 3 ? kr_fail(KR_ERR_FORMAT, "%s: its pickle takes more from its stack than is there", r->name) : set_items(r, r->n_stack - 2);
    case 'u': KR_TRY(end_mark(r, &from)); return set_items(r, from);
    case 'q': KR_TRY(take(r, 1, &p)); return memo_set(r, p[0]);
    case 'r': KR_TRY(take(r, 4, &p)); return memo_set(r, little(p, 4));
    case 0x94: return memo_set(r, r->n_memo);                                      /* MEMOIZE */
    case 'h': KR_TRY(take(r, 1, &p)); return memo_get(r, p[0]);
    case 'j': KR_TRY(take(r, 4, &p)); return memo_get(r, little(p, 4));
    case 'Q': KR_TRY(pop(r, &id)); return make_storage(r, id);
    case 'R': return call(r);
    case 'b': return pop(r, &v);                                                   /* BUILD: attributes, such as a dict's _metadata */
    default: REFUSE("%s: its pickle uses the opcode 0x%02x, which no checkpoint needs", r->name, op);
    }
}

/* --- the table ------------------------------------------------------------------------ */

static kr_status fill(reader *r, const value *key, const value *v, kr_st_tensor *t) {
    static const int width[KR_ST_N_DTYPE] = {[KR_ST_F32] = 4, [KR_ST_F16] = 2, [KR_ST_BF16] = 2, [KR_ST_F64] = 8, [KR_ST_I64] = 8,
                                             [KR_ST_I32] = 4, [KR_ST_I16] = 2, [KR_ST_I8] = 1, [KR_ST_U8] = 1, [KR_ST_BOOL] = 1};
    const unsigned char *data;
    size_t n, size = (size_t)width[v->storage->dtype], count;
    char tail[256];
    for (size_t i = 0; i < key->n_text; i++)
        if ((unsigned char)key->text[i] < 0x20 || key->text[i] == 0x7f) REFUSE("%s: a tensor's name holds a control character", r->name);
    if (v->storage->n_text > sizeof tail - 6 || memchr(v->storage->text, 0, v->storage->n_text)) REFUSE("%s: a storage has an impossible key", r->name);
    memcpy(tail, "data/", 5);
    memcpy(tail + 5, v->storage->text, v->storage->n_text + 1);
    KR_TRY(find_entry(r, tail, 5 + v->storage->n_text, &data, &n));
    *t = (kr_st_tensor){.name = key->text, .file = r->name, .dtype = v->storage->dtype, .n_dims = v->n_dims};
    memcpy(t->dim, v->dim, sizeof t->dim);
    if (!kr_mul_size(&count, v->n_dims, v->dim) || (uint64_t)v->offset > n / size || count > n / size - (size_t)v->offset)
        REFUSE("%s: tensor %.200s reaches past its storage of %zu bytes", r->name, key->text, n);
    t->count = (int64_t)count, t->n_bytes = count * size, t->data = data + (size_t)v->offset * size;
    return KR_OK;
}

static int by_name(const void *a, const void *b) { return strcmp(((const kr_st_tensor *)a)->name, ((const kr_st_tensor *)b)->name); }

static kr_status make_table(reader *r, const value *dict, kr_st_tensor **tensor, size_t *n_tensors) {
    size_t n = 0;
    for (const cell *c = dict->first; c; c = c->next) n += c->key->kind == TEXT && c->item->kind == TENSOR;
    if (!n) REFUSE("%s: its pickle holds no tensors by name (want a state_dict)", r->name);
    kr_st_tensor *t = kr_arena_new(r->arena, n * sizeof *t);
    if (!t) return KR_ERR_NOMEM;
    *tensor = t, *n_tensors = 0;
    for (const cell *c = dict->first; c; c = c->next)
        if (c->key->kind == TEXT && c->item->kind == TENSOR) KR_TRY(fill(r, c->key, c->item, &t[(*n_tensors)++]));
    qsort(t, n, sizeof *t, by_name);
    for (size_t i = 1; i < n; i++)
        if (strcmp(t[i - 1].name, t[i].name) == 0) REFUSE("%s: tensor %.200s is there twice", r->name, t[i].name);
    return KR_OK;
}

static kr_status read_all(reader *r, kr_st_tensor **tensor, size_t *n_tensors) {
    size_t n;
    bool done = false;
    value *top = NULL;
    KR_TRY(find_directory(r));
    KR_TRY(find_entry(r, "data.pkl", 8, &r->p, &n));
    r->end = r->p + n;
    while (!done) {
        const unsigned char *op = NULL;
        KR_TRY(take(r, 1, &op));
        KR_TRY(step(r, *op, &done));
    }
    KR_TRY(pop(r, &top));
    if (top->kind != DICT) REFUSE("%s: its pickle is no dict of tensors", r->name);
    return make_table(r, top, tensor, n_tensors);
}

kr_status kr_torch_read(kr_arena *arena, const void *file, size_t n_bytes, const char *name, kr_st_tensor **tensor, size_t *n_tensors) {
    reader r = {.arena = arena, .file = file, .n_bytes = n_bytes, .name = name};
    kr_status st = read_all(&r, tensor, n_tensors);
    kr_mem_free(r.stack);
    kr_mem_free(r.memo);
    return st;
}
