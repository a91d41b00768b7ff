#!/usr/bin/env python3
"""A training step of Krait and of PyTorch, side by side, on the same machine in the same minutes.

    python3 -m venv peers
    peers/bin/pip install torch==2.11.0 transformers==5.23.0 mambapy==1.2.0 numpy
    cmake -S . -B build -G Ninja && ninja -C build
    peers/bin/python bench/peers/train_step.py [--threads 2] [--rounds 3] [mamba2 mamba1]

Both train the model of bench/NAME.json (d_model 256, 8 layers, 256 ids) in float32 on random
tokens: forward, loss, backward, clipping at norm 1, AdamW.  PyTorch is Hugging Face's
Mamba2ForCausalLM / MambaForCausalLM as anyone gets them on a CPU: the mamba_ssm kernels need a
GPU, so transformers runs its own PyTorch code ("slow path").  For Mamba-1 that is a loop over
the steps, minutes a step at length 1024; its quicker option use_mambapy, a parallel scan in
PyTorch, is what is timed (--no-mambapy: the loop).  A peer that needs too much memory or time gets a smaller batch with
--peer-batch; tokens a second are compared, and the table says which batch was used.

Rounds alternate, each program alone: Krait, PyTorch, Krait, PyTorch.  The best step of each
over all rounds is its number, so that a neighbour on the machine harms neither.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def krait_seconds(a, name):
    """Best seconds of a step, from `krait bench model`."""
    out = subprocess.run(
        [a.krait, "bench", "model", f"{ROOT}/bench/{name}.json", "--only", "train", "--batch", str(a.batch),
         "--length", str(a.length), "--threads", str(a.threads), "--runs", str(a.steps), "--seconds", "0.001", "--json"],
        check=True, capture_output=True, text=True).stdout
    row = next(r for r in map(json.loads, out.splitlines()) if r["bench"] == "train")
    return row["best_s"], row["median_s"]


def peer_worker(a, name):
    """In a process of its own: prints the seconds of each step."""
    import torch
    import transformers

    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    transformers.logging.set_verbosity_error()
    with open(f"{ROOT}/bench/{name}.json") as f:
        c = json.load(f)
    kind = c.pop("model_type")
    if kind == "mamba":
        c["use_mambapy"] = not a.no_mambapy
    config, model = {"mamba": (transformers.MambaConfig, transformers.MambaForCausalLM),
                     "mamba2": (transformers.Mamba2Config, transformers.Mamba2ForCausalLM)}[kind]
    m = model(config(**c, use_cache=False)).train()
    opt = torch.optim.AdamW(m.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1)
    ids = torch.randint(0, c["vocab_size"], (a.peer_batch, a.length))
    for _ in range(1 + a.peer_steps):
        t = time.perf_counter()
        opt.zero_grad(set_to_none=True)
        m(input_ids=ids, labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(m.parameters(), 1.0)
        opt.step()
        print(time.perf_counter() - t, flush=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)


def peer_seconds(a, name):
    command = [sys.executable, os.path.abspath(__file__), name, "--worker", "--threads", str(a.threads),
               "--length", str(a.length), "--batch", str(a.batch), "--peer-batch", str(a.peer_batch),
               "--peer-steps", str(a.peer_steps)] + (["--no-mambapy"] if a.no_mambapy else [])
    r = subprocess.run(command, capture_output=True, text=True)
    if r.returncode:
        sys.exit(f"{name}: the peer failed (out of memory? try --peer-batch 2)\n{r.stderr[-2000:]}")
    _, *steps, rss = [float(x) for x in r.stdout.split()]  # the first is warm-up
    return min(steps), statistics.median(steps), rss


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="*", default=["mamba2", "mamba1"], help="bench/NAME.json")
    p.add_argument("--krait", default=f"{ROOT}/build/krait")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--length", type=int, default=1024)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--steps", type=int, default=5, help="of Krait in a round")
    p.add_argument("--peer-steps", type=int, default=2, help="of PyTorch in a round, after one to warm up")
    p.add_argument("--peer-batch", type=int, help="default: --batch")
    p.add_argument("--no-mambapy", action="store_true", help="Mamba-1 of PyTorch as a loop over the steps")
    p.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    a = p.parse_args()
    a.peer_batch = a.peer_batch or a.batch
    if a.worker:
        return peer_worker(a, a.models[0])
    for name in a.models:
        ours, theirs = [], []
        for i in range(a.rounds):
            k, t = krait_seconds(a, name), peer_seconds(a, name)
            ours.append(k[0]), theirs.append(t[0])
            print(f"{name} round {i + 1}: krait {k[0]:.3f} s (median {k[1]:.3f}) for {a.batch} x {a.length}, "
                  f"PyTorch {t[0]:.3f} s (median {t[1]:.3f}) for {a.peer_batch} x {a.length} in {t[2] / 1e9:.1f} GB; "
                  f"load {os.getloadavg()[0]:.1f}", flush=True)
        k, t = a.batch * a.length / min(ours), a.peer_batch * a.length / min(theirs)
        print(f"{name}: krait {k:.0f} tokens/s, PyTorch {t:.0f} tokens/s on {a.threads} threads: {k / t:.2f} x",
              flush=True)


if __name__ == "__main__":
    main()
