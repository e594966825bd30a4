/* A test is a function whose name says the behaviour; a suite is a file of them. */
#ifndef FFAI_TESTS_CLI_CHECK_H
#define FFAI_TESTS_CLI_CHECK_H

#include <stdbool.h>
#include <stddef.h>

typedef struct test {
    const char *name;
    void (*run)(void);
} test;

typedef struct suite {
    const test *tests;
    size_t count;
} suite;

#define TEST(name)                                                                                                     \
    {                                                                                                                  \
#name, name                                                                                                    \
    }
#define SUITE(tests)                                                                                                   \
    {                                                                                                                  \
        tests, sizeof(tests) / sizeof *(tests)                                                                         \
    }

/* The running test fails, and goes on, unless the condition holds; the value is the condition's. */
#define CHECK(condition) check_that((condition), #condition, __FILE__, __LINE__)
bool check_that(bool holds, const char *what, const char *file, int line);
/* The same with words of one's own. */
bool check_says(bool holds, const char *file, int line, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The running test cannot run here; it returns after this. */
void skip(const char *why);

#endif
