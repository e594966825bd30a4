/* A splitter made by hand finds in any text what PCRE2 finds with the same regex, which a group hides from it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "buffer.h"
#include "pattern.h"
#include "utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition) ((condition) ? (void)0 : abort())

enum { REGEXES_MAX = 16 };

static ffai__pattern *compile(const char *regex)
{
    ffai__pattern *pattern = NULL;
    char *grouped = ffai__format("(?:%s)", regex);
    CHECK(grouped && ffai__pattern_compile(&pattern, grouped, strlen(grouped), "fuzz", NULL) == FFAI_OK);
    CHECK(!ffai__pattern_splitter(pattern));
    ffai__free(grouped);
    return pattern;
}

static void compare(const ffai__pattern *pattern, ffai__splitter *split, const char *text, size_t size)
{
    ffai__budget budget;
    ffai__matches matches;
    bool found = false;
    ffai__budget_start(&budget, size);
    CHECK(ffai__matches_create(&matches, pattern, NULL) == FFAI_OK);
    ffai__matches_over(&matches, text, size, &budget);
    for (size_t at = 0; at < size; at = matches.end) {
        CHECK(ffai__matches_next(&found, &matches, NULL) == FFAI_OK && found);
        CHECK(matches.start == at && split(text, size, at) == matches.end);
    }
    ffai__matches_free(&matches);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static ffai__pattern *patterns[REGEXES_MAX];
    if (size < 2)
        return 0;
    size_t count = 0;
    while (ffai__splitter_regex(count))
        count++;
    CHECK(count > 0 && count <= REGEXES_MAX);
    const size_t i = data[0] % count;
    const char *regex = ffai__splitter_regex(i);
    if (!patterns[i])
        patterns[i] = compile(regex);
    ffai__buffer text = FFAI__BUFFER_INIT;
    ffai__utf8_append_repaired(&text, (const char *)data + 1, size - 1);
    compare(patterns[i], ffai__splitter_find(regex, strlen(regex)), text.data, text.size);
    ffai__buffer_free(&text);
    return 0;
}
