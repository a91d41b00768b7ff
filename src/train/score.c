/* score.c - counting right answers. */
#include "train/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { MOST_CLASSES = 4096, DEEPEST = 1 << 20 };

/* `metric` ending in @ stands for any number behind it. */
static bool is_metric(const char *name, size_t n, const char *metric) {
    size_t k = strlen(metric);
    return strncmp(name, metric, k) == 0 && (n == k || metric[k - 1] == '@');
}

static bool wants(const kr_source_info *i, const char *metric) {
    bool found = is_metric(i->metric, strlen(i->metric), metric);
    for (const char *p = i->more_metrics; p && *p && !found; p += strcspn(p, " "), p += *p == ' ') found = is_metric(p, strcspn(p, " "), metric);
    return found;
}

/* K of "hr@K" or "ndcg@K"; 0: it is another metric. */
static int64_t rank_of(const char *metric) {
    const char *at = strncmp(metric, "hr@", 3) == 0 ? metric + 3 : strncmp(metric, "ndcg@", 5) == 0 ? metric + 5 : "0";
    int64_t k = strtoll(at, NULL, 10);
    return k < 0 ? 0 : k > DEEPEST ? DEEPEST : k;
}

static kr_status open_ranks(kr_score *s, const kr_source_info *i) {
    s->ranked = wants(i, "hr@") || wants(i, "mrr") || wants(i, "ndcg@");
    s->deepest = rank_of(i->metric);
    for (const char *p = i->more_metrics; p && *p; p += strcspn(p, " "), p += *p == ' ')
        if (rank_of(p) > s->deepest) s->deepest = rank_of(p);
    if (!s->deepest) return KR_OK;
    s->at_rank = kr_mem_array((size_t)s->deepest + 1, sizeof *s->at_rank);
    return s->at_rank ? KR_OK : KR_ERR_NOMEM;
}

kr_status kr_score_open(kr_score *s, const kr_source_info *i) {
    *s = (kr_score){.n_classes = i->n_classes};
    bool table = wants(i, "f1") || wants(i, "mcc") || wants(i, "dice") || wants(i, "iou");
    if (table && i->n_classes <= MOST_CLASSES) {
        s->confusion = kr_mem_array((size_t)(i->n_classes * i->n_classes), sizeof *s->confusion);
        if (!s->confusion) return KR_ERR_NOMEM;
    }
    if (wants(i, "auroc") && i->n_classes == 2) s->margin_room = 1;
    s->n_questions = i->yes_or_no ? i->n_targets : 1;
    return open_ranks(s, i);
}

void kr_score_close(kr_score *s) {
    kr_mem_free(s->at_rank);
    kr_mem_free(s->confusion);
    kr_mem_free(s->margin);
    kr_mem_free(s->positive);
    kr_mem_free(s->question);
    *s = (kr_score){0};
}

static void add_margin(kr_score *s, float margin, bool positive, int64_t question) {
    if (s->n_margin + 1 >= s->margin_room) {
        int64_t room = 2 * s->margin_room + 1024;
        float *m = kr_mem_resize(s->margin, (size_t)room * sizeof *m);
        if (m) s->margin = m;
        unsigned char *p = m ? kr_mem_resize(s->positive, (size_t)room) : NULL;
        if (p) s->positive = p;
        int32_t *q = p ? kr_mem_resize(s->question, (size_t)room * sizeof *q) : NULL;
        if (!q) {
            s->status = KR_ERR_NOMEM;
            return;
        }
        s->question = q, s->margin_room = room;
    }
    s->question[s->n_margin] = (int32_t)question, s->margin[s->n_margin] = margin, s->positive[s->n_margin++] = positive;
}

/* Ties, and scores that are no numbers, count against the model. */
static void add_rank(kr_score *s, const float *x, int32_t target, int64_t V) {
    int64_t rank = 1;
    for (int64_t v = 0; v < V; v++) rank += v != target && !(x[v] < x[target]);
    s->reciprocal += 1 / (double)rank;
    if (rank <= s->deepest) s->at_rank[rank]++;
}

