#!/usr/bin/env python3
"""mamba2_groups_golden.py FOLDER - a tiny Mamba-2 of three groups as transformers (5.23 or later) saves it, with what it
computes from it: tests/data/mamba2_groups.  Earlier versions normalised all groups together."""
import os
import sys

import torch
from safetensors.torch import save_file
from transformers import Mamba2Config, Mamba2ForCausalLM

torch.manual_seed(1)
folder = sys.argv[1]
config = Mamba2Config(vocab_size=40, hidden_size=24, num_hidden_layers=2, state_size=8, head_dim=8, num_heads=6, n_groups=3,
                      chunk_size=16, time_step_rank=2, initializer_range=0.3)
m = Mamba2ForCausalLM(config).eval()
with torch.no_grad():
    for name, p in m.named_parameters():
        if "norm" in name or name.endswith("bias") or name.endswith(".D"):
            p.add_(0.2 * torch.randn_like(p))
m.save_pretrained(folder)
ids = torch.randint(0, 40, (2, 53))
logits = m(input_ids=ids, use_cache=False).logits
loss = torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, 40), ids[:, 1:].reshape(-1))
loss.backward()
text = ids[:1, :20].clone()
with torch.no_grad():
    for _ in range(24):
        text = torch.cat([text, m(input_ids=text, use_cache=False).logits[:, -1:].argmax(-1)], 1)
save_file({"input_ids": ids.int(), "logits": logits.detach(), "loss": loss.detach().reshape(1), "greedy_prompt": text[:, :20].int().contiguous(),
           "greedy_continuation": text[0, 20:].int().contiguous()}, folder + "/expected.safetensors")
save_file({n: p.grad for n, p in m.named_parameters()}, folder + "/expected_grads.safetensors")
os.remove(folder + "/generation_config.json")
