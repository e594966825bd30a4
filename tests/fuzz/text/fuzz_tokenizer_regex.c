/* Any regex of a tokenizer.json: it is translated and compiled or refused, and what compiles matches within its
 * budget, in order, at character boundaries. */
#include <ffai/tokenizer.h>

#include <stdint.h>
#include <stdlib.h>

#include "pattern.h"
#include "utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition) ((condition) ? (void)0 : abort())

static void match_all(const ffai__pattern *pattern, const char *text, size_t size)
{
    ffai__matches matches;
    ffai__budget budget;
    ffai_error err = FFAI_ERROR_INIT;
    bool found = true;
    size_t end = 0;
    CHECK(ffai__matches_create(&matches, pattern, &err) == FFAI_OK);
    ffai__budget_start(&budget, size);
    ffai__matches_over(&matches, text, size, &budget);
    while (found && ffai__matches_next(&found, &matches, &err) == FFAI_OK && found) {
        CHECK(matches.start >= end && matches.end >= matches.start && matches.end <= size);
        CHECK(ffai__utf8_valid(text + matches.start, matches.end - matches.start));
        end = matches.end;
    }
    ffai__matches_free(&matches);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] =
        "the Cat's 1234\xC3\xA9 x\xCC\x81 \xE6\x97\xA5\xE6\x9C\xAC\r\n\n  aaaa-__b\xF0\x9F\x98\x80.,!";
    const char *regex = (const char *)data;
    ffai__pattern *pattern = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    if (size > 4096 || !ffai__utf8_valid(regex, size))
        return 0;
    if (ffai__pattern_compile(&pattern, regex, size, "fuzz", &err) != FFAI_OK) {
        CHECK(err.status == FFAI_E_FORMAT || err.status == FFAI_E_UNSUPPORTED || err.status == FFAI_E_LIMIT);
        return 0;
    }
    match_all(pattern, text, sizeof text - 1);
    ffai__pattern_free(pattern);
    return 0;
}
