#!/bin/sh
# --help of the scripts that measure: it says how they are called, and starts and leaves nothing.
#
#   tests/scripts/run.sh SOURCE_DIR
set -eu

source=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/home" "$work/tree"
cp -R "$source/bench" "$source/tools" "$work/tree"
cd "$work/tree"
HOME=$work/home
XDG_CACHE_HOME=$work/home
export HOME XDG_CACHE_HOME

fail() {
    echo "test_scripts: $*" >&2
    exit 1
}

listing() {
    (cd "$work" && find home tree | sort)
}

# A Python without numpy, as most are.
mkdir "$work/without"
echo 'raise ImportError("hidden by test_scripts")' >"$work/without/numpy.py"
scripts='bench/run bench/competitor'
if python3 -c '' 2>/dev/null; then
    scripts="$scripts tools/measure-accuracy bench/peers/report.py bench/peers/cuda.py bench/peers/tokenizing.py"
fi

listing >"$work/before"
for script in $scripts; do
    PYTHONPATH=$work/without PYTHONDONTWRITEBYTECODE=1 timeout 20 "./$script" --help >"$work/help" 2>&1 ||
        fail "$script --help: status $?: $(cat "$work/help")"
    grep -q "$(basename "$script") .*[[A-Z]" "$work/help" || fail "$script --help does not say how it is called"
done
listing >"$work/after"
diff "$work/before" "$work/after" >"$work/new" || fail "--help left something: $(cat "$work/new")"

if ./bench/competitor model 2>"$work/error"; then
    fail 'bench/competitor took one argument'
fi
grep -q '^usage: bench/competitor MODEL' "$work/error" || fail "bench/competitor: $(cat "$work/error")"
