/* The command's contract, tested from outside: every suite, then a closing line. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "check.h"

extern const suite suite_usage, suite_generate, suite_streams, suite_tokens, suite_files, suite_documents,
    suite_examples, suite_bench, suite_tune, suite_broken_models, suite_devices, suite_hub;
static const suite *const suites[] = {&suite_usage, &suite_generate,      &suite_streams,   &suite_tokens,
                                      &suite_files, &suite_broken_models, &suite_documents, &suite_examples,
                                      &suite_bench, &suite_tune,          &suite_devices,   &suite_hub};

static struct {
    bool failed, skipped;
} current;

static void report(const char *file, int line)
{
    current.failed = true;
    printf("    %s:%d: ", strrchr(file, '/') ? strrchr(file, '/') + 1 : file, line);
}

bool check_that(bool holds, const char *what, const char *file, int line)
{
    if (!holds) {
        report(file, line);
        printf("%s\n", what);
    }
    return holds;
}

bool check_says(bool holds, const char *file, int line, const char *format, ...)
{
    va_list arguments;
    if (!holds) {
        report(file, line);
        va_start(arguments, format);
        vprintf(format, arguments);
        va_end(arguments);
        printf("\n");
    }
    return holds;
}

void skip(const char *why)
{
    current.skipped = true;
    printf("    skipped: %s\n", why);
}

int main(int argc, char **argv)
{
    const char *only = argc > 1 ? argv[1] : "";
    int passed = 0, failed = 0, skipped = 0;
    for (size_t s = 0; s < sizeof suites / sizeof *suites; s++) {
        for (size_t i = 0; i < suites[s]->count; i++) {
            const test *t = &suites[s]->tests[i];
            if (!strstr(t->name, only))
                continue;
            current.failed = current.skipped = false;
            t->run();
            printf("%s %s\n", current.failed ? "FAILED " : current.skipped ? "skipped" : "ok     ", t->name);
            fflush(stdout);
            failed += current.failed;
            skipped += !current.failed && current.skipped;
            passed += !current.failed && !current.skipped;
        }
    }
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed != 0;
}
