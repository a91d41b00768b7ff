/* check_scan.c - what the generic op checker cannot say about the selective scan:
 *   - its three forms are the same function, to 1e-12 in double;
 *   - training never stores the S L D N states, and its memory is linear in L;
 *   - what is so large that it is stored past the caches is what would be stored in them;
 *   - steps by a list give the bits that rows put in that order give. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "ops/ops.h"
#include "ops/selective_scan/selective_scan.h"

static const kr_op *const op = &kr_op_selective_scan;

/* Inputs of the wanted sizes, without data: enough to bind. */
static kr_call shaped(kr_dtype real, int64_t S, int64_t L, int64_t D, int64_t G, int64_t N,
                      const selective_scan_attr *attr) {
    kr_call c = {.attr = attr, .n_threads = 2, .training = true};
    kr_sig_term t = {0};
    int i = 0;
    for (const char *s = op->sig; kr_sig_next(&s, &t) && !t.output; i++) {
        c.in[i].dtype = t.kind == KR_SLOT_INT ? KR_I32 : real;
        for (const char *a = t.axes; *a; a++)
            c.in[i].dim[c.in[i].n_dims++] = *a == 'S' ? S : *a == 'L' ? L : *a == 'D' ? D : *a == 'G' ? G : N;
    }
    return c;
}

static void fill(kr_tensor *x, double lo, double hi, uint64_t stream) {
    kr_rng r = {1, stream, 0};
    double *p = x->data = kr_mem_array((size_t)kr_count(x), sizeof(double));
    assert_non_null(p);
    for (int64_t i = 0; i < kr_count(x); i++) p[i] = lo + (hi - lo) * kr_rng_uniform(&r);
}

static void run_form(int64_t L, int64_t form, double *out) {
    enum { S = 2, D = 6, G = 3, N = 4 };
    selective_scan_attr attr = {1, form};
    kr_call c = shaped(KR_F64, S, L, D, G, N, &attr);
    assert_int_equal(kr_op_bind(op, &c), KR_OK);
    for (int i = 0; i < SCAN_SEQ_IDX; i++)
        fill(&c.in[i], i == SCAN_A ? -4 : i == SCAN_DT ? -3 : -1, i == SCAN_A ? -.1 : 1, (uint64_t)i);
    int32_t *seq = c.in[SCAN_SEQ_IDX].data = kr_mem_array((size_t)(S * L), sizeof *seq);
    for (int64_t i = 0; i < S * L; i++) seq[i] = (int32_t)(i / 23); /* a new sequence every 23 steps */
    c.out[SCAN_Y].data = out;
    c.out[SCAN_H].data = out + S * L * D;
    c.scratch = kr_mem_new(c.fwd_scratch);
    kr_op_forward(op, &c, KR_REF);
    for (int i = 0; i <= SCAN_SEQ_IDX; i++) kr_mem_free(c.in[i].data);
    kr_mem_free(c.scratch);
}

static void three_forms_agree(void **state) {
    (void)state;
    static const int64_t lengths[] = {1, 2, 3, 5, 64, 100, 1000};
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        size_t n = (size_t)(2 * lengths[k] * 6 + 2 * 6 * 4);
        double *want = kr_mem_array(n, sizeof *want), *got = kr_mem_array(n, sizeof *got);
        run_form(lengths[k], SCAN_SEQUENTIAL, want);
        for (int64_t form = SCAN_BLELLOCH; form <= SCAN_CHUNKED; form++) {
            run_form(lengths[k], form, got);
            for (size_t i = 0; i < n; i++) assert_true(fabs(got[i] - want[i]) <= 1e-12 * (1 + fabs(want[i])));
        }
        kr_mem_free(want);
        kr_mem_free(got);
    }
}

/* Everything a training step holds beside its inputs and outputs. */
static double step_bytes(int64_t S, int64_t L, int64_t D, int64_t N) {
    selective_scan_attr attr = {1, SCAN_FAST};
    kr_call c = shaped(KR_F32, S, L, D, 1, N, &attr);
    assert_int_equal(kr_op_bind(op, &c), KR_OK);
    return (double)c.saved_bytes + (double)(c.fwd_scratch > c.bwd_scratch ? c.fwd_scratch : c.bwd_scratch);
}

