#!/usr/bin/env python3
"""tokenizer_train.py KRAIT VOCAB_SIZE TEXT ... - the vocabulary that krait learns beside that of the package `tokenizers`.

Texts are UTF-8 without "<|endoftext|>", which krait takes for the special token and tokenizers for text.
"""
import json
import subprocess
import sys
import tempfile
import time

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

krait, size, *files = sys.argv[1:]
out = tempfile.mkdtemp() + "/tokenizer.json"
t0 = time.time()
subprocess.run([krait, "tokenizer", "train", *files, "--vocab_size", size, "-o", out, "-q"], check=True)
t1 = time.time()
t = Tokenizer(models.BPE())
t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
texts = [open(f, "rb").read().decode() for f in files]
t2 = time.time()
t.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=int(size), special_tokens=["<|endoftext|>"], min_frequency=2, show_progress=False,
                                                 initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
print(f"krait {t1 - t0:.2f} s, tokenizers {time.time() - t2:.2f} s")
mine, theirs = json.load(open(out))["model"], json.loads(t.to_str())["model"]
merges = [list(m) if isinstance(m, list) else m.split(" ") for m in theirs["merges"]]
print(f"{len(merges)} merges, the same: {[m.split(' ') for m in mine['merges']] == merges}, vocabulary the same: {mine['vocab'] == theirs['vocab']}")
ids = Tokenizer.from_file(out).encode(texts[0]).ids
got = subprocess.run([krait, "tokenize", out, files[0]], capture_output=True, check=True).stdout.split()
print(f"{files[0]}: {len(ids)} tokens in tokenizers, the same in krait: {ids == list(map(int, got))}")
