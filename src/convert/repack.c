#include "repack.h"

#include <string.h>

#include "alloc.h"

static const char weight_suffix[] = ".weight";

ffai_status ffai__repack_room_make(ffai__repack_room *room, int64_t columns, ffai_error *err)
{
    const size_t count = (size_t)columns;
    *room = (ffai__repack_room){
        .codes = ffai__array(count, 1),
        .values = ffai__array(count, sizeof(float)),
        .scales = ffai__array(count, sizeof(float)),
        .biases = ffai__array(count, sizeof(float)),
        .bytes = ffai__array(count, 8),
    };
    if (room->codes && room->values && room->scales && room->biases && room->bytes)
        return FFAI_OK;
    ffai__repack_room_free(room);
    return ffai__fail_memory(err, "a row", (uint64_t)count * 21);
}

void ffai__repack_room_free(ffai__repack_room *room)
{
    ffai__free(room->codes);
    ffai__free(room->values);
    ffai__free(room->scales);
    ffai__free(room->biases);
    ffai__free(room->bytes);
    *room = (ffai__repack_room){NULL, NULL, NULL, NULL, NULL};
}

/* ---- how it is written ---- */

static bool exact_in_f16(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const float back = ffai__f16_to_f32(ffai__f32_to_f16(values[i]));
        if (back != values[i]) /* NaN too: f32 carries it as it is */
            return false;
    }
    return true;
}

static ffai__dtype scale_dtype_of(const ffai__weight *weight, ffai__repack_room *room)
{
    if (weight->packing == FFAI__MLX_AFFINE)
        return weight->scale_dtype;
    const size_t groups = (size_t)(weight->columns / weight->group_size);
    for (int64_t row = 0; row < weight->rows; row++) {
        ffai__weight_read_codes(room->codes, room->scales, room->biases, weight, row);
        if (!exact_in_f16(room->scales, groups) || !exact_in_f16(room->biases, groups))
            return FFAI__F32;
    }
    return FFAI__F16;
}

static ffai__dtype dense_dtype(const ffai__weight *weight, ffai__convert_dtype dtype)
{
    const bool is_number =
        ffai__weight_is_affine(weight) || weight->dtype == FFAI__F64 || ffai__dtype_is_float(weight->dtype);
    if (!is_number)
        return weight->dtype;
    switch (dtype) {
    case FFAI__CONVERT_BF16:
        return FFAI__BF16;
    case FFAI__CONVERT_F16:
        return FFAI__F16;
    case FFAI__CONVERT_F32:
        return FFAI__F32;
    case FFAI__CONVERT_KEEP:
        break;
    }
    return weight->dtype;
}

void ffai__repack_plan(ffai__repack *plan, const ffai__weight *weight, const ffai__shape *shape,
                       ffai__convert_dtype dtype, ffai__repack_room *room)
{
    *plan = (ffai__repack){.weight = weight, .shape = shape};
    plan->affine = ffai__weight_is_affine(weight) && dtype == FFAI__CONVERT_KEEP;
    const uint64_t elements = (uint64_t)weight->rows * (uint64_t)weight->columns;
    if (plan->affine) {
        plan->scale_dtype = scale_dtype_of(weight, room);
        plan->bytes = elements / 8 * (uint64_t)weight->bits +
                      elements / (uint64_t)weight->group_size * 2 * ffai__dtype_size(plan->scale_dtype);
    } else {
        plan->dtype = dense_dtype(weight, dtype);
        plan->bytes = elements * ffai__dtype_size(plan->dtype);
    }
}

/* ---- its declaration ---- */

static ffai_status declare_part(ffai__safetensors_writer *writer, const ffai__repack *plan, const char *suffix,
                                ffai__dtype dtype, uint64_t last, ffai_error *err)
{
    ffai__shape shape = *plan->shape;
    const size_t stem = strlen(plan->weight->name) - (sizeof weight_suffix - 1);
    char *name = ffai__format("%.*s%s", (int)stem, plan->weight->name, suffix);
    if (!name)
        return ffai__fail_memory(err, plan->weight->name, stem);
    shape.dims[shape.rank - 1] = last;
    const ffai_status status = ffai__safetensors_writer_declare(writer, name, dtype, &shape, err);
    ffai__free(name);
    return status;
}

