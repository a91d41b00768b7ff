#!/bin/sh
# check_bench.sh - krait bench runs, prints numbers above zero as JSON, and refuses what it does not know.
krait=$1/krait
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
bad=0
fail() { echo "check_bench: $*"; bad=1; }
quick="--runs 1 --seconds 0.001 --json"

cat >"$tmp/config.json" <<END
{"model_type": "krait", "d_model": 16, "n_layer": 1, "vocab_size": 19, "mixer": {"type": "mamba2", "headdim": 8, "d_state": 8}}
END
sed 's/"d_model": 16/"d_model": 64/' "$tmp/config.json" >"$tmp/wide.json"
printf '{"name": "x", "data": {"kind": "text"}, "model": {"d_model": 64, "n_layer": 1}}' >"$tmp/recipe.json"

# shellcheck disable=SC2086
lines() { # lines PATTERN ARGUMENTS...: how many lines of output match
    pattern=$1
    shift
    "$krait" bench "$@" $quick >"$tmp/out" || fail "krait bench $* failed"
    grep -cE "$pattern" "$tmp/out"
}
[ "$(lines '"op": "unary".*"best_ms": [0-9.e-]*[1-9]' ops unary)" = 2 ] || fail "no forward and backward of unary"
[ "$(lines '"bench": "length"' length --longest 1024)" = 2 ] || fail "not two scans"
[ "$(lines '"bench": "(train|prefill|decode)".*"tokens_per_s": [1-9]' model "$tmp/config.json" --batch 2 --length 20 --prompt 20)" = 3 ] || fail "not three rates"
printf '{"model_type": "krait", "d_model": 16, "n_layer": 1, "encoder": {"type": "patch", "size": "6x6", "patch": "2x2"}, "mixer": {"type": "ss2d"}, "head": {"type": "class", "n_classes": 300}}' >"$tmp/picture.json"
[ "$(lines '"bench": "forward".*"tokens": 40,.*"bytes": [1-9]' model "$tmp/config.json" --only forward --batch 2 --length 20)" = 1 ] || fail "no batch forward"
[ "$(lines '"bench": "(forward|train)".*"tokens": 108,.*"bytes": [1-9]' model "$tmp/picture.json" --only forward --batch 3)" = 1 ] || fail "no batch of pictures"
[ "$(lines '"bench": "(forward|train)".*"tokens": 108,.*"bytes": [1-9]' model "$tmp/picture.json" --only train --batch 3)" = 1 ] || fail "no training on pictures"
"$krait" info "$tmp/picture.json" --memory >"$tmp/out" || fail "krait info of a model of pictures"
[ "$(lines '"of": "training step"' model "$tmp/recipe.json" --only train --batch 1 --length 8 --profile)" -gt 9 ] || fail "no profile"
[ "$(lines '"of": "token"' model "$tmp" --only infer --prompt 8 --profile)" -gt 5 ] || fail "no profile of a token"
[ "$(lines '"bench": "decode".*"dtype": "(float32|bfloat16)".*"tokens_per_s": [1-9]' decode "$tmp/wide.json" "$tmp/wide.json" --dtype float32,bfloat16)" = 4 ] || fail "not four steps"
[ "$(lines '"bench": "prefill".*"tokens_per_s": [1-9]' prefill "$tmp/config.json" --prompt 20 --dtype bfloat16)" = 1 ] || fail "not one prompt"

[ "$(lines '"bench": "drafts".*"draft_model": null, "draft": 3,.*"plain_tokens_per_s": [1-9]' serve "$tmp/wide.json" --draft 3)" = 2 ] || fail "not two texts with drafts"
[ "$(lines '"draft_model": "[^"]*config.json", "draft": 7,.*"guessed": [1-9]' serve "$tmp/wide.json" --draft-model "$tmp/config.json")" = 2 ] || fail "not two texts with a draft model"
lines . serve "$tmp/wide.json" --draft-model "$tmp/config.json" --draft 4 >/dev/null
# of the first text one token is allowed, so each guess is right, but perhaps the last ones were not counted yet
awk 'NR == 1 { match($0, /"guessed": [0-9]+/); g = substr($0, RSTART + 11, RLENGTH - 11); match($0, /"accepted": [0-9]+/); exit !(g > 100 && substr($0, RSTART + 12, RLENGTH - 12) > 0.9 * g) }' "$tmp/out" ||
    fail "a draft model that must be right is not: $(cat "$tmp/out")"

refused() {
    # shellcheck disable=SC2086
    "$krait" bench "$@" $quick >"$tmp/out" 2>&1
    [ $? -ge 2 ] || fail "not refused: krait bench $*"
}
refused
refused ops no_such_op
refused model
refused model "$tmp/missing.json"
refused model "$tmp/config.json" --only nothing
refused length --longest 5
refused serve "$tmp/wide.json" --draft-model "$tmp/missing.json"
sed 's/"vocab_size": 19/"vocab_size": 18/' "$tmp/config.json" >"$tmp/other.json"
refused serve "$tmp/wide.json" --draft-model "$tmp/other.json"
grep -q 'vocabulary\|tokens' "$tmp/out" || fail "does not say why: $(cat "$tmp/out")"
refused decode
refused decode "$tmp/config.json" --dtype float12
refused prefill "$tmp/config.json" --device cuda

"$krait" bench decode "$tmp/config.json" --dtype float12 >"$tmp/out" 2>&1
[ "$(wc -l <"$tmp/out")" = 1 ] || fail "more than a sentence: $(cat "$tmp/out")"
"$krait" bench decode "$tmp/wide.json" "$tmp/wide.json" --runs 1 --seconds 0.001 >"$tmp/out" || fail "no table"
[ "$(grep -c '^model ' "$tmp/out")-$(wc -l <"$tmp/out")" = 1-3 ] || fail "not a heading and two rows"
exit $bad
