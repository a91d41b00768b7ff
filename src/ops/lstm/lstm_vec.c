/* lstm_vec.c - lstm for CPUs: a product of gemm.h for each step, then the gates. */
#include "ops/lstm/lstm.h"

#include "ops/gemm.h"
#include "ops/rows.h"

static float *aligned(float *p) { return (float *)(((uintptr_t)p + 63) & ~(uintptr_t)63); }

/* One row of one step: its gates, and h and c behind it; `keep` is its place in what is saved. */
static void step_row(int64_t H, float *gate, float *h, float *cell, float *y, float *keep) {
    for (int64_t j = 0; j < H; j += KR_VL) {
        int64_t n = H - j;
        vf i = v_sigmoid(v_get(gate + LSTM_I * H + j, n)), f = v_sigmoid(v_get(gate + LSTM_F * H + j, n));
        vf g = v_tanh(v_get(gate + LSTM_G * H + j, n)), o = v_sigmoid(v_get(gate + LSTM_O * H + j, n));
        vf c = f * v_get(cell + j, n) + i * g, out = o * v_tanh(c);
        if (keep) {
            v_put(keep + LSTM_I * H + j, i, n);
            v_put(keep + LSTM_F * H + j, f, n);
            v_put(keep + LSTM_G * H + j, g, n);
            v_put(keep + LSTM_O * H + j, o, n);
            v_put(keep + 4 * H + j, v_get(cell + j, n), n);
            v_put(keep + 5 * H + j, v_get(h + j, n), n);
        }
        v_put(cell + j, c, n);
        v_put(h + j, out, n);
        v_put(y + j, out, n);
    }
}

static void load_states(const kr_tensor *t, float *to, int64_t n) {
    if (t->data) memcpy(to, t->data, (size_t)n * sizeof *to);
    else memset(to, 0, (size_t)n * sizeof *to);
}

void KR_VEC(lstm_fwd)(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), H = KR_SIZE(c, 'H');
    float *h = c->scratch, *cell = h + S * H, *gate = cell + S * H, *room = aligned(gate + 4 * S * H);
    kr_gemm g = {.m = S, .n = 4 * H, .k = H, .a = h, .lda = H, .b = c->in[LSTM_W].data, .ldb = H, .b_trans = true, .b_type = c->in[LSTM_W].dtype,
                 .c = gate, .ldc = 4 * H, .acc = true};
    load_states(&c->in[LSTM_H0], h, S * H);
    load_states(&c->in[LSTM_C0], cell, S * H);
    for (int64_t t = 0; t < L; t++) {
        for (int64_t s = 0; s < S; s++) {
            memcpy(gate + s * 4 * H, row_at(&c->in[LSTM_X], s * L + t), (size_t)(4 * H) * sizeof *gate);
            if (!lstm_begins(c, s, t)) continue;
            memset(h + s * H, 0, (size_t)H * sizeof *h);
            memset(cell + s * H, 0, (size_t)H * sizeof *cell);
        }
        KR_VEC(kr_gemm_all)(&g, room, c->n_threads);
#pragma omp parallel for num_threads(rows_threads(c, 16 * S * H)) schedule(static)
        for (int64_t s = 0; s < S; s++)
            step_row(H, gate + s * 4 * H, h + s * H, cell + s * H, row_of(&c->out[LSTM_Y], s * L + t, H),
                     c->saved ? (float *)c->saved + (t * S + s) * LSTM_SAVED * H : NULL);
    }
    if (c->out[LSTM_H].data) memcpy(c->out[LSTM_H].data, h, (size_t)(S * H) * sizeof *h);
    if (c->out[LSTM_C].data) memcpy(c->out[LSTM_C].data, cell, (size_t)(S * H) * sizeof *cell);
}

/* One row of one step, backward: dh and dc behind it become dc before it and the gates' gradients. */
static void back_row(int64_t H, const float *keep, const float *dy, const float *dh, float *dc, float *dgate) {
    for (int64_t j = 0; j < H; j += KR_VL) {
        int64_t n = H - j;
        vf i = v_get(keep + LSTM_I * H + j, n), f = v_get(keep + LSTM_F * H + j, n), g = v_get(keep + LSTM_G * H + j, n);
        vf o = v_get(keep + LSTM_O * H + j, n), before = v_get(keep + 4 * H + j, n), squashed = v_tanh(f * before + i * g);
        vf d = v_get(dh + j, n) + (dy ? v_get(dy + j, n) : (vf){0}), dcell = v_get(dc + j, n) + d * o * (1.f - squashed * squashed);
        v_put(dgate + LSTM_I * H + j, dcell * g * i * (1.f - i), n);
        v_put(dgate + LSTM_F * H + j, dcell * before * f * (1.f - f), n);
        v_put(dgate + LSTM_G * H + j, dcell * i * (1.f - g * g), n);
        v_put(dgate + LSTM_O * H + j, d * squashed * o * (1.f - o), n);
        v_put(dc + j, dcell * f, n);
    }
}

static void give_states(const kr_call *c, int slot, const float *d, int64_t n) {
    row_give(c->din[slot].data, d, c->acc[slot], n);
}

void KR_VEC(lstm_bwd)(const kr_call *c) {
    int64_t S = KR_SIZE(c, 'S'), L = KR_SIZE(c, 'L'), H = KR_SIZE(c, 'H');
    float *dgates = c->scratch, *hs = dgates + S * L * 4 * H, *dh = hs + S * L * H, *dc = dh + S * H, *room = aligned(dc + S * H);
    const float *saved = c->saved;
    load_states(&c->dout[LSTM_H], dh, S * H);
    load_states(&c->dout[LSTM_C], dc, S * H);
    for (int64_t t = L - 1; t >= 0; t--) {
        float *dgate = dgates + t * S * 4 * H;
        kr_gemm g = {.m = S, .n = H, .k = 4 * H, .a = dgate, .lda = 4 * H, .b = c->in[LSTM_W].data, .ldb = H, .b_type = c->in[LSTM_W].dtype,
                     .c = dh, .ldc = H};
#pragma omp parallel for num_threads(rows_threads(c, 16 * S * H)) schedule(static)
        for (int64_t s = 0; s < S; s++) {
            const float *keep = saved + (t * S + s) * LSTM_SAVED * H;
            back_row(H, keep, row_of(&c->dout[LSTM_Y], s * L + t, H), dh + s * H, dc + s * H, dgate + s * 4 * H);
            memcpy(hs + (t * S + s) * H, keep + 5 * H, (size_t)H * sizeof *hs);
            row_give(row_at(&c->din[LSTM_X], s * L + t), dgate + s * 4 * H, c->acc[LSTM_X], 4 * H);
        }
        KR_VEC(kr_gemm_all)(&g, room, c->n_threads);
        for (int64_t s = 0; s < S; s++) {
            if (!lstm_begins(c, s, t)) continue;
            memset(dh + s * H, 0, (size_t)H * sizeof *dh);
            memset(dc + s * H, 0, (size_t)H * sizeof *dc);
        }
    }
    give_states(c, LSTM_H0, dh, S * H);
    give_states(c, LSTM_C0, dc, S * H);
    if (c->din[LSTM_W].data) {
        kr_gemm g = {.m = 4 * H, .n = H, .k = S * L, .a = dgates, .lda = 4 * H, .a_trans = true, .b = hs, .ldb = H,
                     .c = c->din[LSTM_W].data, .ldc = H, .acc = c->acc[LSTM_W]};
        KR_VEC(kr_gemm_all)(&g, room, c->n_threads);
    }
}
