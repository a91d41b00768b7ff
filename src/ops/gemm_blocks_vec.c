/* gemm_blocks_vec.c - products with weights in blocks (tensor/quant.h), by integers.
 *
 * A panel is the weights of WIDE columns of C over at most KR_GEMM_QK of k, turned around: lane
 * by lane a column, in each four bytes of following k, so that one instruction multiplies four
 * numbers of a row of A with those of KR_VL columns.  It is made once, in L1, and meets every
 * row.  Bytes of a panel have no sign (0..15, 0..63, 0..255 for 8 bits): what they are too high
 * comes off at once where a sum starts, as it depends on A alone.
 *
 * The blocks come from memory in order, once: columns lie behind each other, and while a panel
 * is made the next one's are fetched. */
#include <string.h>

#include "base/team.h"
#include "base/vec.h"
#include "ops/gemm.h"
#include "ops/gemm_dot.h"
#include "ops/gemm_source.h"
#include "tensor/quant.h"

#if KR_VL == 16
enum { MR = 6 }; /* rows of the tallest tile */
#elif KR_VL == 8 || defined(__aarch64__)
enum { MR = 4 };
#else
enum { MR = 2 };
#endif
enum { WIDE = 2 * KR_VL };
#define INLINE static inline __attribute__((always_inline))
#define least kr_gemm_least
typedef int8_t vb __attribute__((vector_size(KR_VL)));

/* How the groups of 32 of a type scale: one scale; a scale and an offset; a scale for either 16.
 * SIGNED: one scale, of bytes with a sign, which x86 without VNNI multiplies badly: where there are rows enough to pay
 * for wider panels, WORDS of 16 bits stand there, and so do the rows of A, of each four the even ones first. */
typedef enum kind { WHOLE, SIGNED, RANGE, HALVES, WORDS, N_KINDS } kind;

static kind kind_of(kr_dtype type, int64_t m, bool vnni) {
    if (type == KR_Q8_0 && !vnni) return DOT_PAIRS && m > KR_GEMM_FEW ? WORDS : SIGNED;
    return type == KR_Q4_K ? RANGE : type == KR_Q6_K ? HALVES : WHOLE;
}
/* What is added to weights to have no sign. */
static int32_t lift(kr_dtype type, bool vnni) { return type == KR_Q8_0 ? 128 * vnni : type == KR_Q4_0 ? 8 : type == KR_Q6_K ? 32 : 0; }

typedef struct job {
    const kr_gemm *g;
    kr_dtype type;          /* of B, woven or not */
    bool vnni;
    kind how;
    int8_t *x;              /* A in eight bits, or 16, [m, k] */
    kr_gemm_group *group;   /* [m, k / 32] */
    char *panels;           /* one for each thread */
    int64_t rows, row_parts; /* of C in an item, and how many such */
    int64_t width;          /* of few rows: columns in an item */
} job;

typedef struct panel {
    int8_t *w;              /* [group][8][WIDE * 4] */
    float *scale, *min;     /* [group][WIDE], of HALVES [2 group][WIDE]; RANGE only */
} panel;

enum { PANEL_W = KR_GEMM_QN * KR_GEMM_QK, PANEL_SCALE = KR_GEMM_QN * KR_GEMM_QK / 16 * 4, PANEL_MIN = KR_GEMM_QN * KR_GEMM_QK / 32 * 4 };

/* --- A in eight bits ---------------------------------------------------------------------- */

/* The largest lane of what is above zero. */
INLINE int32_t most_of_lanes(vi v) {
#if defined(KR_V512_)
    return _mm512_reduce_max_epi32((__m512i)v);
#elif defined(KR_V256_)
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128((__m256i)v), _mm256_extracti128_si256((__m256i)v, 1));
    m = _mm_max_epi32(m, _mm_unpackhi_epi64(m, m));
    return _mm_cvtsi128_si32(_mm_max_epi32(m, _mm_shuffle_epi32(m, 1)));
#else
    int32_t lane[KR_VL], most = 0;
    memcpy(lane, &v, sizeof lane);
    for (int i = 0; i < KR_VL; i++) most = lane[i] > most ? lane[i] : most;
    return most;
#endif
}

