#!/bin/sh
# quant.sh - what each format of weights costs and brings: bytes, loss on a text, speed.
#
#     sh bench/quant.sh MODEL TEXT [FORMAT...]
#
# MODEL is a folder (float32 or bfloat16), TEXT a file that it was not trained on.  Loss is of
# krait eval, its change against float32; tokens/s on two threads (THREADS=n) are of krait bench
# decode with one sequence and with eight, all of them together, and of krait bench prefill with
# 2048 tokens (PROMPT=n; SPEED=no leaves all three out; on a busy machine take none seriously).
# CALIBRATE=FILE adds w8a8 of krait quantize, made with that text, to the formats; as formats there
# are also w8a8-plain (nothing cut off, nothing rotated), w8a8-clip and w8a8-rotated (one of both).
# KRAIT=path/to/krait; models are written to a temporary folder and removed.
set -eu
krait=${KRAIT:-build/krait}
[ $# -ge 2 ] || { sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 2; }
model=$1 text=$2
shift 2
[ $# -gt 0 ] || set -- bfloat16 float16 q8_0 q6_k q4_k q4_0 ${CALIBRATE:+w8a8}
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT

field() { sed -n "s/.*\"$1\": *\([0-9.e+-]*\).*/\1/p" | head -n 1; }
speed() { # what folder dtype option...
    what=$1 folder=$2 type=$3
    shift 3
    [ "${SPEED:-yes}" = yes ] || { echo 0; return; }
    "$krait" bench "$what" "$folder" --dtype "$type" --threads "${THREADS:-2}" --json "$@" 2>/dev/null | grep "\"$what\"" | field tokens_per_s
}
row() { # format folder
    case $1 in w8a8*) type=q8_0 ;; *) type=$1 ;; esac
    bytes=$(wc -c <"$2/model.safetensors")
    result=$("$krait" eval "$2" "$text" --json)
    loss=$(echo "$result" | field loss) bits=$(echo "$result" | field bits_per_byte)
    [ "$1" != float32 ] || base=$loss
    awk -v f="$1" -v b="$bytes" -v l="$loss" -v p="$bits" -v base="$base" -v one="$(speed decode "$2" "$type")" \
        -v eight="$(speed decode "$2" "$type" --batch 8)" -v read="$(speed prefill "$2" "$type" --prompt "${PROMPT:-2048}")" \
        'BEGIN { printf "| %-12s | %8.2f MB | %.5f | %+.3f %% | %6.0f | %6.0f | %6.0f |\n", f, b / 1e6, p, 100 * (l / base - 1), one, eight, read }'
}

echo "| format       | file | bits/byte | loss | decode | decode 8 | prefill |"
echo "|---|---:|---:|---:|---:|---:|---:|"
"$krait" convert "$model" "$dir/float32" --dtype float32
row float32 "$dir/float32"
for f; do
    [ "$f" != float32 ] || continue
    case $f in
    w8a8) set -- w8a8 --calibrate "$CALIBRATE" ;;
    w8a8-plain) set -- w8a8 --calibrate "$CALIBRATE" --no-hadamard --percentile 100 ;;
    w8a8-clip) set -- w8a8 --calibrate "$CALIBRATE" --no-hadamard ;;
    w8a8-rotated) set -- w8a8 --calibrate "$CALIBRATE" --percentile 100 ;;
    *) set -- "$f" ;;
    esac
    "$krait" quantize "$model" "$dir/model" --format "$@"
    row "$f" "$dir/model"
    rm -r "$dir/model"
done
