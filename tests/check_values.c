/* check_values.c - small ops on numbers worked out elsewhere.
 *
 * check_ops holds every implementation to the reference; this holds the references of the
 * small ops to their meaning, and their plans to the sentences they owe the user. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "ops/dropout/dropout.h"
#include "ops/moe_route/moe_route.h"
#include "ops/ops.h"
#include "ops/pool/pool.h"
#include "ops/slice/slice.h"
#include "ops/slice_steps/slice_steps.h"
#include "ops/unary/unary.h"

static kr_tensor floats(const float *data, int n_dims, int64_t a, int64_t b, int64_t c) {
    return (kr_tensor){.data = (void *)data, .dtype = KR_F32, .n_dims = n_dims, .dim = {a, b, c}};
}
static kr_tensor ints(const int32_t *data, int n_dims, int64_t a, int64_t b) {
    return (kr_tensor){.data = (void *)data, .dtype = KR_I32, .n_dims = n_dims, .dim = {a, b}};
}
/* Runs an op by every implementation there is and compares its first output. */
static void gives(const kr_op *op, kr_call c, const float *want, int64_t n) {
    float y[64] = {0}, more[64];
    _Alignas(64) char scratch[4096];
    c.out[0].data = y, c.out[1].data = more, c.scratch = scratch;
    if (kr_op_bind(op, &c)) fail_msg("%s", kr_error());
    assert_int_equal(kr_count(&c.out[0]), n);
    for (kr_impl i = KR_REF; i < KR_CUDA; i++) {
        if (!kr_cpu_has(i)) continue;
        kr_op_forward(op, &c, i);
        for (int64_t k = 0; k < n; k++)
            if (!(fabsf(y[k] - want[k]) < 1e-6f * fmaxf(1, fabsf(want[k]))))
                fail_msg("%s %s: [%d] is %.9g, want %.9g", op->name, kr_impl_name(i), (int)k, (double)y[k], (double)want[k]);
    }
}
static void refuses(const kr_op *op, kr_call c, const char *sentence) {
    assert_int_not_equal(kr_op_bind(op, &c), KR_OK);
    assert_string_equal(kr_error(), sentence);
}

static void test_unary(void **state) {
    (void)state;
    const float x[2] = {-2.5f, .75f};
    const float want[KR_N_UNARY][2] = {
        [KR_UNARY_SILU] = {-0.18964545f, 0.509384024f},      [KR_UNARY_GELU] = {-0.015524163f, 0.580029486f},
        [KR_UNARY_GELU_TANH] = {-0.015084266f, 0.579960555f}, [KR_UNARY_RELU] = {0, .75f},
        [KR_UNARY_SIGMOID] = {0.07585818f, 0.679178699f},    [KR_UNARY_TANH] = {-0.986614298f, 0.635148952f},
        [KR_UNARY_SOFTPLUS] = {0.078889734f, 1.136871006f},  [KR_UNARY_EXP] = {0.082084999f, 2.117000017f},
        [KR_UNARY_NEG_EXP] = {-0.082084999f, -2.117000017f}, [KR_UNARY_COPY] = {-2.5f, .75f},
        [KR_UNARY_SCALE] = {7.5f, -2.25f},                   [KR_UNARY_RECIP] = {-0.181818182f, -0.444444444f}};
    for (int k = 0; k < KR_N_UNARY; k++) {
        unary_attr a = {k, -3};
        gives(&kr_op_unary, (kr_call){.attr = &a, .in = {floats(x, 1, 2, 0, 0)}}, want[k], 2);
    }
    unary_attr bad = {KR_N_UNARY, 1};
    refuses(&kr_op_unary, (kr_call){.attr = &bad, .in = {floats(x, 1, 2, 0, 0)}}, "unary: kind is 12, want 0 to 11");
}

static void test_norms(void **state) {
    (void)state;
    const float x[4] = {1, 2, 4, 9}, half[4] = {.5f, 1, 2, 4.5f}, two[4] = {2, 2, 2, 2}, one[4] = {1, 1, 1, 1};
    double eps = .5;
    gives(&kr_op_layernorm, (kr_call){.attr = &eps, .in = {floats(x, 1, 4, 0, 0), floats(two, 1, 4, 0, 0), floats(one, 1, 4, 0, 0)}},
          (float[]){-0.897366596f, -0.264911064f, 1, 4.162277660f}, 4);
    const float rms[4] = {0.392232270f, 0.784464541f, 1.568929081f, 3.530090433f};
    gives(&kr_op_rmsnorm, (kr_call){.attr = &eps, .in = {floats(x, 1, 4, 0, 0), floats(two, 1, 4, 0, 0)}}, rms, 4);
    gives(&kr_op_add_rmsnorm,
          (kr_call){.attr = &eps, .in = {floats(half, 1, 4, 0, 0), floats(half, 1, 4, 0, 0), floats(two, 1, 4, 0, 0)}}, rms, 4);
}

static void test_pool(void **state) {
    (void)state;
    const float x[12] = {1, -2, 3, 5, -4, 0, /* second sequence */ 7, 8, 9, -9, 1, 1};
    const int32_t len[2] = {2, 9}, none[2] = {0, -1};
    const float want[KR_N_POOL][4] = {
        {2, 1.5f, 17 / 3.f, 0}, {3, 5, 9, 8}, {3, 5, 1, 1}, {4, 3, 17, 0}, {1, -2, 7, 8}};
    for (int k = 0; k < KR_N_POOL; k++) {
        pool_attr a = {k};
        gives(&kr_op_pool, (kr_call){.attr = &a, .in = {floats(x, 3, 2, 3, 2), ints(len, 1, 2, 0)}}, want[k], 4);
        gives(&kr_op_pool, (kr_call){.attr = &a, .in = {floats(x, 3, 2, 3, 2), ints(none, 1, 2, 0)}}, (float[4]){0}, 4);
    }
}

