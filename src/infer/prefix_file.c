/* prefix_file.c - the prefix cache in a folder; see prefix_file.h for the order of things. */
#include "infer/prefix_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/sum.h"

enum { PATH_ROOM = 4096 };
static const char tree_magic[8] = "krtree\r\n", state_magic[8] = "krcach\r\n";

struct kr_prefix_file {
    kr_prefix_file_options o;
    char root[PATH_ROOM], dir[PATH_ROOM + 64], sign[KR_PREFIX_SIGN + 1]; /* dir: of this model, in root */
    int lock;
    int64_t *have, n_have;   /* numbers of the checkpoints there are, sorted */
    int64_t next_serial;
    atomic_llong n, bytes, n_refused;
};

/* With the sentence of what failed. */
static void note(kr_prefix_file *f, const char *what) {
    char text[PATH_ROOM + 256];
    snprintf(text, sizeof text, "%s: %s", what, kr_error());
    if (f->o.note) f->o.note(f->o.user, text);
}

/* --- names ------------------------------------------------------------------------------------- */

static void state_path(const kr_prefix_file *f, int64_t serial, char to[PATH_ROOM + 128]) {
    snprintf(to, PATH_ROOM + 128, "%s/%lld.state", f->dir, (long long)serial);
}
static void tree_path(const kr_prefix_file *f, char to[PATH_ROOM + 128]) { snprintf(to, PATH_ROOM + 128, "%s/tree", f->dir); }

/* The number of "12.state"; 0: it is no such name. */
static int64_t serial_of(const char *name) {
    char *end;
    long long n = *name >= '1' && *name <= '9' ? strtoll(name, &end, 10) : 0;
    return n > 0 && n < INT64_MAX / 2 && strcmp(end, ".state") == 0 ? n : 0;
}

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

/* What a save writes, also what one that was killed leaves: ".tree.77-0.tmp". */
static bool is_ours(const char *name) { return serial_of(name) || strcmp(name, "tree") == 0 || (*name == '.' && ends_with(name, ".tmp")); }

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}
static bool is_among(const int64_t *list, int64_t n, int64_t x) { return n && bsearch(&x, list, (size_t)n, sizeof x, compare); }

static size_t state_bytes(const kr_prefix_file *f) {
    const kr_layout *l = f->o.layout;
    return sizeof(kr_state_head) + l->bytes + (size_t)l->V * sizeof(float);
}

/* --- opening ----------------------------------------------------------------------------------------- */

/* A process that was just killed may not be gone yet. */
static kr_status lock_folder(kr_prefix_file *f) {
    char path[PATH_ROOM + 64];
    snprintf(path, sizeof path, "%s/lock", f->root);
    if ((f->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) < 0) KR_FAIL(KR_ERR_IO, "%s: cannot open: %s", path, strerror(errno));
    for (int i = 0; i < 40; i++) {
        if (flock(f->lock, LOCK_EX | LOCK_NB) == 0) return KR_OK;
        nanosleep(&(struct timespec){.tv_nsec = 25000000}, NULL);
    }
    KR_FAIL(KR_ERR_BUSY, "%s: another process keeps its cache there", f->root);
}

/* What lies there: checkpoints of the right size; all else that is ours goes. */
static kr_status look_around(kr_prefix_file *f) {
    char path[PATH_ROOM + 512];
    kr_file_list list = {0};
    int64_t bytes;
    KR_TRY(kr_dir_list(&list, f->dir, KR_LIST_FILES | KR_LIST_HIDDEN));
    kr_status st = (f->have = kr_mem_array(list.n + 1, sizeof *f->have)) ? KR_OK : KR_ERR_NOMEM;
    for (size_t i = 0; i < list.n && st == KR_OK; i++) {
        int64_t serial = serial_of(list.name[i]);
        if (!is_ours(list.name[i]) || strcmp(list.name[i], "tree") == 0 || snprintf(path, sizeof path, "%s/%s", f->dir, list.name[i]) >= (int)sizeof path) continue;
        if (serial >= f->next_serial) f->next_serial = serial + 1;
        if (serial && kr_file_size(&bytes, path) == KR_OK && bytes == (int64_t)state_bytes(f)) f->have[f->n_have++] = serial;
        else (void)unlink(path);
    }
    kr_file_list_free(&list);
    if (f->n_have) qsort(f->have, (size_t)f->n_have, sizeof *f->have, compare);
    return st;
}

