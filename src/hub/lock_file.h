/* A lock that Hugging Face's tools know too: flock on .locks/models--org--name/DIGEST.lock. */
#ifndef FFAI_HUB_LOCK_FILE_H
#define FFAI_HUB_LOCK_FILE_H

#include <stdbool.h>

#include "failure.h"

/* Try to take it; *descriptor is -1 where another has it. Give it back with ffai__lock_file_close. */
ffai_status ffai__lock_file_try(int *descriptor, const char *path, ffai_error *err);
void ffai__lock_file_close(int descriptor);

#endif
