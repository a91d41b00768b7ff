#!/bin/sh
# check_tree.sh - the rules of the tree hold, and each one, broken in a tiny tree, is noticed.
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
bad=0
sh scripts/check-layers || bad=1

# breaks FILE TEXT: this line in this file must be refused; no file: the tree as it is must not
breaks() {
    rm -rf "${tmp:?}"/*
    mkdir -p "$tmp/include/krait" "$tmp/src/base" "$tmp/src/ops/a" "$tmp/src/cuda" "$tmp/src/graph" "$tmp/cli"
    echo "OP(a)" >"$tmp/src/ops/ops.def"
    : >"$tmp/src/ops/a/a.h"
    : >"$tmp/src/graph/graph.h"
    : >"$tmp/src/cuda/backend.h"
    : >"$tmp/include/krait/ok.h"
    : >"$tmp/src/base/ok.h"
    if [ $# = 0 ]; then
        sh scripts/check-layers "$tmp" >"$tmp/log" 2>&1 || { cat "$tmp/log"; echo "check_tree: the tiny tree is refused"; bad=1; }
        return
    fi
    mkdir -p "$tmp/$(dirname "$1")"
    printf '%b\n' "$2" >"$tmp/$1"
    sh scripts/check-layers "$tmp" >"$tmp/log" 2>&1 && { echo "check_tree: not refused: $2 in $1"; bad=1; }
}
breaks
breaks src/base/x.c '#include "graph/graph.h"'
breaks src/infer/x.c '#include "train/train.h"'
breaks src/ops/b/b.c '#include "ops/a/a.h"'
breaks src/ops/c/c.c 'int c;'
breaks src/parts/mixer_x.c '#include "parts/mixer_y.h"'
breaks src/graph/x.c 'void *p(void) { return malloc(3); }'
breaks src/graph/x.c 'void p(void) { printf("x"); }'
breaks src/graph/x.c '#include <cuda_runtime.h>'
breaks src/tensor/x.c '#include "cuda/backend.h"'
breaks src/graph/x.c '#include <sys/socket.h>'
breaks src/graph/x.c '#include <mpi.h>'
breaks cli/x.c '#include "graph/graph.h"'
breaks src/base/ok.h 'size_t unknown;'
if command -v "${CXX:-c++}" >/dev/null; then breaks include/krait/ok.h 'int class;'; fi
breaks src/base/x.c "$(printf '%0900d' 0 | sed 's/0/\\n/g')"
exit $bad
