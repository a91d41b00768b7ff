#!/usr/bin/env python3
"""unicode-tables.py - writes src/text/unicode_classes.h, unicode_nfc.h and unicode_punctuation.h.

Needs perl and the packages unicodedata2 (16.0.0) and tokenizers.  The Hugging Face package `tokenizers` 0.23 knows the
letters, numbers and marks of Unicode 16, but normalises (NFC) as of Unicode 9; so do we, to give its ids.  What it
takes for punctuation is of no one version, so it is asked.
"""
import subprocess
import unicodedata2 as u
from tokenizers import pre_tokenizers

assert u.unidata_version == "16.0.0"
ALL = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
OLD = set(map(int, subprocess.run(["perl", "-e", r'for (0..0x10ffff) { next if $_ >= 0xd800 && $_ < 0xe000; print "$_\n" if chr($_) =~ /\p{In=9.0}/ }'],
                                  capture_output=True, text=True, check=True).stdout.split()))
SPACES = set(list(range(9, 14)) + [0x20, 0x85, 0xA0, 0x1680] + list(range(0x2000, 0x200B)) + [0x2028, 0x2029, 0x202F, 0x205F, 0x3000])
CLASS = {"Ll": 1, "Lu": 2, "Lt": 2, "Lm": 3, "Lo": 3, "Nd": 4, "Nl": 4, "No": 4, "Mn": 5, "Mc": 5, "Me": 5}

ccc = {c: u.combining(chr(c)) for c in ALL if c in OLD and u.combining(chr(c))}
one = {}
for c in ALL:
    d = u.decomposition(chr(c))
    if c in OLD and d and d[0] != "<":
        one[c] = [int(x, 16) for x in d.split()]
pairs = sorted((tuple(d), c) for c, d in one.items() if len(d) == 2 and u.normalize("NFC", chr(c)) == chr(c))
seconds = {p[0][1] for p in pairs} | set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
moves = set(ccc) | seconds | {c for c in one if u.normalize("NFC", chr(c)) != chr(c)}

blocks, index = [], []
for b in range(0, 0x110000, 128):
    text = "".join("%x" % ((6 if c in SPACES else CLASS.get(u.category(chr(c)), 0) if not 0xD800 <= c < 0xE000 else 0) | (8 if c in moves else 0))
                   for c in range(b, b + 128))
    if text not in blocks:
        blocks.append(text)
    index.append(blocks.index(text))
assert len(blocks) < 65536
runs = []
for c in sorted(ccc):
    if runs and runs[-1][1] == c - 1 and runs[-1][2] == ccc[c]:
        runs[-1][1] = c
    else:
        runs.append([c, c, ccc[c]])


def rows(items, width=118):
    line = "   "
    for x in items:
        if len(line) + len(x) + 2 > width:
            yield line
            line = "   "
        line += " " + x + ","
    yield line


with open("src/text/unicode_classes.h", "w") as f:
    f.write("/* unicode_classes.h - made by scripts/unicode-tables.py: classes of Unicode 16. */\n")
    f.write("#ifndef KR_TEXT_UNICODE_CLASSES_H\n#define KR_TEXT_UNICODE_CLASSES_H\n#include <stdint.h>\n\n")
    f.write("/* A hexadecimal digit for each character of a block of 128: its class, and 8 if NFC may move or change it. */\n")
    f.write("static const char class_block[][129] = {\n" + "".join('    "%s",\n' % b for b in blocks) + "};\n")
    f.write("static const uint16_t class_index[] = {\n" + "\n".join(rows(str(i) for i in index)) + "\n};\n#endif\n")

with open("src/text/unicode_nfc.h", "w") as f:
    f.write("/* unicode_nfc.h - made by scripts/unicode-tables.py: normalisation of Unicode 9. */\n")
    f.write("#ifndef KR_TEXT_UNICODE_NFC_H\n#define KR_TEXT_UNICODE_NFC_H\n#include <stdint.h>\n\n")
    f.write("/* Canonical combining classes that are not 0. */\n")
    f.write("static const struct { uint32_t first, last, ccc; } ccc_runs[] = {\n" + "\n".join(rows("{0x%x, 0x%x, %d}" % tuple(r) for r in runs)) + "\n};\n")
    f.write("/* Canonical decompositions, one step; second 0: a single character. */\n")
    f.write("static const struct { uint32_t from, first, second; } decompositions[] = {\n" +
            "\n".join(rows("{0x%x, 0x%x, 0x%x}" % (c, d[0], d[1] if len(d) > 1 else 0) for c, d in sorted(one.items()))) + "\n};\n")
    f.write("/* What composes: by first, then second. */\n")
    f.write("static const struct { uint32_t first, second, to; } compositions[] = {\n" + "\n".join(rows("{0x%x, 0x%x, 0x%x}" % (d[0], d[1], c) for d, c in pairs)) + "\n};\n#endif\n")

cut = pre_tokenizers.Punctuation("contiguous")
marks = []
for c in ALL:
    if len(cut.pre_tokenize_str("a" + chr(c) + "a")) < 3:
        continue
    if marks and marks[-1][1] == c - 1:
        marks[-1][1] = c
    else:
        marks.append([c, c])
with open("src/text/unicode_punctuation.h", "w") as f:
    f.write("/* unicode_punctuation.h - made by scripts/unicode-tables.py: what `tokenizers` takes for punctuation. */\n")
    f.write("#ifndef KR_TEXT_UNICODE_PUNCTUATION_H\n#define KR_TEXT_UNICODE_PUNCTUATION_H\n#include <stdint.h>\n\n")
    f.write("static const struct { uint32_t first, last; } punctuation[] = {\n" + "\n".join(rows("{0x%x, 0x%x}" % tuple(m) for m in marks)) + "\n};\n#endif\n")
