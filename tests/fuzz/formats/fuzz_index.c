/* Input: a model.safetensors.index.json, beside two files of two tensors each. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "checkpoint.h"
#include "json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"config.json", "model-1.safetensors", "model-2.safetensors",
                                    "model.safetensors.index.json"};
enum { INDEX = 3 };
static char folder[64];

static void path_of(char path[128], const char *name)
{
    snprintf(path, 128, "%s/%s", folder, name);
}

static void write_file(const char *name, const void *bytes, size_t size)
{
    char path[128];
    path_of(path, name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
        abort();
}

/* Two tensors, of one byte each. */
static void write_shard(const char *name, const char *first, const char *second)
{
    char bytes[512] = {0};
    const int length = snprintf(bytes + 8, sizeof bytes - 8,
                                "{\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                                "\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
                                first, second);
    bytes[0] = (char)length;
    write_file(name, bytes, 8 + (size_t)length + 2);
}

static void remove_folder(void)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[128];
        path_of(path, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "%s/ffai-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : P_tmpdir);
    if (!mkdtemp(folder))
        abort();
    atexit(remove_folder);
    write_file(names[0], "{}", 2);
    write_shard(names[1], "a", "b");
    write_shard(names[2], "c", "d");
}

/* An index that was taken names tensors that are there, and files of this folder. */
static void check(const ffai__checkpoint *checkpoint, const uint8_t *data, size_t size)
{
    ffai_error err = FFAI_ERROR_INIT;
    json_t *index = NULL;
    const char *tensor = NULL;
    json_t *file = NULL;
    if (ffai__json_parse(&index, (const char *)data, size, "the index", &err) != FFAI_OK)
        abort();
    json_object_foreach(json_object_get(index, "weight_map"), tensor, file)
    {
        const char *name = json_string_value(file);
        if (!ffai__checkpoint_find(checkpoint, tensor) || (strcmp(name, names[1]) != 0 && strcmp(name, names[2]) != 0))
            abort();
    }
    json_decref(index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ffai_error err = FFAI_ERROR_INIT;
    ffai__checkpoint *checkpoint = NULL;
    if (!folder[0])
        make_folder();
    write_file(names[INDEX], data, size);
    const ffai_status status = ffai__checkpoint_open(&checkpoint, folder, &err);
    if (status == FFAI_OK)
        check(checkpoint, data, size);
    else if (status == FFAI_E_INTERNAL || !err.message[0])
        abort();
    ffai__checkpoint_close(checkpoint);
    return 0;
}
