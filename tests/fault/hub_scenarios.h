/* Downloads from a hub that another process plays, and what lies in the cache after them. */
#ifndef FFAI_TESTS_FAULT_HUB_SCENARIOS_H
#define FFAI_TESTS_FAULT_HUB_SCENARIOS_H

#include <stdbool.h>

#include "scenarios.h"

bool hub_begin(ffai_error *err);        /* with an empty cache */
bool hub_begin_pulled(ffai_error *err); /* with the model in it */
void hub_end(void);

/* Download the model into what an earlier run left; the cache is empty again after one that succeeded. */
ffai_status hub_pull(digest *d, ffai_error *err);
ffai_status hub_find(digest *d, ffai_error *err);
ffai_status hub_list(digest *d, ffai_error *err);
/* Remove what is made up to be unneeded. */
ffai_status hub_prune(digest *d, ffai_error *err);
/* What is wrong in the cache; NULL: nothing. */
const char *hub_left(void);

#endif
