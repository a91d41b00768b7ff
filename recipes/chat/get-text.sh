#!/bin/sh
# get-text.sh - makes the text of recipes/chat out of packages of Debian 12 (bookworm).
#
#     recipes/chat/get-text.sh [FOLDER]        FOLDER is data/chat unless given
#
# FOLDER gets train.txt and held-out.txt (prose and manuals), chat.txt (conversations) and questions.jsonl (to score by).
# About 130 MB are downloaded; nothing is installed and no rights are needed beyond those to download.  Wants apt-get,
# dpkg-deb, python3, and what scripts/get-text.sh wants.  README.md names the sources with their licences.
set -eu
folder=${1:-data/chat}
cd "$(dirname "$0")/../.."
case $folder in /*) ;; *) folder=$OLDPWD/$folder ;; esac
[ ! -s "$folder/chat.txt" ] || { echo "get-text: $folder is there already"; exit 0; }
texts="sword-text-web sword-comm-tdavid sword-comm-mhcc dict-jargon dict-devil postgresql-doc-15 sqlite3-doc apache2-doc
    python-django-doc python3.11-doc wordnet-base fortunes-min fortunes"
# whose manual pages are asked for
programs="adduser apt at bash bc binutils bsdextrautils bsdutils bzip2 coreutils cpio cron curl diffutils dpkg e2fsprogs fdisk
    file findutils gawk gdb git-man groff-base grep gzip htop iproute2 iputils-ping jq less login lsof make man-db moreutils mount
    nano net-tools nmap openssh-client parted passwd patch perl procps psmisc rsync screen sed sqlite3 strace sudo systemd tar
    tcpdump tmux tree unzip util-linux vim-common wget xz-utils zip"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
mkdir "$tmp/deb" "$tmp/root" "$tmp/man" "$tmp/out"
# shellcheck disable=SC2086
(cd "$tmp/deb" && apt-get -q download $texts $programs) >"$tmp/log" 2>&1 || {
    echo "get-text: a package cannot be had: $(grep -m1 '^E:' "$tmp/log" || tail -n 1 "$tmp/log")" >&2
    echo "get-text: if the lists of packages are old or missing: sudo apt-get update" >&2
    exit 1
}
for package in $texts; do dpkg-deb -x "$tmp/deb/$package"_*.deb "$tmp/root"; done
for package in $programs; do
    dpkg-deb --fsys-tarfile "$tmp/deb/$package"_*.deb | tar x -C "$tmp/man" --wildcards './usr/share/man/man[18]/*' 2>/dev/null || true
done
apt-cache dumpavail >"$tmp/available"
KRAIT_TEXT=austen scripts/get-text.sh "$tmp/novels"
python3 recipes/chat/chat_text.py prose "$tmp/root" "$tmp/novels" "$tmp/out"
python3 recipes/chat/chat_text.py talk "$tmp/root" "$tmp/man" "$tmp/available" "$tmp/out"
mkdir -p "$folder"
mv "$tmp"/out/* "$folder/"
ls -l "$folder"
