/* FFAI_SANITIZED: under a sanitizer loops are not unrolled, because each copy of a load would carry its checks and
 * compiling would take minutes. */
#ifndef FFAI_CPU_SANITIZED_H
#define FFAI_CPU_SANITIZED_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FFAI_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define FFAI_SANITIZED 1
#endif
#endif

#endif
