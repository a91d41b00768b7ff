#!/bin/sh
# check_cli.sh - the program from outside: exit codes and messages, a model from text to text,
# and training that is killed, interrupted or out of disk and still ends with the same bytes.
krait=$1/krait
fake=$1/libkrait_fake.so # a device for machines without; see tests/fake_cuda.c
root=$(pwd)
if [ -w /dev/shm ]; then tmp=$(mktemp -d /dev/shm/krait-cli-XXXXXX); else tmp=$(mktemp -d); fi
[ -d "$tmp" ] || exit 2
running=
mounted=
cleanup() {
    [ -z "$running" ] || kill -9 "$running" 2>/dev/null
    [ -z "$mounted" ] || umount "$tmp/disk" 2>/dev/null
    rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 1' INT TERM
cd "$tmp" || exit 2
export LC_ALL=C KRAIT_THREADS=1
bad=0
fail() { echo "check_cli: $*"; bad=1; }

# expect CODE PATTERN ARGUMENTS...: the exit code, and what output and messages together hold
expect() {
    code=$1 pattern=$2
    shift 2
    "$krait" "$@" >out 2>&1 </dev/null
    got=$?
    [ $got = "$code" ] || { fail "krait $*: exit code $got, want $code"; cat out; }
    grep -q -- "$pattern" out || { fail "krait $*: said nothing like \"$pattern\":"; cat out; }
}
same() { cmp -s "$1" "$2" || fail "$3: $1 and $2 have other bytes"; }

# a text of 200 KB, without line ends
awk 'BEGIN { srand(7); n = split("the krait is a small snake with bands that sleeps by day and hunts at night near water", w, " ")
             while (size < 200000) { s = w[int(rand() * n) + 1] " "; printf "%s", s; size += length(s) } }' >text.txt

