#include "gguf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"

enum {
    MAX_FIELDS = 1 << 16,
    MAX_TENSORS = 1 << 16,
    MAX_NESTING = 4,
    MAX_KEY = 65535,
    MAX_NAME = 255,
    GGUF_MAX_RANK = 4,
    MAX_ALIGNMENT = 1 << 20,
    MIN_FIELD = 8 + 4 + 1,          /* an empty key, its type, one byte */
    MIN_TENSOR = 8 + 4 + 8 + 4 + 8, /* an empty name, its rank, one dimension, type, offset */
};

typedef unsigned long long number; /* for %llu */

/* Tensor types by their number in the file. Those without a packing are known so that an error can say their
 * name. X(number, name, elements a block, bytes a block, supported, packing, dtype, bits) */
#define TENSOR_TYPES(X)                                                                                                \
    X(0, F32, 1, 4, true, FFAI__DENSE, FFAI__F32, 0)                                                                   \
    X(1, F16, 1, 2, true, FFAI__DENSE, FFAI__F16, 0)                                                                   \
    X(2, Q4_0, 32, 18, true, FFAI__GGUF_Q4_0, FFAI__F16, 4)                                                            \
    X(3, Q4_1, 32, 20, true, FFAI__GGUF_Q4_1, FFAI__F16, 4)                                                            \
    X(6, Q5_0, 32, 22, true, FFAI__GGUF_Q5_0, FFAI__F16, 5)                                                            \
    X(7, Q5_1, 32, 24, true, FFAI__GGUF_Q5_1, FFAI__F16, 5)                                                            \
    X(8, Q8_0, 32, 34, true, FFAI__GGUF_Q8_0, FFAI__F16, 8)                                                            \
    X(9, Q8_1, 32, 36, false, FFAI__DENSE, FFAI__U8, 0)                                                                \
    X(10, Q2_K, 256, 84, true, FFAI__GGUF_Q2_K, FFAI__F32, 2)                                                          \
    X(11, Q3_K, 256, 110, true, FFAI__GGUF_Q3_K, FFAI__F32, 3)                                                         \
    X(12, Q4_K, 256, 144, true, FFAI__GGUF_Q4_K, FFAI__F32, 4)                                                         \
    X(13, Q5_K, 256, 176, true, FFAI__GGUF_Q5_K, FFAI__F32, 5)                                                         \
    X(14, Q6_K, 256, 210, true, FFAI__GGUF_Q6_K, FFAI__F32, 6)                                                         \
    X(15, Q8_K, 256, 292, false, FFAI__DENSE, FFAI__U8, 0)                                                             \
    X(16, IQ2_XXS, 256, 66, false, FFAI__DENSE, FFAI__U8, 0)                                                           \
    X(17, IQ2_XS, 256, 74, false, FFAI__DENSE, FFAI__U8, 0)                                                            \
    X(18, IQ3_XXS, 256, 98, false, FFAI__DENSE, FFAI__U8, 0)                                                           \
    X(19, IQ1_S, 256, 50, false, FFAI__DENSE, FFAI__U8, 0)                                                             \
    X(20, IQ4_NL, 32, 18, false, FFAI__DENSE, FFAI__U8, 0)                                                             \
    X(21, IQ3_S, 256, 110, false, FFAI__DENSE, FFAI__U8, 0)                                                            \
    X(22, IQ2_S, 256, 82, false, FFAI__DENSE, FFAI__U8, 0)                                                             \
    X(23, IQ4_XS, 256, 136, false, FFAI__DENSE, FFAI__U8, 0)                                                           \
    X(24, I8, 1, 1, true, FFAI__DENSE, FFAI__I8, 0)                                                                    \
    X(25, I16, 1, 2, true, FFAI__DENSE, FFAI__I16, 0)                                                                  \
    X(26, I32, 1, 4, true, FFAI__DENSE, FFAI__I32, 0)                                                                  \
    X(27, I64, 1, 8, true, FFAI__DENSE, FFAI__I64, 0)                                                                  \
    X(28, F64, 1, 8, true, FFAI__DENSE, FFAI__F64, 0)                                                                  \
    X(29, IQ1_M, 256, 56, false, FFAI__DENSE, FFAI__U8, 0)                                                             \
    X(30, BF16, 1, 2, true, FFAI__DENSE, FFAI__BF16, 0)                                                                \
    X(34, TQ1_0, 256, 54, false, FFAI__DENSE, FFAI__U8, 0)                                                             \
    X(35, TQ2_0, 256, 66, false, FFAI__DENSE, FFAI__U8, 0)                                                             \
    X(39, MXFP4, 32, 17, false, FFAI__DENSE, FFAI__U8, 0)                                                              \
    X(40, NVFP4, 64, 36, false, FFAI__DENSE, FFAI__U8, 0)                                                              \
    X(41, Q1_0, 128, 18, false, FFAI__DENSE, FFAI__U8, 0)

