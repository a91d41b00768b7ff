#!/bin/sh
# get-text.sh - makes the corpus of recipes/quality out of packages of Debian 12 (bookworm).
#
#     recipes/quality/get-text.sh [FOLDER]        FOLDER is data/quality unless given
#
# FOLDER gets train.txt and held-out.txt, documents with a form feed between them (data.separator).  About 130 MB are
# downloaded; nothing is installed and no rights are needed beyond those to download.  Wants apt-get, dpkg-deb, python3,
# and what scripts/get-text.sh wants.  README.md names the sources with their sizes and licences.
set -eu
folder=${1:-data/quality}
cd "$(dirname "$0")/../.."
case $folder in /*) ;; *) folder=$OLDPWD/$folder ;; esac
[ ! -s "$folder/held-out.txt" ] || { echo "get-text: $folder is there already"; exit 0; }
packages="sword-text-web sword-comm-tdavid sword-comm-mhcc anarchism dict-foldoc dict-jargon dict-devil debian-handbook
    debian-reference-en debian-faq developers-reference postgresql-doc-15 sqlite3-doc apache2-doc python-django-doc git-doc
    python3.11-doc linux-doc-6.1"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
mkdir "$tmp/deb" "$tmp/root"
for package in $packages; do
    (cd "$tmp/deb" && apt-get -q download "$package") >"$tmp/log" 2>&1 || {
        echo "get-text: the package $package cannot be had: $(grep -m1 '^E:' "$tmp/log" || tail -n 1 "$tmp/log")" >&2
        echo "get-text: if the lists of packages are old or missing: sudo apt-get update" >&2
        exit 1
    }
    dpkg-deb -x "$tmp/deb/$package"_*.deb "$tmp/root"
done
KRAIT_TEXT=austen scripts/get-text.sh "$tmp/novels"
python3 recipes/quality/plain_text.py "$tmp/root" "$tmp/novels" "$tmp/out"
mkdir -p "$folder"
mv "$tmp/out/train.txt" "$tmp/out/held-out.txt" "$folder/"
ls -l "$folder"
