#!/usr/bin/env python3
"""eval_harness.py KRAIT DATA [MODEL] [LIMIT] - krait eval --task beside lm-evaluation-harness's own tasks.

Runs the package `lm_eval` (0.4.13) whole, its tasks, prompts and metrics, over the first LIMIT (50) questions of lambada,
hellaswag, piqa, arc_easy, arc_challenge and winogrande; only where the questions come from is changed, to files that
are written from DATA in the columns of the hub's data sets and that krait reads too.  DATA has zeroshot_llmfoundry/*.jsonl,
piqa_official, lambada_test_openai.jsonl and hellaswag_val_full.txt.bz2.  MODEL is a folder that transformers reads;
without, a Mamba of drawn weights with the tokenizer of DATA/../tokenizer/20B_tokenizer.json."""
import bz2
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile

import lm_eval
import yaml
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM

TASKS = {  # the package's: (file of its settings, krait's name)
    "lambada_openai": ("lambada/lambada_openai.yaml", "lambada"), "hellaswag": ("hellaswag/hellaswag.yaml", "hellaswag"), "piqa": ("piqa/piqa.yaml", "piqa"),
    "arc_easy": ("arc/arc_easy.yaml", "arc"), "arc_challenge": ("arc/arc_challenge.yaml", "arc"), "winogrande": ("winogrande/default.yaml", "winogrande")}


def lines(*path):
    return [json.loads(x) for x in open(os.path.join(*path)) if x.strip()]


def arc(data, name):
    for d in lines(data, "zeroshot_llmfoundry", name + ".jsonl"):
        labels = "ABCDEFGH"[:len(d["choices"])]
        yield {"question": d["query"].removeprefix("Question: "), "choices": {"text": d["choices"], "label": list(labels)}, "answerKey": labels[d["gold"]]}


def winogrande(data):
    for d in lines(data, "zeroshot_llmfoundry", "winogrande.jsonl"):
        a, b = d["context_options"]
        n = len(os.path.commonprefix([a, b]))
        n = a.rfind(" ", 0, n) + 1
        yield {"sentence": a[:n] + "_ " + d["continuation"], "option1": a[n:], "option2": b[n:], "answer": str(d["gold"] + 1)}


def hellaswag(data):
    text = bz2.open(os.path.join(data, "hellaswag_val_full.txt.bz2"), "rt").read().split("\n")
    for i in range(0, len(text) - 5, 6):
        label, _, ctx = text[i].partition(": ")
        a, dot, b = ctx.rpartition(". ")
        yield {"activity_label": label, "ctx_a": a + dot.strip(), "ctx_b": b, "endings": text[i + 2:i + 6], "label": text[i + 1]}


def piqa(data):
    for d, label in zip(lines(data, "piqa_official", "valid.jsonl"), open(os.path.join(data, "piqa_official", "valid-labels.lst"))):
        yield {**d, "label": int(label)}


def questions(data, name):
    if name == "lambada_openai":
        return lines(data, "lambada_test_openai.jsonl")
    return list({"hellaswag": hellaswag, "piqa": piqa, "winogrande": winogrande}[name](data) if name in ("hellaswag", "piqa", "winogrande") else arc(data, name))


def settings(path):
    """The package's own, with what they include."""
    class loader(yaml.SafeLoader):
        pass

    def function(load, node):
        module, name = node.value.split(".")
        scope = {}
        exec(open(os.path.join(os.path.dirname(path), module + ".py")).read(), scope)
        return scope[name]
    loader.add_constructor("!function", function)
    c = yaml.load(open(path), loader)
    if "include" in c:
        c = {**settings(os.path.join(os.path.dirname(path), c.pop("include"))), **c}
    return c


def theirs(lm, name, file, limit):
    c = settings(os.path.join(os.path.dirname(lm_eval.__file__), "tasks", TASKS[name][0]))
    c.update(dataset_path="json", dataset_name=None, dataset_kwargs={"data_files": {"validation": file}}, training_split=None, validation_split="validation", test_split=None)
    r = lm_eval.simple_evaluate(model=lm, tasks=[ConfigurableTask(config=c)], limit=limit, bootstrap_iters=0)["results"][name]
    return {k.split(",")[0]: v for k, v in r.items() if k.endswith(",none") and "stderr" not in k}


def drawn_model(folder, tokenizer):
    import torch
    from transformers import MambaConfig, MambaForCausalLM, PreTrainedTokenizerFast
    torch.manual_seed(3)
    m = MambaForCausalLM(MambaConfig(vocab_size=50280, hidden_size=64, num_hidden_layers=2, bos_token_id=0, eos_token_id=0, pad_token_id=0))
    for p in m.parameters():
        if p.ndim == 2:
            p.data *= 3  # so that scores differ
    m.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_file=tokenizer, eos_token="<|endoftext|>", bos_token="<|endoftext|>", pad_token="<|endoftext|>").save_pretrained(folder)
    shutil.copy(tokenizer, os.path.join(folder, "tokenizer.json"))


def main():
    krait, data = sys.argv[1:3]
    limit = int(sys.argv[4]) if len(sys.argv) > 4 else 50
    bad = 0
    with tempfile.TemporaryDirectory() as work:
        model = sys.argv[3] if len(sys.argv) > 3 and sys.argv[3] else os.path.join(work, "model")
        if not os.path.exists(model):
            drawn_model(model, os.path.join(data, "..", "tokenizer", "20B_tokenizer.json"))
        lm = HFLM(pretrained=model, device="cpu", dtype="float32", batch_size=4)
        for name in TASKS:
            file = os.path.join(work, name + ".jsonl")
            with open(file, "w") as f:
                f.writelines(json.dumps(q) + "\n" for q in questions(data, name)[:limit])
            want = theirs(lm, name, file, limit)
            args = [krait, "eval", model, "--task", TASKS[name][1], file, "--json"]
            have = json.loads(subprocess.run(args, capture_output=True, check=True).stdout)
            for k, v in want.items():
                same = math.isclose(v, have[k], rel_tol=1e-4)
                bad += not same
                print(f"{name:<14} {have['n']:>4} questions  {k:<10}  lm_eval {v:<12.8g} krait {have[k]:<12.8g} {'same' if same else 'DIFFERENT'}", flush=True)
    sys.exit(bad > 0)


main()