static kr_status open_file(kr_prefix_file *f, const kr_prefix_file_options *o) {
    int n = snprintf(f->root, sizeof f->root, "%s", o->dir);
    if (!*o->dir || n >= (int)sizeof f->root) KR_FAIL(KR_ERR_ARG, "the folder of the cache has a name of %d bytes", n);
    snprintf(f->sign, sizeof f->sign, "%s", o->sign);
    snprintf(f->dir, sizeof f->dir, "%s/%s", f->root, f->sign);
    bool made = !kr_dir_exists(f->root);
    KR_TRY(kr_dir_make(f->root));
    if (made) (void)!chmod(f->root, 0700);
    KR_TRY(lock_folder(f));
    KR_TRY(kr_dir_make(f->dir));
    (void)!chmod(f->dir, 0700); /* as good as we are allowed to: these are texts that someone wrote */
    return look_around(f);
}

kr_status kr_prefix_file_open(kr_prefix_file **out, const kr_prefix_file_options *o) {
    kr_prefix_file *f = kr_mem_new(sizeof *f);
    if (!f) return KR_ERR_NOMEM;
    f->o = *o;
    f->lock = -1;
    f->next_serial = 1;
    kr_status st = open_file(f, o);
    if (st != KR_OK) kr_prefix_file_close(f);
    else *out = f;
    return st;
}

void kr_prefix_file_close(kr_prefix_file *f) {
    if (!f) return;
    if (f->lock >= 0) close(f->lock); /* and unlocks */
    kr_mem_free(f->have);
    kr_mem_free(f);
}

kr_prefix_file_stats kr_prefix_file_get_stats(kr_prefix_file *f) {
    return (kr_prefix_file_stats){atomic_load(&f->n), atomic_load(&f->bytes), atomic_load(&f->n_refused)};
}

/* --- reading ------------------------------------------------------------------------------------------- */

static kr_status check_tree(const kr_prefix_file *f, const kr_tree_head *h, size_t n_bytes, int64_t grain) {
    if (n_bytes < sizeof *h || memcmp(h->magic, tree_magic, sizeof h->magic) != 0) KR_FAIL(KR_ERR_FORMAT, "its tree is none");
    if (h->version != KR_PREFIX_VERSION) KR_FAIL(KR_ERR_FORMAT, "its tree is of version %d, want %d", h->version, KR_PREFIX_VERSION);
    if (memcmp(h->sign, f->sign, sizeof h->sign) != 0 || h->grain != grain) KR_FAIL(KR_ERR_FORMAT, "its tree is of another model");
    size_t left = n_bytes - sizeof *h;
    bool fits = h->n >= 0 && (uint64_t)h->n <= left / sizeof(kr_tree_block);
    if (fits) left -= (size_t)h->n * sizeof(kr_tree_block);
    fits = fits && h->n_tok >= 0 && left % sizeof(int32_t) == 0 && (uint64_t)h->n_tok == left / sizeof(int32_t);
    if (!fits || h->now < 0 || h->now > (int64_t)1 << 50 || h->next_serial < 1 || h->next_serial > (int64_t)1 << 50) KR_FAIL(KR_ERR_FORMAT, "the numbers in its tree do not fit the size");
    if (kr_sum(h + 1, n_bytes - sizeof *h) != h->sum) KR_FAIL(KR_ERR_FORMAT, "its tree is not what was written");
    return KR_OK;
}

/* From the map, checkpoints that are not there left out. */
static kr_status read_tree(kr_prefix_file *f, kr_prefix *p, const kr_tree_head *h) {
    const kr_tree_block *block = (const void *)(h + 1);
    kr_tree x = {.now = h->now, .next_serial = h->next_serial, .n = h->n, .n_tok = 0, .tok = (int32_t *)(uintptr_t)(block + h->n)};
    const kr_layout *l = f->o.layout;
    if (!(x.block = kr_mem_array((size_t)h->n + 1, sizeof *x.block))) return KR_ERR_NOMEM;
    if (h->n) memcpy(x.block, block, (size_t)h->n * sizeof *block);
    kr_status st = KR_OK;
    for (int64_t i = 0; i < h->n && st == KR_OK; i++) {
        if (x.block[i].n < 1 || (x.n_tok += x.block[i].n) > h->n_tok) st = kr_fail(KR_ERR_FORMAT, "its blocks have more tokens than there are");
        if (!is_among(f->have, f->n_have, x.block[i].serial)) x.block[i].serial = 0;
    }
    if (st == KR_OK) st = kr_prefix_restore(p, &x, kr_snapshot_size(l, true, false), l->V);
    kr_mem_free(x.block);
    return st;
}

