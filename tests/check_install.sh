#!/bin/sh
# check_install.sh - an installed Krait can be found, compiled against, linked and run: by
# pkg-config (shared and static) and by find_package, after the tree was moved.
set -eu
build=$1
if grep -q -e '^KRAIT_SANITIZE:[A-Z]*=..*' -e '--coverage' "$build/CMakeCache.txt"; then
    echo "check_install: skipped: an instrumented library cannot be linked by others"
    exit 77
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
generator=$(sed -n 's/^CMAKE_GENERATOR:INTERNAL=//p' "$build/CMakeCache.txt") # there may be no other
cmake --install "$build" --prefix "$tmp/first" >"$tmp/log"
mv "$tmp/first" "$tmp/prefix"
PKG_CONFIG_PATH=$(dirname "$(find "$tmp/prefix" -name krait.pc)")
export PKG_CONFIG_PATH
libdir=$(dirname "$PKG_CONFIG_PATH")
version=$("$tmp/prefix/bin/krait" --version)

cat >"$tmp/main.c" <<'C'
#include <krait.h>
#include <krait/train.h>
#include <krait/verify.h>
#include <stdio.h>
#include <string.h>
int main(void) {
    kr_model *m;
    char *recipe;
    if (kr_model_open(&m, "nowhere", NULL) == KR_OK || !strstr(kr_error(), "nowhere")) return 1;
    if (kr_recipe_read(&recipe, NULL, NULL, 0) != KR_OK) return 1;
    kr_text_free(recipe);
    printf("krait %s\n", kr_version());
    return 0;
}
C

# runs WHAT: the program there is says which version it has
runs() {
    said=$(LD_LIBRARY_PATH=$libdir "$tmp/main") || { echo "check_install: $1: the program failed"; exit 1; }
    [ "$said" = "$version" ] || { echo "check_install: $1: it says \"$said\", want \"$version\""; exit 1; }
    rm "$tmp/main"
}
[ "krait $(pkg-config --modversion krait)" = "$version" ]
# shellcheck disable=SC2046
${CC:-cc} "$tmp/main.c" $(pkg-config --cflags --libs krait) -o "$tmp/main"
runs "pkg-config"

for kind in krait static; do
    cat >"$tmp/CMakeLists.txt" <<C
cmake_minimum_required(VERSION 3.25)
project(consumer C)
find_package(krait 0.1 REQUIRED COMPONENTS static)
add_executable(main main.c)
target_link_libraries(main krait::$kind)
C
    if ! cmake -S "$tmp" -B "$tmp/build" -G "$generator" -DCMAKE_PREFIX_PATH="$tmp/prefix" >"$tmp/log" 2>&1 ||
        ! cmake --build "$tmp/build" >>"$tmp/log" 2>&1; then
        cat "$tmp/log"
        exit 1
    fi
    mv "$tmp/build/main" "$tmp/main"
    runs "find_package, krait::$kind"
done

rm "$libdir"/libkrait.so*
# shellcheck disable=SC2046
${CC:-cc} "$tmp/main.c" $(pkg-config --static --cflags --libs krait) -o "$tmp/main"
runs "pkg-config --static"

ls "$tmp/prefix/share/krait/recipes"/*/recipe.json >/dev/null
(cd / && echo Hello | "$tmp/prefix/bin/krait" chat -t 0) | grep -q Hello # by the model that comes along
