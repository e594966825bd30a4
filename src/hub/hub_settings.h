/* What the environment says about the hub, under the names that Hugging Face's tools use. */
#ifndef FFAI_HUB_HUB_SETTINGS_H
#define FFAI_HUB_HUB_SETTINGS_H

#include <stdbool.h>

#include "failure.h"

typedef struct ffai__hub_settings {
    char *endpoint; /* without a slash at its end */
    char *cache;    /* the folder of models--org--name */
    char *token;    /* NULL: none */
    char *ca_file;  /* certificates to trust instead of the system's; NULL: the system's */
    bool offline;
    int retries;    /* attempts in a row that bring nothing, beyond the first */
    int backoff_ms; /* before the second attempt; twice as long before each further one */
    int stall_s;    /* seconds without a byte until an attempt counts as failed */
} ffai__hub_settings;

/* Read them; free with ffai__hub_settings_free. FFAI_E_ARGUMENT names the variable that makes no sense. */
ffai_status ffai__hub_settings_read(ffai__hub_settings *out, ffai_error *err);
void ffai__hub_settings_free(ffai__hub_settings *settings);

#endif
