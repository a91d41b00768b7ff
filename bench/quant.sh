#!/bin/sh
# quant.sh - what each format of weights costs and brings: bytes, loss on a text, speed of decoding.
#
#     sh bench/quant.sh MODEL TEXT [FORMAT...]
#
# MODEL is a folder (float32 or bfloat16), TEXT a file that it was not trained on.  Loss is of
# krait eval, its change against float32; tokens/s of krait bench decode on two threads (THREADS=n,
# on a busy machine take none of them seriously).  KRAIT=path/to/krait; models are written to a
# temporary folder and removed.
set -eu
krait=${KRAIT:-build/krait}
[ $# -ge 2 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
model=$1 text=$2
shift 2
[ $# -gt 0 ] || set -- bfloat16 float16 q8_0 q6_k q4_k q4_0
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT

field() { sed -n "s/.*\"$1\": *\([0-9.e+-]*\).*/\1/p" | head -n 1; }
row() { # format folder
    bytes=$(wc -c <"$2/model.safetensors")
    result=$("$krait" eval "$2" "$text" --json)
    loss=$(echo "$result" | field loss) bits=$(echo "$result" | field bits_per_byte)
    [ "$1" != float32 ] || base=$loss
    speed=$("$krait" bench decode "$2" --dtype "$1" --threads "${THREADS:-2}" --json 2>/dev/null | grep '"decode"' | field tokens_per_s || true)
    awk -v f="$1" -v b="$bytes" -v l="$loss" -v p="$bits" -v base="$base" -v t="${speed:-0}" \
        'BEGIN { printf "| %-8s | %8.2f MB | %.5f | %+.3f %% | %6.1f |\n", f, b / 1e6, p, 100 * (l / base - 1), t }'
}

echo "| format   | file | bits/byte | loss | tokens/s |"
echo "|---|---|---|---|---|"
"$krait" convert "$model" "$dir/float32" --dtype float32
row float32 "$dir/float32"
for f; do
    [ "$f" != float32 ] || continue
    "$krait" quantize "$model" "$dir/model" --format "$f"
    row "$f" "$dir/model"
    rm -r "$dir/model"
done
