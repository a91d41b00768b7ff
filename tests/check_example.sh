#!/bin/sh
# check_example.sh - examples/generate.c, the program that the README shows, runs on a
# model that krait train has just made.
set -eu
build=$1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"$build/krait" train --data.paths=LICENSE --out="$tmp/model" --steps=2 --d_model=32 --n_layer=1 --mixer.type=mamba2 \
    --mixer.d_state=16 --mixer.headdim=16 --batch_size=2 --seq_len=32 --train.eval_batches=1 2>"$tmp/log" || { cat "$tmp/log"; exit 1; }
"$build/example_generate" "$tmp/model" "Licensed under" 20 >"$tmp/text"
[ "$(head -c 14 "$tmp/text")" = "Licensed under" ] || { cat "$tmp/text"; exit 1; }
[ "$(wc -c <"$tmp/text")" -gt 14 ]
if "$build/example_generate" "$tmp/nowhere" "x" 2>"$tmp/log"; then exit 1; fi
grep -q nowhere "$tmp/log"
