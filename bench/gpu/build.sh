#!/bin/sh
# build.sh - OUT/bench_mixer, _ops, _scan and _ssd for a machine with a Hopper GPU; each
# source says what its program does.  The kernels are those of a build of the preset cuda:
#
#   cmake --preset cuda -DKRAIT_CUDA_ARCH=90a && cmake --build build/cuda --target krait krait_cuda
#   bench/gpu/build.sh OUT [FOLDER of that build]
set -eu
cd "$(dirname "$0")/../.."
out=${1:?a folder}
build=${2:-build/cuda}
kernels=$build/CMakeFiles/krait_cuda.dir/src
[ -f "$build/libkrait.a" ] && [ -d "$kernels" ] || { echo "build.sh: $build holds no build with CUDA; the first lines of this file say how to make one" >&2; exit 1; }
PATH=$PATH:/usr/local/cuda/bin
mkdir -p "$out"
export out launcher="$(command -v ccache || true)"

# one file a call, two at a time
ls bench/gpu/bench_*.cu | xargs -P 2 -I FILE sh -c '
    $launcher nvcc -std=c++17 -O3 -gencode arch=compute_90a,code=sm_90a --expt-relaxed-constexpr -Isrc -Iinclude \
        -Itests -c FILE -o "$out/$(basename FILE).o"'
for f in tests/op_case.c src/ops/*/*_test.c; do
    $launcher cc -O1 -D_GNU_SOURCE -Isrc -Iinclude -Itests -c "$f" -o "$out/$(basename "$f").o"
done
for bench in mixer ops scan ssd; do
    # shellcheck disable=SC2046
    c++ -o "$out/bench_$bench" "$out/bench_$bench.cu.o" "$out/op_case.c.o" "$out"/*_test.c.o $(find "$kernels/ops" -name '*.o') "$kernels"/cuda/bl*.cu.o \
        "$build/libkrait.a" -L/usr/local/cuda/lib64 -lcudart_static -ldl -lpthread -lrt -fopenmp -ljansson -lkissfft-float
done