static const struct {
    uint32_t number;
    const char *name;
    uint32_t elements;
    uint32_t bytes;
    bool supported;
    ffai__packing packing;
    ffai__dtype dtype;
    int bits;
} tensor_types[] = {
#define TENSOR_TYPE(number, name, elements, bytes, supported, packing, dtype, bits)                                    \
    {number, #name, elements, bytes, supported, packing, dtype, bits},
    TENSOR_TYPES(TENSOR_TYPE)
#undef TENSOR_TYPE
};

static const uint8_t value_sizes[FFAI__GGUF_TYPE_COUNT] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
static const char *const value_names[FFAI__GGUF_TYPE_COUNT] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                               "bool", "string", "array", "u64", "i64", "f64"};

typedef struct {
    const uint8_t *bytes;
    uint64_t size;
    uint64_t at;
    const char *what;
    ffai_error *err;
} reader;

static uint64_t load(const uint8_t *bytes, size_t size)
{
    uint64_t value = 0;
    memcpy(&value, bytes, size);
    return value;
}

static ffai_status ended(const reader *in, const char *where)
{
    return ffai__fail(in->err, FFAI_E_FORMAT,
                      "%s: the file ends within its %s, at byte %llu: the download looks incomplete; fetch it again",
                      in->what, where, (number)in->size);
}

static ffai_status skip(reader *in, uint64_t count, const char *where)
{
    if (count > in->size - in->at)
        return ended(in, where);
    in->at += count;
    return FFAI_OK;
}

static ffai_status read_u32(uint32_t *value, reader *in, const char *where)
{
    FFAI__TRY(skip(in, 4, where));
    *value = (uint32_t)load(in->bytes + in->at - 4, 4);
    return FFAI_OK;
}

static ffai_status read_u64(uint64_t *value, reader *in, const char *where)
{
    FFAI__TRY(skip(in, 8, where));
    *value = load(in->bytes + in->at - 8, 8);
    return FFAI_OK;
}

static ffai_status read_text(ffai__text *text, reader *in, const char *where)
{
    uint64_t size = 0;
    FFAI__TRY(read_u64(&size, in, where));
    FFAI__TRY(skip(in, size, where));
    *text = (ffai__text){(const char *)in->bytes + in->at - size, (size_t)size};
    return FFAI_OK;
}

/* ---- metadata ---- */

static int shown(const ffai__text *key)
{
    return key->size < 128 ? (int)key->size : 128;
}

static ffai_status read_type(ffai__gguf_type *type, reader *in, const ffai__text *key)
{
    uint32_t value = 0;
    FFAI__TRY(read_u32(&value, in, "metadata"));
    if (value >= FFAI__GGUF_TYPE_COUNT)
        return ffai__fail(in->err, FFAI_E_FORMAT, "%s: key \"%.*s\": value type %u is unknown", in->what, shown(key),
                          key->data, value);
    *type = (ffai__gguf_type)value;
    return FFAI_OK;
}

static ffai_status skip_array(reader *in, ffai__gguf_type *element, uint64_t *count, const uint8_t **data, int nesting,
                              const ffai__text *key);

static ffai_status skip_value(reader *in, ffai__gguf_type type, int nesting, const ffai__text *key)
{
    if (type == FFAI__GGUF_STRING) {
        ffai__text text;
        return read_text(&text, in, "metadata");
    }
    if (type == FFAI__GGUF_ARRAY) {
        ffai__gguf_type element = FFAI__GGUF_U8;
        uint64_t count = 0;
        const uint8_t *data = NULL;
        return skip_array(in, &element, &count, &data, nesting + 1, key);
    }
    return skip(in, value_sizes[type], "metadata");
}

