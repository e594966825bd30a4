#!/bin/sh
# The kernels that nvcc made, for each architecture, are those of kernels.def: the host finds them by these names.
#
#   tests/cuda_images/run.sh BUILD_DIR SOURCE_DIR C_COMPILER ARCHITECTURE…
set -eu

build=$1/cuda
kernels=$2/src/backends/cuda/kernels/kernels.def
compiler=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Names in the order of the alphabet, a line each.
sorted() {
    tr -s ' ' '\n' | sed '/^$/d' | LC_ALL=C sort
}

"$compiler" -E -P -x c '-DKERNEL(file,name)=name' "$kernels" | sorted >"$work/listed"
uniq -d "$work/listed" >"$work/twice"
if [ -s "$work/twice" ]; then
    echo "test_cuda_names: $kernels has more than once: $(cat "$work/twice")" >&2
    exit 1
fi

passed=0
failed=0
# compare ARCHITECTURE: standard input has the names that it was compiled for.
compare() {
    sorted >"$work/compiled"
    if diff "$work/listed" "$work/compiled" >"$work/diff"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "test_cuda_names: $1: listed (<) in $kernels and compiled (>) kernels differ:"
        cat "$work/diff"
    fi >&2
}

# The names that a file of machine code or of PTX defines.
names_of() {
    case $1 in
    *.ptx) sed -n 's/^\.visible \.entry \([A-Za-z0-9_]*\).*/\1/p' "$1" ;;
    *) readelf -sW "$1" | awk '$4 == "FUNC" && $5 == "GLOBAL" { print $NF }' ;;
    esac
}

images=$(sed -n 's/^IMAGE(\([^,]*\),.*/\1/p' "$build/images.def")
for architecture; do
    case $architecture in
    *-virtual) end=${architecture%-virtual}.ptx ;;
    *) end=$architecture.cubin ;;
    esac
    for image in $images; do
        names_of "$build/$image.$end"
    done >"$work/names"
    compare "$architecture" <"$work/names"
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
