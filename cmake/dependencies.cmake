# Libraries from the distribution: see the packages in tools/setup.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson>=2.13)
pkg_check_modules(HWLOC REQUIRED IMPORTED_TARGET hwloc>=2.8)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(LIBCURL REQUIRED libcurl>=7.85)
pkg_check_modules(LIBCRYPTO REQUIRED libcrypto>=3.0)
