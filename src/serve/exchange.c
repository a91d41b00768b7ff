/* exchange.c - what handlers say: errors in OpenAI's shape, JSON text. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "serve/http.h"
#include "text/unicode.h"

void kr_exchange_set(kr_exchange *x, const char *name, const char *fmt, ...) {
    va_list ap;
    int i = 0;
    while (i < x->n_header && strcmp(x->header[i].name, name) != 0) i++;
    if (i == KR_HTTP_HEADERS) i--;
    if (i == x->n_header) x->n_header++;
    x->header[i].name = name;
    va_start(ap, fmt);
    vsnprintf(x->header[i].value, sizeof x->header[i].value, fmt, ap);
    va_end(ap);
    for (char *p = x->header[i].value; *p; p++) /* no line of ours ends early */
        if ((unsigned char)*p < 32 || *p == 127) *p = ' ';
}

const char *kr_log_time(char to[40]) {
    struct timespec t;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    size_t n = strftime(to, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(to + n, 40 - n, ".%03ldZ", t.tv_nsec / 1000000);
    return to;
}

void kr_str_append_json_text(kr_str *to, const char *bytes, size_t n) {
    static const char hex[] = "0123456789abcdef";
    kr_str fixed = {0};
    if (kr_utf8_valid(bytes, n) < n) {
        kr_utf8_repair(&fixed, bytes, n);
        if (fixed.failed) to->failed = true;
        bytes = kr_str_text(&fixed), n = fixed.n;
    }
    kr_str_append_char(to, '"');
    for (size_t i = 0, from = 0; i <= n; i++) { /* plain stretches whole */
        unsigned char c = i < n ? (unsigned char)bytes[i] : 0;
        if (i < n && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) continue;
        kr_str_append_n(to, bytes + from, i - from);
        from = i + 1;
        if (i == n) break;
        if (c == '"' || c == '\\') kr_str_append_n(to, (char[]){'\\', (char)c}, 2);
        else if (c == '\n') kr_str_append_n(to, "\\n", 2);
        else kr_str_append_n(to, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
    }
    kr_str_append_char(to, '"');
    kr_str_free(&fixed);
}

void kr_str_append_json_value(kr_str *to, const json_t *j) {
    char *text = j ? json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (text) kr_str_append(to, text);
    else if (j) to->failed = true;
    else kr_str_append(to, "null");
    kr_mem_free(text);
}

/* --- errors ------------------------------------------------------------------------------------ */

static const char *type_of(int status) {
    return status == 401 ? "authentication_error" : status == 403 ? "permission_error" : status == 404 ? "not_found_error"
           : status == 429 ? "rate_limit_error" : status == 503 ? "service_unavailable_error" : status >= 500 ? "server_error" : "invalid_request_error";
}

static void append_or_null(kr_str *to, const char *text) {
    if (text) kr_str_append_json_text(to, text, strlen(text));
    else kr_str_append(to, "null");
}

void kr_error_object(kr_str *to, int status, const char *param, const char *code, const char *message) {
    kr_str_append(to, "{\"error\":{\"message\":");
    append_or_null(to, message);
    kr_str_appendf(to, ",\"type\":\"%s\",\"param\":", type_of(status));
    append_or_null(to, param);
    kr_str_append(to, ",\"code\":");
    append_or_null(to, code);
    kr_str_append(to, "}}");
}

void kr_refuse(kr_exchange *x, int status, const char *param, const char *code, const char *fmt, ...) {
    kr_str message = {0};
    va_list ap;
    va_start(ap, fmt);
    kr_str_vappendf(&message, fmt, ap);
    va_end(ap);
    x->status = status;
    x->type = "application/json";
    x->stream = false;
    kr_str_cut(&x->out, 0);
    kr_error_object(&x->out, status, param, code, kr_str_text(&message));
    kr_str_append_char(&x->out, '\n');
    kr_str_free(&message);
}

void kr_refuse_busy(kr_exchange *x, int seconds) {
    kr_refuse(x, 429, NULL, "queue_full", "The server is busy: %s. Try again in %d s.", kr_error(), seconds);
    kr_exchange_set(x, "Retry-After", "%d", seconds);
}

void kr_refuse_status(kr_exchange *x, kr_status st, const char *param) {
    const char *why = *kr_error() ? kr_error() : kr_status_text(st);
    switch (st) {
    case KR_ERR_ARG: case KR_ERR_CONFIG: case KR_ERR_FORMAT: case KR_ERR_SHAPE: kr_refuse(x, 400, param, "invalid_value", "%s", why); break;
    case KR_ERR_MISSING: kr_refuse(x, 404, param, "not_found", "%s", why); break;
    case KR_ERR_BUSY: kr_refuse_busy(x, 1); break;
    case KR_ERR_STOPPED:
        kr_refuse(x, 503, NULL, "shutting_down", "The server is shutting down.");
        kr_exchange_set(x, "Retry-After", "5");
        break;
    case KR_ERR_NOMEM:
        kr_refuse(x, 503, NULL, "out_of_memory", "The server is out of memory for this request.");
        kr_exchange_set(x, "Retry-After", "5");
        break;
    default: kr_refuse(x, 500, param, "internal", "%s", why);
    }
}
