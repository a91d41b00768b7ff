#!/usr/bin/env python3
"""beside_llama.py check BUILD [MODEL ...]
beside_llama.py speed BUILD FOLDER LLAMA_BIN [WORK]
beside_llama.py busy BUILD FOLDER [LLAMA_BIN] - `krait` beside llama.cpp: what both answer, how fast both are.

BUILD is the folder with krait and libkrait.so (ninja krait krait_cli krait_shared); MODEL a folder that krait reads
(without: a Mamba-1, a Mamba-1 with norms of dt, B and C, a Mamba-2 and one with two groups, of random weights).
Each is written in every dtype and read by both; `exact` is krait's own answer from the same file with its matrices
widened to float32.  Printed are relative RMS differences of all logits of 48 tokens, how many of the likeliest tokens
agree, how many of 32 tokens of greedy continuation do, and, where there is a vocabulary, the ids of some texts.  For float32 both must agree; below, each program rounds the
other side of its products as it likes, so its distance from `exact` is what counts.

`speed` runs llama-bench and llama-batched-bench of LLAMA_BIN and krait's own benches in turn, ROUNDS times each, over
a Mamba-1 and a Mamba-2 of 130 million drawn weights (kept in FOLDER); WORK is one of decode, prefill, eight (eight
sequences at once), or one of these and a number of threads: decode1.  Printed are the best round of each in tokens a
second (of krait's rounds each the median step, of llama-bench's the best of three runs), and the median of the ratios.

`busy` decodes with two threads alone and beside a loop that does nothing else than run, in turn, and prints the median
of what is left; without LLAMA_BIN ours alone.

The package llama-cpp-python (0.3.36 vendors llama.cpp 0.5.0) is the peer; LLAMA_CPP_LIB_PATH may name a folder with
a libllama.so built by hand."""
import ctypes
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

N_TOK, N_GREEDY = 48, 32
DTYPES = ["float32", "float16", "bfloat16", "q8_0", "q4_k", "q4_0"]


def write_safetensors(path, tensors):
    head, at = {}, 0
    for name, x in tensors.items():
        head[name] = {"dtype": "F32", "shape": list(x.shape), "data_offsets": [at, at + x.nbytes]}
        at += x.nbytes
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for x in tensors.values():
            f.write(x.tobytes())


