#!/usr/bin/env python3
"""tokenizer_golden.py DIR - makes tokenizer.json and tokenizer_golden.json with the package `tokenizers` 0.23.3."""
import json
import sys

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TEXT = ["The krait is a small snake with bands; it sleeps by day and hunts at night. ", "int main(void) { return 0; }\n", "don't we've I'll 1234567 3.14\r\n\r\n\t x",
        "Größe café naïve Ωμέγα привет 你好世界 こんにちは 한국어 \U0001f40d\U0001f469\u200d\U0001f467"] * 4
t = Tokenizer(models.BPE())
t.normalizer = normalizers.NFC()
t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
t.decoder = decoders.ByteLevel()
t.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=420, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
t.add_tokens([AddedToken("    ", normalized=True), AddedToken("  ", normalized=True), AddedToken("<mask>", lstrip=True, rstrip=True, normalized=False)])
t.save(sys.argv[1] + "/tokenizer.json", pretty=False)
cases = [b"", b" ", b"a", b"The krait sleeps.", b"x" * 100, b"ab" * 200, b"  two   three    four     five", b"a\n\n\n b \r\n\r\n c\t\td ", b"don't WE'VE we'll 's 'S", b"<|endoftext|>a<|endoftext|>",
         b"a <mask>  b<mask><mask> c", "e\u0301 a\u0323\u0307 a\u0307\u0323 \u1100\u1161\u11a8 \uac00\u11a8 \u212b \u0344 \u0958".encode(), "\u0301\u0301 start".encode(), ("a" + "\u0301\u0323" * 40).encode(),
         "Größe 你好 \U0001f40d \u00a0\u3000\u2028 \u0661\u0662 \u00bd \u2168".encode(), b"bad \xff\xc3 \xe4\xbd \xf0\x9f\x90 \xed\xa0\x80 \xc0\x80 end\xe4", b"12345 1 22 \xd9\xa3", b"end   ", b"\x00\x01\x7f", "\u200d\ufeff\u0000".encode()]
golden = [{"hex": c.hex(), "ids": (e := t.encode(c.decode("utf-8", "replace"))).ids, "text": t.decode(e.ids, skip_special_tokens=False).encode().hex()} for c in cases]
json.dump(golden, open(sys.argv[1] + "/tokenizer_golden.json", "w"), separators=(",", ":"))
