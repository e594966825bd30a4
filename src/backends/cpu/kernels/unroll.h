/* UNROLL(n): unroll the loop that follows, so that its arrays become registers. */
#ifndef FFAI_CPU_UNROLL_H
#define FFAI_CPU_UNROLL_H

#include "sanitized.h"

#define FFAI__PRAGMA(text) _Pragma(#text)
#if defined(FFAI_SANITIZED)
#define UNROLL(n)
#elif defined(__clang__)
#define UNROLL(n) FFAI__PRAGMA(clang loop unroll(full))
#else
#define UNROLL(n) FFAI__PRAGMA(GCC unroll n)
#endif

#endif
