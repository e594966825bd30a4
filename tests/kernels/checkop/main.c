/* checkop [--bench] [--list] [--tier NAME] [--kernel SUBSTRING] [--seed N] */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "state.h"

/* A line of kernels.def without its checkop_<name> does not link. */
#define KERNEL(name, parameters, text)       extern const checkop_kernel checkop_##name;
#define STORE_KERNEL(name, parameters, text) extern const checkop_kernel checkop_##name;
#define LINEAR_KERNEL(name, text)            extern const checkop_kernel checkop_##name;
#include "kernels/kernels.def"

typedef struct entry {
    const char *name;
    const char *text;
    const checkop_kernel *kernel;
    bool linear; /* chosen for each matrix, not in ffai__kernels */
} entry;

static const entry entries[] = {
#define KERNEL(name, parameters, text)       {#name, text, &checkop_##name, false},
#define STORE_KERNEL(name, parameters, text) {#name, text, &checkop_##name, false},
#define LINEAR_KERNEL(name, text)            {#name, text, &checkop_##name, true},
#include "kernels/kernels.def"
};

enum { NUM_ENTRIES = sizeof entries / sizeof *entries };

typedef struct options {
    bool bench, list;
    const char *tier;
    const char *kernel;
    uint64_t seed;
} options;

static checkop check; /* where the handler of signals finds it */

static void usage(void)
{
    fputs("usage: checkop [--bench] [--list] [--tier NAME] [--kernel SUBSTRING] [--seed N]\n", stderr);
    exit(2);
}

static uint64_t first_seed(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return getenv("CI") ? 1 : (uint64_t)t.tv_nsec / 1000;
}

static options read_options(int argc, char **argv)
{
    options o = {.seed = first_seed()};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--bench") == 0)
            o.bench = true;
        else if (strcmp(argv[i], "--list") == 0)
            o.list = true;
        else if (value && strcmp(argv[i], "--tier") == 0)
            o.tier = argv[++i];
        else if (value && strcmp(argv[i], "--kernel") == 0)
            o.kernel = argv[++i];
        else if (value && strcmp(argv[i], "--seed") == 0)
            o.seed = strtoull(argv[++i], NULL, 10);
        else
            usage();
    }
    return o;
}

/* A guard page was touched, or an instruction is not for this machine: say where, and end. */
static void on_signal(int number)
{
    char text[400];
    const int size =
        snprintf(text, sizeof text, "checkop: %s on %s, case %d (%s): %s; again: --seed %llu --kernel %s\n",
                 check.kernel, check.tier->name, check.cases, check.text,
                 number == SIGILL ? "an instruction this machine lacks" : "outside its operands",
                 (unsigned long long)check.seed, check.kernel);
    if (write(STDERR_FILENO, text, (size_t)size) < 0)
        _exit(4);
    _exit(3);
}

static void catch_signals(void)
{
    const struct sigaction action = {.sa_handler = on_signal};
    const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaction(numbers[i], &action, NULL);
}

static bool wanted(const options *o, const entry *e)
{
    return !o->kernel || strstr(e->name, o->kernel);
}

/* The tiers to run, in order; those that can't be are printed with the reason. */
static int choose_tiers(checkop_tier *chosen, const options *o)
{
    checkop_tier all[CHECKOP_MOST_TIERS];
    const int count = checkop_list_tiers(all);
    int num_chosen = 0;
    bool known = !o->tier;
    for (int i = 0; i < count; i++) {
        known = known || strcmp(o->tier, all[i].name) == 0;
        if (o->tier && strcmp(o->tier, all[i].name) != 0)
            continue;
        if (*all[i].missing)
            printf("tier %-12s skipped: %s\n", all[i].name, all[i].missing);
        else
            chosen[num_chosen++] = all[i];
    }
    if (!known) {
        fprintf(stderr, "checkop: --tier: there is no %s\n", o->tier);
        exit(2);
    }
    return num_chosen;
}

/* Tiers that the processor has, by the operating system's word, and that were not run. */
static int count_forgotten(const checkop_tier *tiers, int count)
{
    char reported[256];
    int forgotten = 0;
    checkop_reported_tiers(reported, sizeof reported);
    for (char *rest = NULL, *name = strtok_r(reported, " ", &rest); name; name = strtok_r(NULL, " ", &rest)) {
        bool run = false;
        for (int i = 0; i < count; i++)
            run = run || strcmp(tiers[i].name, name) == 0;
        if (!run) {
            fprintf(stderr, "checkop: the processor has %s, and it was not run\n", name);
            forgotten++;
        }
    }
    return forgotten;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Whether an earlier tier has the same table of kernels. */
static const char *same_table(const checkop_tier *tiers, int i)
{
    for (int k = 0; k < i; k++) {
        if (tiers[k].kernels == tiers[i].kernels)
            return tiers[k].name;
    }
    return NULL;
}

typedef struct counts {
    int passed, failed;
} counts;

static void check_entry(counts *total, const entry *e, const checkop_tier *tiers, int num_tiers)
{
    checkop_tape tape = {0};
    char line[1000];
    int used = snprintf(line, sizeof line, "%-11s", e->name);
    for (int i = 0; i < num_tiers; i++) {
        const char *as = e->linear ? NULL : same_table(tiers, i);
        if (as)
            continue;
        const double begin = seconds();
        checkop_start(&check, e->name, &tiers[i], e->kernel->same_bits ? &tape : NULL);
        e->kernel->check(&check);
        total->failed += check.failures != 0;
        total->passed += check.failures == 0;
        used += snprintf(line + used, sizeof line - (size_t)used, "  %s %s (%d cases, %.0f%% of the bar, %.1f s)",
                         tiers[i].name, check.failures ? "FAILED" : "ok", check.cases, 100 * check.worst,
                         seconds() - begin);
    }
    puts(line);
    fflush(stdout);
    free(tape.values);
}

static int check_all(const options *o, const checkop_tier *tiers, int num_tiers)
{
    counts total = {0};
    check.seed = o->seed;
    printf("seed %llu\n", (unsigned long long)o->seed);
    catch_signals();
    for (int i = 0; i < NUM_ENTRIES; i++) {
        if (wanted(o, &entries[i]))
            check_entry(&total, &entries[i], tiers, num_tiers);
    }
    if (!o->tier)
        total.failed += count_forgotten(tiers, num_tiers);
    printf("%d passed, %d failed\n", total.passed, total.failed);
    return total.failed != 0 || total.passed == 0;
}

static int list(const checkop_tier *tiers, int num_tiers)
{
    for (int i = 0; i < num_tiers; i++)
        printf("tier %s\n", tiers[i].name);
    for (int i = 0; i < NUM_ENTRIES; i++)
        printf("%-12s %s\n    %s%s\n", entries[i].name, entries[i].text, entries[i].kernel->bar,
               entries[i].kernel->same_bits ? "; the same bits on all tiers" : "");
    return 0;
}

int main(int argc, char **argv)
{
    const options o = read_options(argc, argv);
    checkop_tier tiers[CHECKOP_MOST_TIERS];
    const int num_tiers = choose_tiers(tiers, &o);
    if (o.list)
        return list(tiers, num_tiers);
    if (!o.bench)
        return check_all(&o, tiers, num_tiers);
    checkop_measure_ceilings();
    for (int i = 0; i < NUM_ENTRIES; i++) {
        if (wanted(&o, &entries[i]))
            checkop_bench(entries[i].name, entries[i].kernel, tiers, num_tiers);
    }
    return 0;
}
