#!/bin/sh
# check_convert.sh - krait convert and krait quantize, killed at any moment and without room: what has its final name is
# whole, and what a killed one left beside it the next one removes.
krait=$(realpath "$1/krait")
tmp=$(mktemp -d) || exit 2
mounted= running=
trap '[ -z "$running" ] || kill -9 "$running" 2>/dev/null; [ -z "$mounted" ] || umount "$tmp/disk"; rm -rf "$tmp"' EXIT
cd "$tmp" || exit 2
bad=0
fail() { echo "check_convert: $*"; bad=1; }

# a model of 20 MB, so that there is time to be killed in
awk 'BEGIN { for (i = 0; i < 4000; i++) printf "the krait sleeps by day, %d ", i }' >text.txt
"$krait" train --data.paths=text.txt --model.d_model=512 --model.n_layer=3 --mixer.type=mamba2 --train.steps=1 --train.batch_size=1 --train.seq_len=16 \
    --out=model >log 2>&1 || { cat log; fail "no model to start from"; exit 1; }

# convert NAME: from the model, to one of three kinds of file
convert() {
    case $1 in
    *.gguf) set -- convert model "$1" --dtype q8_0 ;;
    *-q4) set -- quantize model "$1" --format q4_k ;;
    *) set -- convert model "$1" ;;
    esac
    exec "$krait" "$@"
}
for kind in out.gguf out-q4 out; do (convert "whole-$kind") >log 2>&1 || { cat log; fail "whole-$kind"; }; done
left() { find . -name '.*.tmp' | grep -q .; }
left && fail "a temporary file stayed behind"

# What there is must be as the whole has it; a folder is only one with its config.
no_half() { # no_half KIND WHEN
    if [ -d "$1" ]; then
        for f in "$1"/*; do [ ! -e "$f" ] || cmp -s "$f" "whole-$f" || fail "$2: $f is half"; done
        [ ! -e "$1/config.json" ] || diff -qr "$1" "whole-$1" >/dev/null || fail "$2: $1 has a config and is not whole"
    else
        [ ! -e "$1" ] || cmp -s "$1" "whole-$1" || fail "$2: $1 is half"
    fi
}

# --- killed: as soon as it writes, and at any moment -------------------------------------------------
killed=0 swept=0
for kind in out.gguf out-q4 out; do
    for round in 1 2 3 4 5 6 7; do
        rm -rf "$kind"
        (convert "$kind") >log 2>&1 &
        running=$!
        if [ $((round % 2)) = 0 ]; then
            while ! left && kill -0 $running 2>/dev/null; do :; done
        else
            sleep "$(awk -v r="$round$kind" 'BEGIN { srand(r length(r)); print 0.15 * rand() }')"
        fi
        kill -9 $running 2>/dev/null
        { wait $running; code=$?; } 2>/dev/null
        running=
        [ $code = 137 ] || [ $code = 0 ] || { fail "$kind, killed in round $round: exit code $code"; cat log; }
        [ $code != 137 ] || killed=$((killed + 1))
        no_half $kind "killed in round $round"
        if left; then
            swept=$((swept + 1))
            case $kind in *.gguf) rm -f $kind ;; *) rm -f $kind/config.json ;; esac
            (convert $kind) >log 2>&1 || { fail "$kind, again after round $round"; cat log; }
            left && fail "$kind: the next run left what round $round had left"
            no_half $kind "again after round $round"
        fi
    done
done
echo "$killed killed, $swept of them while they wrote"
[ $swept -gt 0 ] || fail "of $killed that were killed none was writing"

# --- no room: a limit to files, then a full disk -----------------------------------------------------
refused() { # refused KIND SENTENCE CODE
    [ "$3" = 3 ] || fail "$1 without room: exit code $3"
    grep -q "cannot write .*: $2" log || { fail "$1 without room says:"; cat log; }
    left && fail "$1 without room: a temporary file stayed behind"
    [ ! -d "$1" ] || [ "$(find "$1" -type f | wc -l)" = 0 ] || fail "$1 without room: there is something in it"
    [ ! -f "$1" ] || fail "$1 is there"
}
for kind in out.gguf out-q4 out; do
    rm -rf $kind
    (trap '' XFSZ && ulimit -f 2000 && convert $kind) >log 2>&1
    refused $kind 'File too large' $?
done
mkdir disk
if mount -t tmpfs -o size=1m none disk 2>/dev/null; then
    mounted=1
    for kind in out.gguf out-q4 out; do
        (convert disk/$kind) >log 2>&1
        refused disk/$kind 'No space left' $?
    done
    umount disk
    mounted=
else
    echo "skipped the full disk: cannot mount a tmpfs here"
fi
exit $bad
