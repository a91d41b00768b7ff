#!/bin/sh
# check_formats.sh - models as other programs write them: PyTorch's pickle, and GGUF by the package gguf in llama.cpp's
# layout.  Each must compute what transformers computed, or what the model it was made of computes; and our own GGUF must
# hold what theirs does.  Skipped without KRAIT_PYTHON (a Python with safetensors and gguf, torch if it is there).
krait=$(realpath "$1/krait")
shared=${KRAIT_SHARED:-$(pwd)/../shared}/fixtures/hf
python=${KRAIT_PYTHON:-python3}
"$python" -c 'import safetensors, gguf' 2>/dev/null || { echo "skipped: no Python with safetensors and gguf"; exit 77; }
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
bad=0
fail() { echo "check_formats: $*"; bad=1; }
as_bin() { "$python" tests/torch_save.py "$1" "$2/pytorch_model.bin" || fail "torch_save.py $1"; } # as_bin MODEL FOLDER

# --- what transformers computed ------------------------------------------------------------------------
for m in mamba2_groups mamba mamba_odd falcon_mamba mamba2 bamba falcon_h1 granitemoehybrid jamba nemotron_h zamba2; do
    [ $m = mamba2_groups ] && hf=tests/data/$m || hf=$shared/$m
    [ -d "$hf" ] || { echo "without $hf"; continue; }
    mkdir "$tmp/$m" && cp "$hf"/expected*.safetensors "$hf/config.json" "$tmp/$m/" && chmod u+w "$tmp/$m"/*
    as_bin "$hf" "$tmp/$m"
    "$krait" verify "$tmp/$m" >"$tmp/log" || fail "$m from pytorch_model.bin: $(tail -3 "$tmp/log")"
    case $m in *zamba*) ;; *mamba*) # what a GGUF file can say
        "$krait" convert "$hf" "$tmp/$m/own.gguf" && "$krait" verify "$tmp/$m/own.gguf" >"$tmp/log" || fail "$m from our GGUF: $(tail -3 "$tmp/log")" ;;
    esac
done

# --- models of our own, with a tokenizer ---------------------------------------------------------------
awk 'BEGIN { for (i = 0; i < 3000; i++) printf "the krait sleeps by day %d, hunts at night. ", i * 7919 % 1000 }' >"$tmp/text.txt"
(cd "$tmp" && "$krait" tokenizer train text.txt -o tokenizer.json --vocab_size 300) >"$tmp/log" 2>&1 || { cat "$tmp/log"; fail "no tokenizer"; }
for m in mamba mamba2; do
    [ $m = mamba ] && mixer=mamba1 || mixer=mamba2
    (cd "$tmp" && "$krait" train --data.paths=text.txt --data.tokenizer=tokenizer.json --model.d_model=64 --model.n_layer=2 --mixer.type=$mixer \
        --train.steps=20 --train.batch_size=2 --train.seq_len=64 --out=own-$m) >"$tmp/log" 2>&1 || { cat "$tmp/log"; fail "no $m"; }
done
loss() { "$krait" eval "$1" "$tmp/text.txt" --json 2>"$tmp/log" | sed 's/.*"loss": \([0-9.]*\).*/\1/'; }
for hf in "$tmp/own-mamba" "$tmp/own-mamba2" "$shared/mamba" "$shared/mamba2"; do # what the layout can say in full
    [ -d "$hf" ] || continue
    m=gguf-$(basename "$hf")
    mkdir "$tmp/$m"
    "$python" bench/peers/gguf_make.py "$hf" "$tmp/$m/peer.gguf" || fail "gguf of $hf"
    "$krait" convert "$hf" "$tmp/$m/own.gguf" || fail "convert $hf"
    if [ -f "$hf/expected.safetensors" ]; then
        cp "$hf"/expected*.safetensors "$tmp/$m"
        "$krait" verify "$tmp/$m/peer.gguf" >"$tmp/log" || fail "$m: $(tail -3 "$tmp/log")"
    else
        as_bin "$hf" "$tmp/$m"
        cp "$hf/config.json" "$hf/tokenizer.json" "$tmp/$m"
        want=$(loss "$hf")
        for file in "$tmp/$m" "$tmp/$m/peer.gguf" "$tmp/$m/own.gguf"; do
            [ -n "$want" ] && [ "$(loss "$file")" = "$want" ] || { fail "$file: a loss of $(loss "$file"), want $want"; cat "$tmp/log"; }
        done
    fi
    "$python" - "$tmp/$m/own.gguf" "$tmp/$m/peer.gguf" <<'END' || fail "$m: our GGUF holds something else"
import sys, gguf, numpy as np
own, peer = (gguf.GGUFReader(p) for p in sys.argv[1:])
for key, field in peer.fields.items():
    if not key.startswith("GGUF.") and key != "tokenizer.ggml.pre": # "mpt" and "gpt-2" cut texts the same way
        assert own.fields[key].contents() == field.contents(), key
a, b = ({t.name: t for t in r.tensors} for r in (own, peer))
assert a.keys() == b.keys()
for n in a:
    assert list(a[n].shape) == list(b[n].shape) and a[n].tensor_type == b[n].tensor_type and np.allclose(a[n].data, b[n].data, rtol=2e-7), n
END
done
exit $bad
