/* smiles.c - one sign at a time: which letters belong together depends on whether they stand in brackets.
 *
 *   Cl  Br            an element, outside brackets the only ones of two letters: Sc is S and c, Cn is C and n
 *   [Sc]  [se]        in brackets any element, the aromatic ones in small letters
 *   @  @@             which way round an atom's neighbours stand
 *   %12               a ring bond of two digits
 *
 * Digits (of isotopes, hydrogens, charges, rings) are signs by themselves. */
#include "data/smiles.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

static const char elements[] = "H HeLiBeB C N O F NeNaMgAlSiP S ClArK CaScTiV CrMnFeCoNiCuZnGaGeAsSeBrKrRbSrY ZrNbMoTcRuRhPdAgCdInSnSbTeI XeCsBaLaCePrNdPmSmEuGdTbDyHo"
                               "ErTmYbLuHfTaW ReOsIrPtAuHgTlPbBiPoAtRnFrRaAcThPaU NpPuAmCmBkCfEsFmMdNoLrRfDbSgBhHsMtDsRgCnNhFlMcLvTsOg";
static const char aromatic[] = "b c n o p s seaste", symbols[] = "()[].-=#$:/\\+*~@";
enum { ELEMENTS = 118, AROMATIC = 9, SYMBOLS = sizeof symbols - 1, DIGITS = 10, RINGS = 100 - 10 };
enum { AROMATIC_AT = ELEMENTS, SYMBOLS_AT = AROMATIC_AT + AROMATIC, TWICE_AT = SYMBOLS_AT + SYMBOLS, DIGITS_AT = TWICE_AT + 1, RINGS_AT = DIGITS_AT + DIGITS, SIGNS = RINGS_AT + RINGS };
_Static_assert((int)SIGNS == (int)KR_SMILES_SIGNS && sizeof elements - 1 == 2 * ELEMENTS && sizeof aromatic - 1 == 2 * AROMATIC, "the signs do not fit their ids");

/* Where in a list of pairs of letters; a space pads one letter; -1: nowhere. */
static int find_pair(const char *list, char a, char b) {
    for (int i = 0; list[2 * i]; i++)
        if (list[2 * i] == a && list[2 * i + 1] == b) return i;
    return -1;
}

static int find_atom(const char *list, const char *p, bool pairs, int *n) {
    int i = pairs && islower((unsigned char)p[1]) ? find_pair(list, p[0], p[1]) : -1;
    *n = i >= 0 ? 2 : 1;
    return i >= 0 ? i : find_pair(list, p[0], ' ');
}

/* The sign at p and the letters it takes; -1: none. */
static int sign_at(const char *p, bool bracket, int *n) {
    const char *symbol = strchr(symbols, *p);
    *n = 1;
    if (*p == '@' && p[1] == '@') return *n = 2, TWICE_AT;
    if (symbol) return SYMBOLS_AT + (int)(symbol - symbols);
    if (isdigit((unsigned char)*p)) return DIGITS_AT + *p - '0';
    if (*p == '%' && p[1] >= '1' && p[1] <= '9' && isdigit((unsigned char)p[2])) return *n = 3, RINGS_AT + 10 * (p[1] - '0') + p[2] - '0' - 10;
    bool halogen = (p[0] == 'C' && p[1] == 'l') || (p[0] == 'B' && p[1] == 'r');
    if (isupper((unsigned char)*p)) return find_atom(elements, p, bracket || halogen, n);
    int i = find_atom(aromatic, p, bracket, n);
    return i < 0 ? i : AROMATIC_AT + i;
}

int64_t kr_smiles_read(const char *text, unsigned char from, unsigned char other, unsigned char *to) {
    int64_t k = 0;
    bool bracket = false;
    for (int n; *text; text += n) {
        n = 1;
        if (isspace((unsigned char)*text)) continue;
        bracket = *text == '[' || (bracket && *text != ']');
        int sign = sign_at(text, bracket, &n);
        if (to) to[k] = sign < 0 ? other : (unsigned char)(from + sign);
        k++;
    }
    return k;
}