kr_status kr_prefix_file_load(kr_prefix_file *f, kr_prefix *p) {
    char path[PATH_ROOM + 128];
    const void *data;
    size_t n;
    tree_path(f, path);
    kr_status st = kr_file_exists(path) ? kr_file_map(&data, &n, path) : KR_ERR_MISSING;
    if (st == KR_OK) {
        st = check_tree(f, data, n, p->grain);
        if (st == KR_OK) st = read_tree(f, p, data);
        kr_file_unmap(data, n);
        if (st == KR_ERR_NOMEM) return st;
        if (st != KR_OK) atomic_fetch_add(&f->n_refused, 1), note(f, "the cache on disk begins anew");
    }
    p->fetch = kr_prefix_file_fetch, p->user = f;
    if (p->next_serial < f->next_serial) p->next_serial = f->next_serial; /* what lies there without a tree goes with the next save */
    atomic_store(&f->n, p->n_entries);
    atomic_store(&f->bytes, p->n_entries * (int64_t)state_bytes(f));
    return KR_OK;
}

static kr_status check_state(const kr_prefix_file *f, const kr_state_head *h, size_t n_bytes, int64_t serial, int64_t n_tok) {
    const kr_layout *l = f->o.layout;
    if (n_bytes != state_bytes(f) || memcmp(h->magic, state_magic, sizeof h->magic) != 0 || h->version != KR_PREFIX_VERSION) KR_FAIL(KR_ERR_FORMAT, "it is no checkpoint");
    if (memcmp(h->sign, f->sign, sizeof h->sign) != 0 || h->bytes != (int64_t)l->bytes || h->V != l->V) KR_FAIL(KR_ERR_FORMAT, "it is of another model");
    if (h->serial != serial || h->n_tok != n_tok || kr_sum(h + 1, n_bytes - sizeof *h) != h->sum) KR_FAIL(KR_ERR_FORMAT, "it is not what was written");
    return KR_OK;
}

kr_snapshot *kr_prefix_file_fetch(void *user, int64_t serial, int64_t n_tok) {
    kr_prefix_file *f = user;
    char path[PATH_ROOM + 128];
    const void *data;
    size_t n;
    kr_snapshot *s = NULL;
    state_path(f, serial, path);
    kr_status st = kr_file_map(&data, &n, path);
    if (st == KR_OK) {
        const kr_layout *l = f->o.layout;
        const char *states = (const char *)data + sizeof(kr_state_head);
        st = check_state(f, data, n, serial, n_tok);
        if (st == KR_OK) st = kr_snapshot_new(&s, f->o.layout, true, false);
        if (st == KR_OK) {
            s->n_tok = n_tok;
            memcpy(s->states, states, l->bytes);
            memcpy(s->logits, states + l->bytes, (size_t)l->V * sizeof *s->logits);
            if ((st = kr_snapshot_check(s)) != KR_OK) kr_snapshot_free(s), s = NULL;
        }
        kr_file_unmap(data, n);
    }
    if (st != KR_OK) atomic_fetch_add(&f->n_refused, 1), note(f, "a checkpoint of the cache on disk is not used");
    return s;
}

/* --- writing ---------------------------------------------------------------------------------------------- */

static kr_status write_state(const kr_prefix_file *f, const kr_snapshot *s, int64_t serial) {
    char path[PATH_ROOM + 128];
    const kr_layout *l = f->o.layout;
    size_t scores = (size_t)l->V * sizeof *s->logits, n = state_bytes(f);
    kr_state_head *h = kr_mem_new(n);
    if (!h) return KR_ERR_NOMEM;
    *h = (kr_state_head){.version = KR_PREFIX_VERSION, .serial = serial, .n_tok = s->n_tok, .bytes = (int64_t)l->bytes, .V = l->V};
    memcpy(h->magic, state_magic, sizeof h->magic);
    memcpy(h->sign, f->sign, sizeof h->sign);
    memcpy(h + 1, s->states, l->bytes);
    memcpy((char *)(h + 1) + l->bytes, s->logits, scores);
    h->sum = kr_sum(h + 1, n - sizeof *h);
    state_path(f, serial, path);
    kr_status st = kr_file_write(path, h, n);
    if (st == KR_OK) (void)!chmod(path, 0600);
    kr_mem_free(h);
    return st;
}

static kr_status write_tree(const kr_prefix_file *f, const kr_tree *x, int64_t grain) {
    char path[PATH_ROOM + 128];
    size_t blocks = (size_t)x->n * sizeof *x->block, toks = (size_t)x->n_tok * sizeof *x->tok, n = sizeof(kr_tree_head) + blocks + toks;
    kr_tree_head *h = kr_mem_new(n);
    if (!h) return KR_ERR_NOMEM;
    *h = (kr_tree_head){.version = KR_PREFIX_VERSION, .grain = (int32_t)grain, .now = x->now, .next_serial = x->next_serial, .n = x->n, .n_tok = x->n_tok};
    memcpy(h->magic, tree_magic, sizeof h->magic);
    memcpy(h->sign, f->sign, sizeof h->sign);
    memcpy(h + 1, x->block, blocks);
    memcpy((char *)(h + 1) + blocks, x->tok, toks);
    h->sum = kr_sum(h + 1, n - sizeof *h);
    tree_path(f, path);
    kr_status st = kr_file_write(path, h, n);
    if (st == KR_OK) (void)!chmod(path, 0600);
    kr_mem_free(h);
    return st;
}