# --- wrong use, and what cannot work ---------------------------------------------------------
expect 2 'usage: krait COMMAND'
expect 0 'usage: krait COMMAND' --help
expect 0 '^krait [0-9]' --version
expect 2 'no command "trian"' trian
for c in train generate eval predict sample info config verify bench tokenize tokenizer inspect quantize reduce serve; do expect 0 'usage: krait' $c --help; done
expect 2 'Try .krait generate --help' generate
expect 2 'wrong option' generate model --no-such-option
expect 2 'temperature is "hot"' generate model -t hot
expect 2 'exclude each other' generate model -p a -f b
expect 3 'model/config.json' eval model
expect 2 'want one model' info
expect 2 'name a folder' verify
expect 2 'one recipe too many' train a b
expect 2 'want one model, or none' serve a b
expect 2 'wrong option' serve model --no-such-option
expect 2 'port is "70000"' serve model --port 70000
expect 2 'go together' serve model --tls-cert text.txt
expect 2 'at most 256' serve model --api-key ''
expect 3 '/nowhere/keys' serve model --api-key-file /nowhere/keys
expect 3 '/nowhere/model' serve /nowhere/model
expect 2 'wants a value' train --lr
expect 3 'did you mean "batch_size"' train --batch_sise=3
expect 3 'did you mean "d_state"' train --mixer.d_stat=3
expect 3 'krait config lists all' train --zebra=3
expect 3 'train.lr is "fast", want a number' train --train.lr=fast
printf '{"model": []}' >list.json
expect 3 'model is not an object' train list.json --data.paths=text.txt
expect 3 'train.steps is 0, want 1' train --seed=2 --steps=0 --data.paths=text.txt
expect 2 'there is no "ordr" to inspect' inspect ordr
expect 2 'size is "4x", want' inspect order hilbert --size 4x
expect 3 'there is no scan order "hilbrt"' inspect order hilbrt
expect 3 'a grid of 1 axes' inspect order cross --size 9
expect 3 '/nowhere/a.svg' inspect order cross --size 4x4 -o /nowhere/a.svg
expect 0 '259 steps, 0 of them jumps' inspect order hilbert --size 13x20 -o hilbert.svg
grep -q '</svg>' hilbert.svg || fail "inspect drew no picture"
expect 0 '31 steps, 6 of them jumps, in 4 pieces' inspect order window:apart --window 4 --size 5x7
expect 0 '300 steps' inspect order points:hilbert-trans -o points.svg
expect 0 '15 steps' inspect order tree --size 3x5 --print
printf '0 1\n1 2\n2 3\n1 3\n' >edges.txt
expect 0 '0 2 3 1' inspect order nodes:degree --from edges.txt --print -o nodes.svg
expect 2 'node -1, want 0' inspect order nodes:degree --from "$(echo '-1 0' >wrong.txt && echo wrong.txt)"
expect 2 'is no line of 3 numbers' inspect order points:z --from edges.txt
expect 2 '--from is for points and nodes' inspect order hilbert --from edges.txt
expect 3 'no order "zz"' inspect order points:zz
expect 2 'want MODEL and TEXT' inspect attention a
# --- from a large S4D to a small one, and a look inside -------------------------------------
s4d='--data.kind=parity --data.length=16 --d_model=8 --n_layer=1 --mixer.type=s4d --batch_size=2 --eval_every=0 --train.eval_batches=1'
expect 0 'the model is in big/' train $s4d --mixer.d_state=16 --steps=2 --out=big
expect 0 '2 of 8 modes left' reduce big few --d_state 4
expect 3 'few/config.json is there already' reduce big few
expect 3 'few has no backbone.layers.0.mixer.A_log of our shape' train $s4d --mixer.d_state=16 --steps=1 --out=s4d_other --train.from=few
expect 0 'the model is in s4d_other/' train $s4d --mixer.d_state=16 --steps=1 --out=s4d_other --train.from=few --train.from_except=A_log,A_imag,C_real,C_imag
expect 0 'the model is in same/' train $s4d --mixer.d_state=16 --steps=1 --lr=0 --min_lr=0 --out=same --train.from=big
same big/model.safetensors same/model.safetensors 'a run from a model at rate 0 is that model'
picture=big.png # a build without libpng draws SVG alone, and says so
"$krait" inspect attention big '1 0 1 1' -o "$picture" 2>&1 | grep -q 'this build writes no PNG' && picture=matrices.svg
expect 0 'they give y to' inspect attention big '1 0 1 1' -o "$picture"
expect 0 'half-lives in steps' inspect states big '1 0 1 1' -o big.svg
grep -q '</svg>' big.svg && [ -s "$picture" ] || fail "inspect drew no pictures"
expect 3 'could be train.eval_batches or data.eval_batches' train --eval_batches=1
expect 3 'train.steps is 0, want 1' train --steps=0 --data.paths=text.txt
expect 3 'there is no mixer "mamba9"' train --data.paths=text.txt --mixer.type=mamba9
expect 3 '/nowhere/a.txt' train --data.paths=/nowhere/a.txt
expect 3 'no-such-recipe' train no-such-recipe
expect 3 '/nowhere/model' train --resume /nowhere/model
expect 3 '/nowhere/model/config.json' generate /nowhere/model
expect 3 '/nowhere/model' info /nowhere/model
expect 3 '/nowhere/model' eval /nowhere/model text.txt
expect 3 '/nowhere/model' verify /nowhere/model
[ ! -e model ] || fail "a refused run left a folder"

# --- tokens ------------------------------------------------------------------------------------
expect 2 'want a tokenizer' tokenize
expect 3 '/nowhere' tokenize /nowhere
expect 3 'no token 999999' tokenize "$root/tests/data" --decode --text 999999
"$krait" tokenize "$root/tests/data" text.txt >ids && "$krait" tokenize "$root/tests/data" --decode ids >back || fail "tokenize"
same text.txt back "text from its tokens"
expect 0 ' bytes/token' tokenize "$root/tests/data" text.txt --count

expect 2 'want .krait tokenizer train' tokenizer learn
expect 2 'want -o FILE' tokenizer train text.txt
expect 2 'vocab_size is "x"' tokenizer train text.txt --vocab_size x
expect 3 'vocab_size is 256, want 256 .* and 1 for' tokenizer train text.txt -n 256 -o new.json
expect 3 '/nowhere' tokenizer train /nowhere/text -o new.json
[ ! -e new.json ] || fail "a refused tokenizer left a file"
expect 0 'new.json: 2[5-9][0-9] tokens' tokenizer train text.txt --vocab_size 290 --special '<a>' --special '<b>' -o new.json
expect 0 '^0 1 0$' tokenize new.json --text '<a><b><a>'
"$krait" tokenize new.json text.txt >ids && "$krait" tokenize new.json --decode ids >back || fail "tokenize with a new vocabulary"
same text.txt back "text from the tokens of a new vocabulary"

