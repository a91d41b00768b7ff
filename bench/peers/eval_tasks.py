#!/usr/bin/env python3
"""eval_tasks.py KRAIT MODEL TASK FILE [LIMIT] - krait eval --task beside lm-evaluation-harness (package `lm_eval`, with its
HFLM over transformers): requests and scores are the package's own, from the same file."""
import json
import math
import subprocess
import sys

import numpy as np
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks.hellaswag.utils import preprocess
from lm_eval.tasks.winogrande import preprocess_winogrande as wino

krait, model, task, path = sys.argv[1:5]
limit = int(sys.argv[5]) if len(sys.argv) > 5 else None
docs = []  # contexts, answers, the texts whose length counts, gold
if task == "hellaswag":
    lines = open(path).read().split("\n")
    for i in range(0, len(lines) - 5, 6):
        a, dot, b = lines[i].rpartition(". ")
        query = preprocess(a + dot + (b[:1].upper() + b[1:]))
        choices = [preprocess(x) for x in lines[i + 2:i + 6]]
        docs.append(([query] * 4, [" " + c for c in choices], choices, int(lines[i + 1])))
else:
    for d in map(json.loads, open(path)):
        if task == "lambada":
            words = d["text"].split(" ")
            docs.append(([" ".join(words[:-1])], [" " + words[-1]], [words[-1]], 0))
        elif task == "winogrande" and "sentence" in d:
            docs.append((wino.doc_to_choice(d), [" " + wino.doc_to_target(d)] * 2, [1, 1], wino.doc_to_text(d)))
        elif task == "winogrande":
            docs.append((d["context_options"], [" " + d["continuation"]] * 2, None, d["gold"]))
        else:
            docs.append(([d["query"].strip() + "\nAnswer:"] * len(d["choices"]), [" " + c for c in d["choices"]], d["choices"], d["gold"]))
docs = docs[:limit]
lm = HFLM(pretrained=model, device="cpu", dtype="float32", batch_size=4)
requests = [Instance("loglikelihood", {}, (c, a), i) for d in docs for i, (c, a) in enumerate(zip(d[0], d[1]))]
answers = iter(lm.loglikelihood(requests, disable_tqdm=True))
acc, norm, lls = [], [], []
for contexts, _, texts, gold in docs:
    r = [next(answers) for _ in contexts]
    ll = np.array([x[0] for x in r])
    lls.append(ll[0])
    acc.append(r[0][1] if task == "lambada" else np.argmax(ll) == gold)
    if texts and task not in ("lambada", "winogrande"):
        norm.append(np.argmax(ll / np.array([float(len(t)) for t in texts])) == gold)
theirs = {"acc": float(np.mean(acc)), "acc_norm": float(np.mean(norm)) if norm else None, "perplexity": math.exp(-np.mean(lls)) if task == "lambada" else None}
args = [krait, "eval", model, "--task", task, path, "--json"] + (["--limit", str(limit)] if limit else [])
mine = json.loads(subprocess.run(args, capture_output=True, check=True).stdout)
print(f"{task}, {len(docs)} questions")
for k, v in theirs.items():
    if v is not None:
        print(f"  {k:<12} lm_eval {v:.8g}  krait {mine[k]:.8g}  {'same' if math.isclose(v, mine[k], rel_tol=1e-4) else 'DIFFERENT'}")
