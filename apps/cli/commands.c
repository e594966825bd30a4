#include <string.h>

#include "command.h"

#define X(name) extern const command command_##name;
#include "commands.def"
#undef X

static const command *const commands[] = {
#define X(name) &command_##name,
#include "commands.def"
#undef X
};

enum { NUM_COMMANDS = sizeof commands / sizeof *commands };

const command *command_at(size_t i)
{
    return i < NUM_COMMANDS ? commands[i] : NULL;
}

const command *command_find(const char *name)
{
    for (size_t i = 0; i < NUM_COMMANDS; i++) {
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    }
    return NULL;
}
