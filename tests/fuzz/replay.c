#define _POSIX_C_SOURCE 200809L
/* Stands in for libFuzzer: gives every file of the folders and files named to the fuzz target, once. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

/* The bytes in a block of exactly their size, so that a sanitizer sees a read past the end. */
static uint8_t *read_whole(size_t *size, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    uint8_t *data = NULL;
    struct stat status;
    if (fstat(fileno(file), &status) == 0) {
        *size = (size_t)status.st_size;
        data = malloc(*size ? *size : 1);
        if (data && fread(data, 1, *size, file) != *size) {
            free(data);
            data = NULL;
        }
    }
    fclose(file);
    return data;
}

static int replay_file(const char *path)
{
    size_t size = 0;
    uint8_t *data = read_whole(&size, path);
    if (!data) {
        fprintf(stderr, "%s: cannot be read: %s\n", path, strerror(errno));
        return -1;
    }
    fprintf(stderr, "%s\n", path); /* the last one printed is the one that crashed */
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 1;
}

/* How many files were replayed; -1 if one could not be. A folder that is not there has none. */
static int replay(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder)
        return errno == ENOTDIR ? replay_file(path) : errno == ENOENT ? 0 : -1;
    int count = 0;
    for (struct dirent *entry; count >= 0 && (entry = readdir(folder));) {
        char inside[4096];
        if (entry->d_name[0] == '.')
            continue;
        const int length = snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name);
        const int replayed = length < (int)sizeof inside ? replay(inside) : -1;
        count = replayed < 0 ? -1 : count + replayed;
    }
    closedir(folder);
    return count;
}

int main(int argc, char **argv)
{
    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    int count = 0;
    for (int i = 1; i < argc; i++) {
        const int replayed = replay(argv[i]);
        if (replayed < 0)
            return EXIT_FAILURE;
        count += replayed;
    }
    printf("%d inputs replayed\n", count);
    return EXIT_SUCCESS;
}
