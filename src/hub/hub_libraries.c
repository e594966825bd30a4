#define _GNU_SOURCE
#include "hub_libraries.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

/* Both are process-wide by nature: a library is loaded once, and curl's start is one for the process. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static ffai__hub_libraries libraries;
static const char *missing; /* the library or function that is not there */

static void *open_first(const char *const *names)
{
    for (; *names; names++) {
        void *library = dlopen(*names, RTLD_NOW | RTLD_LOCAL);
        if (library)
            return library;
    }
    return NULL;
}

/* dlsym's object pointer, as the function pointer that it is. */
static void find(void *function, void *library, const char *name)
{
    void *symbol = library ? dlsym(library, name) : NULL;
    if (!symbol && !missing)
        missing = name;
    memcpy(function, &symbol, sizeof symbol);
}

static void load(void)
{
    static const char *const curl_names[] = {"libcurl.so.4", "libcurl-gnutls.so.4", NULL};
    static const char *const crypto_names[] = {"libcrypto.so.3", NULL};
    void *curl = open_first(curl_names);
    void *crypto = open_first(crypto_names);
    if (!curl || !crypto)
        missing = curl ? "libcrypto.so.3" : "libcurl.so.4";
#define CURL(name)   find(&libraries.name, curl, #name);
#define CRYPTO(name) find(&libraries.name, crypto, #name);
#include "hub_libraries.def"
#undef CURL
#undef CRYPTO
    if (!missing && libraries.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        missing = "curl_global_init";
}

ffai_status ffai__hub_libraries_load(const ffai__hub_libraries **out, ffai_error *err)
{
    pthread_once(&once, load);
    if (missing)
        return ffai__fail(
            err, FFAI_E_UNSUPPORTED,
            "hub: %s is missing: downloads take libcurl 7.85 and OpenSSL 3 (on Debian: libcurl4 and libssl3)", missing);
    *out = &libraries;
    return FFAI_OK;
}
