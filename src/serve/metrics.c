/* metrics.c - counters, gauges and histograms in Prometheus' text format. */
#include "serve/metrics.h"

#include "serve/states.h"

static const double edge[KR_N_BUCKETS] = {.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30};

void kr_histogram_add(kr_histogram *h, double seconds) {
    int i = 0;
    while (i < KR_N_BUCKETS && seconds > edge[i]) i++;
    h->count[i]++;
    h->sum += seconds;
}

static void head(kr_str *out, const char *name, const char *type, const char *help) {
    kr_str_appendf(out, "# HELP krait_%s %s\n# TYPE krait_%s %s\n", name, help, name, type);
}

static void number(kr_str *out, const char *name, const char *type, const char *help, double value) {
    head(out, name, type, help);
    kr_str_appendf(out, "krait_%s %.15g\n", name, value);
}

static void histogram(kr_str *out, const char *name, const char *help, const kr_histogram *h) {
    int64_t n = 0;
    head(out, name, "histogram", help);
    for (int i = 0; i < KR_N_BUCKETS; i++) kr_str_appendf(out, "krait_%s_bucket{le=\"%g\"} %lld\n", name, edge[i], (long long)(n += h->count[i]));
    kr_str_appendf(out, "krait_%s_bucket{le=\"+Inf\"} %lld\n", name, (long long)(n += h->count[KR_N_BUCKETS]));
    kr_str_appendf(out, "krait_%s_sum %.9g\nkrait_%s_count %lld\n", name, h->sum, name, (long long)n);
}

static void append_label(kr_str *out, const char *text) {
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') kr_str_append_char(out, '\\');
        kr_str_append_char(out, *text == '\n' ? ' ' : *text);
    }
}

void kr_metrics_write(const kr_metrics *m, const kr_engine_stats *e, int64_t n_connections, double uptime_s, const char *model, kr_str *out) {
    static const char *const codes[] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
    head(out, "build_info", "gauge", "Version and model, as labels.");
    kr_str_append(out, "krait_build_info{version=\"" KRAIT_VERSION "\",model=\"");
    append_label(out, model);
    kr_str_append(out, "\"} 1\n");
    head(out, "http_requests_total", "counter", "Requests answered, by class of status; none: the client left before.");
    for (int i = 0; i < 6; i++) kr_str_appendf(out, "krait_http_requests_total{code=\"%s\"} %lld\n", codes[i], (long long)m->by_status[i]);
#define COUNTER(name, value, help) number(out, name, "counter", help, (double)(value))
#define GAUGE(name, value, help) number(out, name, "gauge", help, (double)(value))
    COUNTER("http_aborted_total", m->n_aborted, "Requests whose client left before the end.");
    COUNTER("http_received_bytes_total", m->in_bytes, "Bytes of request bodies.");
    COUNTER("http_sent_bytes_total", m->out_bytes, "Bytes of answers, without headers.");
    GAUGE("http_connections", n_connections, "Connections open now.");
    GAUGE("http_streams", m->n_streams, "Requests to the engine that are being answered now.");
    COUNTER("prompt_tokens_total", e->n_prompt, "Tokens of prompts, read or known already.");
    COUNTER("prompt_tokens_cached_total", e->n_cached, "Tokens of prompts that were not read again.");
    COUNTER("generated_tokens_total", e->n_written, "Tokens written.");
    COUNTER("draft_tokens_total", e->n_guessed, "Tokens guessed ahead.");
    COUNTER("draft_tokens_accepted_total", e->n_accepted, "Of these, those that were written.");
    COUNTER("prompt_seconds_total", e->read_s, "Time spent reading prompts.");
    COUNTER("generation_seconds_total", e->write_s, "Time spent writing.");
    COUNTER("steps_total", e->n_steps, "Steps taken by all that is being written together.");
    COUNTER("requests_total", e->n_requests, "Sequences begun.");
    COUNTER("requests_cancelled_total", e->n_cancelled, "Sequences cancelled.");
    COUNTER("requests_failed_total", e->n_failed, "Sequences that failed.");
    GAUGE("slots", e->n_slots, "Sequences that can run at once.");
    GAUGE("requests_waiting", e->n_waiting, "Sequences in the queue.");
    GAUGE("requests_reading", e->n_reading, "Sequences whose prompt is being read.");
    GAUGE("requests_writing", e->n_writing, "Sequences that are being written.");
    GAUGE("state_bytes", e->state_bytes, "Bytes of the state of one sequence.");
    GAUGE("states_bytes", (double)e->state_bytes * (double)e->n_slots, "Bytes of the states of all slots.");
    GAUGE("cache_bytes", e->cache_bytes, "Bytes in the prefix cache.");
    GAUGE("cache_entries", e->cache_entries, "Checkpoints in the prefix cache.");
    COUNTER("cache_hits_total", e->cache_hits, "Prompts that began from a checkpoint.");
    COUNTER("cache_misses_total", e->cache_misses, "Prompts that did not.");
    COUNTER("cache_evicted_total", e->cache_evicted, "Checkpoints dropped for room.");
    GAUGE("cache_kept_entries", e->kept_entries, "Checkpoints in the folder of the prefix cache.");
    GAUGE("cache_kept_bytes", e->kept_bytes, "Bytes of these.");
    COUNTER("cache_kept_refused_total", e->kept_refused, "Files of that folder that were damaged or of another model.");
    GAUGE("longest_stall_seconds", e->longest_stall_s, "The longest that prompts held up what was being written.");
    GAUGE("uptime_seconds", uptime_s, "Since the start.");
    histogram(out, "time_to_first_token_seconds", "From the request to its first token.", &m->first);
    histogram(out, "time_per_token_seconds", "Between two tokens of a sequence.", &m->token);
    histogram(out, "request_seconds", "From the request to its last token.", &m->whole);
#undef COUNTER
#undef GAUGE
}

void kr_metrics_write_states(const kr_states_stats *n, kr_str *out) {
    number(out, "named_states", "gauge", "Named states.", (double)n->n);
    number(out, "named_states_bytes", "gauge", "Bytes of the files of named states.", (double)n->bytes);
    number(out, "named_states_max_bytes", "gauge", "What they may have.", (double)n->budget);
    number(out, "named_states_memory_bytes", "gauge", "Bytes of those that are in memory too.", (double)n->memory_bytes);
    number(out, "named_states_forgotten_total", "counter", "Named states dropped for room.", (double)n->n_forgotten);
}
