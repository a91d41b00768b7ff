#!/bin/sh
# ops-doc.sh - prints docs/ops.md: every op with its signature and options, from its record.
#
#     sh scripts/ops-doc.sh >docs/ops.md
set -eu
cd "$(dirname "$0")/.."
cat <<'END'
# Ops

Made by `scripts/ops-doc.sh` from the records in `src/ops/*/*.c`; [`src/ops/op.h`](../src/ops/op.h) explains them.
A letter is an axis: S sequences, L steps, M d_model, E d_inner, H heads, P headdim, G groups, N d_state, K conv taps,
V vocabulary, D any width; `*` stands for any leading axes, `?` makes an input optional, `@i` is int32, `@w` a weight
(float32 or bfloat16), `@f` float32 even where activations are bfloat16, `@s` a
state: the same, or on a GPU in half. Each op's `NAME_ref.c` is its definition.
END
sed -n 's/^OP(\(.*\))$/\1/p' src/ops/ops.def | while read -r op; do
    awk -v op="$op" '
        # the text of a C string that may go on over several lines, up to the comma behind it
        function text(line, s) {
            sub(/^[^"]*/, "", line)
            while (1) {
                while (match(line, /^[ \t]*"([^"\\]|\\.)*"/)) {
                    s = s substr(line, RSTART, RLENGTH)
                    line = substr(line, RSTART + RLENGTH)
                }
                if (line !~ /^[ \t]*$/ || (getline line) <= 0) break
            }
            gsub(/"[ \t]*"/, "", s)
            gsub(/^[ \t]*"|"[ \t]*$/, "", s)
            return s
        }
        /^ *KR_ATTR_(INT|REAL)\(/ {
            line = $0
            sub(/^[^(]*\(/, "", line)
            split(line, part, /, */)
            options = options sprintf("- `%s`, default %s: %s\n", part[2], part[3], text(line))
        }
        /\.sig *=/ { sig = text($0) }
        /\.about *=/ { about = text($0) }
        END { printf "\n## %s\n\n%s.\n\n    %s\n", op, about, sig; if (options) printf "\n%s", options }' "src/ops/$op/$op.c"
done
