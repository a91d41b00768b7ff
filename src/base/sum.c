/* sum.c - each lane takes 8 of 32 bytes, so the compiler can have them side by side. */
#include "base/sum.h"

#include <string.h>

uint64_t kr_sum(const void *bytes, size_t n) {
    uint64_t lane[4] = {0x9E3779B97F4A7C15u, 0xD6E8FEB86659FD93u, 0xC2B2AE3D27D4EB4Fu, 0x165667B19E3779F9u}, word[4];
    const unsigned char *p = bytes;
    size_t left = n;
    for (; left >= 32; p += 32, left -= 32) {
        memcpy(word, p, 32);
        for (int i = 0; i < 4; i++) lane[i] = (lane[i] ^ word[i]) * 0xD6E8FEB86659FD93u, lane[i] ^= lane[i] >> 29;
    }
    memset(word, 0, sizeof word);
    if (left) memcpy(word, p, left);
    uint64_t h = n;
    for (int i = 0; i < 4; i++) h = (h ^ lane[i] ^ word[i] * 0x9E3779B97F4A7C15u) * 0xC2B2AE3D27D4EB4Fu, h ^= h >> 31;
    return h;
}

uint64_t kr_sum_on(uint64_t before, const void *bytes, size_t n) {
    uint64_t more = kr_sum(bytes, n);
    return kr_sum((uint64_t[]){before, more}, 16);
}