static ffai_status skip_array(reader *in, ffai__gguf_type *element, uint64_t *count, const uint8_t **data, int nesting,
                              const ffai__text *key)
{
    if (nesting > MAX_NESTING)
        return ffai__fail(in->err, FFAI_E_LIMIT, "%s: key \"%.*s\": arrays are nested more than %d deep", in->what,
                          shown(key), key->data, MAX_NESTING);
    FFAI__TRY(read_type(element, in, key));
    FFAI__TRY(read_u64(count, in, "metadata"));
    *data = in->bytes + in->at;
    const uint64_t size = value_sizes[*element];
    if (*count > in->size - in->at) /* an element takes a byte at least */
        return ended(in, "metadata");
    if (size)
        return *count > (in->size - in->at) / size ? ended(in, "metadata") : skip(in, *count * size, "metadata");
    for (uint64_t i = 0; i < *count; i++)
        FFAI__TRY(skip_value(in, *element, nesting, key));
    return FFAI_OK;
}

static ffai_status read_field(ffai__gguf_field *field, reader *in)
{
    FFAI__TRY(read_text(&field->key, in, "metadata"));
    if (field->key.size > MAX_KEY)
        return ffai__fail(in->err, FFAI_E_LIMIT, "%s: a metadata key is longer than %d bytes", in->what, MAX_KEY);
    FFAI__TRY(read_type(&field->type, in, &field->key));
    field->count = 1;
    field->data = in->bytes + in->at;
    if (field->type == FFAI__GGUF_ARRAY)
        FFAI__TRY(skip_array(in, &field->element, &field->count, &field->data, 1, &field->key));
    else
        FFAI__TRY(skip_value(in, field->type, 0, &field->key));
    field->end = in->bytes + in->at;
    return FFAI_OK;
}

static ffai_status read_fields(ffai__gguf *file, reader *in, uint64_t count)
{
    if (count > MAX_FIELDS || count > (in->size - in->at) / MIN_FIELD)
        return ffai__fail(in->err, FFAI_E_FORMAT,
                          "%s: declares %llu metadata entries, more than it can hold: it is cut off or "
                          "damaged; fetch it again",
                          in->what, (number)count);
    file->fields = ffai__calloc((size_t)count, sizeof *file->fields);
    file->index = ffai__string_map_new((size_t)count);
    if (!file->fields || !file->index)
        return ffai__fail_memory(in->err, in->what, count * sizeof *file->fields);
    for (; file->field_count < count; file->field_count++) {
        ffai__gguf_field *field = &file->fields[file->field_count];
        FFAI__TRY(read_field(field, in));
        switch (ffai__string_map_add(file->index, field->key.data, field->key.size, file->field_count)) {
        case FFAI__MAP_EXISTS:
            return ffai__fail(in->err, FFAI_E_FORMAT, "%s: key \"%.*s\" is there twice", in->what, shown(&field->key),
                              field->key.data);
        case FFAI__MAP_NO_MEMORY:
            return ffai__fail_memory(in->err, in->what, count);
        case FFAI__MAP_NEW:
            break;
        }
    }
    return FFAI_OK;
}

/* ---- tensors ---- */

static ffai_status read_name(ffai__gguf_tensor *tensor, reader *in)
{
    ffai__text name;
    FFAI__TRY(read_text(&name, in, "list of tensors"));
    if (name.size > MAX_NAME)
        return ffai__fail(in->err, FFAI_E_LIMIT, "%s: a tensor's name is longer than %d bytes", in->what, MAX_NAME);
    if (memchr(name.data, 0, name.size))
        return ffai__fail(in->err, FFAI_E_FORMAT, "%s: a tensor's name holds a 0", in->what);
    tensor->name = ffai__strndup(name.data, name.size);
    return tensor->name ? FFAI_OK : ffai__fail_memory(in->err, in->what, name.size);
}

static ffai_status read_dimensions(ffai__gguf_tensor *tensor, reader *in)
{
    uint32_t rank = 0;
    FFAI__TRY(read_u32(&rank, in, "list of tensors"));
    if (rank < 1 || rank > GGUF_MAX_RANK)
        return ffai__fail(in->err, FFAI_E_FORMAT, "%s: tensor \"%s\" has %u dimensions, not 1 to %d", in->what,
                          tensor->name, rank, GGUF_MAX_RANK);
    tensor->shape.rank = (int)rank;
    for (uint32_t i = 0; i < rank; i++) {
        uint64_t *dimension = &tensor->shape.dims[rank - 1 - i];
        FFAI__TRY(read_u64(dimension, in, "list of tensors"));
        if (*dimension == 0)
            return ffai__fail(in->err, FFAI_E_FORMAT, "%s: tensor \"%s\" has a dimension of 0", in->what, tensor->name);
    }
    return FFAI_OK;
}

