/* sampler.c - what the scores are drawn by: penalties, biases, what is forbidden.
 *
 * The scores are copied and changed; pick.c then draws.  A penalty p / r is a shift of the
 * score by log r. */
#include "infer/sampler.h"

#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "base/mem.h"

size_t kr_sampler_memory_bytes(int64_t V) { return sizeof(kr_sampler_memory) + (size_t)V * sizeof(int32_t); }

static kr_pick_simd simd_of(kr_impl impl) {
    switch (impl) {
#if defined(__x86_64__)
    case KR_AVX2: return (kr_pick_simd){kr_pick_tops_avx2, kr_pick_weigh_avx2};
    case KR_AVX512: return (kr_pick_simd){kr_pick_tops_avx512, kr_pick_weigh_avx512};
#endif
#if defined(__aarch64__)
    default: return (kr_pick_simd){kr_pick_tops_neon, kr_pick_weigh_neon};
#else
    default: return (kr_pick_simd){kr_pick_tops_baseline, kr_pick_weigh_baseline};
#endif
    }
}

kr_status kr_sampler_init(kr_sampler *s, int64_t V, int32_t eos) {
    *s = (kr_sampler){.simd = simd_of(kr_cpu_best()), .V = V, .eos = eos < V ? eos : -1}; /* a config may name an end that is no token */
    s->memory = kr_mem_new(kr_sampler_memory_bytes(V));
    s->score = kr_mem_array((size_t)V, sizeof *s->score);
    s->top = kr_mem_array((size_t)(V / KR_PICK_STEP + 1), sizeof *s->top);
    s->choice = kr_mem_array((size_t)V, sizeof *s->choice);
    s->stretch = kr_mem_array(KR_DRY_RANGE, sizeof *s->stretch);
    return s->memory && s->score && s->top && s->choice && s->stretch ? KR_OK : KR_ERR_NOMEM;
}

void kr_sampler_clear(kr_sampler *s) {
    kr_mem_free(s->memory);
    kr_mem_free(s->score);
    kr_mem_free(s->top);
    kr_mem_free(s->choice);
    kr_mem_free(s->stretch);
    kr_mem_free(s->bias);
    kr_mem_free(s->breaker);
    *s = (kr_sampler){0};
}

kr_status kr_sampler_check(const kr_sampler_options *o, int64_t V) {
    const struct { const char *name; float x, max; } all[] = {
        {"temperature", o->temperature, 1e6f}, {"top_p", o->top_p, 1}, {"min_p", o->min_p, 1}, {"repetition_penalty", o->repetition_penalty, 1e6f},
        {"typical_p", o->typical_p, 1}, {"top_n_sigma", o->top_n_sigma, 1e6f}, {"xtc_probability", o->xtc_probability, 1}, {"xtc_threshold", o->xtc_threshold, 1},
        {"mirostat_tau", o->mirostat_tau, 100}, {"mirostat_eta", o->mirostat_eta, 10}, {"dry_multiplier", o->dry_multiplier, 1e6f}, {"dry_base", o->dry_base, 100}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!(all[i].x >= 0 && all[i].x <= all[i].max)) KR_FAIL(KR_ERR_ARG, "%s is %g, want 0 to %g", all[i].name, (double)all[i].x, (double)all[i].max);
    if (!(fabsf(o->frequency_penalty) <= 1e4f && fabsf(o->presence_penalty) <= 1e4f)) KR_FAIL(KR_ERR_ARG, "a frequency or presence penalty is not within 10000");
    if (o->top_k < 0 || o->min_tok < 0 || o->n_bias < 0 || o->n_dry_breaker < 0) KR_FAIL(KR_ERR_ARG, "a count of the sampler is negative");
    if (o->dry_allowed < 0 || o->dry_range < 0 || o->dry_range > KR_DRY_RANGE) KR_FAIL(KR_ERR_ARG, "dry_range is %lld, want 0 to %d", (long long)o->dry_range, KR_DRY_RANGE);
    for (int64_t i = 0; i < o->n_bias; i++)
        if (o->bias[i].tok < 0 || o->bias[i].tok >= V || isnan(o->bias[i].bias) || o->bias[i].bias > 1e4f)
            KR_FAIL(KR_ERR_ARG, "the bias of token %d is %g; want a token below %lld and at most 10000", o->bias[i].tok, (double)o->bias[i].bias, (long long)V);
    return KR_OK;
}

