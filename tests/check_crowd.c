/* check_crowd.c - more requests than slots, for a while: every one of them ends, and none is overtaken for ever.
 *
 *   turns   a long prompt among short ones that come without a pause is not left behind
 *   engine  256 requests at once, of all kinds, many cancelled or forgotten at random
 *   server  256 streams over HTTP, many left at random
 *
 * CHECK_CROWD_SECONDS: for how long each of the last two (2). */
#include "serve_case.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "base/rng.h"

enum { CROWD = 256, PATIENCE = 120 /* seconds in which something must end */ };

static double seconds(void) { return getenv("CHECK_CROWD_SECONDS") ? atof(getenv("CHECK_CROWD_SECONDS")) : 2; }

static void draw_tokens(int32_t *to, int64_t n, kr_rng *r) {
    for (int64_t i = 0; i < n; i++) to[i] = (int32_t)kr_rng_below(r, 256);
}

/* Has it ended?  What it says is taken. */
static bool has_ended(kr_request *r, kr_finish *how) {
    kr_event ev;
    while (kr_request_next(r, &ev, 0))
        if (ev.finish != KR_GOES_ON) return *how = ev.finish, true;
    return false;
}

/* --- turns ------------------------------------------------------------------------------------------ */

/* There are always more that wait for a slot.  A prompt of four turns may be passed by those of less than one, but not by all that come. */
static void test_turns(void **state) {
    enum { SLOTS = 8, N = 32 * SLOTS, ALL = 4000 };
    kr_model *m = model_of(tiny, 3);
    kr_engine *e;
    kr_request *r[N];
    int64_t since[N], n_ended = 0, n_sent = 0, most = 0;
    int32_t prompt[200];
    kr_rng dice = {3, 0, 0};
    kr_finish how;
    (void)state;
    assert_int_equal(kr_engine_new(&e, m, &(kr_engine_options){.n_slots = SLOTS, .grain = 16, .read_tok = 16, .n_threads = 1, .cache_bytes = -1}), KR_OK);
    for (int i = 0; i < N; i++) r[i] = NULL;
    while (n_ended < ALL) {
        for (int i = 0; i < N; i++) {
            if (r[i] && has_ended(r[i], &how)) {
                assert_int_equal(how, KR_FINISH_LENGTH);
                if (n_ended - since[i] > most) most = n_ended - since[i];
                n_ended++;
                kr_request_free(r[i]);
                r[i] = NULL;
            }
            if (r[i] || n_sent == ALL) continue;
            draw_tokens(prompt, 200, &dice);
            assert_int_equal(kr_engine_submit(e, &(kr_request_options){.prompt = prompt, .n_prompt = n_sent % 50 ? 40 : 200, .max_tok = 1}, &r[i]), KR_OK);
            since[i] = n_ended;
            n_sent++;
        }
        usleep(100);
    }
    if (most > 2 * N) fail_msg("a request was overtaken by %d others", (int)most);
    kr_engine_free(e);
    kr_model_free(m);
}

/* --- the engine --------------------------------------------------------------------------------------- */

static kr_request *draw_request(kr_engine *e, kr_rng *dice) {
    int32_t prompt[300];
    kr_request *r;
    int64_t n = 1 + kr_rng_below(dice, kr_rng_below(dice, 4) ? 60 : 300), same = kr_rng_below(dice, 3) * 40;
    draw_tokens(prompt, n, &(kr_rng){7, 0, 0}); /* many begin alike */
    if (n > same) draw_tokens(prompt + same, n - same, dice);
    kr_request_options o = {.prompt = prompt, .n_prompt = n, .max_tok = 1 + kr_rng_below(dice, 20), .client = kr_rng_below(dice, 5), .keep_state = kr_rng_below(dice, 4) == 0,
                            .only_read = kr_rng_below(dice, 8) == 0, .no_cache = kr_rng_below(dice, 4) == 0, .sampler = {.temperature = 0.9f, .seed = (uint64_t)n}};
    assert_int_equal(kr_engine_submit(e, &o, &r), KR_OK);
    return r;
}

