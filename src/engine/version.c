#include <ffai/status.h>

const char *ffai_version(void)
{
    return FFAI_VERSION;
}
