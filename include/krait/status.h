/* status.h - how Krait reports failure.
 *
 * Every function that can fail returns a kr_status: KR_OK (0) or negative.  After a
 * negative one kr_error() says, in a sentence, what was found and what was wanted. */
#ifndef KRAIT_STATUS_H
#define KRAIT_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define KR_API __attribute__((visibility("default")))
#define KR_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define KR_API
#define KR_PRINTF(f, a)
#endif

/* X(name, value, text): every status the library returns.  Values never change. */
#define KR_STATUS_MAP(X)                                   \
    X(OK,            0, "ok")                              \
    X(ERR_ARG,      -1, "bad argument")                    \
    X(ERR_SHAPE,    -2, "shapes do not fit")               \
    X(ERR_DTYPE,    -3, "no implementation for this dtype")\
    X(ERR_NOMEM,    -4, "out of memory")                   \
    X(ERR_IO,       -5, "file cannot be read or written")  \
    X(ERR_FORMAT,   -6, "file is malformed")               \
    X(ERR_CONFIG,   -7, "bad configuration")               \
    X(ERR_DEVICE,   -8, "device failed")                   \
    X(ERR_NUMERIC,  -9, "a value is not finite")           \
    X(ERR_STOPPED, -10, "stopped on request")              \
    X(ERR_MISSING, -11, "not built in or not there")      \
    X(ERR_BUSY,    -12, "too much is waiting")

typedef enum kr_status {
#define X(name, value, text) KR_##name = value,
    KR_STATUS_MAP(X)
#undef X
} kr_status;

/* The last failure on this thread, in words; "" after none.  Valid until the next
 * failing call on the same thread. */
KR_API const char *kr_error(void);
/* The fixed text of a status, for when there is no sentence. */
KR_API const char *kr_status_text(kr_status st);

#ifdef __cplusplus
}
#endif
#endif
