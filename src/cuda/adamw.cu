/* adamw.cu - the optimiser over all parameters at once, and the norm of all gradients.
 *
 * Every parameter is cut into blocks of a fixed size; one launch sums the squares of each
 * block, one thread block adds these up in order, and one launch updates.  The norm never
 * leaves the device before it is used: clipping, and doing nothing where it is not finite,
 * are decided there. */
#include "cuda/device.cuh"
#include "cuda/kernel.cuh"

#include <new>

enum { BLOCK = 16384, THREADS = 256, V = 4 };

struct piece { int64_t item, from; }; /* the block of elements from `from` of an item */
struct kr_adamw_plan {
    kr_adamw_item *item; /* on the device, as all of these */
    piece *pieces;
    double *part, *norm;
    int64_t n_pieces;
};

static __device__ int64_t piece_end(const kr_adamw_item &q, const piece &p) { return p.from + BLOCK < q.n ? p.from + BLOCK : q.n; }

/* V elements, zeros behind the n that are left; parameters start at multiples of 256 bytes. */
static __device__ void load(float (&to)[V], const float *from, int64_t n) {
    if (n >= V) return cu_load<V>(to, from);
    for (int k = 0; k < V; k++) to[k] = k < n ? from[k] : 0;
}
template <typename T> static __device__ void store(T *to, const float (&from)[V], int64_t n) {
    if (n >= V) return cu_store<V>(to, from);
    for (int k = 0; k < V && k < n; k++) to[k] = cu_as<T>(from[k]);
}

/* A thread adds its elements in order, the block adds its threads: doubles, as on a CPU. */
static __global__ void square_sums(const kr_adamw_item *item, const piece *pieces, double *part) {
    __shared__ double room[32];
    const piece p = pieces[blockIdx.x];
    const kr_adamw_item q = item[p.item];
    double sum = 0;
    for (int64_t i = p.from + threadIdx.x * V, end = piece_end(q, p); i < end; i += THREADS * V) {
        float g[V];
        load(g, q.grad + i, end - i);
        for (int k = 0; k < V; k++) sum += (double)g[k] * g[k];
    }
    sum = cu_block_sum(sum, room);
    if (threadIdx.x == 0) part[blockIdx.x] = sum;
}

static __global__ void whole_norm(const double *part, int64_t n, double *norm) {
    __shared__ double room[32];
    double sum = 0;
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += part[i];
    sum = cu_block_sum(sum, room);
    if (threadIdx.x == 0) *norm = sqrt(sum);
}

static __global__ void update(const kr_adamw_item *item, const piece *pieces, const double *norm, kr_adamw_rates r) {
    const piece p = pieces[blockIdx.x];
    const kr_adamw_item q = item[p.item];
    double whole = *norm;
    if (!isfinite(whole)) return;
    float scale = r.clip > 0 && whole > r.clip ? (float)(r.clip / whole) : 1, decay = q.decay ? r.weight_decay : 0;
    for (int64_t i = p.from + threadIdx.x * V, end = piece_end(q, p); i < end; i += THREADS * V) {
        float g[V], x[V], m[V], v[V];
        int64_t n = end - i;
        load(g, q.grad + i, n), load(x, q.x + i, n), load(m, q.m + i, n), load(v, q.v + i, n);
        for (int k = 0; k < V; k++) {
            g[k] *= scale;
            m[k] = r.beta1 * m[k] + (1 - r.beta1) * g[k];
            v[k] = r.beta2 * v[k] + (1 - r.beta2) * g[k] * g[k];
            x[k] -= r.lr * (m[k] * r.correct1) / (sqrtf(v[k] * r.correct2) + r.eps) + decay * x[k];
        }
        store(q.x + i, x, n), store(q.m + i, m, n), store(q.v + i, v, n);
        if (q.low) store((bf16 *)q.low + i, x, n);
    }
}

void device_adamw_free(kr_device *d, kr_adamw_plan *p) {
    cudaSetDevice(d->index);
    cudaStreamSynchronize(d->stream);
    cudaFree(p->item);
    cudaFree(p->pieces);
    cudaFree(p->part);
    delete p;
}

static kr_status fill_plan(kr_adamw_plan *p, const kr_adamw_item *item, int64_t n, piece *pieces) {
    int64_t k = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t at = 0; at < item[i].n; at += BLOCK) pieces[k++] = {i, at};
    CU_TRY(cudaMalloc((void **)&p->item, n * sizeof *item), "no memory for the optimiser's lists");
    CU_TRY(cudaMalloc((void **)&p->pieces, k * sizeof *pieces), "no memory for the optimiser's lists");
    CU_TRY(cudaMalloc((void **)&p->part, (k + 1) * sizeof *p->part), "no memory for the optimiser's lists");
    CU_TRY(cudaMemcpy(p->item, item, n * sizeof *item, cudaMemcpyHostToDevice), "the optimiser's lists cannot be copied");
    CU_TRY(cudaMemcpy(p->pieces, pieces, k * sizeof *pieces, cudaMemcpyHostToDevice), "the optimiser's lists cannot be copied");
    p->norm = p->part + k;
    return KR_OK;
}

kr_status device_adamw_new(kr_device *d, kr_adamw_plan **out, const kr_adamw_item *item, int64_t n) {
    kr_adamw_plan *p = new (std::nothrow) kr_adamw_plan();
    if (!p) KR_FAIL(KR_ERR_NOMEM, "out of memory for the optimiser's lists");
    cudaSetDevice(d->index);
    for (int64_t i = 0; i < n; i++) p->n_pieces += (item[i].n + BLOCK - 1) / BLOCK;
    piece *pieces = new (std::nothrow) piece[p->n_pieces + 1];
    kr_status st = pieces ? fill_plan(p, item, n, pieces) : kr_fail(KR_ERR_NOMEM, "out of memory for the optimiser's lists");
    delete[] pieces;
    if (st != KR_OK) device_adamw_free(d, p);
    else *out = p;
    return st;
}

void device_adamw_run(kr_device *d, kr_adamw_plan *p, const kr_adamw_rates *r, double *host_norm) {
    cu_launch(square_sums, (unsigned)p->n_pieces, THREADS, 0, d->stream, p->item, p->pieces, p->part);
    cu_launch(whole_norm, 1, 1024, 0, d->stream, p->part, p->n_pieces, p->norm);
    cu_launch(update, (unsigned)p->n_pieces, THREADS, 0, d->stream, p->item, p->pieces, p->norm, *r);
    if (host_norm) device_note(d, cudaMemcpyAsync(host_norm, p->norm, sizeof *host_norm, cudaMemcpyDeviceToHost, d->stream));
}
