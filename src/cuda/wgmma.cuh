/* wgmma.cuh - Hopper's tensor cores and copy engine, as far as ssd and attention use them.
 *
 * A warpgroup (4 warps) multiplies [64, 16 k] by [16 k, n] with the left operand in
 * registers or shared memory, the right one in shared memory and the float32 result in
 * registers: accumulator i of lane l in warp w is row 16 w + l / 4 + 8 (i / 2 % 2), column
 * 8 (i / 4) + 2 (l % 4) + i % 2.  A left operand in registers has the same layout, so a
 * result becomes an operand by rounding it.
 *
 * Tiles in shared memory are columns of 64 bfloat16: rows of 128 bytes whose 16-byte units
 * are permuted by unit ^ (row % 8), which is the copy engine's and wgmma's 128-byte swizzle
 * if the tile starts at a multiple of 1024 bytes.  Wider matrices are several such tiles. */
#ifndef KR_CUDA_WGMMA_CUH
#define KR_CUDA_WGMMA_CUH
#include <cuda.h>
#include <cudaTypedefs.h>
#include <stdint.h>

#include <initializer_list>

#include "cuda/mma.cuh"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define KR_HOPPER 1
#endif

/* --- wgmma ------------------------------------------------------------------------------- */

/* K-major: rows are m or n, columns k.  One step of 16 k is 32 bytes on; a row 128 bytes. */
__device__ inline uint64_t tile_rows(uint32_t at) { return (uint64_t)(at >> 4 & 0x3fff) | 1ull << 16 | 64ull << 32 | 1ull << 62; }
/* MN-major: rows are k, columns m or n.  The next 64 columns are `apart` bytes on; 16 k are 2048. */
__device__ inline uint64_t tile_cols(uint32_t at, uint32_t apart) {
    return (uint64_t)(at >> 4 & 0x3fff) | (uint64_t)(apart >> 4) << 16 | 64ull << 32 | 1ull << 62;
}

__device__ inline void wgmma_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int left> __device__ inline void wgmma_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(left) : "memory"); }
/* Keeps the compiler from moving uses of accumulators across an asynchronous product. */
template <int n> __device__ inline void wgmma_pin(float (&d)[n]) {
#pragma unroll
    for (int i = 0; i < n; i++) asm volatile("" : "+f"(d[i])::"memory");
}

template <int n> __device__ inline void wgmma_pin(uint32_t (&d)[n]) {
#pragma unroll
    for (int i = 0; i < n; i++) asm volatile("" : "+r"(d[i])::"memory");
}

#define F8(o) "+f"(d[o]), "+f"(d[o + 1]), "+f"(d[o + 2]), "+f"(d[o + 3]), "+f"(d[o + 4]), "+f"(d[o + 5]), "+f"(d[o + 6]), "+f"(d[o + 7])
#define F16(o) F8(o), F8(o + 8)
#define F32(o) F16(o), F16(o + 16)
#define F64(o) F32(o), F32(o + 32)
#define L32 "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}"
#define L64 "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31," \
            "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63}"
#define WGMMA(n, list, a, b, on, rest) \
    "{.reg .pred p; setp.ne.b32 p, " on ", 0; wgmma.mma_async.sync.aligned.m64n" n "k16.f32.bf16.bf16 " list ", " a ", " b ", p, " rest ";}"

/* d (+)= a b with a in registers; `cols` says that b's tile is MN-major; on 0: d is set. */
#define WGMMA_REGS(N, n, F, list, a0, a1, a2, a3, b, on, tr)                                                         \
    template <bool cols> __device__ inline void wgmma_regs(float (&d)[N / 2], const uint32_t a[4], uint64_t desc, int scale_d) { \
        asm volatile(WGMMA(n, list, "{" a0 "," a1 "," a2 "," a3 "}", b, on, "1, 1, " tr)                             \
                     : F : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(desc), "r"(scale_d), "n"((int)cols));     \
    }
/* ... with a in shared memory too. */
#define WGMMA_TILE(N, n, F, list, a, b, on, ta, tb)                                                                  \
    template <bool a_cols, bool b_cols> __device__ inline void wgmma_tile(float (&d)[N / 2], uint64_t da, uint64_t db, int scale_d) { \
        asm volatile(WGMMA(n, list, a, b, on, "1, 1, " ta ", " tb)                                                   \
                     : F : "l"(da), "l"(db), "r"(scale_d), "n"((int)a_cols), "n"((int)b_cols));                      \
    }

#ifdef KR_HOPPER
WGMMA_REGS(64, "64", F32(0), L32, "%32", "%33", "%34", "%35", "%36", "%37", "%38")
WGMMA_REGS(128, "128", F64(0), L64, "%64", "%65", "%66", "%67", "%68", "%69", "%70")
WGMMA_TILE(64, "64", F32(0), L32, "%32", "%33", "%34", "%35", "%36")
WGMMA_TILE(128, "128", F64(0), L64, "%64", "%65", "%66", "%67", "%68")
#else
template <bool cols, int n> __device__ inline void wgmma_regs(float (&d)[n], const uint32_t *, uint64_t, int) {}
template <bool a_cols, bool b_cols, int n> __device__ inline void wgmma_tile(float (&d)[n], uint64_t, uint64_t, int) {}
#endif
#undef F8
#undef F16
#undef F32
#undef F64
#undef L32
#undef L64

/* --- barriers in shared memory, and the copy engine ------------------------------------------ */

