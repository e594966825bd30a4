/* Where models lie when no path is given. */
#ifndef FFAI_HUB_DEFAULT_MODEL_H
#define FFAI_HUB_DEFAULT_MODEL_H

#include "failure.h"

/* The default model's file: $XDG_CACHE_HOME (or ~/.cache) /ffai/models/…; free with ffai_free. */
ffai_status ffai__default_model_path(char **path, ffai_error *err);

#endif