static kr_status keep(void **copy, const void *from, int64_t n, size_t size) {
    kr_mem_free(*copy);
    *copy = NULL;
    if (n == 0) return KR_OK;
    if (!(*copy = kr_mem_array((size_t)n, size))) return KR_ERR_NOMEM;
    memcpy(*copy, from, (size_t)n * size);
    return KR_OK;
}

kr_status kr_sampler_start(kr_sampler *s, const kr_sampler_options *opt) {
    static const kr_sampler_options none = {0};
    if (!opt) opt = &none;
    KR_TRY(kr_sampler_check(opt, s->V));
    KR_TRY(keep((void **)&s->bias, opt->bias, opt->n_bias, sizeof *opt->bias));
    KR_TRY(keep((void **)&s->breaker, opt->dry_breaker, opt->n_dry_breaker, sizeof *opt->dry_breaker));
    s->opt = *opt;
    if (opt->temperature < 1e-30f) s->opt.temperature = 0; /* 1 / temperature is a float */
    s->opt.bias = s->bias;
    s->opt.dry_breaker = s->breaker;
    kr_sampler_forget(s);
    return KR_OK;
}

void kr_sampler_forget(kr_sampler *s) {
    memset(s->memory, 0, kr_sampler_memory_bytes(s->V));
    s->memory->rng = (kr_rng){s->opt.seed, kr_rng_stream("sample"), 0};
}

void kr_sampler_see(kr_sampler *s, int32_t tok, bool written) {
    kr_sampler_memory *m = s->memory;
    m->recent[m->n_read++ % KR_DRY_RANGE] = tok;
    m->n_written += written;
    m->count[tok] = (m->count[tok] + written) | KR_SEEN;
}

static void penalise(kr_sampler *s) {
    const kr_sampler_options *o = &s->opt;
    float shift = o->repetition_penalty > 0 ? logf(o->repetition_penalty) : 0;
    if (shift == 0 && o->frequency_penalty == 0 && o->presence_penalty == 0) return;
    for (int64_t i = 0; i < s->V; i++) {
        int32_t n = s->memory->count[i] & ~KR_SEEN;
        if (s->memory->count[i] == 0) continue;
        s->score[i] -= shift + (n ? o->presence_penalty + o->frequency_penalty * (float)n : 0);
    }
}

/* --- DRY ------------------------------------------------------------------------------- */

/* The i-th token from the end of the text, from 0. */
static int32_t back(const kr_sampler_memory *m, int64_t i) { return m->recent[(m->n_read - 1 - i) % KR_DRY_RANGE]; }

static bool breaks(const kr_sampler *s, int32_t tok) {
    for (int64_t i = 0; i < s->opt.n_dry_breaker; i++)
        if (s->breaker[i] == tok) return true;
    return false;
}

/* stretch[i]: how many tokens before, and with, the i-th from the end are those that the text
 * ends with.  The Z function of the text read backwards; linear. */
static void find_stretches(const kr_sampler *s, int32_t *z, int64_t n) {
    int64_t left = 0, right = 0;
    z[0] = 0;
    for (int64_t i = 1; i < n; i++) {
        int64_t k = i < right ? (right - i < z[i - left] ? right - i : z[i - left]) : 0;
        while (i + k < n && back(s->memory, k) == back(s->memory, i + k)) k++;
        z[i] = (int32_t)k;
        if (i + k > right) left = i, right = i + k;
    }
}

