#include "jinja.h"

#include <string.h>

#include "alloc.h"
#include "render.h"
#include "texts.h"
#include "utf8.h"

enum { MOST_SOURCE = 16 << 20 };

static const uint64_t parse_bytes = UINT64_C(1) << 30;
static const uint64_t render_bytes = UINT64_C(256) << 20;
static const uint64_t render_steps = 20000000;

struct ffai__jinja_template {
    ffai__arena arena;
    char *what;
    jinja_nodes body;
};

/* --- parsing --- */

/* Everything that is left when it ends, well or not, is in j. */
static ffai_status parse(ffai__jinja *j, jinja_nodes *body, const char *source, size_t size)
{
    if (setjmp(j->escape))
        return j->status;
    *body = ffai__jinja_parse_source(j, source, size);
    return FFAI_OK;
}

static ffai_status check_source(const char *source, size_t size, const char *what, ffai_error *err)
{
    if (size > MOST_SOURCE)
        return ffai__fail(err, FFAI_E_LIMIT, "%s: %zu bytes of template; at most %d are read", what, size, MOST_SOURCE);
    if (!ffai__utf8_valid(source, size))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: the template is not UTF-8", what);
    return FFAI_OK;
}

ffai_status ffai__jinja_parse(ffai__jinja_template **out, const char *source, size_t size, const char *what,
                              ffai_error *err)
{
    ffai_error own;
    ffai__jinja j = {.arena = {.limit = parse_bytes}, .what = what, .most_steps = UINT64_MAX, .err = err ? err : &own};
    FFAI__TRY(check_source(source, size, what, err));
    ffai__jinja_template *parsed = ffai__calloc(1, sizeof *parsed);
    char *name = ffai__strdup(what);
    if (!parsed || !name) {
        ffai__free(parsed);
        ffai__free(name);
        return ffai__fail_memory(err, "a template", sizeof *parsed);
    }
    const ffai_status status = parse(&j, &parsed->body, source, size);
    parsed->arena = j.arena;
    parsed->what = name;
    if (status != FFAI_OK) {
        ffai__jinja_free(parsed);
        return status;
    }
    *out = parsed;
    return FFAI_OK;
}

void ffai__jinja_free(ffai__jinja_template *parsed)
{
    if (!parsed)
        return;
    ffai__arena_free(&parsed->arena);
    ffai__free(parsed->what);
    ffai__free(parsed);
}

/* --- rendering --- */

static void bind_all(ffai__jinja *j, const json_t *variables, bool from_data)
{
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)variables, name, value)
    {
        ffai__jinja_bind(j, j->frame, ffai__jinja_literal(j, name).string, ffai__jinja_from_json(j, value, from_data));
    }
}

static ffai_status render(ffai__jinja *j, jinja_text *text, const ffai__jinja_template *parsed,
                          const ffai__jinja_input *input)
{
    if (setjmp(j->escape))
        return j->status;
    *text = ffai__jinja_new_text(j);
    j->out = text;
    j->frame = ffai__jinja_alloc(j, 1, sizeof *j->frame);
    bind_all(j, input->own, false);
    bind_all(j, input->data, true);
    ffai__jinja_run(j, &parsed->body);
    return FFAI_OK;
}

static size_t count_spans(const jinja_text *text)
{
    size_t count = 0;
    for (size_t i = 0; i < text->size; i++)
        count += text->from_data[i] && (i == 0 || !text->from_data[i - 1]);
    return count;
}

static void fill_spans(ffai_text_span *spans, const jinja_text *text)
{
    size_t count = 0;
    for (size_t i = 0; i < text->size; i++) {
        if (!text->from_data[i])
            continue;
        if (i == 0 || !text->from_data[i - 1])
            spans[count++].begin = i;
        spans[count - 1].end = i + 1;
    }
}

static ffai_status hand_out(ffai__jinja_output *out, const jinja_text *text, ffai_error *err)
{
    const size_t count = count_spans(text);
    char *copy = ffai__strndup(text->size ? text->data : "", text->size);
    ffai_text_span *spans = ffai__calloc(count, sizeof *spans);
    if (!copy || !spans) {
        ffai__free(copy);
        ffai__free(spans);
        return ffai__fail_memory(err, "a rendered template", text->size);
    }
    fill_spans(spans, text);
    *out = (ffai__jinja_output){.text = copy, .size = text->size, .data = spans, .num_data = count};
    return FFAI_OK;
}

ffai_status ffai__jinja_render(ffai__jinja_output *out, const ffai__jinja_template *parsed,
                               const ffai__jinja_input *input, ffai_error *err)
{
    ffai_error own;
    const ffai__jinja_limits *limits = &input->limits;
    ffai__jinja j = {.what = parsed->what, .now = input->now, .err = err ? err : &own};
    j.arena.limit = limits->bytes ? limits->bytes : render_bytes;
    j.most_steps = limits->steps ? limits->steps : render_steps;
    jinja_text text = {.size = 0};
    ffai_status status = render(&j, &text, parsed, input);
    if (status == FFAI_OK)
        status = hand_out(out, &text, err);
    ffai__arena_free(&j.arena);
    return status;
}

void ffai__jinja_output_free(ffai__jinja_output *output)
{
    ffai__free(output->text);
    ffai__free(output->data);
    *output = (ffai__jinja_output){.text = NULL};
}