/* The lowest bytes of 32 lanes. */
INLINE void put_bytes(int8_t *q, const vi *v) {
#if defined(KR_V256_)
    const __m256i low = _mm256_set1_epi32(255); /* so that packing cuts nothing off, as converting would not */
    __m256i a = _mm256_packus_epi32((__m256i)v[0] & low, (__m256i)v[1] & low), b = _mm256_packus_epi32((__m256i)v[2] & low, (__m256i)v[3] & low);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_si256((__m256i *)(void *)q, _mm256_permutevar8x32_epi32(_mm256_packus_epi16(a, b), order));
#else
    for (int i = 0; i < 32 / KR_VL; i++) {
        vb b = __builtin_convertvector(v[i], vb);
        memcpy(q + i * KR_VL, &b, sizeof b);
    }
#endif
}

/* Infinity and NaN stay in d, and so in all sums.  fixed: the scale; 0: the group's own. */
INLINE void round_group(const float *x, float fixed, int32_t lifted, bool halves, int8_t *q, kr_gemm_group *to) {
    int32_t most, sum[2] = {0, 0};
    vi top = {0}, whole[32 / KR_VL];
#pragma GCC unroll 8
    for (int i = 0; i < 32; i += KR_VL) {
        vi bits = (vi)v_abs(v_load(x + i));
        top = (vi)v_select(bits > top, (vf)bits, (vf)top);
    }
    most = most_of_lanes(top);
    float max, by;
    memcpy(&max, &most, sizeof max);
    by = fixed > 0 ? 1 / fixed : max > 1e-30f ? 127 / max : 0;
    const vf most_of = v_set(fixed > 0 ? 127 * fixed : __builtin_inff());
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        vf total = {0};
#pragma GCC unroll 4
        for (int i = 16 * half; i < 16 * half + 16; i += KR_VL) {
            vf v = v_max(v_min(v_load(x + i), most_of), -most_of);
            vf t = v_fma(v, v_set(by), v_set(12582912.f)); /* 1.5 * 2^23: the low bits are the nearest whole number */
            whole[i / KR_VL] = (vi)t;
            total += t - 12582912.f;
        }
        sum[half] = max < __builtin_inff() ? (int32_t)v_sum(total) : 0;
    }
    put_bytes(q, whole);
    to->d = fixed > 0 && max < __builtin_inff() ? fixed : max < 1e-30f ? 0 : max / 127;
    to->sum = to->d * (float)(sum[0] + sum[1]);
    to->base[0] = -lifted * (halves ? sum[0] : sum[0] + sum[1]);
    to->base[1] = -lifted * sum[1];
}

/* 32 numbers for panels of WORDS. */
INLINE void widen(const int8_t *few, int16_t *words) {
#if DOT_PAIRS
    const __m128i order = _mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15);
    for (int i = 0; i < 32; i += 16) {
        __m128i b = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(few + i)), order);
        _mm256_storeu_si256((__m256i *)(void *)(words + i), _mm256_cvtepi8_epi16(b));
    }
#else
    (void)few, (void)words;
#endif
}

static void round_row(void *arg, int64_t i, int who) {
    const job *b = arg;
    const kr_gemm *g = b->g;
    const int32_t lifted = lift(b->type, b->vnni);
    int16_t *words = (int16_t *)(void *)b->x + i * g->k;
    (void)who;
    for (int64_t k = 0; k < g->k; k += 32) {
        int8_t few[32], *q = b->how == WORDS ? few : b->x + i * g->k + k;
        round_group(g->a + i * g->lda + k, g->a_scale, lifted, b->type == KR_Q6_K, q, b->group + (i * g->k + k) / 32);
        if (b->how == WORDS) widen(few, words + k);
    }
}

/* --- panels ------------------------------------------------------------------------------- */

INLINE void fetch(source *s, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(s->ahead + i);
    s->ahead += bytes;
}

INLINE void put(int8_t *w, int64_t step, int vector, vi v) { memcpy(w + (step * 2 + vector) * (int64_t)sizeof v, &v, sizeof v); }

/* What follows makes half a panel: vector j of each step, from its columns. */

