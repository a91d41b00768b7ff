#!/bin/sh
# build_ops.sh - OUT/bench_ops (see bench_ops.cu) for a machine with a Hopper GPU.  Wants the CPU's
# library built first: cmake --build build --target krait.    bench/gpu/build_ops.sh OUT [build]
set -eu
cd "$(dirname "$0")/../.."
out=${1:?a folder}
build=${2:-build}
PATH=$PATH:/usr/local/cuda/bin
mkdir -p "$out"
objects=
for f in src/cuda/blas.cu src/ops/*/*.cu bench/gpu/bench_ops.cu; do
    o=$out/$(basename "$f").o
    [ -n "$(find "$o" -newer "$f" 2>/dev/null)" ] ||
        nvcc -std=c++17 -O3 -gencode arch=compute_90a,code=sm_90a --expt-relaxed-constexpr -Isrc -Iinclude -c "$f" -o "$o"
    objects="$objects $o"
done
for f in tests/op_case.c src/ops/*/*_test.c; do
    o=$out/$(basename "$f").o
    cc -O1 -D_GNU_SOURCE -Isrc -Iinclude -Itests -c "$f" -o "$o"
    objects="$objects $o"
done
# shellcheck disable=SC2086
c++ -o "$out/bench_ops" $objects "$build/libkrait.a" -L/usr/local/cuda/lib64 -lcudart_static -ldl -lpthread -lrt -fopenmp \
    -ljansson -lkissfft-float