static void states_are_never_stored(void **state) {
    (void)state;
    static const int64_t shape[][3] = {{1, 512, 16}, {8, 1536, 16}, {4, 256, 64}, {2, 2048, 128}}; /* S, D, N */
    for (size_t k = 0; k < sizeof shape / sizeof *shape; k++) {
        int64_t S = shape[k][0], D = shape[k][1], N = shape[k][2];
        for (int64_t L = 1024; L <= 1 << 18; L *= 4)
            assert_true(step_bytes(S, L, D, N) < (double)(S * L * D * N) * 4 / 8);
        double a = step_bytes(S, 1 << 14, D, N), b = step_bytes(S, 1 << 15, D, N), d = step_bytes(S, 1 << 16, D, N);
        assert_true(fabs((d - b) - 2 * (b - a)) <= 1e-3 * d);
    }
}

static void *numbers(const kr_tensor *x, float lo, float hi, uint64_t stream) {
    kr_rng r = {1, stream, 0};
    float *p = kr_mem_array((size_t)kr_count(x), sizeof *p);
    assert_non_null(p);
    for (int64_t i = 0; i < kr_count(x); i++) p[i] = lo + (hi - lo) * (float)kr_rng_uniform(&r);
    return p;
}

/* y is the same off any line; stored by one thread, stored by three and added to zero, all gradients are the same. */
static void large_tensors(void **state) {
    (void)state;
    selective_scan_attr attr = {1, SCAN_FAST};
    float *din[3][SCAN_SEQ_IDX];
    kr_call c = shaped(KR_F32, 1, SCAN_STREAM / 528 + 9, 528, 2, 2, &attr); /* the second group begins inside a line */
    c.n_threads = 3;
    c.in[SCAN_SEQ_IDX] = (kr_tensor){0};
    assert_int_equal(kr_op_bind(op, &c), KR_OK);
    for (int i = 0; i < SCAN_SEQ_IDX; i++)
        c.in[i].data = numbers(&c.in[i], i == SCAN_A ? -4 : i == SCAN_DT ? -3 : -1, i == SCAN_A ? 0 : 1, (uint64_t)i);
    c.dout[SCAN_Y] = c.out[SCAN_Y];
    c.dout[SCAN_Y].data = numbers(&c.out[SCAN_Y], -1, 1, SCAN_SEQ_IDX);
    size_t n_y = (size_t)kr_count(&c.out[SCAN_Y]);
    float *y = kr_mem_array(n_y, sizeof *y), *odd = kr_mem_array(n_y + 1, sizeof *y);
    c.scratch = kr_mem_new(c.fwd_scratch > c.bwd_scratch ? c.fwd_scratch : c.bwd_scratch);
    c.saved = kr_mem_new(c.saved_bytes);
    c.out[SCAN_Y].data = odd + 1;
    kr_op_forward(op, &c, kr_cpu_best());
    c.out[SCAN_Y].data = y;
    kr_op_forward(op, &c, kr_cpu_best());
    assert_memory_equal(y, odd + 1, n_y * sizeof *y);
    for (int way = 0; way < 3; way++) {
        c.n_threads = way == 1 ? 3 : 1;
        for (int i = 0; i < SCAN_SEQ_IDX; i++) {
            c.din[i] = c.in[i];
            c.din[i].data = din[way][i] = kr_mem_array((size_t)kr_count(&c.in[i]), sizeof(float));
            c.acc[i] = way == 2;
        }
        kr_op_backward(op, &c, kr_cpu_best());
    }
    for (int i = 0; i < SCAN_SEQ_IDX; i++) {
        for (int64_t k = 0; k < kr_count(&c.in[i]); k++)
            if (din[0][i][k] != din[1][i][k] || din[0][i][k] != din[2][i][k])
                fail_msg("gradient %d at %lld: %g, %g, %g", i, (long long)k, din[0][i][k], din[1][i][k], din[2][i][k]);
        for (int way = 0; way < 3; way++) kr_mem_free(din[way][i]);
        kr_mem_free(c.in[i].data);
    }
    kr_mem_free(c.dout[SCAN_Y].data), kr_mem_free(y), kr_mem_free(odd), kr_mem_free(c.scratch), kr_mem_free(c.saved);
}

/* y and all gradients of a call with data. */
static void run_all(kr_call *c, kr_impl impl) {
    c->out[SCAN_Y].data = kr_mem_array((size_t)kr_count(&c->out[SCAN_Y]), sizeof(float));
    c->scratch = kr_mem_new(c->fwd_scratch > c->bwd_scratch ? c->fwd_scratch : c->bwd_scratch);
    c->saved = kr_mem_new(c->saved_bytes);
    kr_op_forward(op, c, impl);
    for (int i = 0; i < SCAN_SEQ_IDX; i++) {
        c->din[i] = c->in[i];
        c->din[i].data = kr_mem_array((size_t)kr_count(&c->in[i]), sizeof(float));
    }
    kr_op_backward(op, c, impl);
    kr_mem_free(c->scratch), kr_mem_free(c->saved);
}

