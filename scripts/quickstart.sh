#!/bin/sh
# quickstart.sh - from a bare Debian or Ubuntu to a model that writes: installs what is
# missing, builds, fetches a text, trains a byte-level Mamba-2 for two minutes, lets it write.
#
#     scripts/quickstart.sh                 what is there already is used again
#     scripts/quickstart.sh --more          trains the model for as many steps once more
#     scripts/quickstart.sh --again         trains a new one in its place
#     scripts/quickstart.sh --minutes 10    a new one, for longer (with --again if there is one)
#
# The result is the folder model/: config.json and model.safetensors as Hugging Face lays
# them out, loss.svg, metrics.jsonl, sample.txt and checkpoints/.
set -eu
cd "$(dirname "$0")/.."
. scripts/packages.sh

out=model
prompt="It is a truth universally acknowledged, that "
minutes=2 again='' more=''
stop() { echo "quickstart: $*" >&2; exit 1; }
while [ $# -gt 0 ]; do
    case $1 in
    --again) again=yes ;;
    --more) more=yes ;;
    --minutes) [ $# -gt 1 ] || stop "--minutes wants a number"; minutes=$2; shift ;;
    --minutes=*) minutes=${1#*=} ;;
    -h | --help) sed -n '2,/^set/{s/^# \{0,1\}//;/^set/d;p;}' scripts/quickstart.sh; exit ;;
    *) stop "\"$1\" is no option; want --again, --more or --minutes N" ;;
    esac
    shift
done

if [ -t 1 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); else bold='' plain=''; fi
step() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

# --- the program -----------------------------------------------------------------------
step "1  Build"
krait_needs=$(echo "$krait_needs" | grep -v cmocka) # only tests want it
krait_install || exit 1
log=build/quickstart.log
mkdir -p build
[ -e build/CMakeCache.txt ] || cmake -S . -B build -G Ninja -DBUILD_TESTING=OFF >"$log" 2>&1 ||
    { cat "$log"; rm -f build/CMakeCache.txt; stop "could not configure the build; see above"; }
if [ -t 1 ]; then
    cmake --build build --target krait_cli || stop "could not build; see above"
else
    cmake --build build --target krait_cli >"$log" 2>&1 || { tail -n 40 "$log"; stop "could not build; all of it is in $log"; }
fi
krait=build/krait
"$krait" --version

# --- the text --------------------------------------------------------------------------
step "2  Text"
sh scripts/get-text.sh data/text || exit 1
[ ! -e data/text/kjv.txt ] || prompt="And it came to pass, that "

# --- training --------------------------------------------------------------------------
# field NAME: a number of the last checkpoint's trainer.json; empty if there is none
field() {
    last=$(find "$out/checkpoints" -name trainer.json 2>/dev/null | sort | grep -v '\.part/' | tail -n 1)
    [ -z "$last" ] || sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" "$last"
}
done_steps=$(field step) all_steps=$(field steps)

step "3  Train"
code=0
if [ -n "$again" ] || [ -z "$done_steps" ]; then
    "$krait" train recipes/quickstart --out="$out" --minutes="$minutes" --sample_prompt="$prompt" ${again:+--overwrite=true} || code=$?
elif [ "$done_steps" -lt "$all_steps" ]; then
    echo "$out/ was stopped after step $done_steps of $all_steps; it goes on from there"
    "$krait" train --resume "$out" || code=$?
elif [ -n "$more" ]; then
    "$krait" train --resume "$out" --minutes=0 --steps=$((2 * all_steps)) || code=$?
else
    echo "$out/ is trained already ($done_steps steps): --more goes on, --again starts anew"
fi
if [ $code = 130 ]; then
    echo "quickstart: run it again and it goes on from here"
    exit 130
fi
[ $code = 0 ] || exit $code

# --- writing ---------------------------------------------------------------------------
step "4  It writes"
"$krait" generate "$out" --prompt "$prompt" --tokens 900 --temperature 0.7 --seed 7 >"$out/sample.part"
# up to the end of its last whole sentence
awk '{ text = text $0 "\n" }
     END { n = length(text)
           while (n > 1 && substr(text, n, 1) !~ /[.!?]/) n--
           if (n > 1 && substr(text, n + 1, 1) ~ /["'\'']/) n++
           print (n > 1 ? substr(text, 1, n) : text) }' "$out/sample.part" >"$out/sample.txt"
rm "$out/sample.part"
cat "$out/sample.txt"

bits=$(sed -n 's/.*"bits_per_byte": \([0-9.]*\).*/\1/p' "$out/metrics.jsonl" | tail -n 1)
gzip=$(cat data/text/*.txt | gzip -9 | wc -c)
size=$(cat data/text/*.txt | wc -c)
step "$(printf '%.2f bits per byte on text it has not seen' "$bits")"
awk -v z="$gzip" -v n="$size" 'BEGIN { printf "(8 is knowing nothing; gzip -9 needs %.2f for the same books)\n", 8 * z / n }'

cat <<END

$out/loss.svg     how it learnt: open it in a browser
$out/sample.txt   what it just wrote

What next:
  build/krait generate $out --prompt "She was "    another beginning (--help: temperature, seed, ...)
  scripts/quickstart.sh --more                       train on: it gets better for a long time
  build/krait train recipes/quickstart --data.paths=YOUR.txt --out=mine --minutes=10
  build/krait info $out --memory                   what it is, and what it takes
  build/krait config                                 every key of a recipe, explained
END
