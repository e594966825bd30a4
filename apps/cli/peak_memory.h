/* The most memory that this process has had at once. */
#ifndef FFAI_CLI_PEAK_MEMORY_H
#define FFAI_CLI_PEAK_MEMORY_H

#include <stdint.h>

/* Count from what it has now; where the system cannot, from the beginning. */
void peak_memory_reset(void);
/* Resident bytes; 0 where the system does not tell. */
uint64_t peak_memory(void);

#endif
