#!/bin/sh
# pairs.sh FOLDER LETTERS N BOOK... - tables of pairs of pieces of books, tab-separated, for recipes/pairs: first, second,
# and book (same, other), in FOLDER/train.tsv and FOLDER/test.tsv, whose pieces come from the first nine tenths of
# each book and from the last.  Half of the N pairs to train on are of one book, half of two; a tenth as many are to
# test.  Where a piece begins, and in which book, follows a generator of its own, so any awk makes the same tables.
set -eu
[ $# -ge 5 ] || { echo "usage: pairs.sh FOLDER LETTERS N BOOK BOOK ..." >&2; exit 2; }
folder=$1 letters=$2 n=$3
shift 3
mkdir -p "$folder"
LC_ALL=C awk -v FOLDER="$folder" -v SIZE="$letters" -v N="$n" '
function draw(n) { state = state * 16807 % 2147483647; return int(state / 2147483647 * n) }
function piece(b, last, from, to) {
    from = last ? int(length(text[b]) * 0.9) + 1 : 1
    to = last ? length(text[b]) : int(length(text[b]) * 0.9)
    return substr(text[b], from + draw(to - from + 2 - SIZE), SIZE)
}
function write(file, n, last, i, one, other) {
    print "first", "second", "book" > file
    for (i = 0; i < n; i++) {
        one = draw(books); other = i % 2 ? (one + 1 + draw(books - 1)) % books : one
        print piece(one, last), piece(other, last), i % 2 ? "other" : "same" > file
    }
}
BEGIN { state = 20260; OFS = "\t"; books = ARGC - 1; book = -1 }
FNR == 1 { book++ }
{ gsub(/"/, "\047"); gsub(/<\|endoftext\|>/, " "); gsub(/[ \t\r]+/, " "); line[book, ++lines[book]] = $0 " " }
END {
    for (b = 0; b < books; b++) { # joined by halves: a text grown line by line is copied as often
        for (step = 1; step < lines[b]; step *= 2)
            for (i = 1; i + step <= lines[b]; i += 2 * step) { line[b, i] = line[b, i] line[b, i + step]; delete line[b, i + step] }
        text[b] = line[b, 1]
    }
    write(FOLDER "/train.tsv", N, 0)
    write(FOLDER "/test.tsv", N / 10, 1)
}' "$@"
