#include "bench_report.h"

#include <stdio.h>

#include "json_output.h"

/* One of the two measurements at a depth, in its own terms. */
typedef struct measured {
    const char *name;
    const bench_samples *samples;
    int64_t tokens; /* of one sample */
    int32_t sequences;
    bool computes;  /* held against multiply-adds, not against reading */
    double work;    /* of a sample: FLOPs, or bytes */
    double ceiling; /* the same a second */
    double scale;   /* what makes the rate's unit */
    const char *rate_key;
    const char *unit;
} measured;

static double rate(double amount, double seconds)
{
    return seconds > 0 ? amount / seconds : 0;
}

static measured prefill_of(const bench_report *r, const bench_depth *d)
{
    return (measured){.name = "prefill",
                      .samples = &d->prefill,
                      .tokens = r->plan->prompt_tokens,
                      .sequences = 1,
                      .computes = true,
                      .work = d->prefill_flops,
                      .ceiling = r->results->machine.matmul_flop_s,
                      .scale = 1e-12,
                      .rate_key = "tflop_s",
                      .unit = "TFLOP/s"};
}

/* Where the weights cannot be read plainly beside a sample, the machine's own rate. */
static double reading_ceiling(const bench_report *r, const bench_samples *samples)
{
    const double beside = bench_median_read(samples);
    return beside > 0 ? beside : r->results->machine.read_bytes_s;
}

static measured decode_of(const bench_report *r, const bench_depth *d)
{
    return (measured){.name = "decode",
                      .samples = &d->decode,
                      .tokens = r->plan->gen_tokens,
                      .sequences = 1,
                      .work = d->decode_bytes * (double)r->plan->gen_tokens,
                      .ceiling = reading_ceiling(r, &d->decode),
                      .scale = 1e-9,
                      .rate_key = "gb_s",
                      .unit = "GB/s"};
}

/* tokens: of all sequences. */
static measured together_of(const bench_report *r, const bench_depth *d)
{
    measured m = decode_of(r, d);
    m.name = "together";
    m.samples = &d->together;
    m.sequences = r->plan->sequences;
    m.tokens *= m.sequences;
    m.work = d->together_bytes * (double)r->plan->gen_tokens;
    m.ceiling = reading_ceiling(r, &d->together);
    return m;
}

static double tokens_per_second(const measured *m, double seconds)
{
    return rate((double)m->tokens, seconds);
}

static double slowest(const bench_samples *s)
{
    return s->count ? s->seconds[s->count - 1] : 0;
}

static double fastest(const bench_samples *s)
{
    return s->count ? s->seconds[0] : 0;
}

static double work_rate(const measured *m)
{
    return rate(m->work, bench_median(m->samples));
}

static double share_of(const measured *m)
{
    const double beside = m->computes ? 0 : bench_median_share(m->samples, m->work);
    return beside > 0 ? beside : rate(work_rate(m), m->ceiling);
}

/* --- kinds of work --- */

static double work_of(const measured *m, const ffai_op_time *op)
{
    return m->computes ? op->flops : op->bytes;
}

/* What the kinds of work leave of the measured time. */
static ffai_op_time rest_of(const bench_samples *s)
{
    ffai_op_time rest = {.op = "rest", .part = "between steps", .seconds = s->total};
    for (size_t i = 0; i < s->num_ops; i++)
        rest.seconds -= s->ops[i].seconds;
    return rest;
}

/* Times a token was there: milliseconds of each. */
static double milliseconds(const measured *m, const ffai_op_time *op)
{
    return rate(op->seconds * 1e3, (double)m->tokens * (double)m->samples->count);
}

static void print_op(output *out, const measured *m, const ffai_op_time *op)
{
    const double speed = rate(work_of(m, op), op->seconds);
    output_format(out, "  %-14s %-14s %9llu %10.4f ms %6.1f %%", op->op, op->part, (unsigned long long)op->count,
                  m->sequences * milliseconds(m, op), 100 * rate(op->seconds, m->samples->total));
    if (speed > 0)
        output_format(out, " %8.3g %-8s %5.1f %%", speed * m->scale, m->unit, 100 * rate(speed, m->ceiling));
    output_text(out, "\n");
}

