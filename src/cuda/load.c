/* load.c - finds libkrait_cuda.so and opens devices through it. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cuda/backend.h"

#ifndef KRAIT_LIBDIR
#define KRAIT_LIBDIR "lib"
#endif
#define FILE_NAME "libkrait_cuda.so"

static const kr_cuda_api *table;

const kr_cuda_api *kr_cuda(void) { return table; }

static void fail(const char *sentence) { kr_fail(KR_ERR_DEVICE, "%s", sentence); }
static void panic(const char *file, int line, const char *what) { kr_panic(file, line, what); }
static const kr_cuda_host host = {fail, panic};

/* The folder of a file's path, or false. */
static bool folder_of(char *to, size_t size, const char *path) {
    const char *slash = path ? strrchr(path, '/') : NULL;
    return slash && snprintf(to, size, "%.*s", (int)(slash - path), path) < (int)size;
}

/* Beside the program or libkrait, in the install's lib folder, then where the linker looks. */
static void *open_library(char *why, size_t size) {
    char dir[2][3072] = {{0}, {0}}, self[3072], path[6400];
    static const char *const below[] = {"%s/" FILE_NAME, "%s/../" KRAIT_LIBDIR "/" FILE_NAME};
    const char *named = getenv("KRAIT_CUDA_LIB");
    void *lib = NULL;
    Dl_info us;
    if (named && *named) {
        if (!(lib = dlopen(named, RTLD_NOW | RTLD_LOCAL))) snprintf(why, size, "%s", dlerror());
        return lib;
    }
    if (dladdr(&host, &us)) folder_of(dir[0], sizeof dir[0], us.dli_fname);
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) self[n] = 0, folder_of(dir[1], sizeof dir[1], self);
    *why = 0;
    for (int i = 0; i < 4 && !lib; i++) {
        if (!*dir[i & 1]) continue;
        snprintf(path, sizeof path, below[i >> 1], dir[i & 1]);
        if (access(path, R_OK) == 0 && !(lib = dlopen(path, RTLD_NOW | RTLD_LOCAL))) {
            snprintf(why, size, "%s", dlerror());
            return NULL; /* it is there and broken: say so, look no further */
        }
    }
    return lib ? lib : dlopen(FILE_NAME, RTLD_NOW | RTLD_LOCAL);
}

static kr_status load(void) {
    char why[600] = "";
    if (table) return KR_OK;
    void *lib = open_library(why, sizeof why);
    if (!lib && *why) KR_FAIL(KR_ERR_MISSING, FILE_NAME " cannot be loaded: %s", why);
    if (!lib) KR_FAIL(KR_ERR_MISSING, FILE_NAME " was not found; build Krait with -DKRAIT_CUDA=ON, or name the file in KRAIT_CUDA_LIB");
    kr_cuda_get_api_fn *get = (kr_cuda_get_api_fn *)(uintptr_t)dlsym(lib, "kr_cuda_get_api");
    const kr_cuda_api *api = get ? get(&host) : NULL;
    if (!api || api->version != KR_CUDA_VERSION || strcmp(api->krait, KRAIT_VERSION) != 0) {
        int version = api ? api->version : 0;
        snprintf(why, sizeof why, "%s", api && api->krait ? api->krait : "none");
        dlclose(lib);
        KR_FAIL(KR_ERR_MISSING, FILE_NAME " is of Krait %s (interface %d), want %s (interface %d)", why, version, KRAIT_VERSION,
                KR_CUDA_VERSION);
    }
    table = api;
    return KR_OK;
}

/* "cuda" or "cuda:3" */
static bool read_index(int *index, const char *text) {
    char *end;
    *index = 0;
    if (strcmp(text, "cuda") == 0) return true;
    if (strncmp(text, "cuda:", 5) != 0 || text[5] < '0' || text[5] > '9') return false;
    long n = strtol(text + 5, &end, 10);
    *index = (int)n;
    return *end == 0 && n >= 0 && n < 1024;
}

kr_status kr_device_open(kr_device **out, const char *text) {
    int index, n = 0;
    *out = NULL;
    if (!text || !*text || strcmp(text, "cpu") == 0) return KR_OK;
    if (!read_index(&index, text)) KR_FAIL(KR_ERR_ARG, "the device is \"%s\", want cpu, cuda or cuda:N", text);
    KR_TRY(load());
    KR_TRY(table->count(&n));
    if (index >= n)
        KR_FAIL(KR_ERR_DEVICE, "there is no device cuda:%d; this machine has %d GPU%s that CUDA can use", index, n, n == 1 ? "" : "s");
    return table->open(out, index);
}

void kr_device_close(kr_device *d) {
    if (d) table->close(d);
}
