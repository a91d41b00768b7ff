#!/bin/sh
# serve_states.sh - what a known beginning and a named state save: first tokens behind a long text, as a client sees them.
#
#   bench/serve_states.sh KRAIT MODEL [BYTES]     a model that reads bytes; 100,000 of them by default
#
# Prints a line each: the text read for the first time; the same request again; another end, so that all but the last tokens are known; the text kept
# as a state; a request that goes on from it; and after the server was killed and started again, the first and the second one.
set -eu
krait=$1 model=$2 n=${3:-100000}
tmp=$(mktemp -d)
trap 'kill -9 $pid 2>/dev/null; rm -rf "$tmp"' EXIT
start() {
    "$krait" serve "$model" --port 0 --states "$tmp/states" --cache-mb 2048 >"$tmp/log" &
    pid=$!
    while ! grep -q listens "$tmp/log"; do
        kill -0 $pid 2>/dev/null || exit 1
        sleep 0.1
    done
    url=$(sed -n 's/.*listens at //p' "$tmp/log")
}
ask() { # ask WHAT METHOD PATH FILE
    printf '%-42s %s s\n' "$1" "$(curl -s -S -o "$tmp/answer" -w '%{time_total}' -X "$2" "$url$3" -H 'Content-Type: application/json' --data-binary @"$4")"
    grep -q '"error"' "$tmp/answer" && { cat "$tmp/answer"; exit 1; }
    return 0
}
text=$(head -c "$n" /dev/zero | tr '\0' x | sed 's/xxxxxxx/a text /g' | head -c "$n")
printf '{"prompt": "%s", "max_tokens": 1}' "$text" >"$tmp/whole"
printf '{"prompt": "%s", "max_tokens": 1}' "${text%????}and " >"$tmp/other"
printf '{"prompt": "%s"}' "$text" >"$tmp/keep"
printf '{"state": "text", "prompt": "more", "max_tokens": 1}' >"$tmp/on"
start
ask "$n tokens, first token" POST /v1/completions "$tmp/whole"
ask "the same again" POST /v1/completions "$tmp/whole"
ask "another end" POST /v1/completions "$tmp/other"
ask "kept as a state (known by now)" PUT /v1/states/text "$tmp/keep"
ask "on from the state, first token" POST /v1/completions "$tmp/on"
kill -9 $pid
wait $pid 2>/dev/null || true
start
ask "after kill -9 and a start: on from it" POST /v1/completions "$tmp/on"
ask "again" POST /v1/completions "$tmp/on"
ls -l "$tmp/states/files" | awk 'NR == 2 {print "the state has " $5 " bytes"}'
