/* Memory. Every allocation of the library goes through these, so that tests can make each one fail. */
#ifndef FFAI_BASE_ALLOC_H
#define FFAI_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each returns NULL on overflow of count * size as well as when memory is short. A size of 0 gives a valid,
 * unique pointer. */
void *ffai__malloc(size_t bytes);
void *ffai__calloc(size_t count, size_t size);
void *ffai__array(size_t count, size_t size); /* not zeroed */
void *ffai__realloc(void *old, size_t count, size_t size);
void ffai__free(void *pointer);

char *ffai__strdup(const char *text);
char *ffai__strndup(const char *text, size_t length); /* copies exactly length bytes and ends them with 0 */
/* A new string like printf's; NULL when memory is short. */
char *ffai__format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* 64-byte aligned, for kernels; size is rounded up to a multiple of 64. Free with ffai__free_aligned. */
void *ffai__malloc_aligned(size_t bytes);
void ffai__free_aligned(void *pointer);

/* Checked arithmetic: true when the result fits. */
static inline bool ffai__add(uint64_t *sum, uint64_t a, uint64_t b)
{
    return !__builtin_add_overflow(a, b, sum);
}
static inline bool ffai__mul(uint64_t *product, uint64_t a, uint64_t b)
{
    return !__builtin_mul_overflow(a, b, product);
}

#endif
