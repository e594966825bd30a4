#include "repack.h"

#include <string.h>

#include "alloc.h"
#include "rounding.h"
#include "search.h"

static const char weight_suffix[] = ".weight";

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

static ffai__dtype scale_dtype_of(const ffai__weight *weight, ffai__row_room *room)
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

static bool is_number(const ffai__weight *weight)
{
    return ffai__weight_is_affine(weight) || weight->dtype == FFAI__F64 || ffai__dtype_is_float(weight->dtype);
}

static ffai__dtype dense_dtype(const ffai__weight *weight, ffai__convert_dtype dtype)
{
    if (!is_number(weight))
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

/* The type that a weight's values have when they are rounded, and so its scales: the one asked for, or its own; where
 * it has affine groups, that of their scales. */
static ffai__dtype rounding_dtype(const ffai__weight *weight, ffai__convert_dtype dtype)
{
    if (dtype != FFAI__CONVERT_KEEP)
        return dense_dtype(weight, dtype);
    if (weight->packing == FFAI__MLX_AFFINE)
        return weight->scale_dtype;
    if (ffai__weight_is_affine(weight))
        return FFAI__F16;
    return weight->dtype == FFAI__F64 ? FFAI__F32 : weight->dtype;
}

static void plan_affine(ffai__repack *plan, int bits, int group_size, ffai__dtype scale_dtype)
{
    const uint64_t elements = (uint64_t)plan->weight->rows * (uint64_t)plan->weight->columns;
    plan->affine = true;
    plan->bits = bits;
    plan->group_size = group_size;
    plan->scale_dtype = scale_dtype;
    plan->bytes = elements / 8 * (uint64_t)bits + elements / (uint64_t)group_size * 2 * ffai__dtype_size(scale_dtype);
}

void ffai__repack_plan(ffai__repack *plan, const ffai__weight *weight, const ffai__shape *shape,
                       const ffai__convert_options *options, ffai__row_room *room)
{
    const int bits = ffai__recipe_bits(&options->recipe, weight);
    *plan = (ffai__repack){.weight = weight, .shape = shape};
    if (bits) {
        plan->rounded = true;
        plan->method = options->method;
        plan_affine(plan, bits, options->recipe.group_size, rounding_dtype(weight, options->dtype));
    } else if (ffai__weight_is_affine(weight) && options->dtype == FFAI__CONVERT_KEEP) {
        plan_affine(plan, weight->bits, weight->group_size, scale_dtype_of(weight, room));
    } else {
        plan->dtype = dense_dtype(weight, options->dtype);
        plan->bytes = (uint64_t)weight->rows * (uint64_t)weight->columns * ffai__dtype_size(plan->dtype);
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
    const uint64_t words = (uint64_t)weight->columns * (uint64_t)plan->bits / 32;
    const uint64_t groups = (uint64_t)(weight->columns / plan->group_size);
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

/* Rows that their makers cannot refuse. */
static ffai_status write_rows(const ffai__repack *plan, ffai__safetensors_writer *writer, ffai__rows *rows,
                              size_t row_bytes, ffai__row_maker *make, ffai_error *err)
{
    int64_t refused = -1;
    return ffai__rows_write(&refused, rows, writer, plan->weight->rows, row_bytes, make, (void *)(uintptr_t)plan, err);
}

static void read_codes(const ffai__repack *plan, int64_t row, ffai__row_room *room)
{
    ffai__weight_read_codes(room->codes, room->scales, room->biases, plan->weight, row);
}

static bool make_codes(void *context, void *out, int64_t row, ffai__row_room *room)
{
    const ffai__repack *plan = context;
    read_codes(plan, row, room);
    pack(out, room->codes, plan->weight->columns, plan->bits);
    return true;
}

static bool make_scales(void *context, void *out, int64_t row, ffai__row_room *room)
{
    const ffai__repack *plan = context;
    read_codes(plan, row, room);
    ffai__from_f32(out, plan->scale_dtype, room->scales, (size_t)(plan->weight->columns / plan->group_size));
    return true;
}

static bool make_biases(void *context, void *out, int64_t row, ffai__row_room *room)
{
    const ffai__repack *plan = context;
    read_codes(plan, row, room);
    ffai__from_f32(out, plan->scale_dtype, room->biases, (size_t)(plan->weight->columns / plan->group_size));
    return true;
}

static size_t code_bytes(const ffai__repack *plan)
{
    return (size_t)plan->weight->columns / 8 * (size_t)plan->bits;
}

static size_t scale_bytes(const ffai__repack *plan)
{
    return (size_t)(plan->weight->columns / plan->group_size) * ffai__dtype_size(plan->scale_dtype);
}

static ffai_status carry_over(const ffai__repack *plan, ffai__safetensors_writer *writer, ffai__rows *rows,
                              ffai_error *err)
{
    FFAI__TRY(write_rows(plan, writer, rows, code_bytes(plan), make_codes, err));
    FFAI__TRY(write_rows(plan, writer, rows, scale_bytes(plan), make_scales, err));
    return write_rows(plan, writer, rows, scale_bytes(plan), make_biases, err);
}

/* ---- values ---- */

static bool make_values(void *context, void *out, int64_t row, ffai__row_room *room)
{
    const ffai__repack *plan = context;
    ffai__weight_read(room->values, plan->weight, row);
    ffai__from_f32(out, plan->dtype, room->values, (size_t)plan->weight->columns);
    return true;
}

/* Rows that keep their type are copied as bytes, unless the file has them in another order. */
static ffai_status write_dense(const ffai__repack *plan, ffai__safetensors_writer *writer, ffai__rows *rows,
                               ffai_error *err)
{
    const ffai__weight *weight = plan->weight;
    if (!ffai__weight_is_affine(weight) && weight->dtype == plan->dtype && !weight->rope_heads)
        return ffai__rows_copy(rows, writer, weight->data, plan->bytes, err);
    return write_rows(plan, writer, rows, (size_t)weight->columns * ffai__dtype_size(plan->dtype), make_values, err);
}

/* ---- rounding ---- */

typedef struct {
    const ffai__repack *plan;
    uint8_t *scales; /* [rows] of scale_bytes, filled as codes are made */
    uint8_t *biases;
} rounding;

static bool choose(const ffai__repack *plan, ffai__row_room *room)
{
    const int64_t columns = plan->weight->columns;
    if (plan->method == FFAI__CONVERT_MLX)
        return ffai__round_row(room->codes, room->scales, room->biases, room->values, columns, plan->bits,
                               plan->group_size);
    return ffai__search_row(room->codes, room->scales, room->biases, room->values, plan->importance, columns,
                            plan->bits, plan->group_size, plan->scale_dtype);
}

static bool make_rounded(void *context, void *out, int64_t row, ffai__row_room *room)
{
    const rounding *r = context;
    const ffai__repack *plan = r->plan;
    const int64_t columns = plan->weight->columns;
    const size_t groups = (size_t)(columns / plan->group_size);
    const size_t at = (size_t)row * scale_bytes(plan);
    ffai__weight_read(room->values, plan->weight, row);
    if (ffai__weight_is_affine(plan->weight) || plan->weight->dtype != plan->scale_dtype) {
        ffai__from_f32(room->bytes, plan->scale_dtype, room->values, (size_t)columns);
        ffai__to_f32(room->values, room->bytes, plan->scale_dtype, (size_t)columns);
    }
    if (!choose(plan, room))
        return false;
    ffai__from_f32(r->scales + at, plan->scale_dtype, room->scales, groups);
    ffai__from_f32(r->biases + at, plan->scale_dtype, room->biases, groups);
    pack(out, room->codes, columns, plan->bits);
    return true;
}

static ffai_status write_rounded(rounding *r, ffai__safetensors_writer *writer, ffai__rows *rows, const char *source,
                                 ffai_error *err)
{
    const ffai__weight *weight = r->plan->weight;
    const uint64_t size = (uint64_t)weight->rows * scale_bytes(r->plan);
    int64_t refused = -1;
    FFAI__TRY(ffai__rows_write(&refused, rows, writer, weight->rows, code_bytes(r->plan), make_rounded, r, err));
    if (refused >= 0)
        return ffai__fail(
            err, FFAI_E_FORMAT,
            "%s: tensor \"%s\": row %lld: holds what cannot be rounded: a value that is not finite in %s, "
            "or a range that is not",
            source, weight->name, (long long)refused, ffai__dtype_name(r->plan->scale_dtype));
    FFAI__TRY(ffai__rows_copy(rows, writer, r->scales, size, err));
    return ffai__rows_copy(rows, writer, r->biases, size, err);
}

/* Scales and biases stand behind all codes in the file: those of one tensor are kept until then. */
static ffai_status round_weight(const ffai__repack *plan, ffai__safetensors_writer *writer, ffai__rows *rows,
                                const char *source, ffai_error *err)
{
    const size_t count = (size_t)plan->weight->rows;
    rounding r = {plan, ffai__array(count, scale_bytes(plan)), ffai__array(count, scale_bytes(plan))};
    const ffai_status status = r.scales && r.biases
                                   ? write_rounded(&r, writer, rows, source, err)
                                   : ffai__fail_memory(err, plan->weight->name, 2 * count * scale_bytes(plan));
    ffai__free(r.scales);
    ffai__free(r.biases);
    return status;
}

ffai_status ffai__repack_write(const ffai__repack *plan, ffai__safetensors_writer *writer, ffai__rows *rows,
                               const char *source, ffai_error *err)
{
    if (plan->rounded)
        return round_weight(plan, writer, rows, source, err);
    return plan->affine ? carry_over(plan, writer, rows, err) : write_dense(plan, writer, rows, err);
}
