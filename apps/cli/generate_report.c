#include "generate_report.h"

#include <stdio.h>

#include "json_output.h"

/* Per second; 0 where nothing was timed. */
static double rate(size_t tokens, double seconds)
{
    return seconds > 0 ? (double)tokens / seconds : 0;
}

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

/* What a generation that never began would have given. */
static ffai_generation result_of(const generate_report *report)
{
    static char no_text[] = "";
    const ffai_generation none = {.text = no_text, .finish_reason = FFAI_FINISH_CANCELLED};
    return report->result ? *report->result : none;
}

/* Steps of decoding: the first token comes out of the prompt's last step, the end token is not counted. */
static size_t decode_steps(const ffai_generation *g)
{
    return g->num_tokens > 0 && g->finish_reason != FFAI_FINISH_STOP ? g->num_tokens - 1 : g->num_tokens;
}

static json_t *json_of_timings(const generate_report *report, const ffai_generation *g)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "load_s", json_of_measure(timeline_load_seconds(&report->times)),
                     "prefill_s", json_of_measure(g->prefill_seconds), "decode_s", json_of_measure(g->decode_seconds),
                     "prefill_tok_s", json_of_measure(rate(g->prompt_tokens, g->prefill_seconds)), "decode_tok_s",
                     json_of_measure(rate(decode_steps(g), g->decode_seconds)), "stages",
                     json_of_timeline(&report->times));
}

void generate_report_note_backend(generate_report *report, const ffai_model *model)
{
    ffai_model_info info;
    if (!model)
        return;
    ffai_model_get_info(&info, model);
    snprintf(report->backend, sizeof report->backend, "%s", info.backend);
}

ffai_status generate_report_json(output *out, const generate_report *report, ffai_error *err)
{
    const ffai_generation g = result_of(report);
    json_t *object = json_pack(
        "{s:o, s:o, s:o, s:s, s:o, s:s?, s:I}", "prompt_tokens", json_of_ids(report->prompt, report->prompt_tokens),
        "tokens", json_of_ids(g.tokens, g.num_tokens), "text", json_stringn(g.text, g.text_size), "finish_reason",
        ffai_finish_reason_name(g.finish_reason), "timings", json_of_timings(report, &g), "backend",
        report->backend[0] ? report->backend : NULL, "seed", (json_int_t)report->seed);
    return json_print(out, object, err);
}

static void print_model(const ffai_session *session)
{
    ffai_model_info info;
    uint64_t weights = 0, stores = 0, workspace = 0;
    ffai_model_get_info(&info, ffai_session_model(session));
    ffai_session_memory(&weights, &stores, &workspace, session);
    fprintf(stderr, "model       %s: %s, %lld layers, %.1f MB of weights\n", info.path, info.family,
            (long long)info.num_layers, (double)info.weight_bytes / 1e6);
    fprintf(stderr, "backend     %s\n            %s\n", info.kernels, info.backend_reason);
    fprintf(stderr, "tuning      %s\n", info.tuning);
    fprintf(stderr, "memory      weights %.1f MB, keys and values %.1f MB for %lld tokens, workspace %.1f MB\n",
            (double)weights / 1e6, (double)stores / 1e6, (long long)ffai_session_context(session),
            (double)workspace / 1e6);
}

static void print_parameters(const ffai_parameters *p)
{
    const char *label = "parameters";
#define PRINT_PARAMETER(name, least, most)                                                                             \
    fprintf(stderr, "%-10s  %s %g (%s)\n", label, #name, p->name.value, ffai_source_name(p->name.source));             \
    label = "";
    FFAI_PARAMETER_LIST(PRINT_PARAMETER)
#undef PRINT_PARAMETER
}

void generate_report_model(const generate_report *report, const ffai_session *session)
{
    print_model(session);
    print_parameters(&report->parameters);
}

void generate_report_stats(const generate_report *report)
{
    const ffai_generation g = result_of(report);
    fprintf(stderr, "seed        %llu\n", (unsigned long long)report->seed);
    fprintf(stderr, "load        %.3f s\n", timeline_load_seconds(&report->times));
    fprintf(stderr, "prefill     %zu token%s in %.3f s, %.1f tok/s\n", g.prompt_tokens, plural(g.prompt_tokens),
            g.prefill_seconds, rate(g.prompt_tokens, g.prefill_seconds));
    fprintf(stderr, "decode      %zu token%s in %.3f s, %.1f tok/s\n", decode_steps(&g), plural(decode_steps(&g)),
            g.decode_seconds, rate(decode_steps(&g), g.decode_seconds));
    fprintf(stderr, "finished    %zu token%s, %s\n", g.num_tokens, plural(g.num_tokens),
            ffai_finish_reason_name(g.finish_reason));
    timeline_print(&report->times);
}
