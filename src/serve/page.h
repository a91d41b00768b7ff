/* page.h - the page's files, as cmake/page.cmake makes them from the folder page/. */
#ifndef KR_SERVE_PAGE_H
#define KR_SERVE_PAGE_H
#include <stddef.h>

typedef struct kr_page_file {
    const char *name, *type, *tag; /* tag: of these very bytes, as HTTP's ETag */
    const unsigned char *gzip;
    size_t n;
} kr_page_file;

extern const kr_page_file kr_page_files[]; /* the last has no name */
#endif