expect 3 'no such token' train --data.paths=text.txt --tokenizer="$root/tests/data" --end_token=nothing
expect 0 'tokens to train on' train --data.paths=text.txt --tokenizer="$root/tests/data" --end_token='<|endoftext|>' --d_model=16 --n_layer=1 --mixer.type=mamba1 \
    --batch_size=2 --seq_len=32 --steps=20 --lr=0.02 --out=spoken
grep -q '"eos_token_id"' spoken/config.json || fail "no end token in the config"
same spoken/tokenizer.json "$root/tests/data/tokenizer.json" "the tokenizer beside the model"
expect 0 . generate spoken -p 'the krait' -n 20
expect 3 '/nowhere/grammar' generate spoken --grammar /nowhere/grammar
[ "$(wc -l <out)" = 1 ] || fail "a grammar that is not there is said twice"
expect 0 'bits/byte' eval spoken text.txt
expect 2 'wants a model and one file' eval spoken --task lambada
expect 3 'no task "mmlu"' eval spoken --task mmlu text.txt
echo '{"text": "the krait is a small snake"}' >lambada.jsonl
expect 0 'lambada  1 questions  acc [01]' eval spoken --task lambada lambada.jsonl
expect 2 'want a model and a new folder' convert spoken
expect 3 'is there already' convert spoken spoken
expect 3 'dtype is "int3"' convert spoken other --dtype int3
"$krait" convert spoken other || fail "convert"
same spoken/model.safetensors other/model.safetensors "a conversion to the same"
same spoken/tokenizer.json other/tokenizer.json "the tokenizer of a conversion"
expect 0 'bits/byte' eval spoken text.txt
"$krait" convert spoken spoken.gguf 2>note || fail "convert to GGUF"
[ ! -s note ] || fail "a note about what llama.cpp does the same: $(cat note)"
expect 3 'is there already' convert spoken spoken.gguf
expect 0 'mixer mamba1' info spoken.gguf
expect 0 . generate spoken.gguf -p 'the krait' -n 20 -t 0
mv out from_gguf
expect 0 . generate spoken -p 'the krait' -n 20 -t 0
same out from_gguf "what a GGUF file writes"
"$krait" convert spoken half --dtype float16 || fail "convert to float16"
expect 0 'bits/byte' eval half text.txt
expect 2 'want a model, a new folder and --format' quantize spoken rounded
expect 3 'is there already' quantize spoken half --format q8_0
expect 3 'dtype is "int3"' quantize spoken rounded --format int3
expect 2 'w8a8 wants --calibrate' quantize spoken rounded --format w8a8
expect 2 'is for --format w8a8' quantize spoken rounded --format q8_0 --calibrate spoken/config.json
expect 3 'No such file' quantize spoken rounded --format w8a8 --calibrate nowhere.txt
"$krait" quantize spoken rounded --format w8a8 --calibrate spoken/config.json || fail "quantize to w8a8"
expect 0 'spoken/config.json' eval rounded spoken/config.json
rm -r rounded
[ ! -e rounded ] || fail "a refused format left a folder"
for f in q8_0 q6_k q4_k q4_0 bf16 f16; do
    "$krait" quantize spoken rounded --format $f || fail "quantize to $f"
    expect 0 'bits/byte' eval rounded text.txt
    expect 0 . generate rounded -p 'the krait' -n 5
    rm -r rounded
done

