#!/bin/sh
# test.sh - installs what is missing, builds, and runs every test: optimised, then under
# the address and undefined-behaviour sanitizers.  The last line is "N passed, N failed".
#
#   scripts/test.sh [PRESET ...]     default debug-san, unless told; tsan (data races) and
#                                    coverage (which lines no test runs) are the others
#                                    (NEON on another machine: scripts/test-neon.sh)
#   KRAIT_TESTS=REGEX ...            only tests whose names match
cd "$(dirname "$0")/.." || exit 2
. scripts/packages.sh
passed=0 failed=0
start=$(date +%s)
jobs=$(nproc 2>/dev/null || echo 2)
finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
    exit
}
broken() { # broken WHAT LOG: a pass that could not run counts as one failure
    tail -40 "$2"
    echo "$1 failed; all of it is in $2"
    failed=$((failed + 1))
}
attribute() { sed -n "s/.*[ \t]$1=\"\([0-9]*\)\".*/\1/p" "$2" | head -1; }

# What says nothing of our C under sanitizers that others do not: run in the preset default alone.
once='^check_(page|docs|tree|install)$'

run() { # run PRESET
    dir=build/$1 began=$(date +%s)
    mkdir -p "$dir"
    echo "== $1: building in $dir"
    launcher=$(command -v ccache) # a compiler cache if there is one
    cmake --preset "$1" ${launcher:+-DCMAKE_C_COMPILER_LAUNCHER="$launcher"} >"$dir/configure.log" 2>&1 ||
        { broken "configure ($1)" "$dir/configure.log"; return; }
    cmake --build "$dir" -j "$jobs" >"$dir/build.log" 2>&1 || { broken "build ($1)" "$dir/build.log"; return; }
    grep 'warning:' "$dir/build.log"
    built=$(date +%s)
    echo "== $1: built in $((built - began)) s; testing"
    rm -f "$dir/tests.xml"
    [ "$1" = default ] || set -- "$1" -E "$once" # as arguments, or it would be split at blanks
    preset=$1
    shift
    [ -z "$KRAIT_TESTS" ] || set -- "$@" -R "$KRAIT_TESTS"
    ctest --test-dir "$dir" -j "$jobs" --timeout 600 "$@" --output-on-failure --output-junit tests.xml >"$dir/test.log" 2>&1
    [ -s "$dir/tests.xml" ] || { broken "ctest ($preset)" "$dir/test.log"; return; }
    n=$(attribute tests "$dir/tests.xml") bad=$(attribute failures "$dir/tests.xml")
    skipped=$(($(attribute skipped "$dir/tests.xml") + $(attribute disabled "$dir/tests.xml")))
    good=$((n - bad - skipped))
    [ "$bad" = 0 ] || grep -vE '^ *(Start +[0-9]+:|[0-9]+/[0-9]+ Test .*(Passed|Skipped))' "$dir/test.log"
    echo "== $preset: $good passed, $bad failed, $skipped skipped, $(($(date +%s) - built)) s"
    passed=$((passed + good)) failed=$((failed + bad))
}

lines_run() { # how much of src and cli the tests of the preset coverage ran; the table goes to lines.txt
    # before 6.0 gcovr gives up on functions whose line depends on the instruction set
    odd=$(gcovr --help | grep -q merge-mode-functions && echo --merge-mode-functions=separate || echo --exclude=src/ops/gemm_vec.c)
    gcovr --root . build/coverage --filter src/ --filter cli/ --exclude '.*_test\.c' "$odd" --txt build/coverage/lines.txt --print-summary |
        sed -n 's/^lines/== coverage: lines run/p'
}

# The kernels for NVIDIA GPUs compile without one; where nvcc is, they have to, without a warning.  For every
# architecture, but not optimised, as nothing runs them here: that takes a third of the time.
compile_cuda() {
    dir=build/cuda-check began=$(date +%s)
    PATH=$PATH:/usr/local/cuda/bin
    command -v nvcc >/dev/null || { echo "== cuda: not compiled, for want of nvcc"; return; }
    mkdir -p $dir
    launcher=$(command -v ccache)
    cmake --preset cuda -B $dir -DKRAIT_CUDA_CHECK=ON ${launcher:+-DCMAKE_C_COMPILER_LAUNCHER="$launcher" -DCMAKE_CUDA_COMPILER_LAUNCHER="$launcher"} \
        >$dir/configure.log 2>&1 || { broken "configure (cuda)" $dir/configure.log; return; }
    cmake --build $dir -j "$jobs" --target krait_cuda >$dir/build.log 2>&1 || { broken "build (cuda)" $dir/build.log; return; }
    passed=$((passed + 1))
    echo "== cuda: compiled in $(($(date +%s) - began)) s; scripts/test-gpu.sh tests it on a GPU"
}

cuda=''
[ $# -gt 0 ] || { cuda=yes; set -- default debug-san; }
for preset; do
    case $preset in
    tsan) krait_needs="$krait_needs
clang          clang
deb:libomp-dev libomp-dev" ;;
    coverage) krait_needs="$krait_needs
gcovr gcovr" ;;
    esac
done
krait_install || { failed=1; finish; }
case " $* " in *" default "*) mkdir -p build && krait_install_clients build/python ;; esac
for preset; do
    run "$preset"
    [ "$preset" != coverage ] || lines_run
done
[ -z "$cuda" ] || compile_cuda
echo "$(($(date +%s) - start)) s in all"
finish
