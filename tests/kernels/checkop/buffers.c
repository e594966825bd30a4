/* Operands between guard pages. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "state.h"

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* Where the data goes among its pages: at their end, at their start, or somewhat behind it. */
static size_t offset_of(checkop *c, size_t room, size_t bytes, size_t alignment)
{
    const size_t last = (room - bytes) / alignment * alignment;
    const int where = checkop_pick(c, 0, 3);
    if (where < 2)
        return last;
    const size_t odd = where == 3 && alignment <= sizeof(float) ? (size_t)checkop_pick(c, 1, 15) * alignment : 0;
    return odd < last ? odd : last;
}

static checkop_buffer *add_buffer(checkop *c, size_t bytes, size_t alignment)
{
    if (c->num_buffers == CHECKOP_MOST_BUFFERS)
        abort();
    checkop_buffer *b = &c->buffers[c->num_buffers++];
    const size_t page = page_bytes();
    b->room = (bytes + page - 1) / page * page + (bytes ? 0 : page);
    b->bytes = bytes;
    b->pages = mmap(NULL, b->room + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b->pages == MAP_FAILED || mprotect(b->pages + page, b->room, PROT_READ | PROT_WRITE) != 0) {
        perror("checkop: mmap");
        exit(1);
    }
    b->data = b->pages + page + offset_of(c, b->room, bytes, alignment);
    memset(b->pages + page, CHECKOP_CANARY, b->room);
    return b;
}

void *checkop_input(checkop *c, size_t bytes, size_t alignment)
{
    checkop_buffer *b = add_buffer(c, bytes, alignment);
    b->input = true;
    return b->data;
}

void *checkop_output(checkop *c, size_t bytes, size_t alignment)
{
    return add_buffer(c, bytes, alignment)->data;
}

float *checkop_floats_in(checkop *c, int64_t count)
{
    return checkop_input(c, (size_t)count * sizeof(float), sizeof(float));
}

float *checkop_floats_out(checkop *c, int64_t count)
{
    return checkop_output(c, (size_t)count * sizeof(float), sizeof(float));
}

void checkop_seal(checkop *c)
{
    for (int i = 0; i < c->num_buffers; i++) {
        checkop_buffer *b = &c->buffers[i];
        if (b->input && !b->sealed && mprotect(b->pages + page_bytes(), b->room, PROT_READ) != 0)
            abort();
        b->sealed = b->input;
    }
}

/* Bytes of [from, to) that are no canary any more: the first's distance from the data, or 0. */
static ptrdiff_t changed(const checkop_buffer *b, const uint8_t *from, const uint8_t *to)
{
    for (; from < to; from++) {
        if (*from != CHECKOP_CANARY)
            return from - b->data;
    }
    return 0;
}

static void close_buffer(checkop *c, checkop_buffer *b, int number)
{
    const size_t page = page_bytes();
    const uint8_t *const start = b->pages + page;
    ptrdiff_t at = changed(b, start, b->data);
    if (!at)
        at = changed(b, b->data + b->bytes, start + b->room);
    if (at)
        checkop_fail(c, "buffer %d of %zu bytes: byte %td, outside of it, was written", number, b->bytes, at);
    munmap(b->pages, b->room + 2 * page);
    *b = (checkop_buffer){0};
}

void checkop_end(checkop *c)
{
    for (int i = 0; i < c->num_buffers; i++)
        close_buffer(c, &c->buffers[i], i);
    c->num_buffers = 0;
}
