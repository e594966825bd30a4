/* One safetensors file: what is accepted, and the words with which each kind of damage is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#include "safetensors.h"

typedef struct {
    uint8_t *bytes; /* exactly as large as the file, so that a sanitizer sees a read beyond it */
    size_t size;
} file;

static file make_file(const char *header, size_t data_size)
{
    const size_t length = strlen(header);
    file made = {malloc(8 + length + data_size), 8 + length + data_size};
    for (int i = 0; i < 8; i++)
        made.bytes[i] = (uint8_t)((uint64_t)length >> 8 * i);
    memcpy(made.bytes + 8, header, length);
    for (size_t i = 0; i < data_size; i++)
        made.bytes[8 + length + i] = (uint8_t)i;
    return made;
}

static const char valid[] = "{\"__metadata__\":{\"format\":\"pt\"},"
                            "\"b\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[8,20]},"
                            "\"a\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]},"
                            "\"e\":{\"dtype\":\"BOOL\",\"shape\":[0,5],\"data_offsets\":[20,20]}}  ";

static void tensors_come_by_offset_with_their_types_and_shapes(void **state)
{
    (void)state;
    file in = make_file(valid, 20);
    ffai__safetensors *parsed = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai__safetensors_parse(&parsed, in.bytes, in.size, "x.safetensors", &err), FFAI_OK);
    assert_int_equal(parsed->count, 3);
    assert_string_equal(parsed->tensors[0].name, "a");
    assert_int_equal(parsed->tensors[0].shape.rank, 0);
    assert_int_equal(parsed->tensors[1].dtype, FFAI__F16);
    assert_int_equal(parsed->tensors[1].shape.dims[1], 3);
    assert_int_equal(parsed->tensors[1].data[0], 8);
    ffai__safetensors_free(parsed);
    free(in.bytes);
}

