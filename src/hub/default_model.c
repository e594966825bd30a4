#include "default_model.h"

#include "cache_folder.h"

ffai_status ffai__default_model_path(char **path, ffai_error *err)
{
    const ffai_status status = ffai__cache_path(path, "ffai/models/SmolLM2-135M-Instruct.Q4_1.gguf", err);
    if (status != FFAI_E_NOT_FOUND)
        return status;
    return ffai__fail(err, status, "default model: neither XDG_CACHE_HOME nor HOME is set; give -m MODEL");
}
