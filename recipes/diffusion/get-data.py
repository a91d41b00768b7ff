#!/usr/bin/env python3
"""scikit-learn's 1797 digits of 8 x 8 in IDX files: get-data.py digits.csv.gz FOLDER

digits.csv.gz is sklearn/datasets/data/digits.csv.gz of scikit-learn (Debian: python3-sklearn): 64 numbers from 0 to
16 and a label a line.  The first 1500 are to train on, the others to test."""
import gzip
import struct
import sys
from pathlib import Path

rows = [[int(float(x)) for x in line.split(",")] for line in gzip.open(sys.argv[1], "rt") if line.strip()]
to = Path(sys.argv[2])
to.mkdir(parents=True, exist_ok=True)
for name, part in (("train", rows[:1500]), ("test", rows[1500:])):
    pixels = b"".join(bytes(min(x * 16, 255) for x in r[:64]) for r in part)
    (to / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, len(part), 8, 8) + pixels)
    (to / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, len(part)) + bytes(r[64] for r in part))
