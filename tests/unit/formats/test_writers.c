/* What is written: safetensors in one file and several, .npy arrays, and nothing where writing fails. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "alloc.h"
#include "checkpoint.h"
#include "file_map.h"
#include "npy.h"
#include "safetensors_writer.h"

static char folder[64];
static char path[128];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, P_tmpdir "/ffai-test-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/file", folder);
    return 0;
}

static int entries(bool and_remove)
{
    int count = 0;
    DIR *directory = opendir(folder);
    for (const struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
        if (entry->d_name[0] == '.')
            continue;
        count++;
        if (and_remove)
            unlinkat(dirfd(directory), entry->d_name, 0);
    }
    closedir(directory);
    return count;
}

static int remove_folder(void **state)
{
    (void)state;
    entries(true);
    return rmdir(folder);
}

static ffai__safetensors_writer *start(uint64_t shard_bytes)
{
    ffai__safetensors_writer *writer = NULL;
    const ffai__shape matrix = {2, {2, 3}};
    const ffai__shape empty = {1, {0}};
    const ffai__shape scalar = {0, {0}};
    assert_int_equal(ffai__safetensors_writer_open(&writer, folder, shard_bytes, NULL), FFAI_OK);
    assert_int_equal(ffai__safetensors_writer_declare(writer, "none", FFAI__F32, &empty, NULL), FFAI_OK);
    assert_int_equal(ffai__safetensors_writer_declare(writer, "m", FFAI__U8, &matrix, NULL), FFAI_OK);
    assert_int_equal(ffai__safetensors_writer_declare(writer, "s", FFAI__F16, &scalar, NULL), FFAI_OK);
    assert_int_equal(ffai__safetensors_writer_declare(writer, "last", FFAI__F32, &empty, NULL), FFAI_OK);
    return writer;
}

static void check_written(void)
{
    char config[128];
    ffai__checkpoint *checkpoint = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    snprintf(config, sizeof config, "%s/config.json", folder);
    assert_int_equal(ffai__output_whole(config, "{}", 2, NULL), FFAI_OK);
    if (ffai__checkpoint_open(&checkpoint, folder, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    assert_int_equal(ffai__checkpoint_count(checkpoint), 4);
    assert_memory_equal(ffai__checkpoint_find(checkpoint, "m")->data, "abcdef", 6);
    assert_memory_equal(ffai__checkpoint_find(checkpoint, "s")->data, "gh", 2);
    ffai__checkpoint_close(checkpoint);
}

static void write_in_pieces(uint64_t shard_bytes)
{
    ffai__safetensors_writer *writer = start(shard_bytes);
    assert_int_equal(ffai__safetensors_writer_append(writer, "abcd", 4, NULL), FFAI_OK);
    assert_int_equal(ffai__safetensors_writer_append(writer, "ef", 2, NULL), FFAI_OK);
    assert_int_equal(ffai__safetensors_writer_append(writer, "gh", 2, NULL), FFAI_OK);
    assert_int_equal(ffai__safetensors_writer_finish(writer, NULL), FFAI_OK);
    ffai__safetensors_writer_free(writer);
}

static void one_file_holds_what_was_appended(void **state)
{
    (void)state;
    write_in_pieces(1000);
    assert_int_equal(entries(false), 1);
    check_written();
}

static void several_files_have_an_index(void **state)
{
    (void)state;
    write_in_pieces(6);
    assert_int_equal(entries(false), 3);
    check_written();
}

static void a_tensor_larger_than_a_shard_has_its_own(void **state)
{
    (void)state;
    write_in_pieces(1);
    assert_int_equal(entries(false), 3);
    check_written();
}

static void wrong_use_is_refused(void **state)
{
    (void)state;
    const ffai__shape shape = {1, {1}};
    ffai__safetensors_writer *writer = start(1000);
    assert_int_equal(ffai__safetensors_writer_declare(writer, "m", FFAI__U8, &shape, NULL), FFAI_E_ARGUMENT);
    assert_int_equal(ffai__safetensors_writer_append(writer, "abcdefg", 7, NULL), FFAI_E_ARGUMENT);
    assert_int_equal(ffai__safetensors_writer_declare(writer, "n", FFAI__U8, &shape, NULL), FFAI_E_ARGUMENT);
    assert_int_equal(ffai__safetensors_writer_append(writer, "abcdef", 6, NULL), FFAI_OK);
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai__safetensors_writer_finish(writer, &err), FFAI_E_ARGUMENT);
    assert_non_null(strstr(err.message, "tensor \"s\" was not written whole"));
    ffai__safetensors_writer_free(writer);
    assert_int_equal(entries(false), 0);
}

static void what_is_abandoned_between_shards_leaves_nothing(void **state)
{
    (void)state;
    ffai__safetensors_writer *writer = start(6);
    assert_int_equal(ffai__safetensors_writer_append(writer, "abcdef", 6, NULL), FFAI_OK);
    assert_int_equal(ffai__safetensors_writer_append(writer, "g", 1, NULL), FFAI_OK);
    assert_int_equal(entries(false), 2);
    ffai__safetensors_writer_free(writer);
    assert_int_equal(entries(false), 0);
}

static void a_folder_that_is_not_there_is_named(void **state)
{
    (void)state;
    ffai__safetensors_writer *writer = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai__safetensors_writer_open(&writer, "/nowhere", 1, NULL), FFAI_OK);
    assert_int_equal(ffai__safetensors_writer_finish(writer, &err), FFAI_E_IO);
    assert_non_null(strstr(err.message, "/nowhere/model.safetensors: cannot be created"));
    ffai__safetensors_writer_free(writer);
}

/* A limit on file sizes stands for a full disk. */
static void a_write_that_fails_is_reported_and_leaves_nothing(void **state)
{
    (void)state;
    static const char block[1 << 16];
    struct rlimit old;
    ffai__output_file *file = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    const struct rlimit small = {1 << 20, old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    ffai_status status = ffai__output_open(&file, path, &err);
    for (int i = 0; i < 40 && status == FFAI_OK; i++)
        status = ffai__output_write(file, block, sizeof block, &err);
    if (status == FFAI_OK)
        status = ffai__output_finish(file, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(status, FFAI_E_IO);
    assert_non_null(strstr(err.message, "cannot be written"));
    ffai__output_free(file);
    assert_int_equal(entries(false), 0);
}

static void a_file_appears_only_when_finished(void **state)
{
    (void)state;
    ffai__output_file *file = NULL;
    assert_int_equal(ffai__output_whole(path, "old", 3, NULL), FFAI_OK);
    assert_int_equal(ffai__output_open(&file, path, NULL), FFAI_OK);
    assert_int_equal(ffai__output_write(file, "new!", 4, NULL), FFAI_OK);
    ffai__output_free(file);
    char *bytes = NULL;
    size_t size = 0;
    assert_int_equal(ffai__file_read(&bytes, &size, path, 100, NULL), FFAI_OK);
    assert_string_equal(bytes, "old");
    ffai__free(bytes);
    assert_int_equal(entries(false), 1);
    assert_int_equal(ffai__output_open(&file, folder, NULL), FFAI_E_IO);
    assert_int_equal(ffai__output_whole("/dev/null", "x", 1, NULL), FFAI_OK);
}

static void an_array_reads_back_as_written(void **state)
{
    (void)state;
    static const ffai__shape shapes[] = {{0, {0}}, {1, {6}}, {2, {2, 3}}, {3, {1, 0, 4}}};
    const float values[6] = {1, 2, 3, 4, 5, -6};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        char *bytes = NULL;
        size_t size = 0;
        const uint8_t *back = NULL;
        ffai__shape shape;
        ffai_error err = FFAI_ERROR_INIT;
        uint64_t count = 0;
        assert_int_equal(ffai__npy_write(path, values, &shapes[i], NULL), FFAI_OK);
        assert_int_equal(ffai__file_read(&bytes, &size, path, 4096, NULL), FFAI_OK);
        if (ffai__npy_parse(&back, &shape, (uint8_t *)bytes, size, "file", &err) != FFAI_OK)
            fail_msg("%s", err.message);
        assert_int_equal(shape.rank, shapes[i].rank);
        assert_true(ffai__shape_elements(&count, &shape));
        assert_int_equal((size_t)((const char *)back - bytes) % 64, 0);
        assert_memory_equal(back, values, (size_t)count * sizeof *values);
        for (size_t cut = 0; cut < size; cut++)
            assert_true(ffai__npy_parse(&back, &shape, (uint8_t *)bytes, cut, "file", NULL) != FFAI_OK);
        ffai__free(bytes);
    }
}

static void an_array_by_numpy_is_read_and_written_alike(void **state)
{
    (void)state;
    static const char numpys[] = "\x93NUMPY\x01\0v\0{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
    const float values[6] = {0, 1, 2, 3, 4, 5};
    const ffai__shape shape = {2, {2, 3}};
    char *bytes = NULL;
    size_t size = 0;
    assert_int_equal(ffai__npy_write(path, values, &shape, NULL), FFAI_OK);
    assert_int_equal(ffai__file_read(&bytes, &size, path, 4096, NULL), FFAI_OK);
    assert_int_equal(size, 128 + sizeof values);
    assert_memory_equal(bytes, numpys, sizeof numpys - 1);
    assert_int_equal(bytes[127], '\n');
    ffai__free(bytes);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(one_file_holds_what_was_appended),
        IN_FOLDER(several_files_have_an_index),
        IN_FOLDER(a_tensor_larger_than_a_shard_has_its_own),
        IN_FOLDER(wrong_use_is_refused),
        IN_FOLDER(what_is_abandoned_between_shards_leaves_nothing),
        IN_FOLDER(a_folder_that_is_not_there_is_named),
        IN_FOLDER(a_write_that_fails_is_reported_and_leaves_nothing),
        IN_FOLDER(a_file_appears_only_when_finished),
        IN_FOLDER(an_array_reads_back_as_written),
        IN_FOLDER(an_array_by_numpy_is_read_and_written_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