static void add_logits(kr_score *s, const float *x, int32_t target, int64_t V, int64_t question) {
    int64_t best = 0;
    double sum = 0;
    for (int64_t v = 0; v < V; v++)
        if (x[v] > x[best] || (isnan(x[best]) && !isnan(x[v]))) best = v;
    if (isnan(x[best])) best = target > 0 ? 0 : V - 1; /* all of them: it says none, so not the right one */
    for (int64_t v = 0; v < V; v++) sum += exp((double)x[v] - x[best]);
    s->nll += log(sum) + x[best] - x[target];
    s->hits += best == target;
    if (s->confusion && V == s->n_classes) s->confusion[target * V + best]++;
    if (s->margin_room && V == 2) add_margin(s, x[1] - x[0], target == 1, question);
    if (s->ranked) add_rank(s, x, target, V);
}

static void add_numbers(kr_score *s, const float *x, const kr_batch *b, int64_t width) {
    for (int64_t i = 0; i < b->n_rows * width; i++) {
        double scale = b->scale ? b->scale[i] : 1;
        if (scale == 0) continue; /* not known */
        double y = b->y[i] * scale, error = (x[i] - b->y[i]) * scale;
        s->square += error * error, s->absolute += fabs(error);
        s->sum += y, s->sum_square += y * y, s->n++;
    }
}

void kr_score_add(kr_score *s, const kr_graph *g, const kr_batch *b, int64_t n) {
    const float *nll = kr_graph_data(g, "nll"), *logits = kr_graph_data(g, "logits"), *prediction = kr_graph_data(g, "prediction");
    if (!nll && !logits && prediction && b->y) {
        const kr_node *p = kr_graph_find(g, "prediction");
        int64_t all = 1;
        for (int i = 0; i < kr_node_dims(p); i++) all *= kr_node_dim(p, i);
        add_numbers(s, prediction, b, all / b->S);
        return;
    }
    if (!nll && !logits) {
        s->loss += *(float *)kr_graph_data(g, "loss"), s->batches++;
        return;
    }
    int64_t V = logits ? kr_node_dim(kr_graph_find(g, "logits"), -1) : 0;
    for (int64_t i = 0; i < n; i++) {
        if (b->targets[i] < 0 || (logits && b->targets[i] >= V)) continue;
        s->n++;
        if (logits) add_logits(s, logits + i * V, b->targets[i], V, i % s->n_questions);
        else s->nll += nll[i];
    }
}

double kr_score_loss(const kr_score *s) {
    if (s->batches > 0) return s->loss / s->batches;
    return s->n > 0 ? (s->square != 0 ? s->square : s->nll) / s->n : NAN;
}

/* --- metrics of a table of classes ------------------------------------------------------------ */

typedef struct counts { double right, said, both; } counts;
static counts count(const kr_score *s, int64_t c) {
    counts n = {0};
    for (int64_t k = 0; k < s->n_classes; k++) n.right += (double)s->confusion[c * s->n_classes + k], n.said += (double)s->confusion[k * s->n_classes + c];
    n.both = (double)s->confusion[c * s->n_classes + c];
    return n;
}

/* F1 (Dice) or IoU of class c; NaN if it is neither there nor said. */
static double overlap(const kr_score *s, int64_t c, bool iou) {
    counts n = count(s, c);
    double all = n.right + n.said;
    if (all == 0) return NAN;
    return iou ? n.both / (all - n.both) : 2 * n.both / all;
}

static double mean_overlap(const kr_score *s, bool iou) {
    double sum = 0, n = 0;
    for (int64_t c = 0; c < s->n_classes; c++) {
        double x = overlap(s, c, iou);
        if (!isnan(x)) sum += x, n++;
    }
    return n > 0 ? sum / n : NAN;
}

/* Matthews' coefficient, for any number of classes (Gorodkin 2004). */
static double mcc(const kr_score *s) {
    double n = 0, hits = 0, cross = 0, right2 = 0, said2 = 0;
    for (int64_t c = 0; c < s->n_classes; c++) {
        counts k = count(s, c);
        n += k.right, hits += k.both, cross += k.right * k.said, right2 += k.right * k.right, said2 += k.said * k.said;
    }
    double below = (n * n - said2) * (n * n - right2);
    return below > 0 ? (hits * n - cross) / sqrt(below) : 0;
}

