/* Bringing a model into the cache, with settings that need not be the environment's. */
#ifndef FFAI_HUB_PULL_H
#define FFAI_HUB_PULL_H

#include <ffai/hub.h>

#include "hub_settings.h"
#include "repository.h"

/* ffai_hub_pull. */
ffai_status ffai__pull(char **path, const ffai__hub_settings *settings, const ffai__repository *repository,
                       const ffai_hub_options *options, ffai_error *err);
/* From the cache alone: FFAI_E_NOT_FOUND says what is missing there. */
ffai_status ffai__pull_offline(char **path, const ffai__hub_settings *settings, const ffai__repository *repository,
                               ffai_error *err);

#endif
