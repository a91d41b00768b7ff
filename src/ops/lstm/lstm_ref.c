/* lstm_ref.c - the definition of lstm: step after step, as it is written down. */
#include "ops/lstm/lstm.h"
#include "ops/ref.h"

/* Room for one sequence: what each step began with, its gates and its c. */
typedef struct room { real *h, *c, *gate, *dh, *dc, *dgate; } room;
static room room_of(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), H = KR_SIZE(c, 'H');
    room r = {.h = c->scratch};
    r.c = r.h + L * H;
    r.gate = r.c + L * H;
    r.dh = r.gate + 4 * L * H;
    r.dc = r.dh + H;
    r.dgate = r.dc + H;
    return r;
}

static real start(const kr_tensor *t, int64_t i) { return t->data ? ((const real *)t->data)[i] : 0; }

/* h[t], c[t]: those before step t, zero where a document begins. */
static void run(const kr_call *c, int64_t s, const room *r) {
    int64_t L = KR_SIZE(c, 'L'), H = KR_SIZE(c, 'H');
    real *last_h = r->dh, *last_c = r->dc;
    for (int64_t j = 0; j < H; j++) last_h[j] = start(&c->in[LSTM_H0], s * H + j), last_c[j] = start(&c->in[LSTM_C0], s * H + j);
    for (int64_t t = 0; t < L; t++) {
        const real *x = (const real *)c->in[LSTM_X].data + (s * L + t) * c->in[LSTM_X].pitch;
        real *h = r->h + t * H, *cell = r->c + t * H, *gate = r->gate + 4 * t * H;
        bool begins = lstm_begins(c, s, t);
        for (int64_t j = 0; j < H; j++) h[j] = begins ? 0 : last_h[j], cell[j] = begins ? 0 : last_c[j];
        for (int64_t d = 0; d < 4 * H; d++) {
            real sum = x[d];
            for (int64_t j = 0; j < H; j++) sum += ref_weight(&c->in[LSTM_W], d * H + j) * h[j];
            gate[d] = d / H == LSTM_G ? tanh(sum) : ref_sigmoid(sum);
        }
        for (int64_t j = 0; j < H; j++) {
            last_c[j] = gate[LSTM_F * H + j] * cell[j] + gate[LSTM_I * H + j] * gate[LSTM_G * H + j];
            last_h[j] = gate[LSTM_O * H + j] * tanh(last_c[j]);
        }
    }
}

void REF(lstm_fwd)(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), H = KR_SIZE(c, 'H');
    room r = room_of(c);
    for (int64_t s = 0; s < KR_SIZE(c, 'S'); s++) {
        run(c, s, &r);
        for (int64_t t = 0; t < L; t++)
            for (int64_t j = 0; j < H; j++) {
                const real *gate = r.gate + 4 * t * H + j;
                real cell = gate[LSTM_F * H] * r.c[t * H + j] + gate[LSTM_I * H] * gate[LSTM_G * H], h = gate[LSTM_O * H] * tanh(cell);
                ((real *)c->out[LSTM_Y].data)[(s * L + t) * H + j] = h;
                if (t + 1 == L && c->out[LSTM_H].data) ((real *)c->out[LSTM_H].data)[s * H + j] = h;
                if (t + 1 == L && c->out[LSTM_C].data) ((real *)c->out[LSTM_C].data)[s * H + j] = cell;
            }
    }
}

/* dh, dc are those behind step t, and become those before it. */
static void back(const kr_call *c, int64_t s, int64_t t, const room *r) {
    int64_t L = KR_SIZE(c, 'L'), H = KR_SIZE(c, 'H'), row = s * L + t;
    const real *dy = c->dout[LSTM_Y].data, *gate = r->gate + 4 * t * H;
    real *dW = c->din[LSTM_W].data, *dx = c->din[LSTM_X].data;
    if (dx) dx += row * c->din[LSTM_X].pitch;
    for (int64_t j = 0; j < H; j++) {
        real i = gate[LSTM_I * H + j], f = gate[LSTM_F * H + j], g = gate[LSTM_G * H + j], o = gate[LSTM_O * H + j];
        real squashed = tanh(f * r->c[t * H + j] + i * g), dh = r->dh[j] + (dy ? dy[row * H + j] : 0);
        real dc = r->dc[j] + dh * o * (1 - squashed * squashed);
        r->dgate[LSTM_I * H + j] = dc * g * i * (1 - i);
        r->dgate[LSTM_F * H + j] = dc * r->c[t * H + j] * f * (1 - f);
        r->dgate[LSTM_G * H + j] = dc * i * (1 - g * g);
        r->dgate[LSTM_O * H + j] = dh * squashed * o * (1 - o);
        r->dc[j] = dc * f;
        r->dh[j] = 0;
    }
    for (int64_t d = 0; d < 4 * H; d++) {
        if (dx) dx[d] += r->dgate[d];
        for (int64_t j = 0; j < H; j++) {
            if (dW) dW[d * H + j] += r->dgate[d] * r->h[t * H + j];
            r->dh[j] += r->dgate[d] * ref_weight(&c->in[LSTM_W], d * H + j);
        }
    }
    for (int64_t j = 0; j < H && lstm_begins(c, s, t); j++) r->dh[j] = r->dc[j] = 0;
}

void REF(lstm_bwd)(const kr_call *c) {
    int64_t L = KR_SIZE(c, 'L'), H = KR_SIZE(c, 'H');
    real *dh0 = c->din[LSTM_H0].data, *dc0 = c->din[LSTM_C0].data;
    room r = room_of(c);
    for (int64_t s = 0; s < KR_SIZE(c, 'S'); s++) {
        run(c, s, &r);
        for (int64_t j = 0; j < H; j++) r.dh[j] = start(&c->dout[LSTM_H], s * H + j), r.dc[j] = start(&c->dout[LSTM_C], s * H + j);
        for (int64_t t = L - 1; t >= 0; t--) back(c, s, t, &r);
        for (int64_t j = 0; j < H; j++) {
            if (dh0) dh0[s * H + j] += r.dh[j];
            if (dc0) dc0[s * H + j] += r.dc[j];
        }
    }
}
