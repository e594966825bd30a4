/* Every allocation, read, write and thread start of each scenario is made to fail once, alone and with all after it:
 * the call that notices says so with the right status and a message, nothing is lost, and nothing is wrong later.
 *
 *   test_fault [SCENARIO [KIND CALL]]
 *
 * Long sequences of calls are sampled; FFAI_FAULT_ALL=1 takes each one. One call can be looked at in a debugger with
 * a breakpoint at fail_here. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "calls.h"
#include "scenarios.h"

enum { SAMPLES = 200, SAMPLES_SANITIZED = 40, MOST_COMPLAINTS = 20 };

static const ffai_status expected[] = {
    [CALLS_ALLOCATION] = FFAI_E_MEMORY,
    [CALLS_READ] = FFAI_E_IO,
    [CALLS_WRITE] = FFAI_E_IO,
    [CALLS_THREAD] = FFAI_E_BACKEND,
};

/* What is under way, for a crash to tell. */
static char now[160];

/* AddressSanitizer's, where the program is built with it. */
// NOLINTNEXTLINE(bugprone-reserved-identifier)
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void tell(void)
{
    const ssize_t ignored = write(STDOUT_FILENO, now, strlen(now));
    (void)ignored;
}

static void on_crash(int number)
{
    tell();
    signal(number, SIG_DFL);
    raise(number);
}

static void watch_for_crashes(void)
{
    if (__sanitizer_set_death_callback) {
        __sanitizer_set_death_callback(tell);
        return;
    }
    signal(SIGSEGV, on_crash);
    signal(SIGABRT, on_crash);
    signal(SIGFPE, on_crash);
}

static const digest empty_digest = {0xCBF29CE484222325u};

/* Why a run with a fault is not as it should be; NULL if it is. */
static const char *judge(const scenario *s, calls_kind kind, ffai_status status, const ffai_error *err,
                         const digest *result, const digest *wanted, long memory, long handles)
{
    const char *left = status != FFAI_OK && s->left_behind ? s->left_behind() : NULL;
    if (status == FFAI_OK && result->hash != wanted->hash)
        return "it succeeds with another result";
    if (status != FFAI_OK && status != expected[kind])
        return "the status is wrong";
    if (status != FFAI_OK && (err->status != status || !err->message[0]))
        return "the error is not filled";
    if (status != FFAI_OK && kind == CALLS_THREAD && !strstr(err->message, ": ask for fewer"))
        return "the message does not say what to do";
    if (status != FFAI_OK && kind == CALLS_WRITE && s->advice && !strstr(err->message, s->advice))
        return "the message does not say what to do";
    if (calls_live_memory() != memory)
        return "memory is lost";
    if (calls_live_handles() != handles)
        return "a file, a mapping or a thread is lost";
    return left;
}

/* Run with call `number` failing, then without. */
static bool attempt(const scenario *s, calls_kind kind, long number, bool and_later, const digest *wanted)
{
    digest result = empty_digest;
    digest after = empty_digest;
    ffai_error err = FFAI_ERROR_INIT;
    snprintf(now, sizeof now, "%s: %s %ld%s: ", s->name, calls_kind_name(kind), number, and_later ? " and later" : "");
    const long memory = calls_live_memory();
    const long handles = calls_live_handles();
    calls_arm(kind, number, and_later);
    const ffai_status status = s->run(&result, &err);
    calls_disarm();
    const char *wrong = judge(s, kind, status, &err, &result, wanted, memory, handles);
    if (wrong) {
        printf("%s%s: %s: \"%s\"\n", now, wrong, ffai_status_text(status), err.message);
        return false;
    }
    if (s->run(&after, &err) != FFAI_OK || after.hash != wanted->hash) {
        printf("%sthe run after it differs: \"%s\"\n", now, err.message);
        return false;
    }
    return true;
}

static bool sweep(const scenario *s, calls_kind kind, long count, const digest *wanted)
{
    const long samples = __sanitizer_set_death_callback ? SAMPLES_SANITIZED : SAMPLES;
    const long step = getenv("FFAI_FAULT_ALL") || count <= samples ? 1 : (count + samples - 1) / samples;
    int complaints = 0;
    for (long number = 1; number <= count && complaints < MOST_COMPLAINTS; number += step) {
        /* The two ways take different calls where some are left out. */
        complaints += !attempt(s, kind, number, false, wanted);
        complaints += !attempt(s, kind, number + step / 2 <= count ? number + step / 2 : number, true, wanted);
    }
    return complaints == 0;
}

/* What the scenario gives, and how many calls it makes, when nothing fails. The first run fills what is kept for
 * the life of the process. */
static bool measure(const scenario *s, digest *wanted, long counts[CALLS_KINDS])
{
    ffai_error err = FFAI_ERROR_INIT;
    for (int i = 0; i < 2; i++) {
        *wanted = empty_digest;
        calls_arm(CALLS_ALLOCATION, 0, false);
        const ffai_status status = s->run(wanted, &err);
        calls_disarm();
        if (status != FFAI_OK) {
            printf("%s: without faults: %s\n", s->name, err.message);
            return false;
        }
    }
    for (int kind = 0; kind < CALLS_KINDS; kind++)
        counts[kind] = calls_count((calls_kind)kind);
    return true;
}

static bool run_scenario(const scenario *s, const char *kind_wanted, long number)
{
    digest wanted = empty_digest;
    long counts[CALLS_KINDS] = {0};
    if (!measure(s, &wanted, counts))
        return false;
    bool ok = true;
    for (int i = 0; i < (int)(sizeof expected / sizeof expected[0]); i++) {
        const calls_kind kind = (calls_kind)i;
        if (kind_wanted && strcmp(kind_wanted, calls_kind_name(kind)) != 0)
            continue;
        if (number)
            ok = attempt(s, kind, number, false, &wanted) && ok;
        else
            ok = sweep(s, kind, counts[kind], &wanted) && ok;
    }
    printf("%s  %s: %ld allocations, %ld reads, %ld writes, %ld threads\n", ok ? "ok    " : "FAILED", s->name,
           counts[CALLS_ALLOCATION], counts[CALLS_READ], counts[CALLS_WRITE], counts[CALLS_THREAD]);
    fflush(stdout);
    return ok;
}

static bool run_with_set_up(const scenario *s, const char *kind, long number)
{
    ffai_error err = FFAI_ERROR_INIT;
    const bool ready = !s->set_up || s->set_up(&err);
    if (!ready)
        printf("%s: cannot be set up: %s\n", s->name, err.message);
    const bool ok = ready && run_scenario(s, kind, number);
    if (s->tear_down)
        s->tear_down();
    return ok;
}

int main(int argc, char **argv)
{
    int passed = 0;
    int failed = 0;
    int skipped = 0;
    calls_begin();
    watch_for_crashes();
    for (size_t i = 0; i < num_scenarios; i++) {
        if (argc > 1 && strcmp(argv[1], scenarios[i].name) != 0)
            skipped++;
        else if (run_with_set_up(&scenarios[i], argc > 2 ? argv[2] : NULL, argc > 3 ? atol(argv[3]) : 0))
            passed++;
        else
            failed++;
    }
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed != 0;
}