static ffai_status read_tensor_type(ffai__gguf_tensor *tensor, reader *in)
{
    uint32_t value = 0;
    FFAI__TRY(read_u32(&value, in, "list of tensors"));
    size_t i = 0;
    const size_t count = sizeof tensor_types / sizeof *tensor_types;
    while (i < count && tensor_types[i].number != value)
        i++;
    if (i == count)
        return ffai__fail(in->err, FFAI_E_UNSUPPORTED, "%s: tensor \"%s\" has the unknown type %u", in->what,
                          tensor->name, value);
    const uint64_t columns = tensor->shape.dims[tensor->shape.rank - 1];
    uint64_t elements = 0;
    if (columns % tensor_types[i].elements)
        return ffai__fail(in->err, FFAI_E_FORMAT, "%s: tensor \"%s\": its rows of %llu are no multiple of %s's %u",
                          in->what, tensor->name, (number)columns, tensor_types[i].name, tensor_types[i].elements);
    if (!ffai__shape_elements(&elements, &tensor->shape) ||
        !ffai__mul(&tensor->bytes, elements / tensor_types[i].elements, tensor_types[i].bytes))
        return ffai__fail(in->err, FFAI_E_FORMAT, "%s: tensor \"%s\": the product of its dimensions is too large",
                          in->what, tensor->name);
    tensor->type = tensor_types[i].name;
    tensor->supported = tensor_types[i].supported;
    tensor->packing = tensor_types[i].packing;
    tensor->dtype = tensor_types[i].dtype;
    tensor->bits = tensor_types[i].bits;
    return FFAI_OK;
}

static ffai_status read_tensor(ffai__gguf_tensor *tensor, reader *in, uint64_t alignment)
{
    tensor->what = in->what;
    FFAI__TRY(read_name(tensor, in));
    FFAI__TRY(read_dimensions(tensor, in));
    FFAI__TRY(read_tensor_type(tensor, in));
    FFAI__TRY(read_u64(&tensor->begin, in, "list of tensors"));
    if (tensor->begin % alignment)
        return ffai__fail(in->err, FFAI_E_FORMAT, "%s: tensor \"%s\": its offset %llu is no multiple of %llu", in->what,
                          tensor->name, (number)tensor->begin, (number)alignment);
    return FFAI_OK;
}

static int by_offset(const void *left, const void *right)
{
    const ffai__gguf_tensor *a = left;
    const ffai__gguf_tensor *b = right;
    return a->begin < b->begin ? -1 : a->begin > b->begin;
}

static ffai_status place_tensors(ffai__gguf *file, const reader *in, uint64_t start)
{
    uint64_t covered = 0;
    if (file->tensor_count)
        qsort(file->tensors, file->tensor_count, sizeof *file->tensors, by_offset);
    for (size_t i = 0; i < file->tensor_count; i++) {
        ffai__gguf_tensor *tensor = &file->tensors[i];
        uint64_t end = 0;
        uint64_t end_in_file = 0;
        if (!ffai__add(&end, tensor->begin, tensor->bytes) || !ffai__add(&end_in_file, start, end))
            return ffai__fail(in->err, FFAI_E_FORMAT, "%s: tensor \"%s\": its offset is too large", in->what,
                              tensor->name);
        if (end_in_file > in->size)
            return ffai__fail(in->err, FFAI_E_FORMAT,
                              "%s: tensor \"%s\" ends at byte %llu but the file has %llu: the download looks "
                              "incomplete; fetch it again",
                              in->what, tensor->name, (number)end_in_file, (number)in->size);
        if (tensor->begin < covered)
            return ffai__fail(in->err, FFAI_E_FORMAT, "%s: tensor \"%s\" overlaps tensor \"%s\"", in->what,
                              tensor->name, file->tensors[i - 1].name);
        tensor->data = in->bytes + start + tensor->begin;
        covered = end;
    }
    return FFAI_OK;
}

