# Compiler flags of every target. -ffp-contract=off: a product and a sum are fused only where the code says so,
# so that a kernel's result does not depend on the compiler.
add_compile_options(
    -Wall -Wextra -Wpedantic -Wconversion -Wshadow $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes>
    $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes> -Wcast-align
    -Wpointer-arith -Wwrite-strings -Wvla -Werror
    -fvisibility=hidden -fno-math-errno -ffp-contract=off)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wlogical-op -Wduplicated-cond)
endif()
if(FFAI_FUZZ AND NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "FFAI_FUZZ needs clang (its libFuzzer); the preset fuzz chooses it")
endif()
if(FFAI_SANITIZE)
    add_compile_options(-fsanitize=${FFAI_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    add_link_options(-fsanitize=${FFAI_SANITIZE})
endif()
if(FFAI_COVERAGE)
    add_compile_options(--coverage -O1 -fprofile-update=atomic) # atomic: threads count together
    add_link_options(--coverage)
endif()
