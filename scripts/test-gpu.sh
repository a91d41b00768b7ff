#!/bin/sh
# test-gpu.sh - builds with CUDA and runs every test that needs a GPU.
#
#   scripts/test-gpu.sh                  here
#   scripts/test-gpu.sh --dist FOLDER    gathers all that is needed into FOLDER instead, for a
#                                        machine with a GPU and nothing else: there, FOLDER/run.sh
set -eu
cd "$(dirname "$0")/.."
. scripts/packages.sh
dist=''
[ "${1:-}" != --dist ] || dist=${2:?a folder}
dir=build/cuda
tests="check_ops check_golden check_verify check_device check_big"
fixtures=${KRAIT_SHARED:-../shared}/fixtures

krait_install
PATH=$PATH:/usr/local/cuda/bin
command -v nvcc >/dev/null || { echo "test-gpu: nvcc is not here; install the CUDA toolkit (12 or newer)" >&2; exit 1; }
launcher=$(command -v ccache || true)
mkdir -p $dir
cmake --preset cuda ${launcher:+-DCMAKE_C_COMPILER_LAUNCHER="$launcher" -DCMAKE_CUDA_COMPILER_LAUNCHER="$launcher"} \
    ${KRAIT_CUDA_ARCH:+-DKRAIT_CUDA_ARCH="$KRAIT_CUDA_ARCH"} >$dir/configure.log 2>&1 || { tail -n 30 $dir/configure.log; exit 1; }
# shellcheck disable=SC2086
cmake --build $dir --target krait_cli krait_cuda $tests >$dir/build.log 2>&1 || { grep -E 'error|warning' $dir/build.log; exit 1; }

if [ -z "$dist" ]; then
    exec sh tests/gpu.sh $dir "$fixtures"
fi
mkdir -p "$dist/fixtures"
for f in krait libkrait_cuda.so $tests; do strip -o "$dist/$f" $dir/$f; done
# shellcheck disable=SC2046
ldd $(for f in krait $tests; do echo $dir/$f; done) | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' | sort -u |
    grep -vE '/(libc|libm|libdl|libpthread|librt|ld-linux[^/]*)\.so' | while read -r lib; do cp -L "$lib" "$dist/"; done
cp tests/gpu.sh "$dist/run.sh"
cat docs/*.md >"$dist/text.md"
[ ! -d "$fixtures" ] || cp -r "$fixtures/." "$dist/fixtures/"
du -sh "$dist"
