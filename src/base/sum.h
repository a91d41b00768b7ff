/* sum.h - a sum of bytes, against damage and not against malice: four lanes of 64 bits. */
#ifndef KR_BASE_SUM_H
#define KR_BASE_SUM_H
#include <stddef.h>
#include <stdint.h>

uint64_t kr_sum(const void *bytes, size_t n);
/* The sum of what `before` is the sum of, and these. */
uint64_t kr_sum_on(uint64_t before, const void *bytes, size_t n);
#endif