INLINE void make_q8_0(source *s, const int j, int64_t groups, const bool vnni, const bool words, const bool woven, const panel *p) {
    for (int64_t g = 0; g < groups; g++) {
        vi t[8];
        fetch(s, KR_VL * 34);
        words_at(s, woven, g * 34 + 2, 8, t);
        v_store(p->scale + g * WIDE + j * KR_VL, half_at(s, woven, g * 34, false));
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            if (!words) put(p->w, 8 * g + i, j, vnni ? t[i] ^ (int32_t)0x80808080u : t[i]);
            else put(p->w, 16 * g + 2 * i, j, (vi)((v16)t[i] << 8 >> 8)), put(p->w, 16 * g + 2 * i + 1, j, (vi)((v16)t[i] >> 8));
        }
    }
}

INLINE void make_q4_0(source *s, const int j, int64_t groups, const bool woven, const panel *p) {
    for (int64_t g = 0; g < groups; g++) {
        vi t[4];
        fetch(s, KR_VL * 18);
        words_at(s, woven, g * 18 + 2, 4, t);
        v_store(p->scale + g * WIDE + j * KR_VL, half_at(s, woven, g * 18, false));
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) put(p->w, 8 * g + i, j, t[i] & 0x0f0f0f0f), put(p->w, 8 * g + 4 + i, j, t[i] >> 4 & 0x0f0f0f0f);
    }
}

/* The first 16 bytes of a block are its two halves and all its scales: four groups to each word. */
INLINE void scales_q4_k(const vi *t, float *scale, float *min, const int64_t apart) {
    vf d = low_half(t[0]), dmin = high_half(t[0]);
    vi s[2], m[2];
    s[0] = t[1] & 0x3f3f3f3f, m[0] = t[2] & 0x3f3f3f3f;
    s[1] = (t[3] & 0x0f0f0f0f) | (t[1] >> 2 & 0x30303030), m[1] = (t[3] >> 4 & 0x0f0f0f0f) | (t[2] >> 2 & 0x30303030);
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++) {
        vi si = s[g / 4] >> 8 * (g % 4) & 63, mi = m[g / 4] >> 8 * (g % 4) & 63;
        v_store(scale + g * apart, d * __builtin_convertvector(si, vf));
        v_store(min + g * apart, dmin * __builtin_convertvector(mi, vf));
    }
}

INLINE void make_q4_k(source *s, const int j, int64_t groups, const bool woven, const panel *p) {
    for (int64_t g = 0; g < groups; g += 8) {
        int64_t at = g / 8 * 144;
        vi t[8];
        words_at(s, woven, at, 4, t);
        scales_q4_k(t, p->scale + g * WIDE + j * KR_VL, p->min + g * WIDE + j * KR_VL, WIDE);
        for (int pair = 0; pair < 4; pair++) {
            fetch(s, KR_VL * 36);
            words_at(s, woven, at + 16 + 32 * pair, 8, t);
#pragma GCC unroll 8
            for (int i = 0; i < 8; i++) {
                put(p->w, 8 * (g + 2 * pair) + i, j, t[i] & 0x0f0f0f0f);
                put(p->w, 8 * (g + 2 * pair + 1) + i, j, t[i] >> 4 & 0x0f0f0f0f);
            }
        }
    }
}

INLINE void make_q6_k(source *s, const int j, int64_t groups, const bool woven, const panel *p) {
    for (int64_t g = 0; g < groups; g += 8) {
        int64_t at = g / 8 * 210;
        vi t[16], high[8];
        vf d = half_at(s, woven, at + 208, true);
        words_at(s, woven, at + 192, 4, t);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            v_store(p->scale + (2 * g + i) * WIDE + j * KR_VL, d * __builtin_convertvector(t[i / 4] << (24 - 8 * (i % 4)) >> 24, vf));
        for (int h = 0; h < 2; h++) {
            fetch(s, KR_VL * 105);
            words_at(s, woven, at + 64 * h, 8, t), words_at(s, woven, at + 64 * h + 32, 8, t + 8);
            words_at(s, woven, at + 128 + 32 * h, 8, high);
#pragma GCC unroll 32
            for (int i = 0; i < 32; i++) {
                vi low = t[i % 16] >> 4 * (i / 16) & 0x0f0f0f0f, up = high[i % 8] >> 2 * (i / 8) & 0x03030303;
                put(p->w, 8 * (g + 4 * h) + i, j, low | up << 4);
            }
        }
    }
}

