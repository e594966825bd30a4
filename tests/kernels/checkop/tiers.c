/* Which tiers there are, which of them run here, and which the operating system says should. */
#define _GNU_SOURCE /* setenv, getline, syscall */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "checkop.h"

/* Parts of a tier that a machine may lack: the tier is run without them under its plain name, then with one after
 * the other. */
typedef struct part {
    ffai__isa isa;
    const char *name; /* of the tier with this part */
    size_t feature;   /* offset of the flag in ffai__cpu_features */
} part;

static const part parts[] = {
    {FFAI__ISA_NEON, "neon_dotprod", offsetof(ffai__cpu_features, neon_dotprod)},
    {FFAI__ISA_NEON, "neon_i8mm", offsetof(ffai__cpu_features, neon_i8mm)},
    {FFAI__ISA_NEON, "neon_bf16", offsetof(ffai__cpu_features, neon_bf16)},
    {FFAI__ISA_AVX512, "avx512_vnni", offsetof(ffai__cpu_features, avx512_vnni)},
    {FFAI__ISA_AVX512, "avx512_bf16", offsetof(ffai__cpu_features, avx512_bf16)},
};

enum { NUM_PARTS = sizeof parts / sizeof *parts };

static bool *feature_of(ffai__cpu_features *features, const part *p)
{
    return (bool *)(void *)((char *)features + p->feature);
}

/* The tier that FFAI_ISA names, by way of the dispatch. */
static void choose(checkop_tier *tier, const char *isa)
{
    ffai__isa chosen = FFAI__ISA_COUNT;
    ffai_error err = FFAI_ERROR_INIT;
    setenv("FFAI_ISA", isa, 1);
    if (ffai__isa_choose(&chosen, &tier->features, &err) != FFAI_OK)
        snprintf(tier->missing, sizeof tier->missing, "%.95s", err.message);
    else if (chosen != tier->isa)
        snprintf(tier->missing, sizeof tier->missing, "FFAI_ISA=%s chose %s", isa, ffai__isa_name(chosen));
    unsetenv("FFAI_ISA");
    tier->kernels = ffai__kernels_of(tier->isa);
}

static checkop_tier plain_tier(ffai__isa isa, const ffai__cpu_features *machine)
{
    checkop_tier tier = {.name = ffai__isa_name(isa), .isa = isa, .features = *machine};
    for (int i = 0; i < NUM_PARTS; i++) {
        if (parts[i].isa == isa)
            *feature_of(&tier.features, &parts[i]) = false;
    }
    choose(&tier, tier.name);
    return tier;
}

int checkop_list_tiers(checkop_tier tiers[CHECKOP_MOST_TIERS])
{
    ffai__cpu_features machine;
    int count = 0;
    ffai__cpu_features_detect(&machine);
    for (ffai__isa isa = FFAI__ISA_SCALAR; isa < FFAI__ISA_COUNT; isa++) {
        checkop_tier tier = plain_tier(isa, &machine);
        tiers[count++] = tier;
        for (int i = 0; i < NUM_PARTS; i++) {
            if (parts[i].isa != isa)
                continue;
            tier.name = parts[i].name;
            if (!*tier.missing && !*feature_of(&machine, &parts[i]))
                snprintf(tier.missing, sizeof tier.missing, "this machine lacks the instructions");
            *feature_of(&tier.features, &parts[i]) = true;
            tiers[count++] = tier;
        }
    }
    tiers[count] = tiers[0];
    tiers[count].name = "amx_model";
    tiers[count++].amx_model = true;
    return count;
}

#if defined(__x86_64__)
/* A tier and what /proc/cpuinfo calls its features. */
typedef struct wants {
    const char *tier;
    const char *flags[12];
} wants;

#define AVX2_FLAGS   "avx2", "fma", "f16c"
#define AVX512_FLAGS AVX2_FLAGS, "avx512f", "avx512bw", "avx512vl", "avx512dq"

static const wants wanted[] = {
    {"avx2", {AVX2_FLAGS}},
    {"avx512", {AVX512_FLAGS}},
    {"avx512_vnni", {AVX512_FLAGS, "avx512_vnni"}},
    {"avx512_bf16", {AVX512_FLAGS, "avx512_vnni", "avx512_bf16"}},
    {"amx", {AVX512_FLAGS, "avx512_vnni", "amx_tile", "amx_int8", "amx_bf16"}},
};

/* The kernel may refuse the tiles of a processor that has them. */
static bool refused(const char *tier)
{
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    return strcmp(tier, "amx") == 0 && syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) != 0;
}

static bool has_word(const char *line, const char *word)
{
    const size_t length = strlen(word);
    for (const char *at = strstr(line, word); at; at = strstr(at + 1, word)) {
        const char end = at[length];
        if (at > line && at[-1] == ' ' && (end == ' ' || end == '\n' || end == '\0'))
            return true;
    }
    return false;
}

static void add_reported(char *names, size_t size, const char *flags)
{
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        bool all = true;
        for (size_t k = 0; k < sizeof wanted[i].flags / sizeof *wanted[i].flags && wanted[i].flags[k]; k++)
            all = all && has_word(flags, wanted[i].flags[k]);
        const size_t used = strlen(names);
        if (all && !refused(wanted[i].tier))
            snprintf(names + used, size - used, "%s ", wanted[i].tier);
    }
}

static void read_reported(char *names, size_t size)
{
    char *line = NULL;
    size_t room = 0;
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && getline(&line, &room, file) > 0) {
        if (strncmp(line, "flags", 5) == 0) {
            add_reported(names, size, line);
            break;
        }
    }
    free(line);
    if (file)
        fclose(file);
}
#elif defined(__aarch64__)
static void read_reported(char *names, size_t size)
{
    const bool neon = getauxval(AT_HWCAP) & HWCAP_ASIMD;
    const bool dotprod = neon && getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
    const bool i8mm = dotprod && getauxval(AT_HWCAP2) & HWCAP2_I8MM;
    const bool bf16 = i8mm && getauxval(AT_HWCAP2) & HWCAP2_BF16;
    const size_t used = strlen(names);
    snprintf(names + used, size - used, "%s%s%s%s", neon ? "neon " : "", dotprod ? "neon_dotprod " : "",
             i8mm ? "neon_i8mm " : "", bf16 ? "neon_bf16 " : "");
}
#else
static void read_reported(char *names, size_t size)
{
    (void)names;
    (void)size;
}
#endif

void checkop_reported_tiers(char *names, size_t size)
{
    snprintf(names, size, " scalar ");
    read_reported(names, size);
}