typedef struct ranked_answer { float margin; unsigned char positive; } ranked_answer;
static int by_margin(const void *a, const void *b) {
    float x = ((const ranked_answer *)a)->margin, y = ((const ranked_answer *)b)->margin;
    return x < y ? -1 : x > y;
}

/* The share of pairs of one of each class that stand the right way round; ties count half. */
static double auroc_of(const kr_score *s, int64_t question, ranked_answer *a) {
    int64_t n = 0, positives = 0;
    double ranks = 0;
    for (int64_t i = 0; i < s->n_margin; i++) {
        if (s->question[i] != question) continue;
        if (isnan(s->margin[i])) return NAN; /* it has no place among the others */
        a[n++] = (ranked_answer){s->margin[i], s->positive[i]};
    }
    qsort(a, (size_t)n, sizeof *a, by_margin);
    for (int64_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && a[end].margin == a[i].margin;) end++;
        for (int64_t k = i; k < end; k++)
            if (a[k].positive) ranks += (double)(i + 1 + end) / 2, positives++;
    }
    double p = (double)positives, q = (double)(n - positives);
    return p > 0 && q > 0 ? (ranks - p * (p + 1) / 2) / (p * q) : NAN;
}

/* Questions that have one answer only are left out; NaN: all have. */
static double auroc(const kr_score *s) {
    ranked_answer *a = kr_mem_array((size_t)s->n_margin + 1, sizeof *a);
    double sum = 0, n = 0;
    for (int64_t q = 0; a && q < s->n_questions; q++) {
        double x = auroc_of(s, q, a);
        if (!isnan(x)) sum += x, n++;
    }
    kr_mem_free(a);
    return n > 0 ? sum / n : NAN;
}

static double of_classes(const kr_score *s, const char *metric) {
    if (!s->confusion) return NAN;
    if (strcmp(metric, "mcc") == 0) return mcc(s);
    bool iou = strcmp(metric, "iou") == 0;
    if (strcmp(metric, "f1") != 0 && s->n_classes == 2) return overlap(s, 1, iou);
    return mean_overlap(s, iou);
}

/* Share of the right ones among the K best; each less the further down it is, if there is a discount. */
static double of_ranks(const kr_score *s, int64_t K, bool discount) {
    double sum = 0;
    if (K > s->deepest) return NAN;
    for (int64_t r = 1; r <= K; r++) sum += (double)s->at_rank[r] / (discount ? log2((double)r + 1) : 1);
    return sum / s->n;
}

double kr_score_metric(const kr_score *s, const char *metric) {
    if (strcmp(metric, "bits_per_byte") == 0) return s->bytes > 0 ? s->nll / s->bytes / log(2) : kr_score_loss(s) / log(2);
    if (strcmp(metric, "perplexity") == 0) return exp(kr_score_loss(s));
    if (s->n <= 0) return kr_score_loss(s);
    if (strcmp(metric, "accuracy") == 0) return s->hits / s->n;
    if (strcmp(metric, "f1") == 0 || strcmp(metric, "mcc") == 0 || strcmp(metric, "dice") == 0 || strcmp(metric, "iou") == 0) return of_classes(s, metric);
    if (strcmp(metric, "auroc") == 0) return auroc(s);
    if (strcmp(metric, "mrr") == 0) return s->reciprocal / s->n;
    if (rank_of(metric)) return of_ranks(s, rank_of(metric), *metric == 'n');
    if (strcmp(metric, "mse") == 0) return s->square / s->n;
    if (strcmp(metric, "rmse") == 0) return sqrt(s->square / s->n);
    if (strcmp(metric, "mae") == 0) return s->absolute / s->n;
    if (strcmp(metric, "r2") == 0) return 1 - s->square / (s->sum_square - s->sum * s->sum / s->n);
    return NAN;
}

bool kr_metric_is_better(const char *metric, double a, double b) {
    if (isnan(a) || isnan(b)) return !isnan(a);
    static const char *const low[] = {"mse", "mae", "rmse", "perplexity", "bits_per_byte"};
    for (size_t i = 0; i < sizeof low / sizeof *low; i++)
        if (strcmp(metric, low[i]) == 0) return a < b;
    return a > b;
}
