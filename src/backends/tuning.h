/* The values of the free parameters of tuning.def. */
#ifndef FFAI_BACKENDS_TUNING_H
#define FFAI_BACKENDS_TUNING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ffai__tuning {
#define TUNABLE(backend, name, usual, least, most) int32_t name;
#include "tuning.def"
#undef TUNABLE
} ffai__tuning;

typedef enum ffai__tunable_index {
#define TUNABLE(backend, name, usual, least, most) FFAI__TUNABLE_##name,
#include "tuning.def"
#undef TUNABLE
    FFAI__NUM_TUNABLES
} ffai__tunable_index;

typedef struct ffai__tunable {
    const char *backend; /* whose it is */
    const char *name;
    int32_t usual, least, most;
    size_t offset; /* in ffai__tuning */
} ffai__tunable;

extern const ffai__tunable ffai__tunables[FFAI__NUM_TUNABLES];
extern const ffai__tuning ffai__tuning_usual;

/* Whether parameter i is the backend's of this name. */
bool ffai__tunable_is_of(size_t i, const char *backend);
int32_t ffai__tuning_get(const ffai__tuning *tuning, size_t i);
void ffai__tuning_set(ffai__tuning *tuning, size_t i, int32_t value);

#endif
