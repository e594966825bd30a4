/* How much memory this process may count on. */
#ifndef FFAI_BASE_MEMORY_INFO_H
#define FFAI_BASE_MEMORY_INFO_H

#include <stdint.h>

/* Bytes that can be had without swapping: the kernel's MemAvailable, or less where a control group limits the
 * process. UINT64_MAX where the system does not tell. */
uint64_t ffai__memory_available(void);

#endif