static void print_ops(output *out, const measured *m, int64_t depth)
{
    if (!m->samples->num_ops)
        return;
    output_format(out, "\n%s from %lld by kind of work: times done, a %s milliseconds, share%s\n", m->name,
                  (long long)depth, m->sequences > 1 ? "step's" : "token's", ", rate, of the ceiling");
    for (size_t i = 0; i < m->samples->num_ops; i++)
        print_op(out, m, &m->samples->ops[i]);
    const ffai_op_time rest = rest_of(m->samples);
    print_op(out, m, &rest);
}

static json_t *json_of_op(const measured *m, const ffai_op_time *op)
{
    const double bytes_s = rate(op->bytes, op->seconds), flop_s = rate(op->flops, op->seconds);
    return json_pack("{s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "op", op->op, "part", op->part, "count",
                     (json_int_t)op->count, "seconds", json_of_measure(op->seconds), "share",
                     json_of_measure(rate(op->seconds, m->samples->total)), "ms_per_token",
                     json_of_measure(milliseconds(m, op)), "gb_s", json_of_measure(bytes_s * 1e-9), "tflop_s",
                     json_of_measure(flop_s * 1e-12), "ceiling_share",
                     json_of_measure(rate(rate(work_of(m, op), op->seconds), m->ceiling)));
}