# --- from text to text ------------------------------------------------------------------------
tiny="--data.paths=text.txt --d_model=16 --n_layer=2 --mixer.type=mamba1 --mixer.d_state=4 --batch_size=4 --seq_len=48"
run="$tiny --steps=30 --lr=0.02 --warmup_steps=3 --log_every=5 --eval_every=10 --checkpoint_every=10"
# shellcheck disable=SC2086
expect 0 'done .*30 steps' train $run --out=model
grep -q 'step 30/30  loss' out || fail "no line of the last step"
grep -q 'held-out loss' out || fail "no evaluation"
if grep -q "$(printf '[\r\033]')" out; then fail "output that is no terminal's holds control characters"; fi
for f in config.json model.safetensors metrics.jsonl loss.svg recipe.json; do [ -s model/$f ] || fail "no model/$f"; done
[ "$(grep -c '"loss"' model/metrics.jsonl)" = 7 ] || fail "metrics.jsonl has other than 7 lines of training"
# shellcheck disable=SC2086
expect 3 'holds a run of 30 steps already' train $run --out=model

# --- on a device --------------------------------------------------------------------------------
export KRAIT_CUDA_LIB=/nowhere/libkrait_cuda.so
# shellcheck disable=SC2086
expect 3 'cannot be loaded: /nowhere/libkrait_cuda.so' train $run --out=device --device=cuda
expect 3 'cannot be loaded' generate model --device cuda
expect 3 'want cpu, cuda or cuda:N' eval model text.txt --device gpu
if [ -e "$fake" ]; then
    export KRAIT_CUDA_LIB="$fake"
    # shellcheck disable=SC2086
    expect 0 'done .*30 steps' train $run --out=device --device=cuda
    same model/model.safetensors device/model.safetensors "a device and a CPU"
    expect 3 'no device cuda:7; this machine has 2 GPUs' generate model --device cuda:7
    "$krait" generate model --seed 3 >a
    "$krait" generate model --seed 3 --device cuda >b
    same a b "writing on a device"
    expect 0 'bits/byte' eval model text.txt --device cuda --dtype bfloat16
    expect 0 'adamw\|AdamW' bench model device --only train --batch 1 --length 8 --profile --device cuda --runs 1 --seconds 0.001
fi
unset KRAIT_CUDA_LIB

gen() { "$krait" generate model --no-echo --top-k 8 -p 'the krait' "$@" || fail "krait generate $*"; }
one=$(gen -n 80)
[ ${#one} -gt 40 ] || fail "it wrote \"$one\""
[ "$one" = "$(gen -n 80)" ] || fail "the same seed writes another text"
[ "$one" = "$(KRAIT_THREADS=2 gen -n 80)" ] || fail "two threads write another text"
[ "$one" != "$(gen -n 80 --seed 2)" ] || fail "another seed writes the same text"
[ "$one" = "$(gen -n 80 --prefill 2)" ] || fail "read two at a time, the prompt gives another text"
[ "${one%% *}" = "$(gen -n 80 --stop ' ')" ] || fail "--stop ' ' does not end at the first space"
rest=${one#????????????}
three=$(printf %s "$rest" | cut -c1-3)
[ "${one%%"$three"*}" = "$(gen -n 80 --stop "$three" --stop '~~~~')" ] || fail "--stop '$three' does not end there"
first=$(gen -n 30 --save state)
second=$("$krait" generate model --no-echo --top-k 8 --load state -n 50)
[ "$first$second" = "$one" ] || fail "saved and loaded, the text goes on differently"
expect 3 'is not a saved session' generate model --load model/model.safetensors
case $("$krait" generate model -n 5 -p 'the krait') in 'the krait'*) ;; *) fail "the prompt is not printed" ;; esac
[ "$(printf 'the krait' | "$krait" generate model --no-echo --top-k 8 -f - -n 80)" = "$one" ] || fail "a prompt from stdin gives another text"
for how in '--draft-ngram 3' '--draft model --draft-tokens 3'; do # the same text, sooner
    # shellcheck disable=SC2086
    [ "$(gen -n 80 $how)" = "$one" ] || fail "$how changes the text"
done
printf 'root ::= " is " ("a" | "no") " " [a-z]{3,5} "."\n' >grammar
case $(gen -n 80 --grammar grammar -t 3 --top-p 0 --seed 4) in ' is a '*.|' is no '*.) ;; *) fail "the text does not keep to the grammar" ;; esac
echo '{"type": "object", "properties": {"n": {"type": "integer", "minimum": 10, "maximum": 99}}, "required": ["n"]}' >schema
gen -n 200 --json-schema schema -t 2 | tr -d ' \t\n' | grep -Eq '^\{"n":[1-9][0-9]\}$' || fail "the text does not keep to the schema"
expect 3 'line 1: ' generate model --grammar schema
expect 3 '"pattern" cannot be kept to' generate model --json-schema /dev/fd/3 3<<EOF
{"pattern": "a"}
EOF
expect 2 'exclude each other' generate model --grammar a --json-schema b
expect 2 'want ID=X' generate model --bias hello
expect 0 '|' generate model -n 3 --logprobs 4 --bias 32=-inf --typical-p 0.9 --min-tokens 2 --frequency-penalty 0.5 --dry 0.8
expect 0 'streams .* tokens/s together' bench serve model --runs 1 --prompt 100

