/* The hub of the tests as a program, for other tools to download from: org/model has the files of a folder.
 *
 *   serve_hub FOLDER
 *
 * Prints the address and serves until standard input ends. */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hub_server.h"

static hub_server server;

static bool is_large(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && (strcmp(dot, ".safetensors") == 0 || strcmp(dot, ".gguf") == 0);
}

/* Kept to the end of the process. */
static bool serve_file(const char *folder, const char *name)
{
    char path[4096];
    struct stat info;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode))
        return true;
    if (server.num_files == sizeof server.files / sizeof server.files[0])
        return false;
    FILE *file = fopen(path, "rb");
    char *bytes = malloc((size_t)info.st_size + 1);
    const bool read = file && bytes && fread(bytes, 1, (size_t)info.st_size + 1, file) == (size_t)info.st_size;
    if (file)
        fclose(file);
    if (read)
        hub_server_add(&server, strdup(name), bytes, (size_t)info.st_size, is_large(name));
    else
        free(bytes);
    return read;
}

static bool serve_folder(const char *path)
{
    DIR *folder = opendir(path);
    bool served = folder;
    for (const struct dirent *entry; served && (entry = readdir(folder));)
        served = serve_file(path, entry->d_name);
    if (folder)
        closedir(folder);
    return served;
}

int main(int argc, char **argv)
{
    char byte = 0;
    if (argc != 2 || !serve_folder(argv[1]) || !hub_server_start(&server)) {
        fprintf(stderr, "serve_hub: takes a folder with at most 16 files\n");
        return 1;
    }
    printf("http://127.0.0.1:%d\n", server.port);
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) == 1)
        continue;
    hub_server_stop(&server);
    return 0;
}
