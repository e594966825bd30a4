/**
 * Status codes and error messages.
 *
 * Every function that can fail returns an ffai_status and takes an ffai_error * as its last argument. The
 * error is owned by the caller, may be NULL, and is written only on failure.
 */
#ifndef FFAI_STATUS_H
#define FFAI_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define FFAI_API
#else
#define FFAI_API __attribute__((visibility("default")))
#endif

/** X(name, what it means). The name is spelled FFAI_<name> in code. */
#define FFAI_STATUS_LIST(X)                                                                                            \
    X(OK, "success")                                                                                                   \
    X(E_ARGUMENT, "an argument is out of range or contradicts another")                                                \
    X(E_MEMORY, "not enough memory")                                                                                   \
    X(E_IO, "a file could not be opened, read or written")                                                             \
    X(E_FORMAT, "a file does not follow its format")                                                                   \
    X(E_UNSUPPORTED, "a valid file or request asks for something not supported")                                       \
    X(E_NOT_FOUND, "a named file, tensor or entry does not exist")                                                     \
    X(E_LIMIT, "a budget was exceeded")                                                                                \
    X(E_CONTEXT_FULL, "a sequence would outgrow its context")                                                          \
    X(E_CANCELLED, "cancelled by the caller")                                                                          \
    X(E_BACKEND, "the device or its kernels failed")                                                                   \
    X(E_INTERNAL, "a broken promise inside the library: a bug")

typedef enum ffai_status {
#define FFAI_STATUS_ENUM(name, text) FFAI_##name,
    FFAI_STATUS_LIST(FFAI_STATUS_ENUM)
#undef FFAI_STATUS_ENUM
} ffai_status;

/** What went wrong, for a person: "what: file or field: why", at most 1,023 bytes of UTF-8. */
typedef struct ffai_error {
    ffai_status status;
    char message[1024];
} ffai_error;

#define FFAI_ERROR_INIT                                                                                                \
    {                                                                                                                  \
        FFAI_OK,                                                                                                       \
        {                                                                                                              \
            0                                                                                                          \
        }                                                                                                              \
    }

/** The status's meaning as a static string; never NULL. */
FFAI_API const char *ffai_status_text(ffai_status status);

/** The library's version, "major.minor.patch", as a static string. */
FFAI_API const char *ffai_version(void);

/** Free what this library handed out in arrays and strings. NULL is allowed. */
FFAI_API void ffai_free(void *pointer);

#ifdef __cplusplus
}
#endif
#endif
