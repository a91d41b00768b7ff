#!/usr/bin/env python3
"""gguf_make.py FOLDER OUT.gguf [f32|f16|bf16|q8_0|q4_0] - a Mamba-1 or Mamba-2 of Hugging Face as llama.cpp's converter
lays it out, written with the package `gguf`: what krait's reader and writer are held against."""
import json
import sys

import gguf
import numpy as np
from safetensors.numpy import load_file

folder, out, kind = sys.argv[1], sys.argv[2], (sys.argv[3:] or ["f32"])[0]
c = json.load(open(folder + "/config.json"))
two = c["model_type"] == "mamba2"
arch = "mamba2" if two else "mamba"
w = gguf.GGUFWriter(out, arch)
inner = c["expand"] * c["hidden_size"]
w.add_context_length(2 ** 20)
w.add_embedding_length(c["hidden_size"])
w.add_feed_forward_length(0)
w.add_head_count(0)
w.add_block_count(c["num_hidden_layers"])
w.add_ssm_conv_kernel(c["conv_kernel"])
w.add_ssm_inner_size(inner)
w.add_ssm_state_size(c["state_size"])
w.add_ssm_time_step_rank(c["num_heads"] if two else c["time_step_rank"])
if two:
    w.add_ssm_group_count(c["n_groups"])
w.add_layer_norm_rms_eps(c["layer_norm_epsilon"])
if not two:
    w.add_ssm_dt_b_c_rms(c["model_type"] == "falcon_mamba")
w.add_file_type({"f32": 0, "f16": 1, "bf16": 32, "q8_0": 7, "q4_0": 2}[kind])
try:
    t = json.load(open(folder + "/tokenizer.json"))
    vocab = {i: s for s, i in t["model"]["vocab"].items()}
    added = {a["id"]: a for a in t["added_tokens"]}
    tokens, types = [], []
    for i in range(c["vocab_size"]):
        a = added.get(i)
        tokens.append(a["content"] if a else vocab.get(i, f"[PAD{i}]"))
        types.append((3 if a["special"] else 4) if a else 1 if i in vocab else 5)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("falcon" if len(t["pre_tokenizer"].get("pretokenizers", [])) == 4 else "mpt")
    w.add_token_list(tokens)
    w.add_token_types(types)
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in t["model"]["merges"]])
    if c["eos_token_id"] is not None:
        w.add_eos_token_id(c["eos_token_id"])
except FileNotFoundError:
    w.add_tokenizer_model("no_vocab")
names = {"norm.weight": "attn_norm.weight", "mixer.in_proj.weight": "ssm_in.weight", "mixer.conv1d.weight": "ssm_conv1d.weight",
         "mixer.conv1d.bias": "ssm_conv1d.bias", "mixer.x_proj.weight": "ssm_x.weight", "mixer.dt_proj.weight": "ssm_dt.weight",
         "mixer.dt_proj.bias": "ssm_dt.bias", "mixer.dt_bias": "ssm_dt.bias", "mixer.A_log": "ssm_a", "mixer.D": "ssm_d",
         "mixer.norm.weight": "ssm_norm.weight", "mixer.out_proj.weight": "ssm_out.weight"}
quant = {"f16": gguf.GGMLQuantizationType.F16, "bf16": gguf.GGMLQuantizationType.BF16, "q8_0": gguf.GGMLQuantizationType.Q8_0, "q4_0": gguf.GGMLQuantizationType.Q4_0}
for name, x in load_file(folder + "/model.safetensors").items():
    if name == "lm_head.weight" and c["tie_word_embeddings"]:
        continue
    if name.startswith("backbone.layers."):
        n, rest = name[len("backbone.layers."):].split(".", 1)
        theirs = f"blk.{n}.{names[rest]}"
    else:
        theirs, rest = {"backbone.embeddings.weight": "token_embd.weight", "backbone.norm_f.weight": "output_norm.weight", "lm_head.weight": "output.weight"}[name], name
    if rest == "mixer.A_log":
        x = -np.exp(x)
    if two and rest in ("mixer.A_log", "mixer.D"):
        x = x.reshape(-1, 1)
    if two and rest == "mixer.norm.weight":
        x = x.reshape(c["n_groups"], -1)
    if rest == "mixer.conv1d.weight":
        x = x.squeeze(1)
    x = x.astype(np.float32)
    small = x.ndim < 2 or rest in ("mixer.conv1d.weight", "mixer.A_log", "mixer.D", "mixer.norm.weight", "mixer.x_proj.weight", "mixer.dt_proj.weight")
    if kind == "f32" or small or (kind.startswith("q") and x.shape[-1] % 32):
        w.add_tensor(theirs, np.ascontiguousarray(x))
    else:
        w.add_tensor(theirs, gguf.quants.quantize(x, quant[kind]), raw_dtype=quant[kind])
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
