#!/bin/sh
# Vim-Ti and DeiT-Ti from 196 to 6084 patches of 16 x 16, some 50,000 of them in a batch whatever the picture's side: a
# batch forward and a training step, each a JSON object a line with its time and bytes; then DeiT-Ti in PyTorch with
# attention written out and with flash attention.  `smi`: the most that nvidia-smi saw in use, in MiB, the CUDA context
# included, less what was in use before.
#
#   sh recipes/vision_length/run.sh                      on a GPU, some minutes
#   DEVICE=cpu SIZES=224,1 sh recipes/vision_length/run.sh
#
# KRAIT names the program, MODELS one of the two recipes, PYTHON a Python with torch (none: no peers), DTYPE the type.
set -eu
here=$(dirname "$0") krait=${KRAIT:-krait} device=${DEVICE:-cuda} dtype=${DTYPE:-bfloat16} seconds=${SECONDS_EACH:-0.3}
sizes=${SIZES:-224,256 448,64 640,32 1024,12 1248,8}
peer=${PEER:-$here/../../bench/peers/vision_length.py}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
watch=''
before=0
if [ "$device" != cpu ] && command -v nvidia-smi >/dev/null; then # one line ten times a second, all along
    nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits -i 0 -lms 100 >"$tmp/smi" &
    watch=$!
    trap 'kill "$watch"; rm -rf "$tmp"' EXIT
    trap 'exit 1' INT TERM
    while [ ! -s "$tmp/smi" ] && kill -0 "$watch"; do sleep 0.1; done
    before=$(head -n 1 "$tmp/smi")
fi
for size in $sizes; do
    side=${size%,*} batch=${size#*,}
    for model in ${MODELS:-recipe deit}; do
        sed "s/\"size\": \"[0-9x]*\"/\"size\": \"${side}x$side\"/" "$here/$model.json" >"$tmp/$model.json"
        for what in forward train; do
            [ -z "$watch" ] || from=$(wc -l <"$tmp/smi")
            "$krait" bench model "$tmp/$model.json" --only $what --batch "$batch" --device "$device" --dtype "$dtype" --seconds "$seconds" --json >"$tmp/row" 2>&1 ||
                printf '{"failed": "%s"}\n' "$(tr '"\n' "' " <"$tmp/row" | cut -c1-160)" >"$tmp/row.2"
            [ ! -s "$tmp/row.2" ] || mv "$tmp/row.2" "$tmp/row"
            smi=$before
            [ -z "$watch" ] || smi=$(tail -n +$((from + 1)) "$tmp/smi" | sort -n | tail -n 1)
            name=$([ $model = deit ] && echo "DeiT-Ti" || echo "Vim-Ti")
            sed "s/^{/{\"model\": \"$name, Krait\", \"patches\": $((side / 16 * (side / 16))), \"batch\": $batch, \"smi\": $((${smi:-$before} - before)), /" "$tmp/row"
        done
    done
done
# shellcheck disable=SC2086
[ -z "${PYTHON:-}" ] || "$PYTHON" "$peer" --device "$device" --dtype "$dtype" --seconds "$seconds" $sizes
