/* routes_page.c - the page that a browser shows: /, and the files it is made of under /page/.
 *
 * They are part of the program.  The policy lets the page load and ask nothing but this server, and run no script
 * that is not one of these files.  They are kept compressed, which every browser takes. */
#include <string.h>

#include "serve/page.h"
#include "serve/server.h"

static void send_file(kr_exchange *x, const kr_page_file *f) {
    const char *known = kr_exchange_header(x, "If-None-Match");
    kr_exchange_set(x, "ETag", "%s", f->tag);
    kr_exchange_set(x, "Cache-Control", "no-cache"); /* may be kept, but is asked for again */
    kr_exchange_set(x, "Content-Security-Policy", "default-src 'none'; connect-src 'self'; img-src 'self'; script-src 'self'; style-src 'self'; "
                                                  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    kr_exchange_set(x, "Referrer-Policy", "no-referrer");
    x->type = f->type;
    if (known && strstr(known, f->tag)) {
        x->status = 304;
        return;
    }
    kr_exchange_set(x, "Content-Encoding", "gzip");
    kr_str_append_n(&x->out, f->gzip, f->n);
}

static void send_named(kr_exchange *x, const char *name) {
    const kr_page_file *f = kr_page_files;
    while (f->name && strcmp(f->name, name) != 0) f++;
    if (f->name) send_file(x, f);
    else kr_refuse(x, 404, NULL, "unknown_url", "The page has no file \"%s\".", name);
}

static void page(kr_exchange *x) { send_named(x, "page.html"); }
static void page_file(kr_exchange *x) { send_named(x, kr_exchange_param(x, 0)); }

const kr_route kr_routes_page[] = {
    {"GET", "/", page, KR_ROUTE_OPEN | KR_ROUTE_QUICK | KR_ROUTE_ALWAYS},
    {"GET", "/page/{name}", page_file, KR_ROUTE_OPEN | KR_ROUTE_QUICK | KR_ROUTE_ALWAYS},
    {0},
};