/* Of equal steps the first has the gradient; random numbers never ask. */
static void test_ties(void **state) {
    (void)state;
    const float x[3] = {1, 2, 2}, dy = 3;
    pool_attr a = {KR_POOL_MAX};
    for (kr_impl i = KR_REF; i < KR_CUDA; i++) {
        if (!kr_cpu_has(i)) continue;
        float y, dx[3];
        kr_call c = {.attr = &a, .in = {floats(x, 3, 1, 3, 1)}, .out = {{.data = &y}}, .training = true};
        assert_int_equal(kr_op_bind(&kr_op_pool, &c), KR_OK);
        c.din[0] = c.in[0], c.din[0].data = dx;
        c.dout[0] = c.out[0], c.dout[0].data = (void *)&dy;
        kr_op_backward(&kr_op_pool, &c, i);
        assert_true(dx[0] == 0 && dx[1] == 3 && dx[2] == 0);
    }
}

static void test_picks(void **state) {
    (void)state;
    const float x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, y[3] = {.5f, .25f, 0};
    const int32_t idx[3] = {3, -1, 0}, ids[2] = {1, 4};
    gives(&kr_op_gather, (kr_call){.in = {floats(x, 3, 1, 4, 2), ints(idx, 1, 3, 0)}}, (float[]){7, 8, 0, 0, 1, 2}, 6);
    gives(&kr_op_embedding, (kr_call){.in = {ints(ids, 2, 1, 2), floats(x, 2, 4, 2, 0)}}, (float[]){3, 4, 0, 0}, 4);
    gives(&kr_op_concat, (kr_call){.in = {floats(x, 1, 2, 0, 0), floats(y, 1, 3, 0, 0)}}, (float[]){1, 2, .5f, .25f, 0}, 5);
    slice_attr cols = {-3, 2};
    gives(&kr_op_slice, (kr_call){.attr = &cols, .in = {floats(x, 2, 2, 4, 0)}}, (float[]){2, 3, 6, 7}, 4);
    cols.width = 4;
    refuses(&kr_op_slice, (kr_call){.attr = &cols, .in = {floats(x, 2, 2, 4, 0)}}, "slice: 4 columns from -3 do not fit in A = 4");
    slice_steps_attr steps = {-1, 0};
    gives(&kr_op_slice_steps, (kr_call){.attr = &steps, .in = {floats(x, 3, 2, 2, 2)}}, (float[]){3, 4, 7, 8}, 4);
    steps.start = -3;
    refuses(&kr_op_slice_steps, (kr_call){.attr = &steps, .in = {floats(x, 3, 2, 2, 2)}},
            "slice_steps: 0 steps from -3 do not fit in L = 2");
    gives(&kr_op_mse, (kr_call){.in = {floats(x, 1, 3, 0, 0), floats(y, 1, 3, 0, 0)}}, (float[]){(.25f + 3.0625f + 9) / 3}, 1);
}

/* Where all sigmoids are zero their shares are, too. */
static void test_route(void **state) {
    (void)state;
    const float x[3] = {-200, -300, -250};
    moe_route_attr a = {.k = 2, .gate = MOE_SIGMOID, .normalise = 1, .scale = 1};
    gives(&kr_op_moe_route, (kr_call){.attr = &a, .in = {floats(x, 2, 1, 3, 0)}}, (float[]){0, 0}, 2);
}

/* The share of zeros, the scale of the rest, and that every word of the key matters. */
static void test_dropout(void **state) {
    (void)state;
    static float x[40000], y[5][40000];
    dropout_attr a = {.2};
    for (int i = 0; i < 40000; i++) x[i] = 4;
    for (int k = 0; k < 5; k++) {
        int32_t key[4] = {1, 2, 3, 4};
        if (k) key[k - 1] = -1;
        kr_call c = {.attr = &a, .in = {floats(x, 2, 400, 100, 0), ints(key, 1, 4, 0)}, .out = {{.data = y[k]}}};
        assert_int_equal(kr_op_bind(&kr_op_dropout, &c), KR_OK);
        kr_op_forward(&kr_op_dropout, &c, kr_cpu_best());
        int zeros = 0, differ = 0;
        for (int i = 0; i < 40000; i++) {
            zeros += y[k][i] == 0;
            differ += y[k][i] != y[0][i];
            if (y[k][i] != 0 && y[k][i] != 5) fail_msg("dropout: 4 became %g", (double)y[k][i]);
        }
        assert_in_range(zeros, 7600, 8400); /* 8000 +- 5 standard deviations */
        if (k) assert_in_range(differ, 12400, 13200); /* 2 p (1 - p) of them */
    }
    int32_t key[4] = {0};
    a.p = 1;
    refuses(&kr_op_dropout, (kr_call){.attr = &a, .in = {floats(x, 1, 4, 0, 0), ints(key, 1, 4, 0)}},
            "dropout: p is 1, want 0 <= p < 1");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_unary), cmocka_unit_test(test_norms), cmocka_unit_test(test_pool),
                                       cmocka_unit_test(test_ties), cmocka_unit_test(test_picks), cmocka_unit_test(test_route),
                                       cmocka_unit_test(test_dropout)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