INLINE void make_half(const job *b, source *s, const int j, int64_t groups, const bool woven, const panel *p) {
    switch (b->type) {
    case KR_Q8_0:
        if (b->vnni) make_q8_0(s, j, groups, true, false, woven, p);
        else if (DOT_PAIRS && b->how == WORDS) make_q8_0(s, j, groups, false, true, woven, p);
        else make_q8_0(s, j, groups, false, false, woven, p);
        break;
    case KR_Q4_0: make_q4_0(s, j, groups, woven, p); break;
    case KR_Q4_K: make_q4_k(s, j, groups, woven, p); break;
    default: make_q6_k(s, j, groups, woven, p); break;
    }
}
static void make_plain(const job *b, source *s, int j, int64_t groups, const panel *p) { make_half(b, s, j, groups, false, p); }
static void make_woven(const job *b, source *s, int j, int64_t groups, const panel *p) { make_half(b, s, j, groups, true, p); }

/* n columns from j on, kc numbers of each from k on; meanwhile as much of the next panel is fetched. */
static void make_panel(const job *b, int64_t j, int64_t n, int64_t k, int64_t kc, const panel *p) {
    const kr_gemm *g = b->g;
    int64_t ld = (int64_t)kr_dtype_row_bytes(g->b_type, g->ldb), skip = (int64_t)kr_dtype_row_bytes(g->b_type, k);
    source s;
    s.ahead = (const char *)g->b + (j + WIDE) * ld + skip * WIDE;
    for (int v = 0; v < 2; v++) {
        int64_t first = j + v * KR_VL < j + n ? j + v * KR_VL : j, left = j + n - first; /* none of its own: columns that nobody will store */
        source_at(&s, g, first, left, k);
        (s.woven ? make_woven : make_plain)(b, &s, v, kc / 32, p);
    }
}

/* --- the tile ----------------------------------------------------------------------------- */

/* y[row][vector] += rows of A times the panel, from its group a on */
INLINE void tile(const int rows, const kind how, const bool vnni, int64_t groups, const int8_t *x, const kr_gemm_group *a, int64_t k,
                 const panel *p, vf (*y)[2]) {
    const int halves = how == HALVES ? 2 : 1, steps = (how == WORDS ? 16 : 8) / halves;
    const bool pairs = DOT_PAIRS && !vnni && (how == WHOLE || how == RANGE); /* weights below 16 */
    const int8_t *w = p->w;
    vf sum[MR][2];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) sum[r][0] = y[r][0], sum[r][1] = y[r][1];
    for (int64_t g = 0; g < groups; g++) {
#pragma GCC unroll 2
        for (int half = 0; half < halves; half++) {
            vi s[MR][2];
            v16 t[MR][2] = {{{0}}};
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) {
                int32_t base = how == SIGNED || how == WORDS || how == RANGE ? 0 : a[r * (k / 32) + g].base[half];
                s[r][0] = s[r][1] = base - (vi){0};
            }
#pragma GCC unroll 4
            for (int i = 0; i < steps; i++, w += 2 * sizeof(vi)) {
                vi w0, w1;
                memcpy(&w0, w, sizeof w0), memcpy(&w1, w + sizeof w0, sizeof w1);
#pragma GCC unroll 8
                for (int r = 0; r < rows; r++) {
                    int32_t four;
                    memcpy(&four, x + (how == WORDS ? 2 : 1) * (r * k + 32 * g) + 16 * half + 4 * i, 4);
                    vi v = four - (vi){0};
                    if (how == WORDS) s[r][0] += dot_pairs((v16)w0, (v16)v), s[r][1] += dot_pairs((v16)w1, (v16)v);
                    else if (how == SIGNED) s[r][0] = dot_signed(s[r][0], w0, v), s[r][1] = dot_signed(s[r][1], w1, v);
                    else if (pairs) t[r][0] = dot_add16(t[r][0], w0, v), t[r][1] = dot_add16(t[r][1], w1, v);
                    else s[r][0] = dot_low(s[r][0], w0, v, vnni), s[r][1] = dot_low(s[r][1], w1, v, vnni);
                }
            }
#pragma GCC unroll 8
            for (int r = 0; r < rows && pairs; r++) s[r][0] = dot_sum16(s[r][0], t[r][0]), s[r][1] = dot_sum16(s[r][1], t[r][1]);
            const float *scale = p->scale + (how == HALVES ? 2 * g + half : g) * WIDE;
            vf s0 = v_load(scale), s1 = v_load(scale + KR_VL);
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) {
                float d = a[r * (k / 32) + g].d;
                sum[r][0] = v_fma(__builtin_convertvector(s[r][0], vf), s0 * d, sum[r][0]);
                sum[r][1] = v_fma(__builtin_convertvector(s[r][1], vf), s1 * d, sum[r][1]);
            }
        }
        if (how == RANGE) {
            vf m0 = v_load(p->min + g * WIDE), m1 = v_load(p->min + g * WIDE + KR_VL);
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) {
                vf of = v_set(-a[r * (k / 32) + g].sum);
                sum[r][0] = v_fma(m0, of, sum[r][0]), sum[r][1] = v_fma(m1, of, sum[r][1]);
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) y[r][0] = sum[r][0], y[r][1] = sum[r][1];
}

