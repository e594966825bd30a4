# Builds for 64-bit ARM on another processor: Debian's cross compiler, arm64 libraries beside the machine's own
# (multiarch, see tools/setup --cross), and qemu's user emulation for what the tests run.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)

# pkg-config finds the arm64 libraries and nothing else: a library of the machine's own would not link.
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/aarch64-linux-gnu/pkgconfig)

# The processor that the tests see. What it lacks, detection at run time leaves aside: see tools/run-aarch64.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64)
