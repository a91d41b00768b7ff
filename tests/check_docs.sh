#!/bin/sh
# check_docs.sh - docs/ops.md is what the ops say, and no link in a page leads nowhere.
set -u
bad=0
sh scripts/ops-doc.sh | cmp -s - docs/ops.md || { echo "check_docs: docs/ops.md is old: sh scripts/ops-doc.sh >docs/ops.md"; bad=1; }
for op in $(sed -n 's/^OP(\(.*\))$/\1/p' src/ops/ops.def); do
    sed -n "/^## $op\$/,/^## /p" docs/ops.md | grep -q -- '->' || { echo "check_docs: docs/ops.md has no signature of $op"; bad=1; }
done
for page in *.md docs/*.md recipes/*/*.md; do
    [ -e "$page" ] || continue
    for link in $(grep -o '](\([^)#]*\)' "$page" | cut -c3-); do
        case $link in http*://* | '') continue ;; esac
        [ -e "$(dirname "$page")/$link" ] || { echo "check_docs: $page: $link is not there"; bad=1; }
    done
done
exit $bad
