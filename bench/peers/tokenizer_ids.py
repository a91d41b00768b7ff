#!/usr/bin/env python3
"""tokenizer_ids.py - compares krait's token ids with those of the Python package `tokenizers`, byte for byte.

  pip install tokenizers==0.23.3
  tokenizer_ids.py KRAIT TOKENIZER.json [FILE...] [--random MB] [--styles]

Files are read as bytes and given to `tokenizers` through bytes.decode("utf-8", "replace").  --random adds
that many megabytes of made-up text: every script of Unicode, emoji, marks, invalid UTF-8, runs of spaces.
--styles compares under the pre-tokenisers of Llama 3, Qwen 2 and Falcon as well, and with stripping special tokens.
Exit code 1 if any id differs.
"""
import argparse
import array
import json
import os
import random
import subprocess
import tempfile
import time

from tokenizers import Tokenizer

LINES = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
WORDS = ["the", " the", "don't", "I'LL", "'S", "we've", "\u017fo'\u017f", "<|endoftext|>", "<|padding|>", " <|endoftext|> ", "a" * 70, "\r\n", "\n\n\n",
         "    ", "\t\t", " " * 30, "1234567", "3.14", "\u00e9", "e\u0301", "\u1100\u1161\u11a8", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u00a0", "\u3000", "\u2028", "x_y", "//", "--"]


def made_up(n_bytes, seed):
    r = random.Random(seed)
    blocks = [(0x20, 0x7F), (0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x530), (0x590, 0x800), (0x900, 0xE80), (0xE80, 0x1200), (0x1E00, 0x2200),
              (0x3000, 0x3130), (0x4E00, 0x9FFF), (0xAC00, 0xD7A4), (0xF900, 0xFB50), (0x1F300, 0x1FAFF), (0x10000, 0x1FFFF), (0x1, 0xD7FF), (0xE000, 0x10FFFF)]
    out, size = [], 0
    while size < n_bytes:
        kind = r.random()
        if kind < 0.35:
            piece = "".join(r.choices(WORDS, k=20)).encode()
        elif kind < 0.9:
            lo, hi = r.choice(blocks)
            piece = "".join(chr(r.randrange(lo, hi)) for _ in range(r.randrange(1, 60))).encode()
        elif kind < 0.97:
            piece = b" " * r.randrange(1, 80) + r.choice([b"\n", b"x", b"\t"])
        else:
            piece = r.randbytes(r.randrange(1, 40))
        out.append(piece)
        size += len(piece)
    return b"".join(out)


def compare(krait, path, oracle, name, data, work):
    file = os.path.join(work, "text")
    with open(file, "wb") as f:
        f.write(data)
    t = time.perf_counter()
    text = data.decode("utf-8", "replace")
    want = array.array("i", oracle.encode(text, add_special_tokens=False).ids)
    theirs = time.perf_counter() - t
    got = array.array("i")
    got.frombytes(subprocess.run([krait, "tokenize", path, file, "--raw"], stdout=subprocess.PIPE, check=True).stdout)
    line = subprocess.run([krait, "tokenize", path, file, "--count"], stdout=subprocess.PIPE, check=True, text=True).stdout
    same = got == want
    first = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
    print("%-40s %9d bytes %9d tokens  krait %6s MB/s  tokenizers %5.1f MB/s  %s" % (name[-40:], len(data), len(want), line.split()[-2], len(data) / theirs / 1e6,
          "same" if same else "DIFFERS at token %d: %s, want %s" % (first, list(got[first:first + 5]), list(want[first:first + 5]))), flush=True)
    return same


def styles(path, work):
    base = json.load(open(path))
    for name, pattern, ignore in (("llama3", LINES % "{1,3}", True), ("qwen2", LINES % "", False)):
        j = json.loads(json.dumps(base))
        j["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]}
        j["model"]["ignore_merges"] = ignore
        j["normalizer"] = {"type": "NFC"} if name == "qwen2" else None
        yield name, j
    j = json.loads(json.dumps(base))
    j["normalizer"] = None
    j["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "Punctuation", "behavior": "Contiguous"}, {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        {"type": "Digits", "individual_digits": False}, {"type": "Split", "pattern": {"Regex": "[0-9][0-9][0-9]"}, "behavior": "Isolated", "invert": False}]}
    yield "falcon", j
    j = json.loads(json.dumps(base))
    j["pre_tokenizer"]["add_prefix_space"] = True
    j["added_tokens"][0].update(lstrip=True, rstrip=True)
    j["added_tokens"][1].update(rstrip=True, normalized=True)
    yield "strips", j


def main():
    p = argparse.ArgumentParser()
    p.add_argument("krait")
    p.add_argument("tokenizer")
    p.add_argument("files", nargs="*")
    p.add_argument("--random", type=float, default=0)
    p.add_argument("--styles", action="store_true")
    a = p.parse_args()
    ok, total = True, 0
    with tempfile.TemporaryDirectory() as work:
        texts = [(f, open(f, "rb").read()) for f in a.files]
        texts += [("made up %d" % i, made_up(min(4e6, a.random * 1e6), i)) for i in range(int(-(-a.random // 4)))]
        jobs = [("", a.tokenizer)]
        for name, j in styles(a.tokenizer, work) if a.styles else ():
            file = os.path.join(work, name + ".json")
            json.dump(j, open(file, "w"))
            jobs.append((name + " ", file))
        for name, file in jobs:
            oracle = Tokenizer.from_file(file)
            for f, data in texts:
                ok &= compare(a.krait, file, oracle, name + f, data, work)
                total += len(data)
    print("%.1f MB, %s" % (total / 1e6, "every id the same" if ok else "DIFFERENCES"))
    raise SystemExit(not ok)


main()
