/* adamw.c - AdamW and the gradient norm, over blocks of fixed size. */
#include "train/adamw.h"

#include <math.h>

enum { BLOCK = 16384 };

double kr_grad_norm(const kr_params *p, int n_threads) {
    double total = 0;
    for (const kr_param *q = p->first; q; q = q->next) {
        int64_t n = kr_param_count(q), n_blocks = (n + BLOCK - 1) / BLOCK;
        for (int64_t b0 = 0; b0 < n_blocks; b0 += 64) { /* partial sums on the stack, added in order */
            double part[64];
            int64_t b1 = b0 + 64 < n_blocks ? b0 + 64 : n_blocks;
#pragma omp parallel for num_threads(n_threads) schedule(static) if (b1 - b0 > 1)
            for (int64_t b = b0; b < b1; b++) {
                int64_t end = (b + 1) * BLOCK < n ? (b + 1) * BLOCK : n;
                double lane[8] = {0}, sum = 0;
                for (int64_t i = b * BLOCK; i < end; i++) lane[i & 7] += (double)q->grad[i] * q->grad[i];
                for (int k = 0; k < 8; k++) sum += lane[k];
                part[b - b0] = sum;
            }
            for (int64_t b = b0; b < b1; b++) total += part[b - b0];
        }
    }
    return sqrt(total);
}

static void update(kr_param *q, const kr_adamw *o, int64_t from, int64_t to) {
    float c1 = (float)(1 / (1 - pow(o->beta1, (double)o->step))), c2 = (float)(1 / (1 - pow(o->beta2, (double)o->step)));
    float b1 = (float)o->beta1, b2 = (float)o->beta2, scale = (float)o->scale, lr = (float)o->lr, eps = (float)o->eps;
    float decay = q->no_decay ? 0 : (float)(o->lr * o->weight_decay);
    float *restrict x = q->master ? q->master : q->data, *restrict m = q->m, *restrict v = q->v;
    const float *restrict grad = q->grad;
    for (int64_t i = from; i < to; i++) {
        float g = grad[i] * scale;
        m[i] = b1 * m[i] + (1 - b1) * g;
        v[i] = b2 * v[i] + (1 - b2) * g * g;
        x[i] -= lr * (m[i] * c1) / (sqrtf(v[i] * c2) + eps) + decay * x[i];
    }
    if (q->master) kr_convert((uint16_t *)q->data + from, KR_BF16, x + from, KR_F32, to - from);
}

void kr_adamw_step(kr_params *p, const kr_adamw *o) {
    for (kr_param *q = p->first; q; q = q->next) {
        int64_t n = kr_param_count(q), n_blocks = (n + BLOCK - 1) / BLOCK;
#pragma omp parallel for num_threads(o->n_threads) schedule(static) if (n_blocks > 1)
        for (int64_t b = 0; b < n_blocks; b++) update(q, o, b * BLOCK, (b + 1) * BLOCK < n ? (b + 1) * BLOCK : n);
    }
}

static kr_status on_device(kr_params *p, const kr_adamw *o, double clip, double *norm) {
    kr_adamw_rates r = {.lr = (float)o->lr, .beta1 = (float)o->beta1, .beta2 = (float)o->beta2, .eps = (float)o->eps,
                        .weight_decay = (float)(o->lr * o->weight_decay), .correct1 = (float)(1 / (1 - pow(o->beta1, (double)o->step))),
                        .correct2 = (float)(1 / (1 - pow(o->beta2, (double)o->step))), .clip = (float)clip};
    kr_cuda()->adamw_run(p->device, p->adamw, &r, norm);
    return kr_cuda()->sync(p->device);
}

kr_status kr_adamw_clipped(kr_params *p, const kr_adamw *o, double clip, double *norm) {
    if (p->device) return on_device(p, o, clip, norm);
    *norm = kr_grad_norm(p, o->n_threads);
    if (!isfinite(*norm)) return KR_OK;
    kr_adamw scaled = *o;
    scaled.scale = clip > 0 && *norm > clip ? clip / *norm : 1;
    kr_adamw_step(p, &scaled);
    return KR_OK;
}
