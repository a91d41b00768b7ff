#!/bin/sh
# Every scan order, four paths each, over several seeds; prints accuracy on the test pictures: mean, least, most.
#
#   sh recipes/scan_order/run.sh recipe.json 7 "1 2 3"                         MNIST; side of a local window; seeds
#   sh recipes/scan_order/run.sh recipe.json 2 "1 2 3" --encoder.patch=4x4     ... in coarser patches, with an OUT of its own
#   sh recipes/scan_order/run.sh cifar.json 2 "1 2 3"                          CIFAR-10
#
# A run that is there already is not repeated.  KRAIT names the program, OUT the folder for runs.
set -eu
recipe=$1 window=$2 seeds=$3
shift 3
here=$(dirname "$0") krait=${KRAIT:-krait} out=${OUT:-scan_order_runs}
mkdir -p "$out"
paths() {
    case $1 in
    raster) echo forward,forward,forward,forward ;;
    bidirectional) echo bidirectional,bidirectional ;;
    cross) echo cross ;;
    continuous) echo continuous ;;
    local) echo window,window:back,window:turned,window:turned:back ;;
    hilbert) echo hilbert,hilbert:back,hilbert:turned,hilbert:turned:back ;;
    esac
}
orders="raster bidirectional cross continuous local hilbert"
log() { echo "$out/${recipe%.json}-$1-$2.log"; }
for seed in $seeds; do
    for order in $orders; do
        to=$(log "$order" "$seed")
        if grep -q 'test loss' "$to" 2>/dev/null; then continue; fi
        "$krait" train "$here/$recipe" --train.out="$out/model" --train.overwrite=true --train.seed="$seed" --mixer.path="$(paths $order)" \
            --mixer.path_window="$window" "$@" >"$to" 2>&1
    done
done
for order in $orders; do
    for seed in $seeds; do sed -n 's/.*test loss .*accuracy \([0-9.]*\).*/\1/p' "$(log "$order" "$seed")"; done |
        awk -v name="$order" '{ s += $1; if (NR == 1 || $1 < a) a = $1; if ($1 > b) b = $1 } END { printf "%-14s %.4f (%.4f to %.4f)\n", name, s / NR, a, b }'
done