__device__ inline void barrier_init(uint64_t *b, int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"((uint32_t)__cvta_generic_to_shared(b)), "r"(arrivals) : "memory");
}
__device__ inline void barrier_init_done() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
__device__ inline void barrier_expect(uint64_t *b, uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"((uint32_t)__cvta_generic_to_shared(b)), "r"(bytes) : "memory");
}
__device__ inline void barrier_arrive(uint64_t *b) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"((uint32_t)__cvta_generic_to_shared(b)) : "memory");
}
__device__ inline void barrier_wait(uint64_t *b, uint32_t phase) {
    asm volatile("{.reg .pred p;\nWAIT:\nmbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n@p bra DONE;\nbra WAIT;\nDONE:\n}"
                 ::"r"((uint32_t)__cvta_generic_to_shared(b)), "r"(phase) : "memory");
}
/* 16-byte pieces in a row to shared memory; they arrive at the barrier. */
__device__ inline void bytes_load(void *to, const void *from, uint32_t bytes, uint64_t *b) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];"
                 ::"r"((uint32_t)__cvta_generic_to_shared(to)), "l"(from), "r"(bytes), "r"((uint32_t)__cvta_generic_to_shared(b)) : "memory");
}
/* A box of a 4-D (or 5-D) map to shared memory; it arrives at the barrier.  Outside the map: zeros. */
__device__ inline void box_load(void *to, const CUtensorMap *map, int c0, int c1, int c2, int c3, uint64_t *b) {
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4, %5}], [%6];"
                 ::"r"((uint32_t)__cvta_generic_to_shared(to)), "l"(map), "r"(c0), "r"(c1), "r"(c2), "r"(c3),
                   "r"((uint32_t)__cvta_generic_to_shared(b)) : "memory");
}
__device__ inline void box_load_5d(void *to, const CUtensorMap *map, int c0, int c1, int c2, int c3, int c4, uint64_t *b) {
    asm volatile("cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4, %5, %6}], [%7];"
                 ::"r"((uint32_t)__cvta_generic_to_shared(to)), "l"(map), "r"(c0), "r"(c1), "r"(c2), "r"(c3), "r"(c4),
                   "r"((uint32_t)__cvta_generic_to_shared(b)) : "memory");
}
/* ... and back; what lies outside the map is not written. */
__device__ inline void box_store(const void *from, const CUtensorMap *map, int c0, int c1, int c2, int c3) {
    asm volatile("cp.async.bulk.tensor.4d.global.shared::cta.tile.bulk_group [%0, {%2, %3, %4, %5}], [%1];"
                 ::"l"(map), "r"((uint32_t)__cvta_generic_to_shared(from)), "r"(c0), "r"(c1), "r"(c2), "r"(c3) : "memory");
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}
/* 16-byte pieces in a row, likewise. */
__device__ inline void bytes_store(void *to, const void *from, uint32_t bytes) {
    asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;"
                 ::"l"(to), "r"((uint32_t)__cvta_generic_to_shared(from)), "r"(bytes) : "memory");
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}
/* Until all that this thread stored, but for the last few, has been read from shared memory; until all is in memory. */
template <int but> __device__ inline void store_read() { asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(but) : "memory"); }
__device__ inline void store_done() { asm volatile("cp.async.bulk.wait_group 0;" ::: "memory"); }
/* Ordinary stores to shared memory, before wgmma or the copy engine reads them. */
__device__ inline void store_fence() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
/* A warpgroup's registers a thread, of those that the launch shared out evenly. */
template <int n> __device__ inline void registers_give() { asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(n)); }
template <int n> __device__ inline void registers_take() { asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(n)); }
/* `n` threads of the block meet at barrier `id` (1..15). */
__device__ inline void meet_later(int id, int n) { asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(n) : "memory"); } /* they need not wait for this one */
__device__ inline void meet(int id, int n) { asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(n) : "memory"); }

__device__ inline void store_x4_trans(uint32_t at, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(at), "r"(a), "r"(b), "r"(c), "r"(d) : "memory");
}
__device__ inline void store_x4(uint32_t at, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(at), "r"(a), "r"(b), "r"(c), "r"(d) : "memory");
}

/* Address of 16-byte unit u (0..7) of a row of a swizzled tile. */
__device__ inline uint32_t swizzled(uint32_t tile, int row, int unit) { return tile + (uint32_t)(row * 128 + (unit ^ (row & 7)) * 16); }

/* --- on the host --------------------------------------------------------------------------- */

static inline bool cu_hopper() {
    static int major = 0;
    int device = 0;
    if (!major) cudaGetDevice(&device), cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    return major == 9;
}

/* A view for the copy engine: bfloat16, innermost axis first; the inner stride is one. */
struct view_axis { int64_t size, stride; int box; };
static inline CUtensorMap map_of(const void *data, std::initializer_list<view_axis> axes) {
    static PFN_cuTensorMapEncodeTiled_v12000 encode = NULL;
    if (!encode) {
        cudaDriverEntryPointQueryResult found;
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", (void **)&encode, 12000, cudaEnableDefault, &found);
        KR_ASSERT(encode != NULL);
    }
    cuuint64_t dim[5], stride[5];
    cuuint32_t box[5], one[5] = {1, 1, 1, 1, 1}, n = 0;
    for (const view_axis &x : axes) {
        dim[n] = (cuuint64_t)x.size, box[n] = (cuuint32_t)x.box;
        if (n) stride[n - 1] = (cuuint64_t)x.stride * sizeof(bf16);
        n++;
    }
    CUtensorMap m;
    CUresult r = encode(&m, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, n, (void *)data, dim, stride, box, one, CU_TENSOR_MAP_INTERLEAVE_NONE,
                        CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    KR_ASSERT(r == CUDA_SUCCESS);
    return m;
}
#endif
