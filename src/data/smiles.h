/* smiles.h - molecules written as SMILES (Weininger 1988), cut into their signs. */
#ifndef KR_DATA_SMILES_H
#define KR_DATA_SMILES_H
#include <stdint.h>

/* Ids of signs are from .. from + KR_SMILES_SIGNS - 1. */
enum { KR_SMILES_SIGNS = 244 };

/* The ids of a text's signs, `from` on, what is no sign as `other`; at most one a letter, spaces are left out.
 * to NULL: counts only. */
int64_t kr_smiles_read(const char *text, unsigned char from, unsigned char other, unsigned char *to);
#endif
