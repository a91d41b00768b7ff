#!/bin/sh
# check_formats.sh - models as other programs write them: PyTorch's pickle by torch, GGUF by the package gguf in
# llama.cpp's layout; each must compute what transformers computed, and our own GGUF must hold what theirs does.
# Skipped without KRAIT_PYTHON (a Python with torch, safetensors and gguf) or without the models.
krait=$1/krait
hf=${KRAIT_SHARED:-$(pwd)/../shared}/fixtures/hf
python=${KRAIT_PYTHON:-python3}
[ -d "$hf/mamba" ] && "$python" -c 'import torch, safetensors, gguf' 2>/dev/null || exit 77
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
bad=0
fail() { echo "check_formats: $*"; bad=1; }
for m in mamba mamba_odd falcon_mamba mamba2 mamba2_groups; do
    mkdir "$tmp/$m" && cp "$hf/$m"/expected*.safetensors "$hf/$m/config.json" "$tmp/$m/" && chmod u+w "$tmp/$m"/*
    # computed by transformers 5.17, which normalised all groups together
    [ $m != mamba2_groups ] || sed -i 's/"n_groups"/"group_norm": false, "n_groups"/' "$tmp/$m/config.json"
    "$python" -c 'import sys, torch; from safetensors.torch import load_file
torch.save(load_file(sys.argv[1] + "/model.safetensors"), sys.argv[2] + "/pytorch_model.bin")' "$hf/$m" "$tmp/$m" || fail "torch.save of $m"
    "$krait" verify "$tmp/$m" >"$tmp/log" || fail "$m from pytorch_model.bin: $(tail -3 "$tmp/log")"
done
for m in mamba mamba2; do # what the layout can say in full
    "$python" bench/peers/gguf_make.py "$hf/$m" "$tmp/$m/peer.gguf" || fail "gguf of $m"
    "$krait" verify "$tmp/$m/peer.gguf" >"$tmp/log" || fail "$m from GGUF: $(tail -3 "$tmp/log")"
    "$krait" convert "$hf/$m" "$tmp/$m/own.gguf" || fail "convert $m"
    "$python" - "$tmp/$m/own.gguf" "$tmp/$m/peer.gguf" <<'END' || fail "$m: our GGUF holds something else"
import sys, gguf, numpy as np
own, peer = (gguf.GGUFReader(p) for p in sys.argv[1:])
for key, field in peer.fields.items():
    if not key.startswith("GGUF."):
        assert own.fields[key].contents() == field.contents(), key
a, b = ({t.name: t for t in r.tensors} for r in (own, peer))
assert a.keys() == b.keys()
for n in a:
    assert list(a[n].shape) == list(b[n].shape) and a[n].tensor_type == b[n].tensor_type and np.allclose(a[n].data, b[n].data, rtol=2e-7), n
END
done
exit $bad