static void avoid_repeats(kr_sampler *s) {
    const kr_sampler_options *o = &s->opt;
    int64_t range = o->dry_range ? o->dry_range : 1024, n = s->memory->n_read < range ? s->memory->n_read : range;
    int64_t allowed = o->dry_allowed ? o->dry_allowed : 2, most = 0;
    if (o->dry_multiplier == 0 || n < 2) return;
    while (most < n && !breaks(s, back(s->memory, most))) most++;
    find_stretches(s, s->stretch, n);
    for (int64_t i = 0; i < n; i++) s->choice[back(s->memory, i)].p = 0; /* free until the draw: the longest stretch before a token */
    for (int64_t i = 1; i < n; i++) {
        float *longest = &s->choice[back(s->memory, i - 1)].p, len = (float)(s->stretch[i] < most ? s->stretch[i] : most);
        if (len > *longest) *longest = len;
    }
    for (int64_t i = 1; i < n; i++) {
        int32_t tok = back(s->memory, i - 1);
        float len = s->choice[tok].p, base = o->dry_base > 0 ? o->dry_base : 1.75f;
        s->choice[tok].p = 0;
        if (len >= (float)allowed) s->score[tok] -= fminf(o->dry_multiplier * powf(base, len - (float)allowed), 1e30f);
    }
}

/* --- all of it ---------------------------------------------------------------------------- */

/* The first of the likeliest. */
static int64_t find_likeliest(kr_sampler *s) {
    int64_t best = 0, steps = (s->V + KR_PICK_STEP - 1) / KR_PICK_STEP;
    s->simd.tops(s->score, s->V, s->top);
    for (int64_t k = 1; k < steps; k++)
        if (s->top[k] > s->top[best]) best = k;
    for (int64_t i = best * KR_PICK_STEP; i < s->V && i < (best + 1) * KR_PICK_STEP; i++)
        if (s->score[i] == s->top[best]) return i;
    return 0; /* NaN, all of them */
}

/* NaN is less than all. */
static int64_t likeliest(const float *x, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best] || isnan(x[best])) best = i;
    return best;
}

int32_t kr_sampler_draw(kr_sampler *s, const float *logits, const uint64_t *allowed) {
    const kr_sampler_options *o = &s->opt;
    memcpy(s->score, logits, (size_t)s->V * sizeof *s->score);
    for (int64_t i = 0; i < o->n_bias; i++) s->score[o->bias[i].tok] += o->bias[i].bias;
    penalise(s);
    avoid_repeats(s);
    if (s->eos >= 0 && s->memory->n_written < o->min_tok) s->score[s->eos] = -INFINITY;
    for (int64_t i = 0; allowed && i < s->V; i++)
        if (!(allowed[i >> 6] >> (i & 63) & 1)) s->score[i] = -INFINITY;
    int64_t best = find_likeliest(s);
    if (!(s->score[best] > -INFINITY)) return -1; /* forbidden, or NaN, all of them */
    if ((o->temperature <= 0 && o->mirostat_tau <= 0) || o->top_k == 1 || s->score[best] == INFINITY) return (int32_t)best;
    return kr_sampler_pick(s, s->score[best]);
}

/* --- log-probabilities ----------------------------------------------------------------------- */

static double log_sum(const float *x, int64_t n) {
    double max = x[likeliest(x, n)], sum = 0;
    for (int64_t i = 0; i < n; i++) sum += expf(x[i] - (float)max);
    return max + log(sum);
}

float kr_logprob_of(const float *logits, int64_t V, int32_t tok) { return (float)(logits[tok] - log_sum(logits, V)); }

int64_t kr_logprobs_top(const float *logits, int64_t V, kr_logprob *top, int64_t n) {
    int64_t got = 0;
    if (n > V) n = V;
    if (n <= 0) return 0;
    for (int64_t i = 0; i < V; i++) { /* ties stay in order of ids */
        if (got == n && !(logits[i] > top[n - 1].logprob)) continue;
        int64_t k = got < n ? got++ : n - 1;
        for (; k > 0 && logits[i] > top[k - 1].logprob; k--) top[k] = top[k - 1];
        top[k] = (kr_logprob){(int32_t)i, logits[i]};
    }
    double sum = log_sum(logits, V);
    for (int64_t i = 0; i < got; i++) top[i].logprob = (float)(top[i].logprob - sum);
    return got;
}
