/* A GGUF model in several files. The parts are those that the gguf package makes of a golden file; tests damage copies.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../own_folder.h"
#include "alloc.h"
#include "contents.h"
#include "part_name.h"

#define PARTS FFAI_SOURCE_DIR "/tests/data/formats/parts/"
#define WHOLE FFAI_SOURCE_DIR "/tests/golden/gguf/qwen3-Q8_0.gguf"

static const char *const names[] = {"qwen3-00001-of-00003.gguf", "qwen3-00002-of-00003.gguf",
                                    "qwen3-00003-of-00003.gguf"};

static ffai__checkpoint *open_file(const char *path)
{
    ffai__checkpoint *checkpoint = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__checkpoint_open(&checkpoint, path, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    return checkpoint;
}

static void assert_same_weight(const ffai__weight *a, const ffai__weight *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->rows, b->rows);
    assert_int_equal(a->columns, b->columns);
    assert_int_equal(a->packing, b->packing);
    assert_memory_equal(a->data, b->data, (size_t)(ffai__weight_row_bytes(a) * (uint64_t)a->rows));
}

static void any_part_opens_the_whole(void **state)
{
    (void)state;
    ffai__checkpoint *whole = open_file(WHOLE);
    for (size_t part = 0; part < 3; part++) {
        char path[512];
        snprintf(path, sizeof path, PARTS "%s", names[part]);
        ffai__checkpoint *joined = open_file(path);
        assert_int_equal(ffai__checkpoint_count(joined), ffai__checkpoint_count(whole));
        for (size_t i = 0; i < ffai__checkpoint_count(whole); i++)
            assert_same_weight(ffai__checkpoint_weight(joined, i), ffai__checkpoint_weight(whole, i));
        assert_true(json_equal(ffai__checkpoint_config(joined), ffai__checkpoint_config(whole)));
        ffai__checkpoint_close(joined);
    }
    ffai__checkpoint_close(whole);
}

/* ---- contradictions ---- */

typedef struct {
    char *bytes;
    size_t size;
} part;

static void read_part(part *p, size_t index)
{
    char path[512];
    ffai_error err = FFAI_ERROR_INIT;
    snprintf(path, sizeof path, PARTS "%s", names[index]);
    if (ffai__file_read(&p->bytes, &p->size, path, 1 << 20, &err) != FFAI_OK)
        fail_msg("%s", err.message);
}

static void write_parts(const part parts[3])
{
    for (size_t i = 0; i < 3; i++)
        write_file(names[i], parts[i].bytes, parts[i].size);
}

static void assert_refused(const char *name, ffai_status status, const char *first, const char *second)
{
    char path[512];
    ffai__checkpoint *checkpoint = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    const ffai_status got = ffai__checkpoint_open(&checkpoint, path, &err);
    if (got != status || !strstr(err.message, first) || !strstr(err.message, second))
        fail_msg("status %d: %s", (int)got, err.message);
    assert_null(checkpoint);
}

static char *find(const part *p, const char *text)
{
    char *at = memmem(p->bytes, p->size, text, strlen(text));
    assert_non_null(at);
    return at;
}

/* Where the value of a key begins. */
static char *value_of(const part *p, const char *key)
{
    return find(p, key) + strlen(key) + 4;
}

static void a_missing_part_is_named(void **state)
{
    (void)state;
    part first;
    read_part(&first, 0);
    write_file(names[0], first.bytes, first.size);
    assert_refused(names[0], FFAI_E_NOT_FOUND, "qwen3-00002-of-00003.gguf: is missing", "one of 3 parts");
    write_file("other.gguf", first.bytes, first.size);
    assert_refused("other.gguf", FFAI_E_FORMAT, "other.gguf: is part 1 of 3", "must end in -00001-of-00003.gguf");
    write_file("x-00002-of-00003.gguf", first.bytes, first.size);
    assert_refused("x-00002-of-00003.gguf", FFAI_E_FORMAT, "is part 1 of 3", "must end in -00001-of-00003.gguf");
    ffai__free(first.bytes);
}

static void parts_that_contradict_each_other_are_refused_by_name(void **state)
{
    (void)state;
    part parts[3];
    for (size_t i = 0; i < 3; i++)
        read_part(&parts[i], i);
    value_of(&parts[1], "split.count")[0] = 4;
    write_parts(parts);
    assert_refused(names[0], FFAI_E_FORMAT, names[1], "\"split.count\": is 4, but should be 3");
    value_of(&parts[1], "split.count")[0] = 3;
    value_of(&parts[2], "split.no")[0] = 1;
    write_parts(parts);
    assert_refused(names[0], FFAI_E_FORMAT, names[2], "\"split.no\": is 1, but should be 2");
    value_of(&parts[2], "split.no")[0] = 2;
    value_of(&parts[2], "split.tensors.count")[0]++;
    write_parts(parts);
    assert_refused(names[0], FFAI_E_FORMAT, names[2], "\"split.tensors.count\"");
    for (size_t i = 0; i < 2; i++)
        value_of(&parts[i], "split.tensors.count")[0]++;
    write_parts(parts);
    assert_refused(names[2], FFAI_E_FORMAT, names[0], "but its 3 parts have");
    for (size_t i = 0; i < 3; i++)
        value_of(&parts[i], "split.tensors.count")[0]--;
    memcpy(find(&parts[2], "split.count"), "split.xount", 11);
    write_parts(parts);
    assert_refused(names[1], FFAI_E_FORMAT, names[2], "\"split.count\"");
    memcpy(find(&parts[2], "split.xount"), "split.count", 11);
    write_parts(parts);
    ffai__checkpoint *checkpoint = NULL;
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, names[0]);
    assert_int_equal(ffai__checkpoint_open(&checkpoint, path, NULL), FFAI_OK); /* as they were */
    ffai__checkpoint_close(checkpoint);
    for (size_t i = 0; i < 3; i++)
        ffai__free(parts[i].bytes);
}

