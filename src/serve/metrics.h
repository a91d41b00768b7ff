/* metrics.h - what a server counts; only its loop touches it. */
#ifndef KR_SERVE_METRICS_H
#define KR_SERVE_METRICS_H
#include "base/str.h"
#include "krait/engine.h"

enum { KR_N_BUCKETS = 14 };
typedef struct kr_histogram { int64_t count[KR_N_BUCKETS + 1]; double sum; } kr_histogram;

typedef struct kr_metrics {
    int64_t by_status[6];       /* answers with 1xx ... 5xx; [0]: none was sent */
    int64_t n_aborted, n_streams, in_bytes, out_bytes;
    kr_histogram first, token, whole; /* seconds: to the first token, between two, of a request */
} kr_metrics;

void kr_histogram_add(kr_histogram *h, double seconds);
/* All of it in Prometheus' text format. */
struct kr_states_stats;
void kr_metrics_write_states(const struct kr_states_stats *n, kr_str *out);
void kr_metrics_write(const kr_metrics *m, const kr_engine_stats *e, int64_t n_connections, double uptime_s, const char *model, kr_str *out);
#endif
