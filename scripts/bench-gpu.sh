#!/bin/sh
# bench-gpu.sh - what Krait reaches on this GPU: every op beside the roof, training, decoding.
#
#   scripts/bench-gpu.sh [FOLDER [CONFIGS]]     FOLDER of the programs; default build/cuda (preset cuda)
#
# Prints a table in Markdown, with card, driver, date and commit, for docs/benchmarks.md.
cd "$(dirname "$0")/.." || exit 2
bin=${1:-build/cuda} configs=${2:-bench/gpu}
krait=$bin/krait
quick="--runs 20 --seconds 0.3 --device cuda --dtype bfloat16 --json"
[ -x "$krait" ] || { echo "bench-gpu: there is no $krait; build the preset cuda first" >&2; exit 1; }

echo "$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null || echo 'no nvidia-smi'), $(date -I)," \
    "Krait $("$krait" --version | sed 's/.* //') ($(git rev-parse --short HEAD 2>/dev/null || echo 'no commit'))"

number() { sed -n "s/.*\"$1\": *\([0-9.e+-]*\).*/\1/p"; }
# shellcheck disable=SC2086
model() { # model NAME ONLY BATCH LENGTH BENCH: best time of one step in ms, and tokens a second
    line=$("$krait" bench model "$configs/$1.json" --only "$2" --batch "$3" --length "$4" $quick 2>&1 | grep "\"bench\": \"$5\"\|^krait:")
    ms=$(echo "$line" | number median_s | awk '{ printf "%.3f", $1 * 1000 }')
    rate=$(echo "$line" | number tokens_per_s_median | awk '{ printf "%.0f", $1 }')
    echo "| $2 $1, $3 x $4 | ${ms:-$line} | $rate |"
}
echo
echo "| work | ms (median) | tokens/s |"
echo "|---|---|---|"
model mamba2-130m train 16 2048 train
model mamba2-370m train 16 2048 train
model mamba1-130m train 16 2048 train
for batch in 1 32 256; do model mamba2-130m decode $batch 1 step; done
for batch in 1 32; do model mamba2-2.7b decode $batch 1 step; done

echo
echo "| op | sizes | pass | ms (median) | TFLOP/s | GB/s | of the roof |"
echo "|---|---|---|---|---|---|---|"
# shellcheck disable=SC2086
"$krait" bench ops $quick | sed -n 's/.*"op": "\([^"]*\)", "sizes": "\([^"]*\)", "pass": "\([^"]*\)".*"median_ms": \([^,]*\).*"gflops": \([^,]*\), "gb_per_s": \([^,]*\), "roof": \([^,}]*\).*/\1;\2;\3;\4;\5;\6;\7/p' |
    awk -F';' '{ printf "| %s | %s | %s | %.4f | %.1f | %.0f | %.0f %% |\n", $1, $2, $3, $4, $5 / 1000, $6, 100 * $7 }'