/* x [S, L, width], step t's row put at t (or, back, the other way), in a tensor of its own. */
static void *put_in_order(const kr_tensor *x, const int32_t *order, bool back) {
    int64_t L = x->dim[1], n = kr_count(x), width = n / x->dim[0] / L;
    float *to = kr_mem_array((size_t)n, sizeof *to);
    assert_non_null(to);
    for (int64_t r = 0; r < x->dim[0] * L; r++) {
        int64_t t = r % L, row = r - t + order[t];
        memcpy(to + (back ? row : r) * width, (const float *)x->data + (back ? r : row) * width, (size_t)width * sizeof *to);
    }
    return to;
}

static void must_be(const char *what, int slot, int impl, const void *a, const kr_tensor *b) {
    if (memcmp(a, b->data, (size_t)kr_count(b) * sizeof(float)) != 0) fail_msg("%s %d of implementation %d: other bits", what, slot, impl);
}

static void in_another_order(void **state) {
    (void)state;
    static const int64_t sizes[][5] = {{2, 150, 83, 1, 16}, {3, 70, 24, 3, 5}, {1, 1600, 5, 1, 3}, {2, 66, 400, 2, 2}}; /* S, L, D, G, N */
    selective_scan_attr attr = {1, SCAN_FAST};
    for (size_t k = 0; k < 4 * (size_t)KR_N_IMPL; k++) {
        const int64_t *n = sizes[k / KR_N_IMPL];
        kr_impl impl = (kr_impl)(k % KR_N_IMPL);
        if (!kr_cpu_has(impl)) continue;
        kr_call by_list = shaped(KR_F32, n[0], n[1], n[2], n[3], n[4], &attr), put;
        int32_t *order = kr_mem_array((size_t)n[1], sizeof *order);
        kr_rng rng = {1, 9, 0};
        for (int64_t t = 0; t < n[1]; t++) {
            int64_t at = kr_rng_below(&rng, t + 1);
            order[t] = order[at], order[at] = (int32_t)t;
        }
        by_list.in[SCAN_SEQ_IDX] = (kr_tensor){0};
        by_list.in[SCAN_ORDER].data = order;
        assert_int_equal(kr_op_bind(op, &by_list), KR_OK);
        for (int i = 0; i < SCAN_SEQ_IDX; i++)
            by_list.in[i].data = numbers(&by_list.in[i], i == SCAN_A ? -4 : i == SCAN_DT ? -3 : -1, i == SCAN_A ? 0 : 1, (uint64_t)i);
        by_list.dout[SCAN_Y] = by_list.out[SCAN_Y];
        by_list.dout[SCAN_Y].data = numbers(&by_list.out[SCAN_Y], -1, 1, SCAN_SEQ_IDX);
        put = by_list;
        put.in[SCAN_ORDER] = (kr_tensor){0};
        static const int rows[] = {SCAN_U, SCAN_DT, SCAN_B, SCAN_C, SCAN_Z};
        for (int i = 0; i < 5; i++) put.in[rows[i]].data = put_in_order(&by_list.in[rows[i]], order, false);
        put.dout[SCAN_Y].data = put_in_order(&by_list.dout[SCAN_Y], order, false);
        run_all(&by_list, impl);
        run_all(&put, impl);
        void *y = put_in_order(&put.out[SCAN_Y], order, true);
        must_be("output", 0, impl, y, &by_list.out[SCAN_Y]);
        kr_mem_free(y);
        for (int i = 0; i < SCAN_SEQ_IDX; i++) {
            bool moved = i == SCAN_U || i == SCAN_DT || i == SCAN_B || i == SCAN_C || i == SCAN_Z;
            void *d = moved ? put_in_order(&put.din[i], order, true) : NULL;
            must_be("gradient", i, impl, d ? d : put.din[i].data, &by_list.din[i]);
            kr_mem_free(d), kr_mem_free(put.din[i].data), kr_mem_free(by_list.din[i].data), kr_mem_free(by_list.in[i].data);
            if (moved) kr_mem_free(put.in[i].data);
        }
        kr_mem_free(put.out[SCAN_Y].data), kr_mem_free(by_list.out[SCAN_Y].data), kr_mem_free(order);
        kr_mem_free(put.dout[SCAN_Y].data), kr_mem_free(by_list.dout[SCAN_Y].data);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(three_forms_agree), cmocka_unit_test(states_are_never_stored),
                                       cmocka_unit_test(large_tensors), cmocka_unit_test(in_another_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
