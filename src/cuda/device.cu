/* device.cu - one GPU: memory, copies, the stream, recorded steps; and the table of it all. */
#include "cuda/device.cuh"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <new>

static const kr_cuda_host *host;

/* The library's own kr_fail, on this side. */
extern "C" kr_status kr_fail(kr_status st, const char *fmt, ...) {
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    host->fail(text);
    return st;
}
extern "C" void kr_panic(const char *file, int line, const char *what) {
    host->panic(file, line, what);
    __builtin_trap();
}

/* --- the device ------------------------------------------------------------------------ */

static kr_status device_count(int *n) {
    cudaError_t e = cudaGetDeviceCount(n);
    (void)cudaGetLastError();
    if (e == cudaSuccess) return KR_OK;
    *n = 0;
    if (e == cudaErrorNoDevice) return KR_OK;
    if (e == cudaErrorInsufficientDriver) {
        int driver = 0;
        cudaDriverGetVersion(&driver);
        if (driver == 0) KR_FAIL(KR_ERR_DEVICE, "this machine has no NVIDIA driver, so CUDA sees no GPU");
        KR_FAIL(KR_ERR_DEVICE, "the NVIDIA driver speaks CUDA %d.%d, want %d.%d or newer", driver / 1000, driver / 10 % 100,
                CUDART_VERSION / 1000, CUDART_VERSION / 10 % 100);
    }
    KR_FAIL(KR_ERR_DEVICE, "CUDA does not start: %s", cudaGetErrorString(e));
}

static void device_close(kr_device *d) {
    cudaSetDevice(d->index);
    if (d->stream) cudaStreamSynchronize(d->stream), cudaStreamDestroy(d->stream);
    delete d;
}

static kr_status start(kr_device *d) {
    int major = 0;
    CU_TRY(cudaSetDevice(d->index), "the GPU cannot be used");
    CU_TRY(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, d->index), "the GPU cannot be asked");
    if (major < 8) KR_FAIL(KR_ERR_DEVICE, "cuda:%d has compute capability %d.x, want 8.0 or newer", d->index, major);
    CU_TRY(cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking), "no stream");
    return KR_OK;
}

static kr_status device_open(kr_device **out, int index) {
    kr_device *d = new (std::nothrow) kr_device();
    if (!d) KR_FAIL(KR_ERR_NOMEM, "out of memory opening a GPU");
    d->index = index;
    kr_status st = start(d);
    if (st != KR_OK) device_close(d);
    else *out = d;
    return st;
}

static kr_status device_info(kr_device *d, kr_device_info *out) {
    cudaDeviceProp p;
    memset(out, 0, sizeof *out);
    CU_TRY(cudaSetDevice(d->index), "the GPU cannot be used");
    CU_TRY(cudaGetDeviceProperties(&p, d->index), "the GPU cannot be asked");
    CU_TRY(cudaMemGetInfo(&out->bytes_free, &out->bytes), "the GPU's memory cannot be asked");
    snprintf(out->name, sizeof out->name, "%.127s", p.name);
    out->index = d->index, out->major = p.major, out->minor = p.minor, out->n_sm = p.multiProcessorCount;
    cudaDriverGetVersion(&out->driver);
    cudaRuntimeGetVersion(&out->runtime);
    return KR_OK;
}

static void *device_stream(kr_device *d) { return d->stream; }

/* --- memory ------------------------------------------------------------------------------ */

static kr_status device_alloc(kr_device *d, void **out, size_t bytes) {
    size_t left = 0, all = 0;
    *out = NULL;
    CU_TRY(cudaSetDevice(d->index), "the GPU cannot be used");
    cudaError_t e = cudaMalloc(out, bytes ? bytes : 1);
    if (e == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError();
        cudaMemGetInfo(&left, &all);
        KR_FAIL(KR_ERR_NOMEM, "cuda:%d has %.2f GiB free of %.2f, want %.2f; a smaller batch or train.recompute needs less", d->index,
                (double)left / 1073741824, (double)all / 1073741824, (double)bytes / 1073741824);
    }
    CU_TRY(e, "no memory on the GPU");
    return KR_OK;
}
static void device_free(kr_device *d, void *p) {
    cudaSetDevice(d->index);
    cudaFree(p);
}
static kr_status device_alloc_host(kr_device *d, void **out, size_t bytes) {
    *out = NULL;
    CU_TRY(cudaSetDevice(d->index), "the GPU cannot be used");
    CU_TRY(cudaMallocHost(out, bytes ? bytes : 1), "no page-locked memory");
    memset(*out, 0, bytes);
    return KR_OK;
}
static void device_free_host(kr_device *d, void *p) {
    cudaSetDevice(d->index);
    cudaFreeHost(p);
}

