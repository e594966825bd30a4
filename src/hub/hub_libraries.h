/* libcurl and libcrypto, loaded when something is downloaded: linked, they and the twenty libraries that they bring
 * along would make every start of a program that never downloads anything 13 ms longer (1 ms without them). */
#ifndef FFAI_HUB_HUB_LIBRARIES_H
#define FFAI_HUB_HUB_LIBRARIES_H

#include <curl/curl.h>
#include <openssl/evp.h>

#include "failure.h"

/* The preprocessor's checks of option types would need the name as a function's. */
#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

typedef struct ffai__hub_libraries {
#define CURL(name)   __typeof__(&name) name; // NOLINT(bugprone-macro-parentheses): a member's name
#define CRYPTO(name) __typeof__(&name) name; // NOLINT(bugprone-macro-parentheses): the same
#include "hub_libraries.def"
#undef CURL
#undef CRYPTO
} ffai__hub_libraries;

/* The functions; loaded once, and never unloaded. FFAI_E_UNSUPPORTED names the library that is missing. */
ffai_status ffai__hub_libraries_load(const ffai__hub_libraries **out, ffai_error *err);

#endif