static void test_engine(void **state) {
    kr_model *m = model_of(tiny, 3);
    kr_engine *e;
    kr_request *r[CROWD] = {NULL};
    bool cancelled[CROWD];
    kr_engine_stats n;
    kr_rng dice = {4, 0, 0};
    int64_t live = kr_mem_get_stats().n_live, n_sent = 0, n_left = 0, n_ended = 0;
    (void)state;
    assert_int_equal(kr_engine_new(&e, m, &(kr_engine_options){.n_slots = 64, .grain = 16, .n_threads = 2, .cache_bytes = 1 << 20, .reuse_replies = true}), KR_OK);
    double until_s = kr_now() + seconds(), news = kr_now();
    for (bool open = true; open;) {
        bool more = kr_now() < until_s;
        open = more;
        for (int i = 0; i < CROWD; i++) {
            kr_finish how;
            if (r[i] && has_ended(r[i], &how)) {
                assert_true(how == KR_FINISH_LENGTH || (how == KR_FINISH_CANCEL && cancelled[i]));
                kr_request_free(r[i]);
                r[i] = NULL, news = kr_now(), n_ended++;
            } else if (r[i] && kr_rng_below(&dice, 200) == 0) {
                cancelled[i] = true;
                kr_request_cancel(r[i]);
            } else if (r[i] && kr_rng_below(&dice, 400) == 0) {
                kr_request_free(r[i]);
                r[i] = NULL, n_left++;
            }
            open |= r[i] != NULL;
            if (r[i] || !more) continue;
            r[i] = draw_request(e, &dice);
            cancelled[i] = false;
            n_sent++;
        }
        if (kr_now() - news > PATIENCE) fail_msg("nothing ends any more, after %d requests", (int)n_ended);
        usleep(200);
    }
    assert_int_equal(n_ended + n_left, n_sent);
    assert_true(kr_engine_drain(e, PATIENCE)); /* those that were forgotten, too */
    kr_engine_get_stats(e, &n);
    assert_int_equal(n.n_requests, n_sent);
    assert_int_equal(n.n_waiting + n.n_reading + n.n_writing + n.n_failed, 0);
    kr_engine_free(e);
    assert_int_equal(kr_mem_get_stats().n_live, live);
    kr_model_free(m);
    print_message("%d requests, %d cancelled\n", (int)n_sent, (int)n.n_cancelled);
}

/* --- the server --------------------------------------------------------------------------------------- */

typedef struct stream { int fd; size_t n; char last[13]; int64_t answers; } stream; /* last: the end of what came */

static void ask_stream(const bench *b, stream *s, kr_rng *dice) {
    char body[600], prompt[400];
    int n = 1 + (int)kr_rng_below(dice, 390);
    for (int i = 0; i < n; i++) prompt[i] = (char)('a' + kr_rng_below(dice, 26));
    prompt[n] = 0;
    snprintf(body, sizeof body, "{\"prompt\": \"%s\", \"max_tokens\": %d, \"stream\": true}", prompt, 1 + (int)kr_rng_below(dice, 30));
    if (s->fd < 0) s->fd = dial(b);
    ask(s->fd, "POST", "/v1/completions", "", body);
    fcntl(s->fd, F_SETFL, O_NONBLOCK);
    memset(s->last, 0, sizeof s->last);
    s->n = 0;
}

/* true: its answer is there to the end. */
static bool hear_stream(stream *s) {
    char buffer[16384];
    ssize_t k;
    while ((k = recv(s->fd, buffer, sizeof buffer, 0)) > 0) {
        size_t keep = sizeof s->last - 1;
        if (s->n == 0 && (k < 12 || memcmp(buffer, "HTTP/1.1 200", 12) != 0)) fail_msg("refused: %.*s", (int)k, buffer);
        s->n += (size_t)k;
        if ((size_t)k < keep) memmove(s->last, s->last + k, keep - (size_t)k), memcpy(s->last + keep - k, buffer, (size_t)k);
        else memcpy(s->last, buffer + k - keep, keep);
    }
    if (k == 0 || errno != EAGAIN) fail_msg("a stream was broken off: ...%s", s->last);
    return memcmp(s->last + 7, "0\r\n\r\n", 5) == 0;
}

static void test_server(void **state) {
    bench b = start((kr_server_options){.engine = {.n_slots = 64, .n_threads = 2, .cache_bytes = 1 << 20}});
    stream s[CROWD];
    struct pollfd p[CROWD];
    kr_rng dice = {5, 0, 0};
    int64_t n_answers = 0, n_left = 0;
    (void)state;
    begin(&b);
    for (int i = 0; i < CROWD; i++) s[i] = (stream){.fd = -1};
    double until_s = kr_now() + seconds(), news = kr_now();
    for (int i = 0; i < CROWD; i++) ask_stream(&b, &s[i], &dice);
    for (int open = CROWD; open;) {
        bool more = kr_now() < until_s;
        for (int i = 0; i < CROWD; i++) p[i] = (struct pollfd){.fd = s[i].fd, .events = POLLIN};
        poll(p, CROWD, 100);
        open = 0;
        for (int i = 0; i < CROWD; i++) {
            bool leaves = s[i].fd >= 0 && more && kr_rng_below(&dice, 2000) == 0, done = !leaves && p[i].revents && hear_stream(&s[i]);
            if (done) news = kr_now(), n_answers++;
            n_left += leaves;
            if (leaves || (done && !more)) close(s[i].fd), s[i].fd = -1;
            if ((leaves || done) && more) ask_stream(&b, &s[i], &dice);
            open += s[i].fd >= 0;
        }
        if (kr_now() - news > PATIENCE) fail_msg("%d streams have no end, after %d answers", open, (int)n_answers);
    }
    until(is_calm, &b, "all ended or cancelled");
    until(has_no_connections, &b, "all connections closed");
    assert_int_equal(b.s->metrics.n_streams, 0);
    end(&b);
    print_message("%d answers, %d left\n", (int)n_answers, (int)n_left);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_turns), cmocka_unit_test(test_engine),
#ifdef KR_WITH_SERVER
                                       cmocka_unit_test(test_server),
#endif
    };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