static json_t *json_of_ops(const measured *m)
{
    json_t *array = json_array();
    const ffai_op_time rest = rest_of(m->samples);
    for (size_t i = 0; array && i <= m->samples->num_ops; i++) {
        const ffai_op_time *op = i < m->samples->num_ops ? &m->samples->ops[i] : &rest;
        if (json_array_append_new(array, json_of_op(m, op)) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

/* --- JSON --- */

/* null where nothing was measured. */
static json_t *json_of_measured(const measured *m)
{
    const bench_samples *s = m->samples;
    const double median = bench_median(s);
    if (!s->count)
        return json_null();
    json_t *object =
        json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "tokens", (json_int_t)m->tokens, "repeats",
                  (json_int_t)s->count, "tok_s", json_of_measure(tokens_per_second(m, median)), "min_tok_s",
                  json_of_measure(tokens_per_second(m, slowest(s))), "max_tok_s",
                  json_of_measure(tokens_per_second(m, fastest(s))), m->computes ? "flop_per_token" : "bytes_per_token",
                  json_real(rate(m->work, (double)m->tokens)), m->rate_key, json_of_measure(work_rate(m) * m->scale),
                  "share", json_of_measure(share_of(m)), m->computes ? "ceiling_tflop_s" : "ceiling_gb_s",
                  json_of_measure(m->ceiling * m->scale), "seconds", json_of_measure(s->total));
    if (object && s->num_ops && json_object_set_new(object, "ops", json_of_ops(m)) != 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

/* How many times one sequence's rate that of all is; 0: not measured. */
static double times_one(const bench_report *r, const bench_depth *d)
{
    const measured one = decode_of(r, d), all = together_of(r, d);
    return rate(tokens_per_second(&all, bench_median(all.samples)), tokens_per_second(&one, bench_median(one.samples)));
}

static json_t *json_of_together(const bench_report *r, const bench_depth *d)
{
    const measured m = together_of(r, d);
    json_t *object = json_of_measured(&m);
    if (json_is_object(object) && (json_object_set_new(object, "sequences", json_integer(m.sequences)) != 0 ||
                                   json_object_set_new(object, "times_one", json_of_measure(times_one(r, d))) != 0)) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static json_t *json_of_depth(const bench_report *r, const bench_depth *d)
{
    const measured prefill = prefill_of(r, d), decode = decode_of(r, d);
    return json_pack("{s:I, s:o, s:o, s:o}", "depth", (json_int_t)d->depth, "prefill", json_of_measured(&prefill),
                     "decode", json_of_measured(&decode), "together", json_of_together(r, d));
}

static json_t *json_of_depths(const bench_report *r)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < r->plan->num_depths; i++) {
        if (json_array_append_new(array, json_of_depth(r, &r->results->depths[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *json_of_machine(const ffai_machine *m)
{
    return json_pack("{s:o, s:o, s:s?}", "read_gb_s", json_of_measure(m->read_bytes_s * 1e-9), "matmul_tflop_s",
                     json_of_measure(m->matmul_flop_s * 1e-12), "instruction", m->instruction);
}

static json_t *json_of_positive(int value)
{
    return value ? json_integer(value) : json_null();
}

ffai_status bench_report_json(output *out, const bench_report *r, ffai_error *err)
{
    const bench_results *b = r->results;
    const measured prefill = prefill_of(r, &b->depths[0]), decode = decode_of(r, &b->depths[0]);
    json_t *object = json_pack(
        "{s:s, s:s?, s:o, s:o, s:o, s:s, s:s, s:s?, s:o, s:s?, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:o, s:b, "
        "s:o}",
        "model", r->model, "shape", r->shape, "bits", json_of_positive(r->bits), "group_size",
        json_of_positive(r->group_size), "layers", json_of_positive((int)r->layers), "activations", r->activations,
        "kv", r->kv, "backend", b->machine.backend, "threads", json_of_positive(b->machine.threads), "isa",
        b->machine.isa, "version", ffai_version(), "machine", json_of_machine(&b->machine), "prefill",
        json_of_measured(&prefill), "decode", json_of_measured(&decode), "together", json_of_together(r, &b->depths[0]),
        "load_s", json_of_measure(b->load_seconds), "first_token_s", json_of_measure(b->first_token_seconds),
        "weight_bytes", (json_int_t)b->weight_bytes, "peak_rss_bytes", (json_int_t)b->peak_rss_bytes, "depths",
        json_of_depths(r), "cancelled", (int)b->cancelled, "seconds", json_of_measure(r->seconds));
    return json_print(out, object, err);
}

/* --- for people --- */

static void print_measured(output *out, const measured *m, int64_t depth)
{
    const bench_samples *s = m->samples;
    if (!s->count)
        return;
    output_format(out, "%-8s %6lld tokens from %6lld  %9.2f tok/s (%.2f to %.2f)  %.4g %s, %.1f %% of %.4g\n", m->name,
                  (long long)m->tokens, (long long)depth, tokens_per_second(m, bench_median(s)),
                  tokens_per_second(m, slowest(s)), tokens_per_second(m, fastest(s)), work_rate(m) * m->scale, m->unit,
                  100 * share_of(m), m->ceiling * m->scale);
}

static void print_together(output *out, const bench_report *r, const bench_depth *d)
{
    const measured m = together_of(r, d);
    print_measured(out, &m, d->depth);
    if (m.samples->count)
        output_format(out, "         %6d sequences, %.2f times one's tok/s\n", (int)m.sequences, times_one(r, d));
}

static void print_machine(output *out, const ffai_machine *m)
{
    output_format(out, "machine  reads %.2f GB/s, multiplies %.3f TFLOP/s by %s; %s %s", m->read_bytes_s * 1e-9,
                  m->matmul_flop_s * 1e-12, m->instruction, m->backend, m->isa);
    if (m->threads)
        output_format(out, ", %d threads", m->threads);
    output_text(out, "\n");
}

static void print_head(output *out, const bench_report *r)
{
    const bench_results *b = r->results;
    output_format(out, "%s", r->model);
    if (r->bits == 16)
        output_text(out, ", random weights in bf16\n");
    else if (r->bits)
        output_format(out, ", random weights in %d bits, groups of %d\n", r->bits, r->group_size);
    else
        output_text(out, "\n");
    if (b->machine.isa)
        print_machine(out, &b->machine);
    if (b->load_seconds > 0)
        output_format(out, "load     %.3f s, %.1f MB of weights\n", b->load_seconds, (double)b->weight_bytes * 1e-6);
    const int64_t first_tokens = bench_first_tokens(r->plan);
    if (b->first_token_seconds > 0)
        output_format(out, "first    token after %.3f s, loading and a prompt of %lld token%s\n",
                      b->first_token_seconds, (long long)first_tokens, first_tokens == 1 ? "" : "s");
}

void bench_report_print(output *out, const bench_report *r)
{
    print_head(out, r);
    for (size_t i = 0; i < r->plan->num_depths; i++) {
        const bench_depth *d = &r->results->depths[i];
        const measured prefill = prefill_of(r, d), decode = decode_of(r, d);
        print_measured(out, &prefill, d->depth);
        print_measured(out, &decode, d->depth);
        print_together(out, r, d);
    }
    if (r->results->peak_rss_bytes)
        output_format(out, "memory   %.1f MB at most\n", (double)r->results->peak_rss_bytes * 1e-6);
    for (size_t i = 0; i < r->plan->num_depths; i++) {
        const bench_depth *d = &r->results->depths[i];
        const measured prefill = prefill_of(r, d), decode = decode_of(r, d), together = together_of(r, d);
        print_ops(out, &prefill, d->depth);
        print_ops(out, &decode, d->depth);
        print_ops(out, &together, d->depth);
    }
}