def draw_model(folder, kind, d=256, layers=4, vocab=512, groups=1, seed=1):
    """Weights as they are initialised, a table that makes scores differ by several units."""
    r = np.random.default_rng(seed)
    n = lambda *shape, by=1.0: (r.standard_normal(shape) * by / np.sqrt(shape[-1])).astype(np.float32)
    E, N = 2 * d, 128 if kind == "mamba2" else 16
    H = E // 64
    w = {"backbone.embeddings.weight": n(vocab, d, by=3 * np.sqrt(d) / 10), "backbone.norm_f.weight": np.ones(d, np.float32)}
    dt = np.exp(r.uniform(np.log(.001), np.log(.1), H if kind == "mamba2" else E))
    bias = (dt + np.log(-np.expm1(-dt))).astype(np.float32)
    R = (d + 15) // 16
    for i in range(layers):
        p = f"backbone.layers.{i}."
        w[p + "norm.weight"] = (1 + .1 * r.standard_normal(d)).astype(np.float32)
        w[p + "mixer.out_proj.weight"] = n(d, E)
        if kind == "mamba2":
            C = E + 2 * groups * N
            w[p + "mixer.in_proj.weight"] = n(E + C + H, d)
            w[p + "mixer.dt_bias"], w[p + "mixer.norm.weight"] = bias, (1 + .1 * r.standard_normal(E)).astype(np.float32)
            w[p + "mixer.A_log"] = np.log(r.uniform(1, 16, H)).astype(np.float32)
            w[p + "mixer.D"] = np.ones(H, np.float32)
        else:
            C = E
            w[p + "mixer.in_proj.weight"], w[p + "mixer.x_proj.weight"] = n(2 * E, d), n(R + 2 * N, E)
            w[p + "mixer.dt_proj.weight"], w[p + "mixer.dt_proj.bias"] = n(E, R), bias
            w[p + "mixer.A_log"] = np.log(np.tile(np.arange(1, N + 1, dtype=np.float32), (E, 1)))
            w[p + "mixer.D"] = np.ones(E, np.float32)
        w[p + "mixer.conv1d.weight"], w[p + "mixer.conv1d.bias"] = n(C, 1, 4), (.1 * r.standard_normal(C)).astype(np.float32)
    c = {"model_type": kind, "hidden_size": d, "num_hidden_layers": layers, "vocab_size": vocab, "state_size": N, "conv_kernel": 4,
         "expand": 2, "use_bias": False, "use_conv_bias": True, "layer_norm_epsilon": 1e-5, "tie_word_embeddings": True,
         "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "hidden_act": "silu", "residual_in_fp32": True}
    if kind == "mamba2":
        c |= {"num_heads": H, "head_dim": 64, "n_groups": groups, "rms_norm": True, "chunk_size": 256, "time_step_limit": [0.0, float("inf")]}
    else:
        c |= {"time_step_rank": R, "intermediate_size": E, "mixer_rms_eps": 1e-5}
    os.makedirs(folder)
    json.dump(c, open(folder + "/config.json", "w"))
    write_safetensors(folder + "/model.safetensors", w)


class Krait:
    class Options(ctypes.Structure):
        _fields_ = [("dtype", ctypes.c_char_p), ("device", ctypes.c_char_p), ("mapped", ctypes.c_bool), ("woven", ctypes.c_bool), ("context", ctypes.c_int64)]

    def __init__(self, build):
        self.lib = ctypes.CDLL(build + "/libkrait.so")
        self.lib.kr_error.restype = ctypes.c_char_p
        self.lib.kr_session_logits.restype = ctypes.POINTER(ctypes.c_float)
        self.lib.kr_model_vocab_size.restype = ctypes.c_int64
        self.lib.kr_model_gguf_obstacle.restype = ctypes.c_char_p

    def need(self, status):
        if status != 0:
            raise SystemExit("krait: " + self.lib.kr_error().decode())

    def obstacle(self, path):
        m = ctypes.c_void_p()
        self.need(self.lib.kr_model_open(ctypes.byref(m), path.encode(), None))
        why = self.lib.kr_model_gguf_obstacle(m)
        self.lib.kr_model_free(m)
        return why and why.decode()

    def tokens(self, path, text):
        """None: the model has no vocabulary."""
        m, ids = ctypes.c_void_p(), (ctypes.c_int32 * (len(text) + 16))()
        self.need(self.lib.kr_model_open(ctypes.byref(m), path.encode(), None))
        self.lib.kr_encode.restype = ctypes.c_int64
        n = self.lib.kr_encode(m, text, ctypes.c_int64(len(text)), ids, ctypes.c_int64(len(ids)))
        self.lib.kr_model_free(m)
        return list(ids[:n]) if n >= 0 else None

    def answer(self, path, tokens, dtype=None):
        """Logits behind each token, and the greedy continuation."""
        m, s = ctypes.c_void_p(), ctypes.c_void_p()
        self.need(self.lib.kr_model_open(ctypes.byref(m), path.encode(), ctypes.byref(self.Options(dtype, None)) if dtype else None))
        self.need(self.lib.kr_session_new(ctypes.byref(s), m, None))
        V, rows, greedy = self.lib.kr_model_vocab_size(m), [], []
        for i in range(N_TOK + N_GREEDY):
            t = ctypes.c_int32(tokens[i] if i < N_TOK else greedy[-1])
            self.need(self.lib.kr_session_feed(s, ctypes.byref(t), ctypes.c_int64(1)))
            x = np.ctypeslib.as_array(self.lib.kr_session_logits(s), (V,)).copy()
            if i < N_TOK:
                rows.append(x)
            if i >= N_TOK - 1:
                greedy.append(int(x.argmax()))
        self.lib.kr_session_free(s)
        self.lib.kr_model_free(m)
        return np.array(rows), greedy[:N_GREEDY]


def llama_answer(path, tokens):
    import llama_cpp
    m = llama_cpp.Llama(path, n_ctx=256, n_batch=64, logits_all=True, verbose=bool(os.environ.get("VERBOSE")), n_threads=2)
    m.eval(tokens)
    rows, greedy = np.array(m.scores[:N_TOK]), []
    for i in range(N_GREEDY):
        greedy.append(int(m.scores[m.n_tokens - 1].argmax()))
        m.eval([greedy[-1]])
    return rows, greedy


TEXTS = ["The krait is a snake.", "  two  spaces\n\n\tand tabs ", "it's 12345 + 6.78e-9, don't", "Gr\u00fc\u00dfe, \u4f60\u597d, \U0001f40d!",
         "int main(void) { return a[i] << 2; }\n", "x" * 50, "<|endoftext|>"]


def check_texts(krait, path):
    """How many texts have other ids there, and of how many; None without a vocabulary."""
    import llama_cpp
    texts = [t.encode() for t in TEXTS]
    ours = [krait.tokens(path, t) for t in texts]
    if None in ours:
        return None
    m = llama_cpp.Llama(path, vocab_only=True, verbose=False)
    theirs = [m.tokenize(t, add_bos=False, special=True) for t in texts]
    return sum(a != b for a, b in zip(ours, theirs)), len(texts)


def rms(a, b):
    return float(np.sqrt(np.mean((a - b) ** 2) / np.mean(b ** 2)))


def check(build, models):
    k, wrong = Krait(build), 0
    with tempfile.TemporaryDirectory() as tmp:
        if not models:
            for name, args in {"mamba": {}, "falcon_mamba": {}, "mamba2": {}, "mamba2_groups": {"groups": 2}}.items():
                draw_model(f"{tmp}/{name}", name.replace("_groups", ""), **args)
                models.append(f"{tmp}/{name}")
        print(f"{'model':24} {'dtype':9} {'krait-exact':>12} {'llama-exact':>12} {'krait-llama':>12}  likeliest  greedy")
        for model in models:
            why = k.obstacle(model)
            if why:
                print(f"{os.path.basename(model.rstrip('/')):24} not for llama.cpp: {why}")
                continue
            tokens = None
            for dtype in DTYPES:
                path = f"{tmp}/{dtype}.gguf"
                if os.path.exists(path):
                    os.remove(path)
                subprocess.run([build + "/krait", "convert", model, path, "--dtype", dtype], check=True, stdout=subprocess.DEVNULL)
                if dtype == DTYPES[0] and (texts := check_texts(k, path)):
                    print(f"{os.path.basename(model.rstrip('/')):24} ids of {texts[1] - texts[0]} of {texts[1]} texts agree")
                    wrong += texts[0] > 0
                if tokens is None:
                    vocab = json.load(open(model + "/config.json")).get("vocab_size", 256)
                    tokens = np.random.default_rng(7).integers(0, min(vocab, 50000), N_TOK).tolist()
                exact, _ = k.answer(path, tokens, b"float32")
                ours, our_greedy = k.answer(path, tokens)
                theirs, their_greedy = llama_answer(path, tokens)
                theirs = theirs[:, :ours.shape[1]]
                same = int((ours.argmax(1) == theirs.argmax(1)).sum())
                agree = next((i for i in range(N_GREEDY) if our_greedy[i] != their_greedy[i]), N_GREEDY)
                print(f"{os.path.basename(model.rstrip('/')):24} {dtype:9} {rms(ours, exact):12.2e} {rms(theirs, exact):12.2e} "
                      f"{rms(ours, theirs):12.2e}  {same:3d} of {N_TOK}  {agree:2d} of {N_GREEDY}", flush=True)
                bad = rms(ours, theirs) > 1e-4 or agree < N_GREEDY if dtype == "float32" else rms(ours, exact) > 1.5 * rms(theirs, exact) + 1e-6
                wrong += bad
    print("agree" if not wrong else f"{wrong} rows differ")
    return wrong


# --- speed ------------------------------------------------------------------------------------------

ROUNDS = int(os.environ.get("ROUNDS", 3))
SIZES = {"mamba2-130m": ("mamba2", 50288), "mamba1-130m": ("mamba", 50280)}
PROMPT, STEPS = 2048, 48


def make_files(build, folder, dtypes=("float32", "bfloat16", "q8_0", "q4_0")):
    for name, (kind, vocab) in SIZES.items():
        plain = f"{folder}/{name}"
        if not os.path.isdir(plain):
            draw_model(plain, kind, d=768, layers=24, vocab=vocab)
        for dtype in dtypes:
            if not os.path.exists(f"{plain}-{dtype}.gguf"):
                subprocess.run([build + "/krait", "convert", plain, f"{plain}-{dtype}.gguf", "--dtype", dtype], check=True, stdout=subprocess.DEVNULL)


def objects(command):
    """What a program prints as JSON, one object a line."""
    for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def ours(build, folder, name, dtype, work, threads):
    config = f"{folder}/{name}"
    what = ["prefill", config, "--prompt", str(PROMPT), "--runs", "1", "--seconds", "0.001"] if work == "prefill" else \
           ["decode", config, "--batch", "8" if work == "eight" else "1", "--runs", str(STEPS // (4 if work == "eight" else 1)), "--seconds", "0.001"]
    for r in objects([build + "/krait", "bench", *what, "--dtype", dtype, "--threads", str(threads), "--json"]):
        return r.get("tokens", r.get("sequences")) * 1000 / r["median_ms"]


def theirs(llama, folder, name, dtype, work, threads):
    model = f"{folder}/{name}-{dtype}.gguf"
    if work == "eight":
        for r in objects([llama + "/llama-batched-bench", "-m", model, "-t", str(threads), "-c", "1024", "-npp", "8", "-ntg", "12", "-npl", "8",
                          "--output-format", "jsonl"]):
            return r["speed_tg"]
    n = ["-p", str(PROMPT), "-n", "0", "-r", "1"] if work == "prefill" else ["-p", "0", "-n", str(STEPS // 3), "-r", "3"]
    out = subprocess.run([llama + "/llama-bench", "-m", model, "-t", str(threads), *n, "-o", "json"], check=True, capture_output=True, text=True).stdout
    return max(max(r["samples_ts"]) for r in json.loads(out))


def speed(build, folder, llama, works):
    os.makedirs(folder, exist_ok=True)
    make_files(build, folder)
    print(f"{'work':8} {'threads':>7} {'model':12} {'weights':9} {'llama.cpp':>10} {'krait':>8} {'ratio':>6}")
    for work in works:
        threads = int(work[-1]) if work[-1].isdigit() else 2
        kind = work.rstrip("0123456789")
        for name in SIZES:
            for dtype in ("float32", "q8_0") if kind == "eight" else ("float32", "bfloat16", "q8_0", "q4_0"):
                a, b = [], []
                for _ in range(ROUNDS):
                    a.append(theirs(llama, folder, name, dtype, kind, threads))
                    b.append(ours(build, folder, name, dtype, kind, threads))
                ratio = float(np.median([y / x for x, y in zip(a, b)]))
                print(f"{kind:8} {threads:7} {name:12} {dtype:9} {max(a):10.1f} {max(b):8.1f} {ratio:6.2f}", flush=True)


def busy(build, folder, llama=None):
    os.makedirs(folder, exist_ok=True)
    make_files(build, folder, *([] if llama else [()]))
    who = {"krait": lambda *a: ours(build, folder, *a)}
    if llama:
        who = {"llama.cpp": lambda *a: theirs(llama, folder, *a), **who}
    print(f"{'model':12} {'weights':9}" + "".join(f" {w:>10} {'busy':>8} {'left':>5}" for w in who))
    for name in SIZES:
        for dtype in ("float32", "bfloat16", "q8_0", "q4_0"):
            idle, beside = [], []
            for _ in range(ROUNDS):
                each = lambda: [f(name, dtype, "decode", 2) for f in who.values()]
                idle.append(each())
                loop = subprocess.Popen(["sh", "-c", "while :; do :; done"])
                beside.append(each())
                loop.kill()
                loop.wait()
            rows = zip(np.median(idle, axis=0), np.median(beside, axis=0))
            print(f"{name:12} {dtype:9}" + "".join(f" {a:10.1f} {b:8.1f} {b / a:5.2f}" for a, b in rows), flush=True)


if __name__ == "__main__":
    if len(sys.argv) in (4, 5) and sys.argv[1] == "busy":
        busy(sys.argv[2].rstrip("/"), *sys.argv[3:])
    elif len(sys.argv) >= 5 and sys.argv[1] == "speed":
        speed(sys.argv[2].rstrip("/"), sys.argv[3], sys.argv[4], sys.argv[5:] or ["decode", "prefill", "eight", "decode1", "prefill1"])
    elif len(sys.argv) >= 3 and sys.argv[1] == "check":
        sys.exit(1 if check(sys.argv[2].rstrip("/"), sys.argv[3:]) else 0)
    else:
        raise SystemExit(__doc__)
