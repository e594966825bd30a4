/* A GGUF file: metadata and tensor infos, parsed and checked whole against the bytes that are there.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian. */
#ifndef FFAI_FORMATS_GGUF_H
#define FFAI_FORMATS_GGUF_H

#include "failure.h"
#include "shape.h"
#include "string_map.h"
#include "text.h"

typedef enum ffai__gguf_type {
    FFAI__GGUF_U8,
    FFAI__GGUF_I8,
    FFAI__GGUF_U16,
    FFAI__GGUF_I16,
    FFAI__GGUF_U32,
    FFAI__GGUF_I32,
    FFAI__GGUF_F32,
    FFAI__GGUF_BOOL,
    FFAI__GGUF_STRING,
    FFAI__GGUF_ARRAY,
    FFAI__GGUF_U64,
    FFAI__GGUF_I64,
    FFAI__GGUF_F64,
    FFAI__GGUF_TYPE_COUNT
} ffai__gguf_type;

typedef struct ffai__gguf_field {
    ffai__text key; /* in the file, as all texts are */
    ffai__gguf_type type;
    ffai__gguf_type element; /* of an array */
    uint64_t count;          /* elements of an array, 1 otherwise */
    const uint8_t *data;     /* the value, or an array's first element */
    const uint8_t *end;
} ffai__gguf_field;

typedef struct ffai__gguf_tensor {
    const char *what;  /* names its file in errors */
    char *name;        /* as the file has it */
    ffai__shape shape; /* outermost first: the reverse of the file's order */
    const char *type;  /* "Q4_0" */
    bool supported;    /* packing and dtype are set */
    ffai__packing packing;
    ffai__dtype dtype;
    int bits;
    uint64_t begin; /* bytes from the start of the data section */
    uint64_t bytes;
    const uint8_t *data;
} ffai__gguf_tensor;

typedef struct ffai__gguf {
    const char *what; /* names the file in errors; the caller's */
    ffai__gguf_field *fields;
    size_t field_count;
    ffai__string_map *index; /* key -> position in fields */
    ffai__gguf_tensor *tensors;
    size_t tensor_count;
} ffai__gguf;

/* bytes: the whole file, which must outlive the result, as what must. Tensors of a type that cannot be used
 * are listed with supported false. Free with ffai__gguf_free. */
ffai_status ffai__gguf_parse(ffai__gguf **out, const uint8_t *bytes, uint64_t size, const char *what, ffai_error *err);
void ffai__gguf_free(ffai__gguf *file);

/* NULL if there is no such key. */
const ffai__gguf_field *ffai__gguf_find(const ffai__gguf *file, const char *key);

/* Each leaves *value alone and succeeds where the key is absent; FFAI_E_FORMAT where it has another type or is
 * out of range. Any integer type will do for an integer, integers and both float types for a number. */
ffai_status ffai__gguf_get_int(int64_t *value, const ffai__gguf *file, const char *key, int64_t least, int64_t most,
                               ffai_error *err);
ffai_status ffai__gguf_get_number(double *value, const ffai__gguf *file, const char *key, ffai_error *err);
ffai_status ffai__gguf_get_bool(bool *value, const ffai__gguf *file, const char *key, ffai_error *err);
ffai_status ffai__gguf_get_text(ffai__text *value, const ffai__gguf *file, const char *key, ffai_error *err);
/* *field stays NULL where the key is absent. */
ffai_status ffai__gguf_get_array(const ffai__gguf_field **field, const ffai__gguf *file, const char *key,
                                 ffai__gguf_type element, ffai_error *err);

/* The string at *at, which moves behind it: how an array of strings is walked. Never reads past the field's
 * end, whatever became of the file since it was checked. */
ffai__text ffai__gguf_next_text(const uint8_t **at, const ffai__gguf_field *field);
/* Element of an array of I32 or U32. */
int64_t ffai__gguf_element_int(const ffai__gguf_field *array, uint64_t index);

/* A float32's shortest decimal, as a double: 1e-05 and not 9.99999974e-06. */
double ffai__gguf_decimal(float value);

#endif
