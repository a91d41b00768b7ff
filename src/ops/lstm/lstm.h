/* lstm.h - the slots of lstm, in the order of its signature, and what forward leaves for backward. */
#ifndef KR_OPS_LSTM_H
#define KR_OPS_LSTM_H
#include "ops/op.h"

enum { LSTM_X, LSTM_W, LSTM_H0, LSTM_C0, LSTM_SEQ_IDX };
enum { LSTM_Y, LSTM_H, LSTM_C };
enum { LSTM_I, LSTM_F, LSTM_G, LSTM_O, LSTM_GATES };

/* Does another document begin with step t of sequence s?  (h0 and c0 are step 0's whatever it is.) */
static inline bool lstm_begins(const kr_call *c, int64_t s, int64_t t) {
    const kr_tensor *q = &c->in[LSTM_SEQ_IDX];
    const int32_t *id = (const int32_t *)q->data;
    int64_t r = s * KR_SIZE(c, 'L') + t;
    return id && t > 0 && id[r * q->pitch] != id[(r - 1) * q->pitch];
}

/* Saved: for each step, sequence by sequence, the four gates, c, and the h that the step began with:
 * [L][S][6 H]. */
enum { LSTM_SAVED = LSTM_GATES + 2 };
#endif
