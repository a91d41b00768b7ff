#!/bin/sh
# get-text.sh - fetches a small English text to train on, from the Debian archive.
#
#     scripts/get-text.sh [FOLDER]        FOLDER is data/text unless given
#
# The six novels of Jane Austen, one .txt each, 4,025,029 bytes (package r-cran-janeaustenr;
# the texts are in the public domain).  If that package cannot be had: the King James
# Bible as one .txt, 4,404,412 bytes (bible-kjv, bible-kjv-text).  Nothing is installed and
# no rights are needed; a second run finds the texts and does nothing.
# KRAIT_TEXT=austen or KRAIT_TEXT=bible takes only that one.
set -u
folder=${1:-data/text}
case $0 in */*) here=${0%/*} ;; *) here=. ;; esac

say() { echo "get-text: $*"; }
stop() { echo "get-text: $*" >&2; exit 1; }
sum() { cat "$1"/*.txt | wc -c | tr -d ' '; }

if [ -d "$folder" ]; then
    set -- "$folder"/*.txt
    [ -e "$1" ] && { say "$folder is there already: $# .txt, $(sum "$folder") bytes"; exit 0; }
fi
for tool in apt-get dpkg-deb; do
    command -v $tool >/dev/null || stop "$tool is not here: this script needs Debian or Ubuntu." \
        "Any other text will do: put .txt files into $folder"
done

tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
mkdir "$tmp/text" "$tmp/deb" "$tmp/root"

updated=
# download PACKAGE: for root, whose lists of packages may be absent, fetches those once if need be
download() {
    (cd "$tmp/deb" && apt-get -q download "$1") >"$tmp/log" 2>&1 && return
    [ "$(id -u)" = 0 ] && [ -z "$updated" ] || return 1
    updated=yes
    apt-get -q update >/dev/null 2>&1 && (cd "$tmp/deb" && apt-get -q download "$1") >"$tmp/log" 2>&1
}
# unpack PACKAGE...: downloads and unpacks into $tmp/root, without installing
unpack() {
    for package; do
        download "$package" && dpkg-deb -x "$tmp/deb/$package"_*.deb "$tmp/root" >>"$tmp/log" 2>&1 && continue
        say "the package $package cannot be had: $(grep -m1 '^E:' "$tmp/log" || tail -n 1 "$tmp/log")"
        return 1
    done
}

austen() {
    cc=${CC:-cc}
    unpack r-cran-janeaustenr || return 1
    rdb=$(find "$tmp/root" -name Rdata.rdb | head -n 1)
    [ -n "$rdb" ] || { say "r-cran-janeaustenr holds no Rdata.rdb any more"; return 1; }
    $cc -O2 -o "$tmp/rdb_text" "$here/rdb_text.c" -lz 2>"$tmp/log" || {
        say "$cc cannot build scripts/rdb_text.c (it needs a C compiler and zlib: apt-get install gcc zlib1g-dev):" \
            "$(tail -n 1 "$tmp/log")"
        return 1
    }
    "$tmp/rdb_text" "$rdb" "$tmp/text" >/dev/null || return 1
    set -- "$tmp/text"/*.txt
    [ $# = 6 ] || { say "want six novels, found $#"; return 1; }
    [ "$(sum "$tmp/text")" = 4025029 ] ||
        say "note: $(sum "$tmp/text") bytes, not the 4025029 that Krait's published numbers are for"
    what="six novels of Jane Austen"
}

bible_text() {
    unpack bible-kjv bible-kjv-text || return 1
    # a bare system does not have the one library it needs; the package's name depends on the release
    unpack libreadline8t64 >/dev/null || unpack libreadline8 >/dev/null
    lib=$(find "$tmp/root" -name libreadline.so.8)
    LD_LIBRARY_PATH=${lib%/*} "$tmp/root/usr/bin/bible" -p "$tmp/root/usr/lib" -f -l 80 gen1:1-rev22:21 >"$tmp/text/kjv.txt" 2>"$tmp/log" || {
        say "bible does not run here (it needs libreadline8): $(tail -n 1 "$tmp/log")"
        return 1
    }
    [ "$(sum "$tmp/text")" -gt 4000000 ] || { say "bible wrote only $(sum "$tmp/text") bytes"; return 1; }
    what="the King James Bible"
}

case ${KRAIT_TEXT:-any} in
any)
    austen || {
        say "trying the King James Bible instead"
        rm -rf "$tmp/text" && mkdir "$tmp/text"
        bible_text
    } ;;
austen) austen ;;
bible) bible_text ;;
*) stop "KRAIT_TEXT is $KRAIT_TEXT, want austen or bible" ;;
esac || stop "no text. If the package lists are old or missing: sudo apt-get update, then run this again." \
    "Any other text will do too: put .txt files into $folder"

# the copy can be cut short, the renaming hardly: what is there next time is whole
part=$folder/.part
if ! mkdir -p "$part" || ! cp "$tmp/text"/*.txt "$part"/ || ! mv "$part"/*.txt "$folder"/; then
    stop "cannot write into $folder"
fi
rmdir "$part"
set -- "$folder"/*.txt
say "$what, $(sum "$folder") bytes: $folder ($# .txt)"