expect 0 'bits/byte' eval model text.txt
expect 0 '"bits_per_byte": [0-4]\.' eval model --json text.txt
cp text.txt 'a "quoted" name'
expect 0 '"file": "a \\"quoted\\" name"' eval model --json 'a "quoted" name'
a=$("$krait" eval model --json --window 100 text.txt | sed 's/.*"loss": \([0-9.]*\).*/\1/' | cut -c1-6)
b=$("$krait" eval model --json --window 999 text.txt | sed 's/.*"loss": \([0-9.]*\).*/\1/' | cut -c1-6)
[ "$a" = "$b" ] || fail "windows of 100 and 999 give losses of $a and $b"
expect 3 'missing.txt' eval model missing.txt
printf x >one.txt
expect 3 'want at least 2' eval model one.txt
expect 0 'parameters: 2 layers of d_model 16' info model
expect 0 'in all .* parameters + gradients + optimiser' info model --memory
expect 0 'A_log .*no weight decay' info model --tensors
mkdir damaged && cp model/config.json damaged && head -c 100 model/model.safetensors >damaged/model.safetensors
expect 3 'damaged/model.safetensors: ' info damaged
expect 0 '' train --data.paths=text.txt --model.d_model=16 --model.n_layer=2 --mixer.type=attention --mixer.n_head=2 --mixer.cache_len=50 --train.steps=1 \
    --train.batch_size=1 --train.seq_len=16 --out=attends
expect 0 'attention sees 50 tokens back' info attends --memory
expect 0 'state  *51.71 KB ' info attends --memory --context 200
expect 0 'attention sees the last 50; --context' generate attends --file one.txt -n 60 -t 0
head -c 300 text.txt >short.txt
expect 0 'attention sees the last 50; --context' eval attends short.txt
expect 0 'attention sees the last 70; --context' eval attends short.txt --context 70
[ -z "$("$krait" eval attends short.txt --context 300 2>&1 >/dev/null)" ] || fail "a context longer than the text is warned of"
expect 0 'peak learning rate' config train.lr
expect 0 'model.mixer.mamba2' config mamba2
expect 2 'no key contains' config zebra
expect 3 'expected.safetensors' verify model
shared=${KRAIT_SHARED:-$root/../shared}/fixtures/hf
if [ -d "$shared" ]; then expect 0 'ok .*logits' verify "$shared/mamba" "$shared/mamba2"; else echo "skipped verify: there is no $shared"; fi

# --- killed, interrupted, without room: the same bytes in the end ---------------------------------
long="$tiny --steps=500 --log_every=1 --eval_every=50 --train.eval_batches=1 --dropout=0.1 --data.mode=carry"
# shellcheck disable=SC2086
expect 0 'done' train $long --out=straight --checkpoint_every=0

# start LOG ARGUMENTS...: training in the background, and wait until it is on its way
start() {
    log=$1
    shift
    : >"$log"
    "$krait" train "$@" >"$log" 2>&1 </dev/null &
    running=$!
    while ! grep -q '^step\|^krait:' "$log"; do kill -0 $running 2>/dev/null || break; sleep 0.02; done
}
kept() { find killed/checkpoints -name '0*[0-9]' 2>/dev/null | grep -q .; }
finish() {
    wait "$running"
    code=$?
    running=
}

