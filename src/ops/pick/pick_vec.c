/* pick_vec.c - pick for CPUs: lanes over D.  What picks has a thread for each row; what adds up has
 * one for a range of columns of a sequence, which walks the list in its order. */
#include "ops/pick/pick.h"
#include "ops/rows.h"

/* Rows of one side: those of x or dx, which may lie apart, or of y or dy. */
typedef struct side { const kr_tensor *t; int64_t pitch, n; } side;
static float *row(const side *a, int64_t s, int64_t i) { return (float *)a->t->data + (s * a->n + i) * a->pitch; }
static int32_t index_of(const kr_call *c, int64_t s, int64_t j) {
    const kr_tensor *t = &c->in[PICK_IDX];
    return ((const int32_t *)t->data)[s * KR_SIZE(c, 'J') + j];
}

/* to[j] = or += from[idx[j]] */
static void pick(const kr_call *c, side from, side to, bool add) {
    int64_t S = KR_SIZE(c, 'S'), J = KR_SIZE(c, 'J'), D = KR_SIZE(c, 'D');
#pragma omp parallel for num_threads(rows_threads(c, S * J * D)) schedule(static)
    for (int64_t r = 0; r < S * J; r++) {
        int64_t s = r / J, i = index_of(c, s, r % J);
        float *y = row(&to, s, r % J);
        if (i >= 0 && i < from.n) row_give(y, row(&from, s, i), add, D);
        else if (!add) memset(y, 0, (size_t)D * sizeof *y);
    }
}

/* to[idx[j]] += from[j], to being zero at first unless `add` */
static void add_up(const kr_call *c, side from, side to, bool add) {
    enum { WIDTH = 256 };
    int64_t S = KR_SIZE(c, 'S'), J = KR_SIZE(c, 'J'), D = KR_SIZE(c, 'D'), per_row = (D + WIDTH - 1) / WIDTH;
#pragma omp parallel for num_threads(rows_threads(c, S * (J + to.n) * D)) schedule(static)
    for (int64_t k = 0; k < S * per_row; k++) {
        int64_t s = k / per_row, col = k % per_row * WIDTH, n = D - col < WIDTH ? D - col : WIDTH;
        for (int64_t i = 0; i < to.n && !add; i++) memset(row(&to, s, i) + col, 0, (size_t)n * sizeof(float));
        for (int64_t j = 0; j < J; j++) {
            int64_t i = index_of(c, s, j);
            if (i >= 0 && i < to.n) row_give(row(&to, s, i) + col, row(&from, s, j) + col, true, n);
        }
    }
}

void KR_VEC(pick_fwd)(const kr_call *c) {
    side x = {&c->in[PICK_X], c->in[PICK_X].pitch, KR_SIZE(c, 'L')}, y = {&c->out[PICK_Y], KR_SIZE(c, 'D'), KR_SIZE(c, 'K')};
    if (((const pick_attr *)c->attr)->into) add_up(c, x, y, false);
    else pick(c, x, y, false);
}

void KR_VEC(pick_bwd)(const kr_call *c) {
    side dx = {&c->din[PICK_X], c->din[PICK_X].pitch, KR_SIZE(c, 'L')}, dy = {&c->dout[PICK_Y], KR_SIZE(c, 'D'), KR_SIZE(c, 'K')};
    if (!dx.t->data) return;
    if (((const pick_attr *)c->attr)->into) pick(c, dy, dx, c->acc[PICK_X]);
    else add_up(c, dy, dx, c->acc[PICK_X]);
}
