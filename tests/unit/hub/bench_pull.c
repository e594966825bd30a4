/* How fast a file comes from a hub on loopback, beside curl alone and curl with sha256sum after it, in the same run:
 * bench/pull. ffai checks the digest on the way, which curl alone does not do.
 *
 *   bench_pull FFAI FOLDER */
#define _GNU_SOURCE
#include <ftw.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hub_server.h"

enum { SIZE = 1 << 29, ROUNDS = 15 };

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

/* Seconds that a command of the shell takes; negative if it fails. */
static double time_command(const char *command)
{
    const char *const arguments[] = {"sh", "-c", command, NULL};
    pid_t child;
    int status = 1;
    const double begun = now();
    if (posix_spawnp(&child, "sh", NULL, NULL, (char *const *)arguments, environ) != 0)
        return -1;
    waitpid(child, &status, 0);
    return status == 0 ? now() - begun : -1;
}

static double time_in(const char *folder, const char *command)
{
    const double seconds = time_command(command);
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return mkdir(folder, 0777) == 0 ? seconds : -1;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof *values, by_size);
    return values[ROUNDS / 2];
}

static bool measure(const hub_server *server, const char *folder, const char *ffai)
{
    char curl[512], checked[1024], pull[512];
    double alone[ROUNDS], with_digest[ROUNDS], curl_rates[ROUNDS], rates[ROUNDS];
    snprintf(curl, sizeof curl, "exec curl -s -o %s/model http://127.0.0.1:%d/store/model.safetensors", folder,
             server->store_port);
    snprintf(checked, sizeof checked, "%s && sha256sum %s/model >/dev/null", curl + strlen("exec "), folder);
    snprintf(pull, sizeof pull,
             "HF_ENDPOINT=http://127.0.0.1:%d HF_HUB_CACHE=%s exec %s pull org/model >/dev/null 2>&1", server->port,
             folder, ffai);
    for (int i = 0; i < ROUNDS; i++) {
        const double by_curl = time_in(folder, curl);
        const double by_both = time_in(folder, checked);
        const double ours = time_in(folder, pull);
        if (by_curl < 0 || by_both < 0 || ours < 0)
            return false;
        alone[i] = by_curl / ours;
        with_digest[i] = by_both / ours;
        curl_rates[i] = SIZE / by_curl / 1e6;
        rates[i] = SIZE / ours / 1e6;
        printf("curl %6.0f MB/s   curl, then sha256sum %6.0f MB/s   ffai pull %6.0f MB/s   ratios %.2f %.2f\n",
               curl_rates[i], SIZE / by_both / 1e6, rates[i], alone[i], with_digest[i]);
    }
    printf("medians: curl %.0f MB/s, ffai %.0f MB/s; of the ratios: to curl %.2f, to curl and sha256sum %.2f\n",
           median(curl_rates), median(rates), median(alone), median(with_digest));
    return true;
}

int main(int argc, char **argv)
{
    hub_server server = {.times = 0};
    char folder[256];
    char *bytes = malloc(SIZE);
    if (argc != 3)
        return 2;
    snprintf(folder, sizeof folder, "%s/ffai-pull-XXXXXX", argv[2]);
    if (!bytes || !mkdtemp(folder) || !hub_server_start(&server))
        return 1;
    uint64_t x = 1;
    for (size_t i = 0; i < SIZE; i += 8) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        memcpy(bytes + i, &x, 8);
    }
    hub_server_add(&server, "config.json", "{}", 2, false);
    hub_server_add(&server, "model.safetensors", bytes, SIZE, true);
    const bool measured = measure(&server, folder, argv[1]);
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    hub_server_stop(&server);
    free(bytes);
    return measured ? 0 : 1;
}
