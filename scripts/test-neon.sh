#!/bin/sh
# test-neon.sh - the ops on NEON, tested on any machine: builds for aarch64 and runs the
# tests of the kernels under qemu.  On an aarch64 machine scripts/test.sh does all that, and more.
#
#   scripts/test-neon.sh [OP ...]     all ops, or these; three minutes on 2 idle cores
#
# Debian: the packages of arm64 are installed beside the machine's own, which takes
# `dpkg --add-architecture arm64` first; this script does both, or says how.
set -eu
cd "$(dirname "$0")/.."
. scripts/packages.sh
case $(uname -m) in
aarch64 | arm64) echo "test-neon: this machine has NEON itself: scripts/test.sh runs everything on it"; exit 0 ;;
esac
krait_needs="
aarch64-linux-gnu-gcc      gcc-aarch64-linux-gnu
qemu-aarch64-static        qemu-user-static
cmake                      cmake
ninja                      ninja-build
pkg-config                 pkg-config
deb:libc6-dev-arm64-cross  libc6-dev-arm64-cross
deb:libgomp1:arm64         libgomp1:arm64
deb:libjansson-dev:arm64   libjansson-dev:arm64
deb:libkissfft-dev:arm64   libkissfft-dev:arm64
deb:libcmocka-dev:arm64    libcmocka-dev:arm64
"
krait_install || exit 1

dir=build/neon log=build/neon.log
mkdir -p build
# step WHAT COMMAND...: quiet unless it fails
step() {
    echo "== $1"
    shift
    "$@" >"$log" 2>&1 || { tail -n 40 "$log"; echo "test-neon: that failed; all of it is in $log" >&2; exit 1; }
}
step "configuring in $dir" cmake --preset neon
step "building for aarch64" cmake --build --preset neon --target check_ops vec_test_neon gemm_test gemm_blocks_test tensor_test quant_test
export OMP_WAIT_POLICY=passive
for test in vec_test_neon gemm_test gemm_blocks_test tensor_test quant_test; do
    step "$test" qemu-aarch64-static "$dir/$test"
done
echo "== ops, against their references; the largest errors forward/backward"
qemu-aarch64-static "$dir/check_ops" -v "$@"
