#!/usr/bin/env python3
"""mamba_ssm_gpu.py - the Triton kernels of mamba_ssm beside Krait's, on the same GPU, in the same minutes.

    mamba_ssm_gpu.py [--source FOLDER] [--krait PROGRAM] [--quick]

--source  the unpacked source of mamba_ssm, where it is not installed: only its Triton part is used, which needs no
          compiler.  To fetch it:  pip download --no-deps --no-binary :all: mamba-ssm && tar xf mamba_ssm-*.tar.gz
--krait   the program (preset cuda), for krait bench ops; without it only mamba_ssm is timed
--quick   leave out the longest shapes

Wants torch with CUDA, triton and einops.  bfloat16, random data; medians of cudaEvent times over replays of a CUDA graph
that goes round several sets of inputs.  Triton tries many shapes of every kernel on its first
call; the compiling of that is done beforehand by several processes at once (--compile N of M, called by itself).
The selective scan and the convolution of mamba_ssm are CUDA extensions that have to be built, so they are not here.
"""
import argparse
import json
import os
import subprocess
import sys
import time
import types

p = argparse.ArgumentParser(add_help=False)
p.add_argument("-h", "--help", action="store_true")
p.add_argument("--source")
p.add_argument("--krait")
p.add_argument("--quick", action="store_true")
p.add_argument("--compile", type=int, nargs=2, metavar=("N", "M"))
args = p.parse_args()
if args.help:
    print(__doc__)
    sys.exit(0)

import torch
import triton

if args.compile:  # this process compiles each M-th shape of every kernel, for the cache on disk
    real_autotune = triton.autotune
    def some(configs, *a, **k):
        n, m = args.compile
        mine = configs[n::m] or configs[:1]
        return real_autotune(mine + mine[:1], *a, **k)  # one alone would not be timed, and fail if it does not fit
    triton.autotune = some
if args.source:  # the package without its __init__, which imports models and CUDA extensions
    package = types.ModuleType("mamba_ssm")
    package.__path__ = [os.path.join(args.source, "mamba_ssm")]
    sys.modules["mamba_ssm"] = package
    sys.path.insert(0, args.source)

from mamba_ssm.ops.triton.layer_norm import layer_norm_fn
from mamba_ssm.ops.triton.layernorm_gated import rmsnorm_fn
from mamba_ssm.ops.triton.selective_state_update import selective_state_update
from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined

device = "cuda"
bf16 = torch.bfloat16


def ssd(S, L, H, P, N):
    """Inputs and a call of SSD with D and dt_bias, G = 1."""
    r = lambda *d, t=bf16: torch.randn(*d, device=device, dtype=t)
    x, B, C = r(S, L, H, P), r(S, L, 1, N), r(S, L, 1, N)
    dt, bias, D = r(S, L, H), r(H, t=torch.float32) - 4, r(H, t=torch.float32)
    A = -torch.exp(torch.rand(H, device=device) * 2.7)
    inputs = [x, dt, A, B, C, D, bias]
    def call(x, dt, A, B, C, D, bias):
        return mamba_chunk_scan_combined(x, dt, A, B, C, 256, D=D, dt_bias=bias, dt_softplus=True)
    return inputs, call


def add_norm(rows, D):
    x, res = torch.randn(rows, D, device=device, dtype=bf16), torch.randn(rows, D, device=device)
    w = torch.ones(D, device=device)
    def call(x, res, w):
        return layer_norm_fn(x, w, None, residual=res, prenorm=True, residual_in_fp32=True, is_rms_norm=True, eps=1e-5)
    return [x, res, w], call


def gated_norm(rows, D):
    x, z = torch.randn(rows, D, device=device, dtype=bf16), torch.randn(rows, D, device=device, dtype=bf16)
    w = torch.ones(D, device=device)
    return [x, z, w], lambda x, z, w: rmsnorm_fn(x, w, None, z=z, eps=1e-5, norm_before_gate=False)


def update(S, H, P, N):
    r = lambda *d, t=bf16: torch.randn(*d, device=device, dtype=t)
    state, x, B, C = r(S, H, P, N, t=torch.float32), r(S, H, P), r(S, 1, N), r(S, 1, N)
    dt, bias, D = r(S, H), r(H, t=torch.float32) - 4, r(H, t=torch.float32)
    A = -torch.exp(torch.rand(H, device=device) * 2.7)
    wide = [dt[..., None].expand(S, H, P), A[:, None, None].expand(H, P, N), D[:, None].expand(H, P), bias[:, None].expand(H, P)]
    def call(state, x, B, C):
        return selective_state_update(state, x, wide[0], wide[1], B, C, D=wide[2], dt_bias=wide[3], dt_softplus=True)
    return [state, x, B, C], call