static void move(kr_device *d, void *to, const void *from, size_t bytes, cudaMemcpyKind kind) {
    if (bytes) device_note(d, cudaMemcpyAsync(to, from, bytes, kind, d->stream));
}
static void device_upload(kr_device *d, void *to, const void *from, size_t bytes) { move(d, to, from, bytes, cudaMemcpyHostToDevice); }
static void device_download(kr_device *d, void *to, const void *from, size_t bytes) { move(d, to, from, bytes, cudaMemcpyDeviceToHost); }
static void device_copy(kr_device *d, void *to, const void *from, size_t bytes) { move(d, to, from, bytes, cudaMemcpyDeviceToDevice); }
static void device_fill(kr_device *d, void *to, int byte, size_t bytes) {
    if (bytes) device_note(d, cudaMemsetAsync(to, byte, bytes, d->stream));
}

static kr_status device_sync(kr_device *d) {
    cudaSetDevice(d->index);
    device_note(d, cudaStreamSynchronize(d->stream));
    device_note(d, cudaGetLastError());
    cudaError_t e = d->error;
    d->error = cudaSuccess;
    CU_TRY(e, "the GPU failed");
    return KR_OK;
}

/* --- recorded steps ------------------------------------------------------------------------- */

struct kr_capture { cudaGraphExec_t exec; };

static kr_status device_capture_begin(kr_device *d) {
    cudaSetDevice(d->index);
    CU_TRY(cudaStreamBeginCapture(d->stream, cudaStreamCaptureModeThreadLocal), "a step cannot be recorded");
    return KR_OK;
}
static kr_status device_capture_end(kr_device *d, kr_capture **out) {
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    CU_TRY(cudaStreamEndCapture(d->stream, &graph), "a step cannot be recorded");
    cudaError_t e = cudaGraphInstantiate(&exec, graph, 0);
    cudaGraphDestroy(graph);
    CU_TRY(e, "a recorded step cannot be made ready");
    *out = new (std::nothrow) kr_capture();
    if (!*out) {
        cudaGraphExecDestroy(exec);
        KR_FAIL(KR_ERR_NOMEM, "out of memory recording a step");
    }
    (*out)->exec = exec;
    cudaGraphUpload(exec, d->stream);
    return KR_OK;
}
static void device_replay(kr_device *d, kr_capture *c) { device_note(d, cudaGraphLaunch(c->exec, d->stream)); }
static void device_capture_free(kr_device *d, kr_capture *c) {
    cudaSetDevice(d->index);
    cudaStreamSynchronize(d->stream);
    cudaGraphExecDestroy(c->exec);
    delete c;
}

static kr_cuda_api api;

extern "C" __attribute__((visibility("default"))) const kr_cuda_api *kr_cuda_get_api(const kr_cuda_host *h) {
    host = h;
    api.version = KR_CUDA_VERSION, api.krait = KRAIT_VERSION;
    api.ops = kr_cuda_ops, api.n_ops = kr_cuda_n_ops;
    api.count = device_count, api.open = device_open, api.close = device_close, api.info = device_info, api.stream = device_stream;
    api.alloc = device_alloc, api.free = device_free, api.alloc_host = device_alloc_host, api.free_host = device_free_host;
    api.upload = device_upload, api.download = device_download, api.copy = device_copy, api.fill = device_fill, api.sync = device_sync;
    api.block_bytes = device_block_bytes, api.put_blocks = device_put_blocks;
    api.capture_begin = device_capture_begin, api.capture_end = device_capture_end, api.replay = device_replay;
    api.capture_free = device_capture_free;
    api.adamw_new = device_adamw_new, api.adamw_run = device_adamw_run, api.adamw_free = device_adamw_free;
    return &api;
}