round=0
while [ $round -lt 6 ] || { [ $round -lt 60 ] && ! kept; }; do # a slow machine may need more until there is a checkpoint
    round=$((round + 1))
    if kept; then
        start log --resume killed
    else
        # shellcheck disable=SC2086
        start log $long --out=killed --checkpoint_every=3
    fi
    sleep "$(awk -v r=$round 'BEGIN { srand(r); print 0.02 + 0.2 * rand() }')"
    kill -9 "$running" 2>/dev/null
    { finish; } 2>/dev/null
    [ $code = 137 ] || [ $code = 0 ] || { fail "killed in round $round: exit code $code"; cat log; }
    for c in killed/checkpoints/*[0-9]; do # whatever has its final name is whole
        [ ! -d "$c" ] || for f in config.json model.safetensors optimizer.safetensors trainer.json; do [ -s "$c/$f" ] || fail "$c has no $f"; done
    done
done
expect 0 'done' train --resume killed
same straight/model.safetensors killed/model.safetensors "killed and resumed"
find killed/checkpoints -name '*.part' | grep -q . && fail "half a checkpoint stayed behind"

for _ in 1 2 3 4 5; do # on a busy machine the signal may come after the end
    rm -rf stopped
    # shellcheck disable=SC2086
    start log $long --out=stopped --checkpoint_every=0
    kill -INT "$running" 2>/dev/null
    sleep 0.01
    kill -INT "$running" 2>/dev/null # as timeout(1) does, which tells a program and its group
    finish
    [ $code = 0 ] || break
done
[ $code = 130 ] || { fail "Ctrl-C: exit code $code, want 130"; cat log; }
grep -q 'krait train --resume stopped' log || fail "Ctrl-C: does not say how to go on"
mv stopped moved
expect 0 'done' train --resume moved
same straight/model.safetensors moved/model.safetensors "interrupted, moved and resumed"

mkdir disk
if mount -t tmpfs -o size=1m none disk 2>/dev/null; then
    mounted=1
    for _ in 1 2 3 4 5; do # likewise
        rm -rf disk/run
        # shellcheck disable=SC2086
        start log $long --out=disk/run --checkpoint_every=3
        dd if=/dev/zero of=disk/filler bs=4k 2>/dev/null
        while ! grep -q 'could not save' log; do kill -0 "$running" 2>/dev/null || break; sleep 0.02; done
        rm disk/filler
        finish
        ! grep -q 'could not save' log || break
    done
    grep -q 'could not save a checkpoint at step .*Training goes on' log || { fail "a full disk is not reported"; tail -3 log; }
    if [ $code != 0 ]; then # it ended before there was room again
        [ $code = 3 ] || fail "a full disk: exit code $code"
        expect 0 'done' train --resume disk/run
    fi
    same straight/model.safetensors disk/run/model.safetensors "out of disk for a while"
    umount disk
    mounted=
else
    echo "skipped the full disk: cannot mount a tmpfs here"
fi

# --- answers about files: no room for them, and numbers that are none -------------------------
awk 'BEGIN { srand(3); print "x,y"; for (i = 0; i < 80; i++) { x = rand(); printf "%f,%f\n", x, 2 * x } }' >xy.csv
cat >xy.json <<'END'
{"model": {"d_model": 8, "n_layer": 1, "mixer": {"type": "mamba1", "d_state": 4}}, "data": {"kind": "table", "paths": "xy.csv", "label": "y", "task": "regress"},
 "train": {"steps": 3, "batch_size": 4, "out": "xy"}}
END
expect 0 'done' train xy.json
expect 0 '"values": \[[0-9]' predict xy xy.csv
if [ -w /dev/full ]; then
    for format in jsonl csv; do
        "$krait" predict xy xy.csv --format $format >/dev/full 2>err
        got=$?
        [ $got = 3 ] || fail "predict without room: exit code $got, want 3"
        grep -q 'standard output: No space left' err || { fail "predict without room says:"; cat err; }
    done
    expect 3 'full: No space left' predict xy xy.csv -o /dev/full --format csv
fi
sed -i -z 's/\("std": *\[[^]]*,\)[^]]*\]/\1 1e300]/' xy/preprocessor_config.json
expect 0 '"values": \[null\]' predict xy xy.csv
exit $bad