/* As mx.save_safetensors writes a file without metadata. */
static void metadata_may_be_null(void **state)
{
    (void)state;
    file in = make_file("{\"__metadata__\":null,\"t\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4);
    ffai__safetensors *parsed = NULL;
    assert_int_equal(ffai__safetensors_parse(&parsed, in.bytes, in.size, "x", NULL), FFAI_OK);
    assert_int_equal(parsed->count, 1);
    ffai__safetensors_free(parsed);
    free(in.bytes);
}

static void every_dtype_is_known(void **state)
{
    (void)state;
    for (int i = 0; i < FFAI__DTYPE_COUNT; i++) {
        char header[128];
        const size_t size = ffai__dtype_size((ffai__dtype)i);
        snprintf(header, sizeof header, "{\"t\":{\"dtype\":\"%s\",\"shape\":[1],\"data_offsets\":[0,%zu]}}",
                 ffai__dtype_name((ffai__dtype)i), size);
        file in = make_file(header, size);
        ffai__safetensors *parsed = NULL;
        assert_int_equal(ffai__safetensors_parse(&parsed, in.bytes, in.size, "x", NULL), FFAI_OK);
        assert_int_equal(parsed->tensors[0].dtype, i);
        ffai__safetensors_free(parsed);
        free(in.bytes);
    }
}

static const struct {
    const char *header;
    size_t data_size;
    ffai_status status;
    const char *part; /* of the message */
} damages[] = {
    {"[]", 0, FFAI_E_FORMAT, "must be a JSON object"},
    {" {}", 0, FFAI_E_FORMAT, "must be a JSON object"},
    {"{", 0, FFAI_E_FORMAT, "not valid JSON"},
    {"{}x", 0, FFAI_E_FORMAT, "not valid JSON"},
    {"{\"t\":1}", 0, FFAI_E_FORMAT, "tensor \"t\": must be an object"},
    {"{\"__metadata__\":{\"a\":1}}", 0, FFAI_E_FORMAT, "\"a\" must be a string"},
    {"{\"__metadata__\":[]}", 0, FFAI_E_FORMAT, "must be an object"},
    {"{\"t\":{\"shape\":[1],\"data_offsets\":[0,2]}}", 2, FFAI_E_FORMAT, "\"dtype\" must be a string"},
    {"{\"t\":{\"dtype\":\"F8_E4M3\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2, FFAI_E_UNSUPPORTED, "F8_E4M3"},
    {"{\"t\":{\"dtype\":\"F16\",\"data_offsets\":[0,2]}}", 2, FFAI_E_FORMAT, "\"shape\" must be an array"},
    {"{\"t\":{\"dtype\":\"F16\",\"shape\":[-1],\"data_offsets\":[0,2]}}", 2, FFAI_E_FORMAT, "not negative"},
    {"{\"t\":{\"dtype\":\"F16\",\"shape\":[1.5],\"data_offsets\":[0,2]}}", 2, FFAI_E_FORMAT, "integers"},
    {"{\"t\":{\"dtype\":\"F16\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,2]}}", 2, FFAI_E_FORMAT, "8 dim"},
    {"{\"t\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0]}}", 2, FFAI_E_FORMAT, "two ascending"},
    {"{\"t\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[2,0]}}", 2, FFAI_E_FORMAT, "two ascending"},
    {"{\"t\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[-2,0]}}", 2, FFAI_E_FORMAT, "two ascending"},
    {"{\"t\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":\"x\"}}", 2, FFAI_E_FORMAT, "two ascending"},
    {"{\"t\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]}}", 2, FFAI_E_FORMAT, "download looks incomplete"},
    {"{\"t\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[0,4]}}", 4, FFAI_E_FORMAT, "takes 6 bytes but"},
    {"{\"t\":{\"dtype\":\"F16\",\"shape\":[4503599627370496,4503599627370496],\"data_offsets\":[0,4]}}", 4,
     FFAI_E_FORMAT, "too large"},
    {"{\"t\":{\"dtype\":\"F64\",\"shape\":[4503599627370496,512],\"data_offsets\":[0,4]}}", 4, FFAI_E_FORMAT,
     "too large"},
    {"{\"t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 2, FFAI_E_FORMAT, "tensors end at byte"},
    {"{\"t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2, FFAI_E_FORMAT, "hole"},
    {"{\"t\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"u\":{\"dtype\":\"U8\",\"shape\":[2],"
     "\"data_offsets\":[1,3]}}",
     3, FFAI_E_FORMAT, "overlaps"},
    {"{\"t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"t\":{\"dtype\":\"U8\",\"shape\":[1],"
     "\"data_offsets\":[1,2]}}",
     2, FFAI_E_FORMAT, "duplicate"},
};

static void each_kind_of_damage_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        file in = make_file(damages[i].header, damages[i].data_size);
        ffai__safetensors *parsed = NULL;
        ffai_error err = FFAI_ERROR_INIT;
        const ffai_status status = ffai__safetensors_parse(&parsed, in.bytes, in.size, "x.safetensors", &err);
        if (status != damages[i].status || !strstr(err.message, damages[i].part) ||
            !strstr(err.message, "x.safetensors"))
            fail_msg("%s: status %d: %s", damages[i].header, (int)status, err.message);
        assert_null(parsed);
        free(in.bytes);
    }
}

static void a_header_longer_than_the_file_or_the_format_allows_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[16] = {9, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    ffai__safetensors *parsed = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai__safetensors_parse(&parsed, bytes, 16, "x", &err), FFAI_E_FORMAT);
    assert_non_null(strstr(err.message, "ends at byte 17 but the file has 16"));
    memset(bytes, 0xFF, 8);
    assert_int_equal(ffai__safetensors_parse(&parsed, bytes, 16, "x", &err), FFAI_E_FORMAT);
    assert_non_null(strstr(err.message, "more than the format's 100000000"));
    assert_int_equal(ffai__safetensors_parse(&parsed, bytes, 7, "x", &err), FFAI_E_FORMAT);
}

static void cut_at_any_byte_it_is_an_error(void **state)
{
    (void)state;
    file in = make_file(valid, 20);
    for (size_t size = 0; size < in.size; size++) {
        uint8_t *part = malloc(size + 1);
        ffai__safetensors *parsed = NULL;
        ffai_error err = FFAI_ERROR_INIT;
        memcpy(part, in.bytes, size);
        assert_int_equal(ffai__safetensors_parse(&parsed, part, size, "x", &err), FFAI_E_FORMAT);
        free(part);
    }
    free(in.bytes);
}

static void with_any_byte_changed_it_does_not_crash(void **state)
{
    (void)state;
    file in = make_file(valid, 20);
    for (size_t i = 0; i < in.size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            ffai__safetensors *parsed = NULL;
            in.bytes[i] ^= (uint8_t)(1 << bit);
            if (ffai__safetensors_parse(&parsed, in.bytes, in.size, "x", NULL) == FFAI_OK)
                ffai__safetensors_free(parsed);
            in.bytes[i] ^= (uint8_t)(1 << bit);
        }
    }
    free(in.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_come_by_offset_with_their_types_and_shapes),
        cmocka_unit_test(metadata_may_be_null),
        cmocka_unit_test(every_dtype_is_known),
        cmocka_unit_test(each_kind_of_damage_is_named),
        cmocka_unit_test(a_header_longer_than_the_file_or_the_format_allows_is_refused),
        cmocka_unit_test(cut_at_any_byte_it_is_an_error),
        cmocka_unit_test(with_any_byte_changed_it_does_not_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