ffai_status ffai__repack_declare(const ffai__repack *plan, ffai__safetensors_writer *writer, ffai_error *err)
{
    const ffai__weight *weight = plan->weight;
    if (!plan->affine)
        return ffai__safetensors_writer_declare(writer, weight->name, plan->dtype, plan->shape, err);
    const uint64_t words = (uint64_t)weight->columns * (uint64_t)weight->bits / 32;
    const uint64_t groups = (uint64_t)(weight->columns / weight->group_size);
    FFAI__TRY(declare_part(writer, plan, weight_suffix, FFAI__U32, words, err));
    FFAI__TRY(declare_part(writer, plan, ".scales", plan->scale_dtype, groups, err));
    return declare_part(writer, plan, ".biases", plan->scale_dtype, groups, err);
}

/* ---- its data ---- */

/* Codes of bits each, packed from the low bits up; returns the bytes. */
static size_t pack(uint8_t *bytes, const uint8_t *codes, int64_t count, int bits)
{
    uint32_t window = 0;
    int held = 0;
    size_t size = 0;
    for (int64_t i = 0; i < count; i++) {
        window |= (uint32_t)codes[i] << held;
        for (held += bits; held >= 8; held -= 8) {
            bytes[size++] = (uint8_t)window;
            window >>= 8;
        }
    }
    return size;
}

typedef enum { PART_CODES, PART_SCALES, PART_BIASES } part;

static ffai_status write_part(const ffai__repack *plan, part which, ffai__safetensors_writer *writer,
                              ffai__repack_room *room, ffai_error *err)
{
    const ffai__weight *weight = plan->weight;
    const size_t groups = (size_t)(weight->columns / weight->group_size);
    for (int64_t row = 0; row < weight->rows; row++) {
        size_t size = groups * ffai__dtype_size(plan->scale_dtype);
        ffai__weight_read_codes(room->codes, room->scales, room->biases, weight, row);
        if (which == PART_CODES)
            size = pack(room->bytes, room->codes, weight->columns, weight->bits);
        else
            ffai__from_f32(room->bytes, plan->scale_dtype, which == PART_SCALES ? room->scales : room->biases, groups);
        FFAI__TRY(ffai__safetensors_writer_append(writer, room->bytes, size, err));
    }
    return FFAI_OK;
}

/* Rows that keep their type are copied as bytes, unless the file has them in another order. */
static ffai_status write_dense(const ffai__repack *plan, ffai__safetensors_writer *writer, ffai__repack_room *room,
                               ffai_error *err)
{
    const ffai__weight *weight = plan->weight;
    const size_t size = (size_t)weight->columns * ffai__dtype_size(plan->dtype);
    const bool copy = !ffai__weight_is_affine(weight) && weight->dtype == plan->dtype && !weight->rope_heads;
    for (int64_t row = 0; row < weight->rows; row++) {
        const void *bytes = (const uint8_t *)weight->data + (size_t)row * size;
        if (!copy) {
            ffai__weight_read(room->values, weight, row);
            ffai__from_f32(room->bytes, plan->dtype, room->values, (size_t)weight->columns);
            bytes = room->bytes;
        }
        FFAI__TRY(ffai__safetensors_writer_append(writer, bytes, size, err));
    }
    return FFAI_OK;
}

ffai_status ffai__repack_write(const ffai__repack *plan, ffai__safetensors_writer *writer, ffai__repack_room *room,
                               ffai_error *err)
{
    if (!plan->affine)
        return write_dense(plan, writer, room, err);
    FFAI__TRY(write_part(plan, PART_CODES, writer, room, err));
    FFAI__TRY(write_part(plan, PART_SCALES, writer, room, err));
    return write_part(plan, PART_BIASES, writer, room, err);
}
