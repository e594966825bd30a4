/* Hashing for tables in memory: fast, and seeded so that hostile keys cannot be prepared for it. The numbers differ
 * from one build to another: who stores them stores the seed, and a number to tell by. */
#ifndef FFAI_BASE_HASH_H
#define FFAI_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

__extension__ typedef unsigned __int128 ffai__uint128;

/* Multiply-fold of two words (the idea of wyhash). */
static inline uint64_t ffai__hash_fold(uint64_t a, uint64_t b)
{
    const ffai__uint128 product = (ffai__uint128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Up to 7 bytes as a word, different for different bytes of the same length. */
static inline uint64_t ffai__hash_tail(const char *bytes, size_t size)
{
    const unsigned char *p = (const unsigned char *)bytes;
    if (size >= 4) {
        uint32_t first = 0;
        uint32_t last = 0;
        memcpy(&first, p, 4);
        memcpy(&last, p + size - 4, 4);
        return (uint64_t)first << 32 | last;
    }
    return size ? (uint64_t)p[0] << 16 | (uint64_t)p[size / 2] << 8 | p[size - 1] : 0;
}

static inline uint64_t ffai__hash_bytes(const char *bytes, size_t size, uint64_t seed)
{
    uint64_t hash = seed ^ 0x9E3779B97F4A7C15u;
    size_t left = size;
    for (; left >= 8; left -= 8, bytes += 8) {
        uint64_t word = 0;
        memcpy(&word, bytes, 8);
        hash = ffai__hash_fold(hash ^ word, 0xD6E8FEB86659FD93u);
    }
    hash = ffai__hash_fold(hash ^ ffai__hash_tail(bytes, left), 0xA0761D6478BD642Fu);
    return ffai__hash_fold(hash ^ size, 0xE7037ED1A0B428DBu);
}

#endif
