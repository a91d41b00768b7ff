#!/usr/bin/env python3
"""attention_gpu.py - PyTorch's attention at the shapes that `bench_ops time attention` times.

  bench/peers/attention_gpu.py

Causal, bfloat16, heads first in memory as FlashAttention-2 likes them and as cuDNN takes them.
Prints, for FlashAttention-2 and for cuDNN, medians of forward and of backward over replays of a
CUDA graph, in ms, and TFLOP/s (backward counted as five products).  Needs torch on a GPU.
"""
import statistics

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

SHAPES = ((16, 2048, 8, 64), (4, 8192, 8, 64), (8, 2048, 16, 128), (16, 2048, 16, 32))


def median_ms(work, replays=50):
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    times = []
    for _ in range(replays):
        a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        a.record()
        graph.replay()
        b.record()
        b.synchronize()
        times.append(a.elapsed_time(b))
    return statistics.median(times)


def main():
    print(torch.cuda.get_device_name(), "torch", torch.__version__, "cudnn", torch.backends.cudnn.version())
    print("| S, L, H, P | of | forward ms (TFLOP/s) | backward ms (TFLOP/s) |\n|---|---|---|---|")
    for s, l, h, p in SHAPES:
        q, k, v = (torch.randn(s, h, l, p, device="cuda", dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
        dy = torch.randn(s, h, l, p, device="cuda", dtype=torch.bfloat16)
        product = s * h * l * l * p  # causal: half of 2 L L P
        for name, which in (("FlashAttention-2", SDPBackend.FLASH_ATTENTION), ("cuDNN", SDPBackend.CUDNN_ATTENTION)):
            def forward():
                with sdpa_kernel(which):
                    return F.scaled_dot_product_attention(q, k, v, is_causal=True)

            def both():
                torch.autograd.grad(forward(), (q, k, v), dy)

            with torch.no_grad():
                alone = median_ms(forward)
            back = median_ms(both) - alone
            print(f"| {s}, {l}, {h}, {p} | {name} | {alone:.3f} ({2 * product / alone / 1e9:.0f}) | {back:.3f} ({5 * product / back / 1e9:.0f}) |", flush=True)


if __name__ == "__main__":
    main()
