#!/usr/bin/env python3
"""vision_length.py - DeiT-Ti in PyTorch, as the peer of recipes/vision_length: time and peak memory by length.

    vision_length.py [--device cuda] [--seconds T] SIDE,BATCH ...        e.g. 224,256 1248,8

12 layers of attention (3 heads of 64) and a perceptron of width 192 over patches of 16 x 16, a class token in front.
Attention twice: `written out` as softmax(Q K^T) V, which holds the map of all pairs, and `flash`, PyTorch's
scaled_dot_product_attention held to its flash kernel.  All in bfloat16.  A batch forward, and a training step: forward,
backward, gradients clipped, fused AdamW.  Times are of replays of a CUDA graph; memory is what the allocator had given
out at most in the same work before that (torch.cuda.max_memory_allocated), weights and optimiser included.
A JSON object a line, as krait bench --json.  Wants torch."""
import argparse
import gc
import json
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--device", default="cuda")
p.add_argument("--seconds", type=float, default=0.3)
p.add_argument("--dtype", default="bfloat16")
p.add_argument("sizes", nargs="+")
args = p.parse_args()
cuda = args.device != "cpu"


class Block(nn.Module):
    def __init__(self, width, heads, flash):
        super().__init__()
        self.heads, self.flash = heads, flash
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def attend(self, x):
        S, L, M = x.shape
        q, k, v = self.qkv(x).view(S, L, 3, self.heads, M // self.heads).permute(2, 0, 3, 1, 4)
        if self.flash:
            with sdpa_kernel(SDPBackend.FLASH_ATTENTION if cuda else SDPBackend.MATH):
                y = F.scaled_dot_product_attention(q, k, v)
        else:
            y = ((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)).softmax(-1) @ v
        return self.proj(y.transpose(1, 2).reshape(S, L, M))

    def forward(self, x):
        x = x + self.attend(self.norm1(x))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class DeiT(nn.Module):
    def __init__(self, side, flash, width=192, depth=12, heads=3, patch=16):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.place = nn.Parameter(torch.randn(1, (side // patch) ** 2 + 1, width) * 0.02)
        self.blocks = nn.Sequential(*[Block(width, heads, flash) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 1000)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
        return self.head(self.norm(self.blocks(x))[:, 0])


def work_of(model, x, target, training):
    """What is timed, as a function of nothing."""
    if not training:
        def forward():
            with torch.no_grad():
                return model(x)
        return forward
    adamw = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1, fused=True, capturable=cuda)
    def step():
        adamw.zero_grad(set_to_none=True)
        F.cross_entropy(model(x).float(), target).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1, foreach=True)
        adamw.step()
    return step


def times_of(work):
    if cuda:  # as Krait runs: one graph, captured once
        torch.cuda.empty_cache()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
        work = graph.replay
    times, end = [], time.time() + args.seconds
    work()
    while len(times) < 7 or time.time() < end:
        if cuda:
            torch.cuda.synchronize()
        a = time.perf_counter()
        work()
        if cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - a)
    return sorted(times)


def measure(side, batch, flash, training):
    gc.collect()
    kind, before = getattr(torch, args.dtype), 0
    if cuda:
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()  # what the row before has left behind is not ours
    model = DeiT(side, flash).to(args.device, kind)
    x = torch.randn(batch, 3, side, side, device=args.device, dtype=kind)
    target = torch.randint(1000, (batch,), device=args.device)
    work = work_of(model, x, target, training)
    most = 0
    if cuda:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                torch.cuda.reset_peak_memory_stats()
                work()
        torch.cuda.synchronize()
        most = torch.cuda.max_memory_allocated() - before
    times = times_of(work)
    return {"best_s": times[0], "median_s": times[len(times) // 2], "runs": len(times), "bytes": most}


for size in args.sizes:
    side, batch = (int(n) for n in size.split(","))
    for training in (False, True):
        for flash in (True, False):
            row = {"bench": "train" if training else "forward", "model": "DeiT-Ti, PyTorch, " + ("flash" if flash else "written out"),
                   "patches": (side // 16) ** 2, "batch": batch}
            try:
                row.update(measure(side, batch, flash, training))
            except RuntimeError as e:  # out of memory is one
                row["failed"] = str(e)[:160]
            print(json.dumps(row), flush=True)
