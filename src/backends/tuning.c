#include "tuning.h"

#include <string.h>

const ffai__tunable ffai__tunables[FFAI__NUM_TUNABLES] = {
#define TUNABLE(backend, name, usual, least, most) {#backend, #name, usual, least, most, offsetof(ffai__tuning, name)},
#include "tuning.def"
#undef TUNABLE
};

const ffai__tuning ffai__tuning_usual = {
#define TUNABLE(backend, name, usual, least, most) usual,
#include "tuning.def"
#undef TUNABLE
};

bool ffai__tunable_is_of(size_t i, const char *backend)
{
    return strcmp(ffai__tunables[i].backend, backend) == 0;
}

int32_t ffai__tuning_get(const ffai__tuning *tuning, size_t i)
{
    int32_t value = 0;
    memcpy(&value, (const char *)tuning + ffai__tunables[i].offset, sizeof value);
    return value;
}

void ffai__tuning_set(ffai__tuning *tuning, size_t i, int32_t value)
{
    memcpy((char *)tuning + ffai__tunables[i].offset, &value, sizeof value);
}
