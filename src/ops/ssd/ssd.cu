/* ssd.cu - ssd on a GPU: which kernels run, and in what memory.
 *
 *   WALK   bfloat16, headdim 64 or 128, N to 64 or 128, on Hopper    ssd_walk.cuh, ssd_grads.cuh
 *   TILES  bfloat16, headdim 32 too, N to 256, on any tensor cores   ssd_fwd.cuh; backward as STEPS
 *   STEPS  float32, other sizes, a few steps                         ssd_steps.cuh, ssd_steps_bwd.cuh */
#include "ops/ssd/ssd.h"

#include "ops/low_state.cuh"
#include "ops/ssd/ssd_fwd.cuh"
#include "ops/ssd/ssd_steps.cuh"
#include "ops/ssd/ssd_steps_bwd.cuh"
#include "ops/ssd/ssd_grads.cuh"

namespace {

enum {
    SSD_FEW_STEPS = 16,  /* up to here the recurrence is quicker than a chunk */
    SSD_SEGMENT = 512,   /* TILES: steps walked at once: long enough to hide a start, short enough for many blocks */
    SSD_WHOLE = 4096,    /* WALK: up to here a sequence is one segment, and x is read once; */
    SSD_PART = 2048      /* beyond, segments of this */
};

template <typename T> const T *in(const kr_call *c, int i) { return (const T *)c->in[i].data; }

/* --- which way ------------------------------------------------------------------------- */

enum ssd_way { STEPS, TILES, WALK };

bool rows_align(const kr_tensor *t) { return t->pitch % 8 == 0; }

/* By what is known before there is memory. */
ssd_way way(const kr_call *c) {
    int64_t P = KR_SIZE(c, 'P'), N = KR_SIZE(c, 'N');
    if (c->real != KR_BF16 || KR_SIZE(c, 'L') <= SSD_FEW_STEPS || P % 32 || P > 128 || P == 96 || N % 8 || N > 256) return STEPS;
    bool copies = rows_align(&c->in[SSD_X]) && rows_align(&c->in[SSD_B]) && rows_align(&c->in[SSD_C]);
    return cu_hopper() && P % 64 == 0 && (N <= 64 || N == 128) && !c->in[SSD_DHP].n_dims && copies ? WALK : TILES;
}

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* N in steps of 16, as compiled: 64, 128 or 256. */
int n_tiles(int64_t N) { return N <= 64 ? 4 : N <= 128 ? 8 : 16; }

template <typename T> ssd_args_of<T> arguments(const kr_call *c) {
    const ssd_attr *attr = (const ssd_attr *)c->attr;
    const kr_tensor *t = c->in;
    ssd_args_of<T> a = {};
    a.x = in<T>(c, SSD_X), a.B = in<T>(c, SSD_B), a.C = in<T>(c, SSD_C), a.dt = in<T>(c, SSD_DT);
    a.dy = (const T *)c->dout[SSD_Y].data, a.dh = (const float *)c->dout[SSD_H].data;
    a.A = in<float>(c, SSD_A), a.D = in<float>(c, SSD_D), a.Dhp = in<float>(c, SSD_DHP);
    a.dt_bias = in<float>(c, SSD_DT_BIAS), a.h0 = in<float>(c, SSD_H0), a.seq = in<int>(c, SSD_SEQ_IDX);
    a.x_pitch = t[SSD_X].pitch, a.dt_pitch = t[SSD_DT].pitch, a.B_pitch = t[SSD_B].pitch, a.C_pitch = t[SSD_C].pitch;
    a.seq_pitch = t[SSD_SEQ_IDX].pitch;
    a.y = (T *)c->out[SSD_Y].data, a.h = (float *)c->out[SSD_H].data;
    a.L = KR_SIZE(c, 'L');
    a.S = (int)KR_SIZE(c, 'S'), a.H = (int)KR_SIZE(c, 'H'), a.P = (int)KR_SIZE(c, 'P'), a.G = (int)KR_SIZE(c, 'G');
    a.N = (int)KR_SIZE(c, 'N'), a.R = a.H / a.G;
    a.wide_x = cu_aligned(&t[SSD_X], 16), a.wide_B = cu_aligned(&t[SSD_B], 16), a.wide_C = cu_aligned(&t[SSD_C], 16);
    a.softplus = (int)attr->dt_softplus, a.dt_min = (float)attr->dt_min, a.dt_max = (float)attr->dt_max;
    return a;
}

/* Cuts the channels of a group into blocks, and sequences into segments.  A segment's length
 * touches the last bits of a result, so it must not depend on how much else there is. */
template <typename T> void divide(ssd_args_of<T> *a, int channels, int64_t seg) {
    const int64_t whole = (int64_t)a->R * a->P;
    a->n_cols = (int)(whole < channels ? whole : channels);
    a->n_blocks = (int)divide_up(whole, a->n_cols);
    a->seg = (int)seg, a->n_seg = (int)divide_up(a->L, seg);
}

/* --- memory ------------------------------------------------------------------------------ */

size_t padded(size_t bytes) { return (bytes + 255) & ~(size_t)255; }

/* arguments, with the division that `w` works in */
ssd_args divided(const kr_call *c, ssd_way w) {
    ssd_args a = arguments<bf16>(c);
    if (w == WALK) divide(&a, SSD_GROUPS * 64, a.L <= SSD_WHOLE ? SSD_WHOLE : SSD_PART);
    else divide(&a, SSD_WARPS * (a.N <= 128 ? 32 : 16), SSD_SEGMENT);
    return a;
}

size_t state_bytes(const ssd_args &a) {
    return a.n_seg > 1 ? padded((size_t)a.S * a.n_seg * a.H * a.P * 16 * n_tiles(a.N) * sizeof(bf16)) : 0;
}
size_t decay_bytes(const ssd_args &a) { return padded((size_t)a.S * a.n_seg * a.H * sizeof(float)); }
size_t chunk_bytes(const ssd_args &a) { return padded((size_t)a.S * divide_up(a.L, SSD_Q) * a.H * sizeof(ssd_chunk)); }
size_t product_bytes(const ssd_args &a) { return padded((size_t)a.S * divide_up(a.L, SSD_Q) * a.G * sizeof(ssd_product)); }
/* The state before every chunk. */
size_t kept_bytes(const ssd_args &a) { return padded((size_t)a.S * divide_up(a.L, SSD_Q) * a.H * a.P * 16 * n_tiles(a.N) * sizeof(bf16)); }

/* Backward step by step: enough sequences at once to fill any GPU, segments short enough
 * that the blocks' rows stay small. */
struct back_plan {
    int n_seq, n_tiles;
    int64_t seg, n_seg, n_chunks;
    size_t kept, carry, rows, steps, sums, skip; /* bytes */
};
template <typename T> back_plan plan_back(const ssd_args_of<T> &a) {
    enum { BLOCKS = 1024, ROWS = 128 << 20, ROWS_OF_STEP = 24 << 10 }; /* bytes */
    back_plan p = {};
    p.n_tiles = (int)divide_up(a.P, a.N <= 128 ? 16 : 4);
    int64_t blocks = (int64_t)a.H * p.n_tiles, n_seq = divide_up(BLOCKS, blocks), n_chunks = divide_up(a.L, SSD_KEEP);
    p.n_seq = (int)(n_seq < a.S ? n_seq : a.S);
    size_t step = (size_t)(p.n_seq * blocks * 2 * a.N) * sizeof(float), state = (size_t)a.H * a.P * a.N * sizeof(float);
    size_t rows = (size_t)a.S * a.L * ROWS_OF_STEP < ROWS ? (size_t)a.S * a.L * ROWS_OF_STEP : (size_t)ROWS;
    int64_t longest = (int64_t)(rows / (step * SSD_KEEP)); /* in chunks */
    p.n_chunks = n_chunks;
    p.n_seg = divide_up(n_chunks, longest > 1 ? longest : 1);
    p.seg = divide_up(n_chunks, p.n_seg) * SSD_KEEP;
    p.n_seg = divide_up(a.L, p.seg);
    p.kept = padded(p.n_seq * n_chunks * state);
    p.carry = padded(p.n_seg > 1 ? p.n_seq * state : 0);
    p.rows = padded((a.L < p.seg ? a.L : p.seg) * step);
    p.steps = padded((size_t)(p.n_seq * a.L * blocks) * sizeof(float2));
    p.sums = padded((size_t)(a.S * n_chunks * a.H * 2) * sizeof(float));
    p.skip = padded((size_t)a.S * a.H * a.P * sizeof(float));
    return p;
}
template <typename T> size_t back_bytes(const ssd_args_of<T> &a) {
    back_plan p = plan_back(a);
    return p.kept + p.carry + p.rows + p.steps + p.sums + p.skip;
}

/* A step of dy where there is none: the copy engine makes all others zeros itself. */
size_t zero_bytes(const ssd_args &a) { return padded((size_t)a.H * a.P * sizeof(bf16)); }
/* Room for copies of x, B and C, should their rows not start at multiples of 16 bytes. */
size_t copy_bytes(const ssd_args &a) {
    size_t rows = (size_t)a.S * a.L;
    return padded(rows * a.H * a.P * sizeof(bf16)) + 2 * padded(rows * a.G * a.N * sizeof(bf16));
}

/* Blocks of ssd_grads should fill the chip; heads are split between them only for that. */
int grads_splits(const ssd_args &a) {
    int64_t blocks = (int64_t)a.S * divide_up(a.L, SSD_Q) * a.G, n = cu_multiprocessors() * 3 / 4 / blocks;
    n = n < 1 ? 1 : n > a.R ? a.R : n > 16 ? 16 : n;
    return (int)divide_up(a.R, divide_up(a.R, n)); /* none is empty */
}
size_t part_bytes(const ssd_args &a) {
    int n = grads_splits(a);
    return n > 1 ? padded((size_t)2 * n * a.S * a.L * a.G * a.N * sizeof(float)) : 0;
}
size_t sum_bytes(const ssd_args &a) { return padded((size_t)3 * a.S * divide_up(a.L, SSD_Q) * a.H * sizeof(float)); }

kr_status plan(kr_call *c) {
    enum { MOST_N = 256 };
    if (KR_SIZE(c, 'N') > MOST_N)
        KR_FAIL(KR_ERR_SHAPE, "ssd: N = %lld states, want at most %d on a GPU", (long long)KR_SIZE(c, 'N'), MOST_N);
    if (KR_SIZE(c, 'S') > 65535 || KR_SIZE(c, 'H') > 65535) KR_FAIL(KR_ERR_SHAPE, "ssd: more than 65535 sequences or heads on a GPU");
    const ssd_way w = way(c);
    c->fwd_scratch = c->bwd_scratch = c->saved_bytes = 0;
    ssd_args a = divided(c, w);
    if (w != STEPS) c->fwd_scratch = decay_bytes(a) + state_bytes(a) + (w == WALK ? chunk_bytes(a) + product_bytes(a) + copy_bytes(a) : 0);
    c->fwd_scratch += low_state_bytes(c, SSD_H0);
    if (!c->training) return KR_OK;
    if (w == WALK) c->saved_bytes = kept_bytes(a) + chunk_bytes(a);
    c->bwd_scratch = back_bytes(a);
    if (w == WALK)
        c->bwd_scratch = decay_bytes(a) + state_bytes(a) + copy_bytes(a) + kept_bytes(a) + sum_bytes(a) + zero_bytes(a) +
                         part_bytes(a);
    return KR_OK;
}

/* --- forward ----------------------------------------------------------------------------- */

template <int NT, int MT> void forward_tiles(const kr_call *c) {
    ssd_args a = divided(c, TILES);
    a.decay = (float *)c->scratch;
    a.states = (bf16 *)((char *)c->scratch + decay_bytes(a));
    unsigned blocks = (unsigned)((int64_t)a.S * a.n_seg * a.G * a.n_blocks), threads = (unsigned)(a.n_cols / (16 * MT) * 32);
    if (a.n_seg > 1) {
        cu_launch(ssd_ends<NT, MT>, blocks, threads, ssd_ends_smem<NT, MT>::bytes, c->stream, a);
        cu_launch(ssd_pass<NT, MT, false>, cu_blocks((int64_t)a.S * a.H * a.P * 2 * NT, 256), 256, 0, c->stream, a);
    }
    cu_launch(ssd_outputs<NT, MT>, blocks, threads, ssd_outputs_smem<NT, MT>::bytes, c->stream, a);
}

/* --- on Hopper ---------------------------------------------------------------------------- */

/* cu_launch of a kernel that waits itself (launched_wait) for what was launched before:
 * `early` lets it begin while the one before it, of ours too, still ends. */
template <typename... P, typename... A>
void launch(bool early_on, void (*kernel)(P...), dim3 grid, unsigned block, size_t shared, void *stream, A... args) {
    if (shared > 32 * 1024) cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
    cudaLaunchAttribute early = {};
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t how = {};
    how.gridDim = grid, how.blockDim = dim3(block), how.dynamicSmemBytes = shared, how.stream = (cudaStream_t)stream;
    how.attrs = &early, how.numAttrs = early_on;
    cudaLaunchKernelEx(&how, kernel, (P)args...);
    CU_LAUNCHED();
}

/* What forward and backward have in common: places in scratch, aligned inputs, the decays. */
struct ssd_walk_call {
    ssd_args a;
    ssd_chunk *chunks;
    ssd_product *products;
    char *rest; /* of scratch */
    unsigned blocks, threads;
    void *stream;
};

const bf16 *aligned(const bf16 *p, int64_t *pitch, bool is, int64_t width, int64_t rows, char **room, void *stream) {
    char *to = *room;
    *room += padded((size_t)(rows * width) * sizeof(bf16));
    if (is) return p;
    cudaMemcpy2DAsync(to, (size_t)width * 2, p, (size_t)*pitch * 2, (size_t)width * 2, (size_t)rows, cudaMemcpyDeviceToDevice, (cudaStream_t)stream);
    *pitch = width;
    return (const bf16 *)to;
}

ssd_walk_call walk_call(const kr_call *c) {
    ssd_walk_call w = {divided(c, WALK)};
    ssd_args &a = w.a;
    const int64_t rows = (int64_t)a.S * a.L;
    w.stream = c->stream;
    char *at = (char *)c->scratch;
    a.decay = (float *)at, at += decay_bytes(a);
    a.states = (bf16 *)at, at += state_bytes(a);
    a.x = aligned(a.x, &a.x_pitch, a.wide_x, (int64_t)a.H * a.P, rows, &at, w.stream);
    a.B = aligned(a.B, &a.B_pitch, a.wide_B, (int64_t)a.G * a.N, rows, &at, w.stream);
    a.C = aligned(a.C, &a.C_pitch, a.wide_C, (int64_t)a.G * a.N, rows, &at, w.stream);
    w.rest = at;
    w.blocks = (unsigned)((int64_t)a.S * a.n_seg * a.G * a.n_blocks), w.threads = (unsigned)a.n_cols * 2 + 128;
    return w;
}

/* [S, L, H P] as parts of 64 channels, `parts` of them a box. */
CUtensorMap map_channels(const ssd_args &a, const bf16 *p, int64_t pitch, int parts) {
    return map_of(p, {{64, 1, 64}, {a.L, pitch, SSD_Q}, {(int64_t)a.H * a.P / 64, 64, parts}, {a.S, a.L * pitch, 1}});
}
/* The same of one step of zeros: the others lie outside, and so are zeros too. */
CUtensorMap map_zeros(const ssd_args &a, const void *p, int parts) {
    return map_of(p, {{64, 1, 64}, {1, (int64_t)a.H * a.P, SSD_Q}, {(int64_t)a.H * a.P / 64, 64, parts}, {1, (int64_t)a.H * a.P, 1}});
}
/* [S, L, G, N] as parts of 64 states, all of them a box.  The last may be narrower: what
 * lies behind it must then be left out, so it is the only one. */
CUtensorMap map_group(const ssd_args &a, const bf16 *p, int64_t pitch) {
    const int64_t parts = divide_up(a.N, 64);
    return map_of(p, {{a.N < 64 ? a.N : 64, 1, 64}, {a.L, pitch, SSD_Q}, {parts, 64, (int)n_tiles(a.N) / 4}, {a.G, a.N, 1}, {a.S, a.L * pitch, 1}});
}
/* The first two launches of a walk: what each segment starts from. */
template <int NT, bool REVERSE> void walk_starts(const ssd_walk_call &w, const ssd_walk_maps &m) {
    const ssd_args &a = w.a;
    if (a.n_seg == 1) return;
    launch(!REVERSE, ssd_adds<NT, REVERSE>, w.blocks, w.threads, ssd_adds_smem<NT>::bytes, w.stream, a, m, w.chunks);
    launch(true, ssd_pass<NT, 1, REVERSE>, cu_blocks((int64_t)a.S * a.H * a.P * 2 * NT, 256), 256, 0, w.stream, a);
}

/* Forward's decays, which backward wants too, lie behind the states it keeps. */
ssd_chunk *saved_chunks(const kr_call *c, const ssd_args &a) { return (ssd_chunk *)((char *)c->saved + kept_bytes(a)); }

template <int NT> void forward_walk(const kr_call *c) {
    ssd_walk_call w = walk_call(c);
    const ssd_args &a = w.a;
    const int64_t n_chunks = a.S * divide_up(a.L, SSD_Q);
    w.products = (ssd_product *)w.rest;
    w.chunks = c->training ? saved_chunks(c, a) : (ssd_chunk *)(w.rest + product_bytes(a));
    ssd_walk_maps m = {map_channels(a, a.x, a.x_pitch, SSD_GROUPS), map_group(a, a.B, a.B_pitch), map_group(a, a.C, a.C_pitch),
                       map_channels(a, a.y, (int64_t)a.H * a.P, 1)};
    launch(false, ssd_decays<NT>, (unsigned)(n_chunks * a.G) + cu_blocks(n_chunks * a.H, SSD_DECAY_WARPS), 32 * SSD_DECAY_WARPS,
           2 * ssd_walk_smem<NT>::K + 16, w.stream, a, m, w.chunks, w.products);
    walk_starts<NT, false>(w, m);
    const unsigned threads = (unsigned)a.n_cols * 4 + 128;
    launch(true, c->training ? ssd_walk<NT, true> : ssd_walk<NT, false>, w.blocks, threads, ssd_walk_smem<NT>::bytes, w.stream, a, m, w.chunks, w.products,
           (bf16 *)c->saved);
}

template <int NT> void backward_walk(const kr_call *c) {
    ssd_walk_call w = walk_call(c);
    ssd_args &a = w.a;
    w.chunks = saved_chunks(c, a);
    const kr_tensor *d = c->din;
    const int64_t n_rows = (int64_t)a.S * divide_up(a.L, SSD_Q), width = (int64_t)a.H * a.P;
    a.dh0 = (float *)d[SSD_H0].data, a.add_dh0 = c->acc[SSD_H0];
    bf16 *kept = (bf16 *)w.rest;
    void *zero = w.rest + kept_bytes(a) + sum_bytes(a);
    if (!a.dy) cudaMemsetAsync(zero, 0, zero_bytes(a), (cudaStream_t)w.stream);
    ssd_walk_maps m = {a.dy ? map_channels(a, a.dy, width, SSD_GROUPS) : map_zeros(a, zero, SSD_GROUPS), map_group(a, a.C, a.C_pitch)};
    m.q = m.y = m.v;
    walk_starts<NT, true>(w, m);
    launch(a.n_seg > 1, ssd_walk_back<NT>, w.blocks, w.threads, ssd_back_smem<NT>::bytes, w.stream, a, m, w.chunks, kept);

    ssd_grads_out o = {(bf16 *)d[SSD_X].data, (bf16 *)d[SSD_B].data, (bf16 *)d[SSD_C].data, (bf16 *)d[SSD_DT].data};
    o.dx_pitch = d[SSD_X].pitch, o.dB_pitch = d[SSD_B].pitch, o.dC_pitch = d[SSD_C].pitch, o.ddt_pitch = d[SSD_DT].pitch;
    o.add_dx = c->acc[SSD_X], o.add_dB = c->acc[SSD_B], o.add_dC = c->acc[SSD_C], o.add_ddt = c->acc[SSD_DT];
    o.by_copy = o.dx && !o.add_dx && cu_aligned(&d[SSD_X], 16);
    o.sums = (float *)(w.rest + kept_bytes(a));
    o.n_splits = grads_splits(a);
    if (o.n_splits > 1) o.parts = (float *)(w.rest + kept_bytes(a) + sum_bytes(a) + zero_bytes(a));
    ssd_grads_maps gm = {map_channels(a, a.x, a.x_pitch, 1), a.dy ? map_channels(a, a.dy, width, 1) : map_zeros(a, zero, 1),
                         map_group(a, a.B, a.B_pitch), m.k, m.v};
    if (o.by_copy) gm.dx = map_channels(a, o.dx, o.dx_pitch, 1);
    launch(true, ssd_grads<NT>, (unsigned)(n_rows * a.G * o.n_splits), 384, ssd_grads_smem<NT>::bytes, w.stream, a, gm, w.chunks,
           ssd_kept{(const bf16 *)c->saved, kept}, o);
    if (o.parts) {
        const int64_t rows = (int64_t)a.S * a.L, n = (int64_t)a.G * a.N;
        if (o.dB) launch(true, ssd_sum_parts, cu_blocks(rows * n, 256), 256, 0, w.stream, o.dB, o.dB_pitch, o.parts, o.n_splits, rows, n, o.add_dB);
        const float *of_C = o.parts + o.n_splits * rows * n;
        if (o.dC) launch(true, ssd_sum_parts, cu_blocks(rows * n, 256), 256, 0, w.stream, o.dC, o.dC_pitch, of_C, o.n_splits, rows, n, o.add_dC);
    }
    launch(true, ssd_sum_heads, dim3((unsigned)a.H, 3), 256, 0, w.stream, (float *)d[SSD_A].data, (float *)d[SSD_DT_BIAS].data, (float *)d[SSD_D].data,
              o.sums, n_rows, a.H, (unsigned)c->acc[SSD_A] | (unsigned)c->acc[SSD_DT_BIAS] << 1 | (unsigned)c->acc[SSD_D] << 2);
}

template <typename T> void forward_steps(const kr_call *c) {
    ssd_args_of<T> a = arguments<T>(c);
    int per_lane = (int)divide_up(a.N, SSD_LANES);
    dim3 grid(cu_blocks(a.P, 128 / SSD_LANES), (unsigned)a.H, (unsigned)a.S);
    if (per_lane <= 2) cu_launch(ssd_steps<T, 2, false>, grid, 128, 0, c->stream, a);
    else if (per_lane <= 16) cu_launch(ssd_steps<T, 16, false>, grid, 128, 0, c->stream, a);
    else cu_launch(ssd_steps<T, 32, false>, grid, 128, 0, c->stream, a);
}

void forward_any(const kr_call *c) {
    const ssd_way w = way(c);
    const int n = n_tiles(KR_SIZE(c, 'N'));
    if (w == STEPS) c->real == KR_BF16 ? forward_steps<bf16>(c) : forward_steps<float>(c);
    else if (w == WALK) n == 4 ? forward_walk<4>(c) : forward_walk<8>(c);
    else if (n == 16) forward_tiles<16, 1>(c);
    else n == 4 ? forward_tiles<4, 2>(c) : forward_tiles<8, 2>(c);
}
void forward(const kr_call *c) {
    const kr_call wide = low_state_begin(c, SSD_H0, SSD_H);
    forward_any(&wide);
    low_state_end(c, &wide, SSD_H);
}

/* --- backward, step by step ---------------------------------------------------------------- */

template <typename T, int NPL, int CHANNELS, int WARPS> void back_segment(const ssd_back_args<T> &b, void *stream) {
    const ssd_args_of<T> &a = b.a;
    cu_launch(ssd_steps_back<T, NPL, CHANNELS, WARPS>, dim3((unsigned)b.n_tiles, (unsigned)a.H, (unsigned)a.S), 32 * WARPS,
              sizeof(ssd_back_room<NPL, CHANNELS, WARPS>), stream, b);
    if (b.dB || b.dC)
        cu_launch(ssd_back_rows<T>, cu_blocks(a.S * (b.t1 - b.t0) * a.G * 2 * a.N, 256), 256, 0, stream, b);
}

/* Some sequences, all of b's pointers at the first of them. */
template <typename T> void back_sequences(ssd_back_args<T> b, const back_plan &p, void *stream) {
    const ssd_args_of<T> &a = b.a;
    dim3 grid(cu_blocks(a.P, 128 / SSD_LANES), (unsigned)a.H, (unsigned)a.S);
    if (a.N <= 2 * SSD_LANES) cu_launch(ssd_steps<T, 2, true>, grid, 128, 0, stream, a);
    else if (a.N <= 16 * SSD_LANES) cu_launch(ssd_steps<T, 16, true>, grid, 128, 0, stream, a);
    else cu_launch(ssd_steps<T, 32, true>, grid, 128, 0, stream, a);
    for (int64_t k = p.n_seg - 1; k >= 0; k--) {
        b.t0 = k * p.seg, b.t1 = b.t0 + p.seg < a.L ? b.t0 + p.seg : a.L;
        if (a.N <= 32) back_segment<T, 1, 4, 4>(b, stream);
        else if (a.N <= 64) back_segment<T, 2, 4, 4>(b, stream);
        else if (a.N <= 128) back_segment<T, 4, 4, 4>(b, stream);
        else back_segment<T, 8, 2, 2>(b, stream);
    }
    cu_launch(ssd_back_dt<T>, dim3((unsigned)p.n_chunks, cu_blocks(a.H, SSD_DT_HEADS), (unsigned)a.S), SSD_KEEP * SSD_DT_HEADS, 0, stream, b);
}

template <typename T> T *after(T *p, int64_t n) { return p ? p + n : p; }

template <typename T> void backward_steps(const kr_call *c) {
    const kr_tensor *d = c->din;
    const bool *add = c->acc;
    ssd_back_args<T> b = {};
    b.a = arguments<T>(c);
    b.dx = (T *)d[SSD_X].data, b.dB = (T *)d[SSD_B].data, b.dC = (T *)d[SSD_C].data, b.ddt = (T *)d[SSD_DT].data;
    b.dA = (float *)d[SSD_A].data, b.dD = (float *)d[SSD_D].data, b.dDhp = (float *)d[SSD_DHP].data;
    b.dbias = (float *)d[SSD_DT_BIAS].data, b.dh0 = (float *)d[SSD_H0].data;
    b.dx_pitch = d[SSD_X].pitch, b.dB_pitch = d[SSD_B].pitch, b.dC_pitch = d[SSD_C].pitch, b.ddt_pitch = d[SSD_DT].pitch;
    b.add_x = add[SSD_X], b.add_B = add[SSD_B], b.add_C = add[SSD_C], b.add_dt = add[SSD_DT], b.add_A = add[SSD_A];
    b.add_D = add[SSD_D], b.add_Dhp = add[SSD_DHP], b.add_bias = add[SSD_DT_BIAS], b.add_h0 = add[SSD_H0];
    const back_plan p = plan_back(b.a);
    char *at = (char *)c->scratch;
    b.a.kept = (float *)at, at += p.kept;
    b.carry = (float *)at, at += p.carry;
    b.rows = (float *)at, at += p.rows;
    b.steps = (float2 *)at, at += p.steps;
    b.sums = (float *)at, at += p.sums;
    b.skip = (float *)at;
    b.n_tiles = p.n_tiles, b.n_rows = b.a.R * p.n_tiles, b.seg = p.seg < b.a.L ? p.seg : b.a.L;
    for (int s = 0; s < b.a.S; s += p.n_seq) {
        ssd_back_args<T> o = b;
        const int64_t row = s * b.a.L, state = (int64_t)s * b.a.H * b.a.P;
        o.a.S = b.a.S - s < p.n_seq ? b.a.S - s : p.n_seq;
        o.a.x += row * o.a.x_pitch, o.a.dt += row * o.a.dt_pitch, o.a.B += row * o.a.B_pitch, o.a.C += row * o.a.C_pitch;
        o.a.seq = after(o.a.seq, row * o.a.seq_pitch), o.a.dy = after(o.a.dy, row * o.a.H * o.a.P);
        o.a.h0 = after(o.a.h0, state * o.a.N), o.a.dh = after(o.a.dh, state * o.a.N), o.dh0 = after(o.dh0, state * o.a.N);
        o.dx = after(o.dx, row * o.dx_pitch), o.ddt = after(o.ddt, row * o.ddt_pitch);
        o.dB = after(o.dB, row * o.dB_pitch), o.dC = after(o.dC, row * o.dC_pitch);
        o.sums += s * p.n_chunks * o.a.H * 2, o.skip += state;
        back_sequences(o, p, c->stream);
    }
    cu_launch(ssd_back_params<T>, (unsigned)b.a.H, 128, 0, c->stream, b);
}

void backward(const kr_call *c) {
    if (way(c) == WALK) n_tiles(KR_SIZE(c, 'N')) == 4 ? backward_walk<4>(c) : backward_walk<8>(c);
    else c->real == KR_BF16 ? backward_steps<bf16>(c) : backward_steps<float>(c);
}

} // namespace

KR_CUDA_OP(ssd, plan, forward, backward)