static int64_t folder_bytes(const char *dir, double *changed) {
    char path[PATH_ROOM + 512];
    kr_file_list list = {0};
    struct stat st;
    int64_t n = 0;
    *changed = 0;
    if (kr_dir_list(&list, dir, KR_LIST_FILES | KR_LIST_HIDDEN) != KR_OK) return 0;
    for (size_t i = 0; i < list.n; i++) {
        if (snprintf(path, sizeof path, "%s/%s", dir, list.name[i]) >= (int)sizeof path || stat(path, &st) != 0) continue;
        n += st.st_size;
        if ((double)st.st_mtime > *changed) *changed = (double)st.st_mtime;
    }
    kr_file_list_free(&list);
    return n;
}

static bool is_sign(const char *name) { return strlen(name) == KR_PREFIX_SIGN && strspn(name, "0123456789abcdef") == KR_PREFIX_SIGN; }

/* Bytes of other models' folders, and which was written longest ago ("": there are none). */
static int64_t look_at_others(const kr_prefix_file *f, char oldest[PATH_ROOM + 64]) {
    char path[PATH_ROOM + 64];
    kr_file_list list = {0};
    double least = 0, changed;
    int64_t n = 0;
    *oldest = 0;
    if (kr_dir_list(&list, f->root, KR_LIST_DIRS) != KR_OK) return 0;
    for (size_t i = 0; i < list.n; i++) {
        if (!is_sign(list.name[i]) || strcmp(list.name[i], f->sign) == 0) continue;
        snprintf(path, sizeof path, "%s/%.*s", f->root, KR_PREFIX_SIGN, list.name[i]);
        n += folder_bytes(path, &changed);
        if (!*oldest || changed < least) least = changed, memcpy(oldest, path, sizeof path);
    }
    kr_file_list_free(&list);
    return n;
}

static void make_room(kr_prefix_file *f, int64_t mine) {
    char oldest[PATH_ROOM + 64];
    while (look_at_others(f, oldest) + mine > f->o.budget && *oldest && kr_dir_remove(oldest) == KR_OK) {}
}

/* Those that are there and in the picture; what is in none goes. */
static int64_t remove_others(kr_prefix_file *f, const kr_tree *x, int64_t *wanted, int64_t *have) {
    char path[PATH_ROOM + 128];
    int64_t n = 0, k = 0;
    for (int64_t i = 0; i < x->n; i++)
        if (x->block[i].serial) wanted[n++] = x->block[i].serial;
    if (n) qsort(wanted, (size_t)n, sizeof *wanted, compare);
    for (int64_t i = 0; i < f->n_have; i++) {
        state_path(f, f->have[i], path);
        if (is_among(wanted, n, f->have[i])) have[k++] = f->have[i];
        else (void)unlink(path);
    }
    make_room(f, n * (int64_t)state_bytes(f) + x->n * (int64_t)sizeof *x->block + x->n_tok * (int64_t)sizeof *x->tok);
    return k;
}

kr_status kr_prefix_file_save(kr_prefix_file *f, kr_tree *x, int64_t grain) {
    int64_t *wanted = kr_mem_array((size_t)x->n + 1, sizeof *wanted), *have = kr_mem_array((size_t)x->n + 1, sizeof *have);
    kr_status st = wanted && have ? KR_OK : KR_ERR_NOMEM;
    int64_t k = st == KR_OK ? remove_others(f, x, wanted, have) : 0, known = k;
    for (int64_t i = 0; i < x->n && st == KR_OK; i++) {
        int64_t serial = x->block[i].serial;
        if (!x->state[i]) continue;
        if (!is_among(have, known, serial) && (st = write_state(f, x->state[i], serial)) == KR_OK) have[k++] = serial;
        kr_snapshot_free(x->state[i]);
        x->state[i] = NULL;
    }
    if (have && wanted) {
        if (k) qsort(have, (size_t)k, sizeof *have, compare);
        kr_mem_free(f->have);
        f->have = have, f->n_have = k, have = NULL;
        kr_status tree = write_tree(f, x, grain); /* of what there is, too, where the disk is full */
        if (st == KR_OK) st = tree;
        atomic_store(&f->n, k);
        atomic_store(&f->bytes, k * (int64_t)state_bytes(f));
    }
    kr_mem_free(wanted);
    kr_mem_free(have);
    if (st != KR_OK) note(f, "the cache on disk was not written");
    return st;
}
