/* Input: what a hub says of a repository, an index of weights, or, line by line, the head of a reply. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "listing.h"
#include "reply.h"
#include "repository.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_names(const ffai__names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        if (!ffai__hub_path_is_safe(names->each[i]))
            abort();
    }
}

static void read_documents(const char *text, size_t size)
{
    ffai_error err = FFAI_ERROR_INIT;
    ffai__listing listing = {.commit = ""};
    ffai__names names = {NULL, 0, 0};
    if (ffai__listing_parse(&listing, text, size, "listing", &err) == FFAI_OK) {
        check_names(&listing.files);
        (void)ffai__listing_choose(&names, &listing, "org/model", NULL, &err);
        ffai__names_free(&names);
        ffai__listing_free(&listing);
    }
    (void)ffai__listing_read_index(&names, text, size, "index", &err);
    check_names(&names);
    ffai__names_free(&names);
}

static void read_head(const char *text, size_t size)
{
    ffai__reply reply = {.location = NULL};
    ffai__reply_reset(&reply);
    while (size > 0) {
        const char *end = memchr(text, '\n', size);
        const size_t line = end ? (size_t)(end - text) + 1 : size;
        if (!ffai__reply_line(&reply, text, line))
            break;
        text += line;
        size -= line;
    }
    if (reply.length < -1 || reply.linked_size < -1 || reply.range_from < -1 || reply.range_size < -1)
        abort();
    ffai__reply_reset(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_documents((const char *)data, size);
    read_head((const char *)data, size);
    return 0;
}
