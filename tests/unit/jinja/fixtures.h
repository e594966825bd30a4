/* What the tests of templates share. */
#ifndef FFAI_TESTS_JINJA_FIXTURES_H
#define FFAI_TESTS_JINJA_FIXTURES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc.h"
#include "buffer.h"
#include "file_map.h"
#include "jinja.h"
#include "json.h"

#define DATA FFAI_SOURCE_DIR "/tests/data/templates/"

static inline json_t *parse_json(const char *text)
{
    json_t *document = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__json_parse_as_written(&document, text, strlen(text), "case", &err) != FFAI_OK)
        fail_msg("%s", err.message);
    return document;
}

static inline json_t *read_json(const char *path)
{
    char *bytes = NULL;
    size_t size = 0;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__file_read(&bytes, &size, path, (size_t)16 << 20, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    json_t *document = NULL;
    if (ffai__json_parse_as_written(&document, bytes, size, path, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    ffai__free(bytes);
    return document;
}

/* The clock stands at 2026-11-23. */
static inline ffai__jinja_input input_of(const json_t *own, const json_t *data)
{
    return (ffai__jinja_input){.own = own, .data = data, .now = {.tm_year = 126, .tm_mon = 10, .tm_mday = 23}};
}

/* The text, freed with ffai__free; NULL: err says why not. */
static inline char *render(const char *source, const ffai__jinja_input *input, ffai_error *err)
{
    ffai__jinja_template *parsed = NULL;
    ffai__jinja_output output = {.text = NULL};
    char *text = NULL;
    if (ffai__jinja_parse(&parsed, source, strlen(source), "template", err) == FFAI_OK &&
        ffai__jinja_render(&output, parsed, input, err) == FFAI_OK) {
        text = output.text;
        output.text = NULL;
    }
    ffai__jinja_output_free(&output);
    ffai__jinja_free(parsed);
    return text;
}

#endif