/* The third part once more as the second: its tensors are there twice. */
static void a_tensor_in_two_parts_is_refused(void **state)
{
    (void)state;
    part parts[3];
    for (size_t i = 0; i < 3; i++)
        read_part(&parts[i], i == 1 ? 2 : i);
    value_of(&parts[1], "split.no")[0] = 1;
    write_parts(parts);
    assert_refused(names[0], FFAI_E_FORMAT, "00003-of-00003.gguf: tensor \"", "is already in ");
    for (size_t i = 0; i < 3; i++)
        ffai__free(parts[i].bytes);
}

static void append_key(char **at, const char *key, uint32_t type)
{
    const uint64_t size = strlen(key);
    memcpy(*at, &size, 8);
    memcpy(*at + 8, key, size);
    memcpy(*at + 8 + size, &type, 4);
    *at += 8 + size + 4;
}

/* Two keys in front of a part's own: an architecture, and one that makes it 64 bytes, so that the data stay aligned. */
static void add_architecture(part *p, const char *name)
{
    uint64_t fields = 0;
    const uint64_t size = strlen(name);
    char *longer = ffai__calloc(1, p->size + 64);
    assert_non_null(longer);
    memcpy(&fields, p->bytes + 16, sizeof fields);
    fields += 2;
    memcpy(longer, p->bytes, 24);
    memcpy(longer + 16, &fields, sizeof fields);
    char *at = longer + 24;
    append_key(&at, "general.architecture", FFAI__GGUF_STRING);
    memcpy(at, &size, 8);
    memcpy(at + 8, name, size);
    at += 8 + size;
    append_key(&at, "filler", FFAI__GGUF_U8);
    assert_int_equal(at + 1 - longer, 24 + 64);
    memcpy(at + 1, p->bytes + 24, p->size - 24);
    ffai__free(p->bytes);
    *p = (part){longer, p->size + 64};
}

/* A part may repeat what the first says, and nothing else. */
static void a_part_with_other_metadata_is_refused(void **state)
{
    (void)state;
    static const char *const architectures[] = {"qwen3", "qwen2"};
    for (size_t which = 0; which < 2; which++) {
        part parts[3];
        for (size_t i = 0; i < 3; i++)
            read_part(&parts[i], i);
        add_architecture(&parts[1], architectures[which]);
        write_parts(parts);
        if (which == 1) {
            assert_refused(names[0], FFAI_E_FORMAT, names[1], "key \"general.architecture\": is not what");
        } else {
            char path[512];
            snprintf(path, sizeof path, "%s/%s", folder, names[0]);
            ffai__checkpoint_close(open_file(path));
        }
        for (size_t i = 0; i < 3; i++)
            ffai__free(parts[i].bytes);
    }
}

/* ---- names ---- */

static void names_of_parts_are_read_and_made(void **state)
{
    (void)state;
    ffai__part_name name;
    assert_true(ffai__part_name_read(&name, "a/b-c-00002-of-00010.gguf"));
    assert_int_equal(name.number, 2);
    assert_int_equal(name.count, 10);
    char *other = ffai__part_name_of("a/b-c-00002-of-00010.gguf", &name, 10);
    assert_string_equal(other, "a/b-c-00010-of-00010.gguf");
    ffai__free(other);
    static const char *const none[] = {"",
                                       "b.gguf",
                                       "-00001-of-00001.gguf",
                                       "b-00000-of-00001.gguf",
                                       "b-00002-of-00001.gguf",
                                       "b-0001-of-00002.gguf",
                                       "b-00001-of-00002.GGUF",
                                       "b-00001-of-0000x.gguf",
                                       "b-00001-of-00002.gguf.txt",
                                       "b-00001-of-01001.gguf"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_false(ffai__part_name_read(&name, none[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_part_opens_the_whole),
        cmocka_unit_test_setup_teardown(a_missing_part_is_named, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(parts_that_contradict_each_other_are_refused_by_name, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(a_tensor_in_two_parts_is_refused, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_part_with_other_metadata_is_refused, make_folder, remove_folder),
        cmocka_unit_test(names_of_parts_are_read_and_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
