#!/bin/sh
# Builds bench_ssd (sm_90a, static runtime) into the folder given: build_ssd.sh OUT
set -eu
cd "$(dirname "$0")/../.."
out=$1
mkdir -p "$out"
nvcc=${NVCC:-nvcc}
for f in ssd_ref; do
    ${CC:-cc} -std=c11 -O2 -D_GNU_SOURCE -DKR_REAL=double -DKR_REF_SUFFIX=ref_f64 -Isrc -Iinclude -c src/ops/ssd/$f.c -o "$out/$f.o"
done
$nvcc -std=c++17 -O3 -gencode arch=compute_90a,code=sm_90a -Isrc -Iinclude --expt-relaxed-constexpr -lineinfo -c src/ops/ssd/ssd.cu -o "$out/ssd.o"
$nvcc -std=c++17 -O2 -gencode arch=compute_90a,code=sm_90a -Isrc -Iinclude --expt-relaxed-constexpr -c bench/gpu/bench_ssd.cu -o "$out/bench_ssd.o"
$nvcc -gencode arch=compute_90a,code=sm_90a -cudart static -o "$out/bench_ssd" "$out/bench_ssd.o" "$out/ssd.o" "$out/ssd_ref.o"
