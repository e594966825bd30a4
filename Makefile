# The steps by name. What is built and how stands in CMakeLists.txt and CMakePresets.json.
#
#   make                     set up, configure and build (build/ffai)
#   make run [PROMPT="…"]    continue a text with the default model
#   make cuda                the same as make, with the kernels for NVIDIA's devices: installs nvcc first
#   make test                every test
#   make bench               the table of docs/performance.md, half an hour
#   make bench-kernels       the speed of every kernel, and of whole steps
#   make install [PREFIX=/usr/local] [DESTDIR=]
#   make format format-check lint check-tree
#   make sanitize coverage fuzz [SECONDS=60]
#   make aarch64             build for 64-bit ARM and test under qemu
#   make clean
SHELL = /bin/sh
MAKEFLAGS += --no-print-directory

PREFIX ?= /usr/local
SECONDS ?= 60
PROMPT ?= The capital of France is
# The text reaches the shell through the environment and make expands nothing in it, so that any text will do.
export FFAI_PROMPT := $(value PROMPT)
unexport PROMPT

PRESETS = debug asan-ubsan tsan fuzz coverage clang aarch64
C_FILES = find include src apps examples tests \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' \) -print0

# Configure a preset once and build it: in full words the first time, after that only what goes wrong. All of it
# on stderr: stdout belongs to the program that runs next.
define build_preset
@if [ -f $(2)/.built ]; then \
	report=$$(cmake --build $(2) $(3) -- --quiet 2>&1) || { echo "$$report" >&2; exit 1; }; \
else \
	cmake --preset $(1) >&2 && cmake --build $(2) $(3) >&2 && touch $(2)/.built; \
fi
endef

.PHONY: all setup develop build cuda model run test bench bench-kernels install format format-check lint check-tree \
	sanitize asan-ubsan tsan clang coverage fuzz cross aarch64 clean

all: build

setup:
	@tools/setup

develop: setup
	@tools/setup --develop

build: setup
	$(call build_preset,release,build)

# Configured anew: nvcc may not have been there before.
cuda:
	@tools/setup --cuda
	@cmake --preset release -DFFAI_CUDA=ON >&2
	$(call build_preset,release,build)
	@cmake --build build --target cuda_images -- --quiet >&2

model: setup
	@tools/fetch-default-model

run: build model
	@build/ffai generate --raw --temp 0 -n 16 -p "$$FFAI_PROMPT"

test: build model
	@tools/run-tests build

# The table of docs/performance.md, beside llama.cpp and mlx where they can be built.
bench: build model
	@bench/run $(BENCH)

# Every kernel of every tier, and whole steps.
bench-kernels: build
	@build/tests/checkop --bench
	@for program in build/bench/bench_*; do \
		if [ -x "$$program" ]; then "$$program" || exit 1; fi; \
	done

install: build
	@DESTDIR="$(DESTDIR)" cmake --install build --prefix "$(PREFIX)"
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ]; then ldconfig; fi

format: develop
	@$(C_FILES) | xargs -0 clang-format -i

format-check: develop
	@$(C_FILES) | xargs -0 clang-format --dry-run --Werror

lint: clang
	@tools/lint build-clang

check-tree:
	@tools/check-tree

clang: develop
	$(call build_preset,clang,build-clang)

asan-ubsan: develop model
	$(call build_preset,asan-ubsan,build-asan-ubsan)
	@tools/run-tests build-asan-ubsan

# The tests that start threads: the others have nothing to race with.
tsan: develop model
	$(call build_preset,tsan,build-tsan)
	@tools/run-tests build-tsan --label-regex threads

sanitize: asan-ubsan tsan

coverage: develop model
	$(call build_preset,coverage,build-coverage)
	@find build-coverage -name '*.gcda' -delete
	@tools/run-tests build-coverage
	@gcovr --root . --filter src/ --object-directory build-coverage --txt build-coverage/coverage.txt \
		--print-summary --fail-under-line 85
	@echo "Line by line: build-coverage/coverage.txt"

fuzz: develop
	$(call build_preset,fuzz,build-fuzz,--target fuzzers)
	@tools/run-fuzzers build-fuzz "$(SECONDS)"

cross:
	@tools/setup --cross

aarch64: cross model
	$(call build_preset,aarch64,build-aarch64)
	@tools/test-aarch64 build-aarch64

clean:
	@rm -rf build $(PRESETS:%=build-%)
