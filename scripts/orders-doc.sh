#!/bin/sh
# orders-doc.sh - writes docs/scan-orders.md and its pictures.  orders-doc.sh [krait [FOLDER]]
#
# FOLDER gets scan-orders.md and img/orders/*.svg; default: docs of this tree.
cd "$(dirname "$0")/.." || exit 2
krait=${1:-build/default/krait} to=${2:-docs}
mkdir -p "$to/img/orders" || exit 2
size() { case $1 in 3) echo 4x8x8 ;; *) echo 8x12 ;; esac; }
draw() { # FILE CAPTION ORDER --size ... : a picture and its line
    file=$1 caption=$2
    shift 2
    "$krait" inspect order "$@" -o "$to/img/orders/$file.svg" >/dev/null || exit 1
    echo
    echo "![$caption](img/orders/$file.svg)"
}
{
    cat <<'END'
# Scan orders

In what order a model walks a picture, a volume or a line decides what its state has just seen. An order is one or more paths; `order.type = "scan"` gives
each path a mixer (its own, or one for all) and merges what they say. Each line goes from blue to orange; steps to a neighbour are thick, jumps thin.

```json
{"order": {"type": "scan", "path": "cross", "size": "14x14", "merge": "sum", "share": false}}
```

A list takes the paths of several orders together: `"path": "hilbert,hilbert:back,hilbert:turned,hilbert:turned:back"` has four. Behind a name go
`:back` (the walk from its end), `:turned` (rows and columns change places), `:apart` (each row, window, frame, place or round is a walk by itself,
[below](#pieces-by-themselves)), `:flipped` (the channels of a step in reverse: Mamba3D) and a number, its own window: the best four of a layer that
LocalMamba found are a list like `"forward,forward:turned:back,window:2,window:7"`. `recipes/scan_order` compares orders at equal work.

`"coarse": 2` has all paths but the first walk the picture at half its resolution (MSVMamba, Voxel Mamba).
`"shuffle": 0.5` puts the steps in a random order before the walk and back behind it while training, with that chance in the last layer and less in those
before it (SLWS).

Each path gathers the steps it walks and gathers what was said back; a gather by a list without repeats goes back as one, too. `ss2d`
([blocks.md](blocks.md)) needs neither where its paths lead through all cells: its scans take the steps by the list.

A mixer in `mixers` may have an order of its own, so that a layer can walk one way after the other (`"layers": ["rows+columns"]`), and layers in turn.

`krait inspect order NAME --size HxW -o FILE.svg` draws any of them at any size; `krait config order.scan` lists the keys. This page is written by
`scripts/orders-doc.sh`.
END
    "$krait" inspect order | grep '^  [^ ]* *[1-3]' | while read -r name axes about; do
        grid=$(size "$axes")
        echo
        echo "## $name"
        echo
        echo "$(echo "$about" | cut -c1 | tr '[:lower:]' '[:upper:]')$(echo "$about" | cut -c2-)."
        "$krait" inspect order "$name" --size "$grid" -o "$to/img/orders/$name.svg" >"$to/said" || exit 1
        echo "$(head -n 1 "$to/said" | sed 's/: /, /')."
        echo
        echo "![$name](img/orders/$name.svg)"
        case $axes,$name in 2-3,*|1-3,window) draw "$name-3d" "$name in a volume" "$name" --size 4x8x8 ;; esac
    done
    cat <<'END'

## Points, nodes, a tree

These walks are made of the things themselves: points of a cloud along a curve (`data.patches` and `order` of points, [data.md](data.md)), nodes of a graph by their degree
with hubs last (`order` of graphs; `redraw` and `draws` draw ties anew, the order `ties` in each layer), the cells of a picture from parents to children along the tree that joins what is alike (`ss2d` with `"path": "tree"`,
[blocks.md](blocks.md)). `krait inspect order points:z --from cloud.xyz -o z.svg` draws a cloud of your own, `nodes:degree --from edges.txt` a graph.
END
    draw points-hilbert "points along Hilbert's curve" points:hilbert
    draw points-hilbert-trans "... with x and y swapped" points:hilbert-trans
    draw points-z "points along Morton's curve" points:z
    draw points-xyz "points along the axes, to and fro" points:xyz
    draw nodes-degree "nodes by degree" nodes:degree
    draw tree "a tree over a picture" tree --size 12x16
    cat <<'END'

## Pieces by themselves

`:apart` cuts a walk where a row, a window, a frame, a place (through time) or a round (over slices) ends: each piece is a sequence of its own. In
pieces of one length they run as one batch, else as packed documents. `ss2d` takes it, and `:flipped`, too ([blocks.md](blocks.md)).

| design | orders |
|---|---|
| SPMamba: along frequency, then along time | `"layers": ["f+t"]`, `f` with `"path": "bidirectional:apart"`, `t` with `"bidirectional:turned:apart"` |
| DPMamba: within chunks of K, then across | `"window:apart,window:back:apart"` with `"path_window": K`, then `"slices:apart"` with their number |
| ZigMa of clips: frames and time in turn | `"layers": ["frame", "frame", "time"]`, `"zigzag:apart"` and `"temporal:apart"` |
END
    draw window-apart "windows of 4 apart" window:apart --window 4 --size 8x12
    draw columns-apart "columns apart" forward:turned:apart --size 8x12
    draw zigzag-apart "frames apart" zigzag:apart --size 4x8x8
    draw rounds-apart "rounds over 3 slices apart" slices:apart --window 3 --size 24
    cat <<'END'

## Levels: `nested`, `condense`

`{"type": "nested", "window": 4, "by": "last"}` walks each window by itself, then from window to window, by what stands for each: its last step (HiSS),
their mean, or all of it through a product (`"by": "join"`: the words and sentences of MiM-ISTD). Every step is told what was said of its window.
A stack that goes on with the windows alone, as HiSS does, has them walked `:apart` and the part `condense` behind:

```json
{"layers": ["low", "low", "condense", "mixer", "mixer"], "mixer": {"type": "mamba1"},
 "mixers": {"low": {"type": "s4d", "order": {"type": "scan", "path": "window:apart", "path_window": 10}}, "condense": {"window": 10}}}
```

`levels`, above, is Motion Mamba's: 2 N − 1 walks with parameters of their own in the first layer, fewer towards the middle, and more again.

## Over channels, and between streams

`{"type": "scan", "path": "bidirectional", "axis": "channels"}` walks the channels, each a step that has all steps as its numbers: MambaMixer's channel mixer,
TimeMachine's turned branch, Motion Mamba's walk of the latent pose. `{"type": "swap"}` has two streams, the halves of the steps, change every second group of
channels before each goes through a mixer of its own: two groups are Pan-Mamba's swap, four with `"first": "second"` Fusion-Mamba's.

## In data and elsewhere

Reverse complement is `data.strands` or `reverse_complement` (Caduceus), spans moved to the end `"task": "infill"` (ProtMamba) and `fim` of texts ([data.md](data.md)); a class
token in the middle the part `tokens` (Vim, Audio Mamba; [blocks.md](blocks.md)).

## What is not there

| | why |
|---|---|
| QuadMamba's windows, MambaIRv2's order by class | learnt with the weights: no function of the sizes |
| LocalMamba's search, MambaMixer's weights of earlier layers | learnt; what a search chose is a list of paths |
| MLFSR's subspaces of a light field | the rule is not published |
| FourierMamba's and FreqMamba's bands | steps of another transform, which there is no part for; FourierMamba's walk over them is `jpeg` |
| GMN's walks | sampled neighbourhoods as sequences, one a node: not an order of what is there |
| DPMamba's overlap of chunks by a half | a step would come twice; chunks here lie side by side |
| positions made from where an octree's nodes lie (Point-Mamba), norms and pools over neighbours (Mamba3D) | no orders |
END
    rm -f "$to/said"
} >"$to/scan-orders.md"
