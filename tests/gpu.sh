#!/bin/sh
# gpu.sh - every test that needs a GPU.  gpu.sh [FOLDER of the programs [FOLDER of fixtures [SECTION ...]]]
#
# Sections: ops values big device curves resume memcheck racecheck; all of them unless named.
# Ops against the double reference and against golden values, models against another
# implementation, training against the CPU and after kill -9, memory and races on small shapes.
# The last line is "N passed, N failed".  scripts/test-gpu.sh builds and calls this.
here=$(cd "$(dirname "$0")" && pwd)
bin=${1:-$here} fixtures=${2:-$here/fixtures}
[ $# -lt 2 ] && set --
[ $# -ge 2 ] && shift 2
sections=${*:-ops values big device curves resume memcheck racecheck}
export LD_LIBRARY_PATH="$bin${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" OMP_WAIT_POLICY=passive KRAIT_DEVICE=cuda
[ -d "$fixtures" ] && KRAIT_SHARED=$(dirname "$fixtures") && export KRAIT_SHARED
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0 skipped=0

# try SECONDS NAME COMMAND...: 0 passes, 77 is skipped, all else fails
try() {
    limit=$1 name=$2
    shift 2
    began=$(date +%s%N)
    case $1 in
    */* | compute-sanitizer) timeout "$limit" "$@" >"$tmp/log" 2>&1 ;;
    *) "$@" >"$tmp/log" 2>&1 ;; # a function of this file
    esac
    code=$?
    took=$((($(date +%s%N) - began) / 1000000))
    case $code in
    0) passed=$((passed + 1)) word=ok ;;
    77) skipped=$((skipped + 1)) word=skipped ;;
    124) failed=$((failed + 1)) word="FAIL: not done after $limit s" ;;
    *) failed=$((failed + 1)) word="FAIL ($code)" ;;
    esac
    printf '%-34s %-8s %6d ms  %s\n' "$name" "$word" "$took" "$(tail -n 1 "$tmp/log" | cut -c1-110)"
    [ "$code" = 0 ] || grep -E 'FAIL|ERROR|broken|rror' "$tmp/log" | head -n 8 | cut -c1-160
}

"$bin/check_ops" --device cuda to_real >"$tmp/log" 2>&1
if [ $? = 77 ]; then
    cat "$tmp/log"
    echo "0 passed, 0 failed"
    exit 77
fi
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null

wanted() { case " $sections " in *" $1 "*) ;; *) return 1 ;; esac; }

# --- ops, values, models ------------------------------------------------------------------
wanted ops && for op in $("$bin/check_ops" --list); do try 60 "check_ops $op" "$bin/check_ops" -v --device cuda "$op"; done
wanted values && try 60 check_golden "$bin/check_golden" --device cuda
wanted values && try 60 check_verify "$bin/check_verify"
wanted big && try 90 check_big "$bin/check_big" --device cuda
wanted device && try 60 check_device "$bin/check_device"

# --- 50 steps beside the CPU ------------------------------------------------------------------
cat "$here"/*.sh "$bin"/*.sh "$here"/../docs/*.md "$here"/text* >"$tmp/text.txt" 2>/dev/null
train() { # train NAME KEYS...: a small Mamba of 50 steps into $tmp/NAME
    to=$1
    shift
    ${run:-timeout 60} "$bin/krait" train --data.kind=text --data.paths="$tmp/text.txt" --out="$tmp/$to" --d_model=128 --n_layer=2 \
        --steps=50 --batch_size=4 --seq_len=128 --lr=2e-3 --warmup_steps=10 --log_every=1 --eval_every=0 --checkpoint_every=10 "$@"
}
losses() { sed -n 's/.*"step": *\([0-9]*\).*"loss": *\([0-9.e+-]*\).*"lr".*/\1 \2/p' "$tmp/$1/metrics.jsonl"; }
# close A B TOLERANCE: the largest difference of losses, of their size
close() {
    losses "$1" >"$tmp/a"
    losses "$2" >"$tmp/b"
    join "$tmp/a" "$tmp/b" | awk -v tol="$3" '
        { d = ($2 - $3) / $2; d = d < 0 ? -d : d; worst = d > worst ? d : worst; n++ }
        END { printf "%d steps, largest relative difference %.2g, at most %g\n", n, worst, tol; exit !(n >= 45 && worst <= tol) }'
}
curve() { # curve MIXER
    train "cpu.$1" --mixer.type="$1" && train "cuda.$1" --mixer.type="$1" --device=cuda && close "cpu.$1" "cuda.$1" 1e-4
}
low() {
    train "low.$1" --mixer.type="$1" --device=cuda --dtype=bfloat16 && train "again.$1" --mixer.type="$1" --device=cuda --dtype=bfloat16 &&
        cmp "$tmp/low.$1/model.safetensors" "$tmp/again.$1/model.safetensors" && close "cpu.$1" "low.$1" 0.03
}
wanted curves && for mixer in mamba2 mamba1 s4d; do
    try 100 "50 steps as on the CPU, $mixer" curve $mixer
    try 60 "50 steps in bfloat16, $mixer" low $mixer
done

# killed at any moment, and resumed: the same bytes
kill_and_resume() {
    train whole --device=cuda --dtype=bfloat16 --steps=200 || return
    (run=exec && train broken --device=cuda --dtype=bfloat16 --steps=200) &
    pid=$!
    while [ ! -d "$tmp/broken/checkpoints/000000050" ] && kill -0 $pid; do sleep 0.05; done
    kill -9 $pid
    wait $pid
    timeout 60 "$bin/krait" train --resume "$tmp/broken" || return
    cmp "$tmp/whole/model.safetensors" "$tmp/broken/model.safetensors" && echo "the same bytes"
}
wanted resume && try 100 "kill -9 and resume" kill_and_resume

# --- memory and races ---------------------------------------------------------------------------
sanitize() { # sanitize TOOL
    timeout 150 compute-sanitizer --tool "$1" --error-exitcode 9 "$bin/check_ops" --quick --device cuda
}
for tool in memcheck racecheck; do
    wanted $tool || continue
    if command -v compute-sanitizer >/dev/null; then
        try 150 "compute-sanitizer $tool" sanitize $tool
    else
        echo "compute-sanitizer is not here"
    fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
