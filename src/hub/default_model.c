#include "default_model.h"

#include <stdlib.h>

#include "alloc.h"

static const char default_model[] = "ffai/models/SmolLM2-135M-Instruct.Q4_1.gguf";

ffai_status ffai__default_model_path(char **path, ffai_error *err)
{
    const char *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    char *text = NULL;
    if (cache && cache[0] == '/')
        text = ffai__format("%s/%s", cache, default_model);
    else if (home && home[0])
        text = ffai__format("%s/.cache/%s", home, default_model);
    else
        return ffai__fail(err, FFAI_E_NOT_FOUND,
                          "default model: neither XDG_CACHE_HOME nor HOME is set; give -m MODEL");
    if (!text)
        return ffai__fail_memory(err, "a path", 0);
    *path = text;
    return FFAI_OK;
}
