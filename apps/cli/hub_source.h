/* Where a model lies that -m names, and the progress of bringing it there. */
#ifndef FFAI_CLI_HUB_SOURCE_H
#define FFAI_CLI_HUB_SOURCE_H

#include <ffai/hub.h>

#include "options.h"

/* The path of a model: as it stands, or that in the cache, downloaded where it is not there. *path is freed with
 * ffai_free; NULL for a name of NULL, the default model. */
ffai_status hub_source_find(char **path, finding *took, const char *name, ffai_error *err);
/* The same, always asking the hub. connections 0: as many as usual. */
ffai_status hub_source_pull(char **path, const char *name, int connections, ffai_error *err);

#endif
