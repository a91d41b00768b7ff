#!/usr/bin/env python3
"""torch_golden.py FILE - writes the checkpoint of torch_test.c with torch.save (PyTorch 2)."""
import sys

import torch

a = torch.arange(6, dtype=torch.float32).view(2, 3)
torch.save({"a.weight": a, "b": torch.tensor([1.5, -2.0, 3.0]).bfloat16(), "c": torch.arange(10).half()[4:7], "n": torch.tensor(-7), "tied": torch.nn.Parameter(a), "lr": 0.5, "list": [1, (2, 3)], "e": torch.zeros(0, 4)}, sys.argv[1])