def graph_ms(make, backward, seconds=0.4):
    """Median time of a call, replayed from a CUDA graph over as many sets of inputs as fill 200 MB."""
    inputs, call = make()
    size = sum(t.numel() * t.element_size() for t in inputs)
    sets = [inputs] + [[t.clone() for t in inputs] for _ in range(min(7, int(2e8 // size)))]
    if backward:
        sets = [[t.requires_grad_() for t in s] for s in sets]
        with torch.no_grad():
            like = call(*inputs)
        douts = [torch.randn_like(o) for o in (like if isinstance(like, tuple) else (like,))]
    def once(s):
        out = call(*s)
        if backward:
            torch.autograd.grad(out if isinstance(out, tuple) else (out,), s, douts)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(2):
            once(sets[0])
        torch.cuda.synchronize()
        if args.compile:
            return 0
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            for s in sets:
                once(s)
        times, end = [], time.time() + seconds
        while len(times) < 50 or time.time() < end:
            a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            a.record(stream)
            graph.replay()
            b.record(stream)
            b.synchronize()
            times.append(a.elapsed_time(b) / len(sets))
            if len(times) >= 10 and time.time() > end + 2:
                break
    del graph
    return sorted(times)[len(times) // 2]


def ours(program):
    """What krait bench ops prints, as {name: ms}; fwd+bwd is the sum of the two passes."""
    found = {}
    if not program:
        return found
    command = [program, "bench", "ops", "ssd", "add_rmsnorm", "gated_rmsnorm", "--device", "cuda", "--dtype", "bfloat16", "--runs", "50", "--json"]
    for line in subprocess.run(command, capture_output=True, text=True, timeout=120).stdout.splitlines():
        m = json.loads(line)
        if m.get("bench") != "op":
            continue
        size = {w[0]: w[1:] for w in m["sizes"].split()}
        if m["op"] == "ssd":
            name = f"ssd b{size['S']} l{size['L']} h{size['H']} p{size['P']} n{size['N']}"
        else:
            name = f"{m['op']} {size['*']} x {size['D']}"
        if m["pass"] == "forward":
            found[name + " fwd"] = m["median_ms"]
        else:
            found[name + " fwd+bwd"] = m["median_ms"] + found[name + " fwd"]
    return found


work = [("ssd b8 l2048 h24 p64 n128", lambda: ssd(8, 2048, 24, 64, 128), True),
        ("ssd b2 l4096 h80 p64 n128", lambda: ssd(2, 4096, 80, 64, 128), True),
        ("add_rmsnorm 16384 x 768", lambda: add_norm(16384, 768), True),
        ("gated_rmsnorm 16384 x 1536", lambda: gated_norm(16384, 1536), True),
        ("state update b256 h80 p64 n128", lambda: update(256, 80, 64, 128), False)]
if not args.quick:
    work[2:2] = [("ssd b16 l2048 h80 p64 n128", lambda: ssd(16, 2048, 80, 64, 128), True),
                 ("ssd b1 l65536 h80 p64 n128", lambda: ssd(1, 65536, 80, 64, 128), True)]

if args.compile:
    work = [w for w in work if not w[0].startswith(("ssd b2 ", "ssd b16", "ssd b1 "))]  # the same kernels
    for name, make, backward in work:
        graph_ms(make, backward)
    sys.exit(0)

began = time.time()
workers = min(12, os.cpu_count() or 1)
again = [sys.executable, os.path.abspath(__file__)] + (["--source", args.source] if args.source else [])
for w in [subprocess.Popen(again + ["--compile", str(i), str(workers)], stderr=subprocess.DEVNULL) for i in range(workers)]:
    w.wait()
print(f"{torch.cuda.get_device_name()}; torch {torch.__version__}, triton {triton.__version__}; compiled in {time.time() - began:.0f} s", flush=True)
us = ours(args.krait)
print(f"{'bfloat16, graph, ms':38} {'mamba_ssm':>10} {'Krait':>10} {'times':>7}")
for name, make, backward in work:
    for b in ([False, True] if backward else [False]):
        what = name + (" fwd+bwd" if b else " fwd")
        try:
            theirs = graph_ms(make, b)
        except Exception as e:  # one kernel that does not run must not hide the others
            print(f"{what:38} FAIL {type(e).__name__}: {str(e)[:100]}", flush=True)
            continue
        mine = us.get(what)
        tail = f" {mine:10.4f} {theirs / mine:6.2f}x" if mine else ""
        print(f"{what:38} {theirs:10.4f}{tail}", flush=True)
        torch.cuda.empty_cache()
print(f"{time.time() - began:.0f} s in all")
