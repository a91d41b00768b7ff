#!/bin/sh
# build.sh - OUT/bench_mixer, _ops, _scan and _ssd for a machine with a Hopper GPU; each
# source says what its program does.  Wants the library and its headers first:
#
#   cmake --preset default && cmake --build build/default --target krait
#   bench/gpu/build.sh OUT [FOLDER of libkrait.a]
set -eu
cd "$(dirname "$0")/../.."
out=${1:?a folder}
lib=${2:-build/default}/libkrait.a
[ -f "$lib" ] || { echo "build.sh: there is no $lib; its first lines say how to make it" >&2; exit 1; }
PATH=$PATH:/usr/local/cuda/bin
mkdir -p "$out"
export out launcher="$(command -v ccache || true)"

# one file a call, two at a time
ls src/cuda/blas.cu src/ops/*/*.cu bench/gpu/bench_*.cu | xargs -P 2 -I FILE sh -c '
    $launcher nvcc -std=c++17 -O3 -lineinfo -gencode arch=compute_90a,code=sm_90a --expt-relaxed-constexpr -Isrc -Iinclude \
        -Itests -c FILE -o "$out/$(basename FILE).o"'
for f in tests/op_case.c src/ops/*/*_test.c; do
    $launcher cc -O1 -D_GNU_SOURCE -Isrc -Iinclude -Itests -c "$f" -o "$out/$(basename "$f").o"
done
for bench in mixer ops scan ssd; do
    objects=$(ls "$out"/*.o | grep -v '/bench_')
    # shellcheck disable=SC2086
    c++ -o "$out/bench_$bench" "$out/bench_$bench.cu.o" $objects "$lib" -L/usr/local/cuda/lib64 -lcudart_static -ldl -lpthread \
        -lrt -fopenmp -ljansson -lkissfft-float
done
