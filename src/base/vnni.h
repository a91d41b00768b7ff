/* vnni.h - may dot products of bytes take VNNI, where the machine has it? */
#ifndef KR_BASE_VNNI_H
#define KR_BASE_VNNI_H
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Not if KRAIT_ISA names avx2 or avx512: these are those alone; avx2vnni and avx512vnni are with it.  Asked once. */
bool kr_cpu_allows_vnni(void);

#ifdef __cplusplus
}
#endif
#endif