static ffai_status read_tensors(ffai__gguf *file, reader *in, uint64_t count)
{
    if (count > MAX_TENSORS || count > (in->size - in->at) / MIN_TENSOR)
        return ffai__fail(in->err, FFAI_E_FORMAT,
                          "%s: declares %llu tensors, more than it can hold: it is cut off or damaged; "
                          "fetch it again",
                          in->what, (number)count);
    int64_t alignment = 32;
    FFAI__TRY(ffai__gguf_get_int(&alignment, file, "general.alignment", 8, MAX_ALIGNMENT, in->err));
    if (alignment % 8)
        return ffai__fail(in->err, FFAI_E_FORMAT, "%s: key \"general.alignment\": must be a multiple of 8", in->what);
    file->tensors = ffai__calloc((size_t)count, sizeof *file->tensors);
    if (!file->tensors)
        return ffai__fail_memory(in->err, in->what, count * sizeof *file->tensors);
    while (file->tensor_count < count)
        FFAI__TRY(read_tensor(&file->tensors[file->tensor_count++], in, (uint64_t)alignment));
    const uint64_t rest = in->at % (uint64_t)alignment;
    return place_tensors(file, in, rest ? in->at + ((uint64_t)alignment - rest) : in->at);
}

/* ---- the file ---- */

static ffai_status read_magic(reader *in)
{
    if (in->size < 8 || memcmp(in->bytes, "GGUF", 4) != 0)
        return ffai__fail(in->err, FFAI_E_FORMAT, "%s: is not a GGUF file: give one, or a model's folder", in->what);
    in->at = 4;
    uint32_t version = 0;
    FFAI__TRY(read_u32(&version, in, "header"));
    if (version && !(version & 0xFFFFu))
        return ffai__fail(in->err, FFAI_E_UNSUPPORTED,
                          "%s: is a big-endian GGUF file: only little-endian ones can be read", in->what);
    if (version != 2 && version != 3)
        return ffai__fail(in->err, FFAI_E_UNSUPPORTED, "%s: is GGUF version %u: only versions 2 and 3 can be read",
                          in->what, version);
    return FFAI_OK;
}

static ffai_status read_file(ffai__gguf *file, reader *in)
{
    uint64_t tensors = 0;
    uint64_t fields = 0;
    FFAI__TRY(read_magic(in));
    FFAI__TRY(read_u64(&tensors, in, "header"));
    FFAI__TRY(read_u64(&fields, in, "header"));
    FFAI__TRY(read_fields(file, in, fields));
    return read_tensors(file, in, tensors);
}

ffai_status ffai__gguf_parse(ffai__gguf **out, const uint8_t *bytes, uint64_t size, const char *what, ffai_error *err)
{
    reader in = {bytes, size, 0, what, err};
    ffai__gguf *file = ffai__calloc(1, sizeof *file);
    if (!file)
        return ffai__fail_memory(err, what, sizeof *file);
    file->what = what;
    const ffai_status status = read_file(file, &in);
    if (status != FFAI_OK) {
        ffai__gguf_free(file);
        return status;
    }
    *out = file;
    return FFAI_OK;
}

void ffai__gguf_free(ffai__gguf *file)
{
    if (!file)
        return;
    for (size_t i = 0; i < file->tensor_count; i++)
        ffai__free(file->tensors[i].name);
    ffai__free(file->tensors);
    ffai__free(file->fields);
    ffai__string_map_free(file->index);
    ffai__free(file);
}

/* ---- values ---- */

const ffai__gguf_field *ffai__gguf_find(const ffai__gguf *file, const char *key)
{
    uint64_t index = 0;
    return ffai__string_map_get(file->index, key, strlen(key), &index) ? &file->fields[index] : NULL;
}

static ffai_status wrong_type(const ffai__gguf *file, const ffai__gguf_field *field, const char *wanted,
                              ffai_error *err)
{
    return ffai__fail(err, FFAI_E_FORMAT, "%s: key \"%.*s\": must be %s, not of type %s", file->what,
                      shown(&field->key), field->key.data, wanted, value_names[field->type]);
}

/* False for what is no integer, or beyond int64_t. */
static bool integer_of(int64_t *value, const ffai__gguf_field *field)
{
    const uint64_t bits = load(field->data, value_sizes[field->type]);
    switch (field->type) {
    case FFAI__GGUF_I8:
        *value = (int64_t)bits - (bits & 0x80u ? 0x100 : 0);
        return true;
    case FFAI__GGUF_I16:
        *value = (int16_t)bits;
        return true;
    case FFAI__GGUF_I32:
        *value = (int32_t)bits;
        return true;
    case FFAI__GGUF_I64:
    case FFAI__GGUF_U8:
    case FFAI__GGUF_U16:
    case FFAI__GGUF_U32:
        *value = (int64_t)bits;
        return true;
    case FFAI__GGUF_U64:
        *value = (int64_t)bits;
        return bits <= INT64_MAX;
    default:
        return false;
    }
}

