#!/bin/sh
# packages.sh - what a build needs, and how to get it; sourced by the other scripts.

# One line a need: how to see it (a command, a pkg-config module after "lib:", an installed
# package after "deb:") and its Debian / Ubuntu package.
krait_needs="
gcc               gcc
cmake             cmake
ninja             ninja-build
pkg-config        pkg-config
lib:jansson       libjansson-dev
lib:kissfft-float libkissfft-dev
lib:libmicrohttpd libmicrohttpd-dev
lib:zlib          zlib1g-dev
lib:sqlite3       libsqlite3-dev
lib:libpng        libpng-dev
lib:libjpeg       libjpeg62-turbo-dev
lib:sndfile       libsndfile1-dev
lib:libedit       libedit-dev
lib:libcurl       libcurl4-gnutls-dev
lib:cmocka        libcmocka-dev
"

# Prints the packages that are not there.
krait_missing() {
    echo "$krait_needs" | while read -r see package; do
        case $see in
            '') ;;
            lib:*) pkg-config --exists "${see#lib:}" 2>/dev/null || echo "$package" ;;
            deb:*) [ "$(dpkg-query -W -f '${db:Status-Status}' "${see#deb:}" 2>/dev/null)" = installed ] || echo "$package" ;;
            *) command -v "$see" >/dev/null || echo "$package" ;;
        esac
    done | tr '\n' ' '
}

# What the tests of the server's page, of OpenAI's client and of other programs' files drive, in a Python of their own: Debian's
# selenium and Chromium; openai, gguf, safetensors and jinja2 from PyPI.  Without them those tests say so and are skipped.  Sets KRAIT_PYTHON.
krait_install_clients() { # krait_install_clients FOLDER
    python=/usr/bin/python3
    [ -x $python ] || python=$(command -v python3) || return 0
    krait_needs="
chromium                    chromium
chromedriver                chromium-driver
deb:python3-selenium        python3-selenium
deb:python3-venv            python3-venv
"
    krait_install || echo "no browser to test the page with, so that is skipped" >&2
    if [ ! -x "$1/bin/python" ] || ! "$1/bin/python" -c 'import openai, gguf, safetensors, jinja2' 2>/dev/null; then
        rm -rf "$1"
        { $python -m venv --system-site-packages "$1" &&
            timeout 180 "$1/bin/python" -m pip install -q --disable-pip-version-check --retries 1 openai gguf safetensors jinja2; } >"$1.log" 2>&1 ||
            echo "no openai, gguf, safetensors and jinja2 from PyPI, so the tests with them are skipped ($1.log)" >&2
    fi
    [ ! -x "$1/bin/python" ] || export KRAIT_PYTHON="$PWD/$1/bin/python"
}

# Installs them, or says in a sentence why it cannot.
krait_install() {
    missing=$(krait_missing)
    [ -z "$missing" ] && return 0
    sudo='' foreign=''
    if ! command -v apt-get >/dev/null; then
        echo "missing, under their Debian names: $missing- this machine has no apt-get, so please install them and run this again." >&2
        return 1
    fi
    case $missing in
        *:arm64*) dpkg --print-foreign-architectures | grep -qx arm64 || foreign="dpkg --add-architecture arm64" ;;
    esac
    if [ "$(id -u)" != 0 ]; then
        if command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
            sudo=sudo
        else
            echo "missing: $missing- not root, and no sudo that works unasked, so please run as root:" \
                "${foreign:+$foreign && }apt-get update && apt-get install $missing" >&2
            return 1
        fi
    fi
    echo "installing $missing"
    log=$(mktemp)
    # shellcheck disable=SC2086
    [ -z "$foreign" ] || $sudo $foreign
    # the lists of packages may be stale or absent: fetch them only if the first try fails
    # shellcheck disable=SC2086
    if ! $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing >"$log" 2>&1; then
        $sudo apt-get update >>"$log" 2>&1
        if ! $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing >>"$log" 2>&1; then
            tail -5 "$log" >&2
            rm -f "$log"
            echo "apt-get could not install $missing- see above (is this machine offline?)" >&2
            return 1
        fi
    fi
    rm -f "$log"
}
