#!/bin/sh
# Installs a build into an empty prefix and uses it as a stranger would: a C program found and linked through
# pkg-config, against the shared and the static library.
#
#   tests/install/run.sh BUILD_DIR C_COMPILER
set -eu

build=$1
compiler=$2
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix

fail() {
    echo "test_install: $*" >&2
    exit 1
}

cmake --install "$build" --prefix "$prefix" >/dev/null
pc=$(find "$prefix" -name ffai.pc)
[ -n "$pc" ] || fail 'no ffai.pc was installed'
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
library=$(pkg-config --variable=libdir ffai)
[ -e "$library/libffai.so" ] || fail 'no libffai.so where ffai.pc says'
[ -e "$prefix/include/ffai/ffai.h" ] || fail 'no ffai/ffai.h'
[ -e "$prefix/share/doc/ffai/README.md" ] && [ -e "$prefix/share/doc/ffai/docs/developing.md" ] || fail 'no documents'

# Every link of a document to a file leads to one.
for document in "$prefix"/share/doc/ffai/README.md "$prefix"/share/doc/ffai/docs/*.md; do
    grep -o '](\([^)]*\))' "$document" | sed 's/^](//; s/[#)].*//' | grep -v '://' | sort -u >"$work/links" || true
    while read -r link; do
        [ -z "$link" ] || [ -e "$(dirname "$document")/$link" ] ||
            fail "$(basename "$document") links to $link, which is not installed"
    done <"$work/links"
done

# Every function in the headers is in the shared library, and nothing else is.
nm -D --defined-only "$library/libffai.so" | sed 's/.* //' | grep '^ffai' | sort >"$work/exported"
sed -n 's/^FFAI_API [^(]*[ *]\(ffai_[a-z0-9_]*\)(.*/\1/p' "$prefix"/include/ffai/*.h | sort >"$work/declared"
[ -s "$work/declared" ] || fail 'found no declaration in the headers'
diff "$work/declared" "$work/exported" >"$work/diff" ||
    fail "declared (<) and exported (>) functions differ:
$(cat "$work/diff")"

# shellcheck disable=SC2046 # pkg-config prints words
$compiler -std=c17 -Wall -Wextra -Wpedantic -Werror "$here/program.c" -o "$work/shared" \
    $(pkg-config --cflags --libs ffai)
LD_LIBRARY_PATH=$library "$work/shared"
# shellcheck disable=SC2046
$compiler -std=c17 "$here/program.c" -o "$work/static" $(pkg-config --cflags ffai) \
    "$library/libffai.a" $(pkg-config --libs --static ffai | sed 's/-lffai\( \|$\)/ /')
ldd "$work/static" | grep libffai && fail 'the static program needs libffai.so'
"$work/static"
if [ -e "$prefix/bin/ffai" ]; then
    "$prefix/bin/ffai" version >/dev/null || fail 'the installed command does not run'
fi

DESTDIR=$work/stage cmake --install "$build" --prefix /usr >/dev/null
[ -e "$work/stage/usr/include/ffai/ffai.h" ] || fail 'DESTDIR was not followed'