ffai_status ffai__gguf_get_int(int64_t *value, const ffai__gguf *file, const char *key, int64_t least, int64_t most,
                               ffai_error *err)
{
    const ffai__gguf_field *field = ffai__gguf_find(file, key);
    if (!field)
        return FFAI_OK;
    int64_t found = 0;
    if (!integer_of(&found, field))
        return wrong_type(file, field, "an integer", err);
    if (found < least || found > most)
        return ffai__fail(err, FFAI_E_FORMAT, "%s: key \"%s\": %lld is not from %lld to %lld", file->what, key,
                          (long long)found, (long long)least, (long long)most);
    *value = found;
    return FFAI_OK;
}

double ffai__gguf_decimal(float value)
{
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    return strtod(text, NULL);
}

ffai_status ffai__gguf_get_number(double *value, const ffai__gguf *file, const char *key, ffai_error *err)
{
    const ffai__gguf_field *field = ffai__gguf_find(file, key);
    if (!field)
        return FFAI_OK;
    int64_t integer = 0;
    double found = 0;
    if (field->type == FFAI__GGUF_F32) {
        const uint32_t bits = (uint32_t)load(field->data, 4);
        float single = 0;
        memcpy(&single, &bits, sizeof single);
        found = isfinite(single) ? ffai__gguf_decimal(single) : (double)single;
    } else if (field->type == FFAI__GGUF_F64) {
        const uint64_t bits = load(field->data, 8);
        memcpy(&found, &bits, sizeof found);
    } else if (integer_of(&integer, field)) {
        found = (double)integer;
    } else {
        return wrong_type(file, field, "a number", err);
    }
    if (!isfinite(found))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: key \"%s\": must be finite", file->what, key);
    *value = found;
    return FFAI_OK;
}

ffai_status ffai__gguf_get_bool(bool *value, const ffai__gguf *file, const char *key, ffai_error *err)
{
    const ffai__gguf_field *field = ffai__gguf_find(file, key);
    if (!field)
        return FFAI_OK;
    if (field->type != FFAI__GGUF_BOOL)
        return wrong_type(file, field, "true or false", err);
    *value = *field->data != 0;
    return FFAI_OK;
}

ffai_status ffai__gguf_get_text(ffai__text *value, const ffai__gguf *file, const char *key, ffai_error *err)
{
    const ffai__gguf_field *field = ffai__gguf_find(file, key);
    if (!field)
        return FFAI_OK;
    if (field->type != FFAI__GGUF_STRING)
        return wrong_type(file, field, "a string", err);
    const uint8_t *at = field->data;
    *value = ffai__gguf_next_text(&at, field);
    return FFAI_OK;
}

ffai_status ffai__gguf_get_array(const ffai__gguf_field **field, const ffai__gguf *file, const char *key,
                                 ffai__gguf_type element, ffai_error *err)
{
    const ffai__gguf_field *found = ffai__gguf_find(file, key);
    if (!found)
        return FFAI_OK;
    if (found->type != FFAI__GGUF_ARRAY || found->element != element)
        return ffai__fail(err, FFAI_E_FORMAT, "%s: key \"%s\": must be an array of %s", file->what, key,
                          value_names[element]);
    *field = found;
    return FFAI_OK;
}

ffai__text ffai__gguf_next_text(const uint8_t **at, const ffai__gguf_field *field)
{
    ffai__text text = {"", 0};
    if (field->end - *at < 8)
        return text;
    const uint64_t size = load(*at, 8);
    *at += 8;
    if (size > (uint64_t)(field->end - *at))
        return text;
    text = (ffai__text){(const char *)*at, (size_t)size};
    *at += size;
    return text;
}

int64_t ffai__gguf_element_int(const ffai__gguf_field *array, uint64_t index)
{
    const uint32_t bits = (uint32_t)load(array->data + 4 * index, 4);
    return array->element == FFAI__GGUF_I32 ? (int64_t)(int32_t)bits : (int64_t)bits;
}
