#!/bin/sh
# serve_http.sh - krait serve under load, beside llama-server where there is one.
#
#   bench/serve_http.sh table BUILD MODEL      requests/s and latencies of four routes at 1, 16 and 256 connections (wrk)
#   bench/serve_http.sh streams BUILD MODEL    tokens/s of 1 and of 4 streams (serve_load), in turns
#   LLAMA_BIN=FOLDER ... MODEL.gguf            the same with the llama-server of that folder, in the same run, and ratios
#
# BUILD holds krait and serve_load.  SECONDS_EACH (5) for a row of the table, CONNECTIONS ("1 16 256"), ROUNDS (3) and TOKENS (64) of the
# streams, SLOTS (4) and THREADS (2) of both servers.  Prompts are read each time (cache_prompt: false), in the streams as they differ;
# each stream has a new connection for each request, as llama-server closes it.
# Debian: wrk, curl.
set -eu
[ $# = 3 ] || { sed -n '4,8s/^# *//p' "$0"; exit 2; }
what=$1 build=$2 model=$3
slots=${SLOTS:-4} threads=${THREADS:-2} each=${SECONDS_EACH:-5} connections=${CONNECTIONS:-1 16 256} rounds=${ROUNDS:-3} tokens=${TOKENS:-64}
servers=krait
[ -z "${LLAMA_BIN:-}" ] || servers="krait llama"
tmp=$(mktemp -d)
pid=''
trap 'stop; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM

stop() {
    [ -z "$pid" ] || { kill "$pid" && wait "$pid"; } 2>/dev/null || true
    pid=''
}
start() { # start krait|llama: sets url and port
    port=$((20000 + $$ % 20000))
    if [ "$1" = krait ]; then
        "$build/krait" serve "$model" --port $port --slots "$slots" --threads "$threads" >"$tmp/log" 2>&1 &
    else
        LD_LIBRARY_PATH=$LLAMA_BIN "$LLAMA_BIN/llama-server" -m "$model" --host 127.0.0.1 --port $port -np "$slots" -t "$threads" -c $((slots * 2048)) >"$tmp/log" 2>&1 &
    fi
    pid=$! url=http://127.0.0.1:$port
    for _ in $(seq 600); do
        curl -sf "$url/health" >/dev/null && return
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    cat "$tmp/log" >&2
    exit 1
}

# --- the table ---------------------------------------------------------------------------------------

# A line of wrk's for us: requests/s, p50 and p99 in ms, errors.
row() { # row PATH BODY CONNECTIONS
    {
        [ -z "$2" ] || printf 'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = [[%s]]\n' "$2"
    } >"$tmp/ask.lua"
    wrk -t1 -c"$3" -d"$each" --timeout 60 --latency -s "$tmp/ask.lua" "$url$1" >"$tmp/wrk" 2>&1 || { cat "$tmp/wrk" >&2; exit 1; }
    awk 'function ms(t) { return t ~ /us$/ ? t / 1000 : t ~ /ms$/ ? t + 0 : t ~ /m$/ ? t * 60000 : t * 1000 }
         $1 == "50%" { p50 = ms($2) }  $1 == "99%" { p99 = ms($2) }  /^Requests\/sec/ { rate = $2 }
         /Non-2xx/ { bad += $NF }  /Socket errors/ { gsub(",", ""); bad += $4 + $6 + $8 + $10 }
         END { printf "%.1f %.2f %.2f %d\n", rate, p50, p99, bad }' "$tmp/wrk"
}
complete() { printf '{"prompt": "The krait is a small snake", "max_tokens": %d, "temperature": 0, "ignore_eos": true, "cache_prompt": false}' "$1"; }
table() {
    for s in $servers; do
        start $s
        for c in $connections; do
            printf '/health,%s %s\n' "$c" "$(row /health '' "$c")"
            printf '/tokenize,%s %s\n' "$c" "$(row /tokenize '{"content": "The krait is a small snake"}' "$c")"
            printf '/v1/completions_of_1,%s %s\n' "$c" "$(row /v1/completions "$(complete 1)" "$c")"
            printf '/v1/completions_of_16,%s %s\n' "$c" "$(row /v1/completions "$(complete 16)" "$c")"
        done | sort >"$tmp/$s"
        stop
    done
    if [ "$servers" = krait ]; then
        echo '| route | connections | requests/s | p50 ms | p99 ms | errors |'
        echo '|---|---|---|---|---|---|'
        cat "$tmp/krait"
    else
        echo '| route | connections | requests/s | p50 ms | p99 ms | errors | llama-server: requests/s | p50 ms | p99 ms | errors | requests/s, ratio |'
        echo '|---|---|---|---|---|---|---|---|---|---|---|'
        join "$tmp/krait" "$tmp/llama" | awk '{ print $0, ($6 > 0 ? sprintf("%.2f", $2 / $6) : "-") }'
    fi | awk '/^\|/ { print; next } { gsub(/[, ]/, " | "); gsub(/_/, " "); print "| " $0 " |" }'
}

# --- streams ------------------------------------------------------------------------------------------

streams() {
    for n in 1 4; do
        for round in $(seq "$rounds"); do
            for s in $servers; do
                start $s
                "$build/serve_load" $port --streams $n --requests $n --max-tokens 8 --prompt-bytes 64 --ignore-eos --hang-up >/dev/null || true # warm
                "$build/serve_load" $port --streams $n --requests $((4 * n)) --seconds 600 --max-tokens "$tokens" --prompt-bytes 64 --ignore-eos --hang-up >"$tmp/load" ||
                    { cat "$tmp/load" >&2; exit 1; }
                stop
                number() { sed "s/.*\"$1\": {*\(\"p50\": \)*\([0-9.]*\).*/\2/" "$tmp/load"; }
                printf '%s %s %s %s\n' "$(number tokens_per_s)" "$(number first_ms)" "$(number token_ms)" "$(number errors)" >>"$tmp/$s.$n"
                echo "$n streams, round $round, $s: $(tail -1 "$tmp/$s.$n" | awk '{ print $1 " tokens/s, first token " $2 " ms, then " $3 " ms each (p50), " $4 " errors" }')"
            done
        done
        for s in $servers; do sort -n "$tmp/$s.$n" | awk -v s=$s -v n=$n '{ x[NR] = $1 } END { m = x[int((NR + 1) / 2)]; print m; printf "%s, %d streams: median %.1f, best %.1f tokens/s\n", s, n, m, x[NR] >"/dev/stderr" }'; done 2>&1 >"$tmp/medians"
        [ "$servers" = krait ] || awk 'NR == 1 { a = $1 } NR == 2 { printf "ratio of the medians: %.2f\n", a / $1 }' "$tmp/medians"
    done
}

case $what in table) table ;; streams) streams ;; *) echo "$what: table or streams" >&2; exit 2 ;; esac
echo "load average at the end: $(cut -d' ' -f1-3 /proc/loadavg)"
