/* A folder of a test's own, for cmocka's setup and teardown. The file that includes this defines _GNU_SOURCE. */
#ifndef TESTS_UNIT_OWN_FOLDER_H
#define TESTS_UNIT_OWN_FOLDER_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char folder[64];      /* holds everything that a test makes */
static char destination[80]; /* folder/out, which is not there yet */

static inline int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

/* A folder with all that is in it, or a file; if there is none, nothing. */
static inline int remove_tree(const char *path)
{
    return nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static inline int make_folder(void **state)
{
    (void)state;
    strcpy(folder, P_tmpdir "/ffai-test-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(destination, sizeof destination, "%s/out", folder);
    return 0;
}

static inline int remove_folder(void **state)
{
    (void)state;
    return remove_tree(folder);
}

static inline void write_file(const char *name, const void *bytes, size_t size)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

#endif
