#!/bin/sh
# orders-doc.sh - writes docs/scan-orders.md and its pictures.  orders-doc.sh [krait [FOLDER]]
#
# FOLDER gets scan-orders.md and img/orders/*.svg; default: docs of this tree.
cd "$(dirname "$0")/.." || exit 2
krait=${1:-build/default/krait} to=${2:-docs}
mkdir -p "$to/img/orders" || exit 2
size() { case $1 in 3) echo 4x8x8 ;; *) echo 8x12 ;; esac; }
{
    cat <<'END'
# Scan orders

In what order a model walks a picture, a volume or a line decides what its state has just seen. An order is one or more paths; `order.type = "scan"` gives
each path a mixer (its own, or one for all) and merges what they say. Each line goes from blue to orange; steps to a neighbour are thick, jumps thin.

```json
{"order": {"type": "scan", "path": "cross", "size": "14x14", "merge": "sum", "share": false}}
```

A list takes the paths of several orders together: `"path": "hilbert,hilbert:back,hilbert:turned,hilbert:turned:back"` has four. `:back` walks
from the end, `:turned` has rows and columns change places. `recipes/scan_order` compares orders at equal work.

`krait inspect order NAME --size HxW -o FILE.svg` draws any of them at any size; `krait config order.scan` lists the keys. This page is written by
`scripts/orders-doc.sh`.
END
    "$krait" inspect order | grep '^  ' | while read -r name axes about; do
        grid=$(size "$axes")
        echo
        echo "## $name"
        echo
        echo "$(echo "$about" | cut -c1 | tr '[:lower:]' '[:upper:]')$(echo "$about" | cut -c2-)."
        "$krait" inspect order "$name" --size "$grid" -o "$to/img/orders/$name.svg" >"$to/said" || exit 1
        echo "$(head -n 1 "$to/said" | sed 's/: /, /')."
        echo
        echo "![$name](img/orders/$name.svg)"
        [ "$axes" = 2-3 ] && {
            "$krait" inspect order "$name" --size 4x8x8 -o "$to/img/orders/$name-3d.svg" >/dev/null || exit 1
            echo
            echo "![$name in a volume](img/orders/$name-3d.svg)"
        }
    done
    rm -f "$to/said"
} >"$to/scan-orders.md"
