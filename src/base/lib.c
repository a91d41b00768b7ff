/* lib.c - dlopen, once a library. */
#include "base/lib.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static kr_status open_all(char *table, size_t bytes, const char *file, const char *names) {
    void *lib = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!lib) KR_FAIL(KR_ERR_MISSING, "a library is needed that cannot be opened: %s", dlerror());
    for (size_t at = 0; at < bytes; at += sizeof(void *), names += strlen(names) + 1) {
        void *f = dlsym(lib, names);
        if (!f) {
            memset(table, 0, bytes);
            dlclose(lib);
            KR_FAIL(KR_ERR_MISSING, "the library %s has no %s", file, names);
        }
        memcpy(table + at, &f, sizeof f);
    }
    return KR_OK; /* it stays open */
}

kr_status kr_lib_open(void *table, size_t bytes, const char *file, const char *names) {
    void *first;
    pthread_mutex_lock(&lock);
    memcpy(&first, table, sizeof first);
    kr_status st = first ? KR_OK : open_all(table, bytes, file, names);
    pthread_mutex_unlock(&lock);
    return st;
}
