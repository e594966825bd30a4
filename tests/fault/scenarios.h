/* What is done while calls fail. */
#ifndef FFAI_TESTS_FAULT_SCENARIOS_H
#define FFAI_TESTS_FAULT_SCENARIOS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <ffai/ffai.h>

/* A running hash (FNV-1a) over everything a scenario gives, to compare two runs by. */
typedef struct {
    uint64_t hash;
} digest;

static inline void add(digest *d, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        d->hash = (d->hash ^ ((const unsigned char *)bytes)[i]) * 0x100000001B3u;
}

static inline void add_text(digest *d, const char *text)
{
    add(d, text, strlen(text) + 1);
}

typedef struct scenario {
    const char *name;
    /* Once, without faults; false ends the test. Both may be NULL. */
    bool (*set_up)(ffai_error *err);
    void (*tear_down)(void);
    /* Gives back whatever it took, also where it fails. Called again and again. */
    ffai_status (*run)(digest *result, ffai_error *err);
    /* After a run that failed: what it left behind outside memory; NULL if all is well. May be NULL. */
    const char *(*left_behind)(void);
    /* What an error says where writing failed; NULL: nothing in particular. */
    const char *advice;
} scenario;

extern const scenario scenarios[];
extern const size_t num_scenarios;

#endif