typedef void tile_kernel(int64_t groups, const int8_t *x, const kr_gemm_group *a, int64_t k, const panel *p, vf (*y)[2]);
#define TILE(rows, how, vnni)                                                                                                    \
    static void tile_##rows##_##how##_##vnni(int64_t groups, const int8_t *x, const kr_gemm_group *a, int64_t k, const panel *p, \
                                             vf (*y)[2]) {                                                                       \
        tile(rows, how, vnni, groups, x, a, k, p, y);                                                                            \
    }
#if KR_VL == 16
#define EACH(how, vnni) TILE(1, how, vnni) TILE(2, how, vnni) TILE(3, how, vnni) TILE(4, how, vnni) TILE(5, how, vnni) TILE(6, how, vnni)
#define NAMES(how, vnni) \
    {tile_1_##how##_##vnni, tile_2_##how##_##vnni, tile_3_##how##_##vnni, tile_4_##how##_##vnni, tile_5_##how##_##vnni, tile_6_##how##_##vnni}
#elif KR_VL == 8 || defined(__aarch64__)
#define EACH(how, vnni) TILE(1, how, vnni) TILE(2, how, vnni) TILE(3, how, vnni) TILE(4, how, vnni)
#define NAMES(how, vnni) {tile_1_##how##_##vnni, tile_2_##how##_##vnni, tile_3_##how##_##vnni, tile_4_##how##_##vnni}
#else
#define EACH(how, vnni) TILE(1, how, vnni) TILE(2, how, vnni)
#define NAMES(how, vnni) {tile_1_##how##_##vnni, tile_2_##how##_##vnni}
#endif
EACH(WHOLE, 0) EACH(SIGNED, 0) EACH(RANGE, 0) EACH(HALVES, 0) EACH(WORDS, 0)
static tile_kernel *const tiles[N_KINDS][MR] = {NAMES(WHOLE, 0), NAMES(SIGNED, 0), NAMES(RANGE, 0), NAMES(HALVES, 0), NAMES(WORDS, 0)};
#if defined(KR_V512_) || defined(KR_V256_)
EACH(WHOLE, 1) EACH(RANGE, 1) EACH(HALVES, 1)
static tile_kernel *const vnni_tiles[N_KINDS][MR] = {NAMES(WHOLE, 1), {NULL}, NAMES(RANGE, 1), NAMES(HALVES, 1)};
#else
#define vnni_tiles tiles
#endif

/* --- the loops around --------------------------------------------------------------------- */

/* n <= WIDE columns from j on by rows [i0, i1) */
static void columns(const job *b, int64_t j, int64_t n, int64_t i0, int64_t i1, char *mine) {
    const kr_gemm *g = b->g;
    panel p = {(int8_t *)mine, (float *)(void *)(mine + PANEL_W), (float *)(void *)(mine + PANEL_W + PANEL_SCALE)};
    int64_t strips = (i1 - i0 + MR - 1) / MR, high = (i1 - i0 + strips - 1) / strips;
    tile_kernel *const *kernels = (b->vnni ? vnni_tiles : tiles)[b->how];
    int64_t step = b->how == WORDS ? KR_GEMM_QK / 2 : KR_GEMM_QK; /* as many bytes */
    for (int64_t k = 0; k < g->k; k += step) {
        int64_t kc = least(step, g->k - k);
        bool load = k || g->acc, bias = !k && g->bias;
        make_panel(b, j, n, k, kc, &p);
        for (int64_t i = i0; i < i1; i += high) {
            int64_t rows = least(high, i1 - i), left[2] = {least(KR_VL, n), n > KR_VL ? n - KR_VL : 0};
            vf y[MR][2];
            for (int64_t r = 0; r < rows; r++)
                for (int v = 0; v < 2; v++) {
                    y[r][v] = load ? v_load_n(g->c + (i + r) * g->ldc + j + v * KR_VL, left[v]) : (vf){0};
                    if (bias) y[r][v] += v_load_n(g->bias + j + v * KR_VL, left[v]);
                }
            kernels[rows - 1](kc / 32, b->x + (b->how == WORDS ? 2 : 1) * (i * g->k + k), b->group + (i * g->k + k) / 32, g->k, &p, y);
            for (int64_t r = 0; r < rows; r++)
                for (int v = 0; v < 2; v++) v_store_n(g->c + (i + r) * g->ldc + j + v * KR_VL, y[r][v], left[v]);
        }
    }
}

static void do_item(void *arg, int64_t item, int who) {
    const job *b = arg;
    int64_t j = item / b->row_parts * WIDE, i = item % b->row_parts * b->rows;
    columns(b, j, least(WIDE, b->g->n - j), i, least(i + b->rows, b->g->m), b->panels + who * (int64_t)(PANEL_W + PANEL_SCALE + PANEL_MIN));
}

static void do_columns(void *arg, int64_t item, int who) {
    const job *b = arg;
    int64_t j = item * b->width;
    (void)who;
    KR_VEC(kr_gemm_blocks_row)(b->g, b->vnni, b->x, b->group, j, least(j + b->width, b->g->n));
}

void KR_VEC(kr_gemm_blocks)(const kr_gemm *g, void *scratch, int n_threads) {
    bool vnni = dot_has_vnni() && !g->plain;
    kr_dtype type = kr_unwoven(g->b_type);
    kind how = kind_of(type, g->m, vnni);
    int64_t bytes = ((how == WORDS ? 2 : 1) * g->m * g->k + 63) / 64 * 64, groups = g->m * (g->k / 32), panels = (g->n + WIDE - 1) / WIDE;
    job b = {.g = g, .type = type, .vnni = vnni, .how = how, .x = scratch, .group = (kr_gemm_group *)(void *)((char *)scratch + bytes), .rows = g->m};
    b.panels = (char *)scratch + bytes + (groups * (int64_t)sizeof(kr_gemm_group) + 63) / 64 * 64;
    int64_t wanted = panels < 4 * n_threads ? (4 * n_threads + panels - 1) / panels : 1; /* so that threads share evenly */
    if (n_threads > 1 && b.rows / wanted >= 4 * MR) b.rows = (g->m + wanted - 1) / wanted;
    b.row_parts = (g->m + b.rows - 1) / b.rows;
    kr_team_each(g->m * g->k < 3072 ? 1 : n_threads, g->m, round_row, &b); /* a microsecond */
    if (KR_VEC(kr_gemm_blocks_has_rows)(g->m, g->b_type, b.vnni)) {
        b.width = kr_gemm_few_columns(1, g->n, (int64_t)kr_dtype_row_bytes(g->b_type, g->ldb), n_threads);
        kr_team_each(g->m * g->k * g->n < 100000 ? 1 : n_threads, (g->n + b.width - 1) / b.width, do_columns, &b);
        return;
    }
    kr_team_each(g->m * g->k * g->n < 100000 ? 1 : n_threads, panels * b.row_parts, do_item, &b);
}
