/* Two backends side by side, instruction by instruction. */
#include <math.h>
#include <string.h>

#include "alloc.h"
#include "engine.h"

typedef struct {
    ffai_model *model;
    ffai_session *session;
    float *values; /* the widest activation, all rows */
} side;

static void close_side(side *s)
{
    ffai_session_close(s->session);
    ffai_model_free(s->model);
    ffai__free(s->values);
}

static int64_t widest_activation(const ffai__program *program)
{
    int64_t widest = 1;
    for (size_t i = 0; i < program->num_values; i++)
        widest = program->values[i].columns > widest ? program->values[i].columns : widest;
    return widest;
}

/* The device is that of the backend that has some. Both backends are looked for before either runs. */
static ffai_status choose_sides(ffai_model_options sides[2], const char *const backends[2],
                                const ffai_model_options *options, ffai_error *err)
{
    ffai__backend_choice choices[2];
    for (int i = 0; i < 2; i++) {
        FFAI__TRY(ffai__backend_choose(&choices[i], backends[i], 0, err));
        sides[i] = options ? *options : (ffai_model_options)FFAI_MODEL_OPTIONS_INIT;
        sides[i].backend = choices[i].backend->name;
        sides[i].without_tokenizer = true;
    }
    for (int i = 0; i < 2; i++) {
        if (choices[i].backend != &ffai__backend_cuda && choices[1 - i].backend == &ffai__backend_cuda)
            sides[i].device = 0;
    }
    return FFAI_OK;
}

/* Load the model on a backend and run the tokens through it as one step. */
static ffai_status run_side(side *s, const char *path, const int32_t *tokens, size_t n,
                            const ffai_model_options *options, ffai_error *err)
{
    FFAI__TRY(ffai_model_load(&s->model, path, options, err));
    const ffai_session_options session_options = {
        .context = (int64_t)n, .max_sequences = 1, .max_rows = (int32_t)n, .kv_format = FFAI_KV_F32};
    FFAI__TRY(ffai__session_open_readable(&s->session, s->model, &session_options, err));
    ffai_sequence sequence = 0;
    FFAI__TRY(ffai_sequence_open(&sequence, s->session, err));
    ffai_row *rows = ffai__calloc(n, sizeof *rows);
    s->values = ffai__array(n * (size_t)widest_activation(s->model->program), sizeof *s->values);
    ffai_status status = FFAI_OK;
    if (!rows || !s->values)
        status = ffai__fail_memory(err, "comparing", n * sizeof *rows);
    for (size_t i = 0; status == FFAI_OK && i < n; i++)
        rows[i] = (ffai_row){tokens[i], sequence, i + 1 == n, NULL};
    if (status == FFAI_OK)
        status = ffai_step_submit(s->session, rows, n, err);
    ffai__free(rows);
    return status;
}

/* Take the largest difference of one pair of arrays [rows, columns] into *d. */
static void compare(ffai_difference *d, const float *a, const float *b, int64_t rows, int64_t columns)
{
    double squares = 0;
    double largest = -1;
    for (int64_t i = 0; i < rows * columns; i++) {
        const double difference = fabs((double)a[i] - (double)b[i]);
        squares += (double)b[i] * (double)b[i];
        /* A value that is finite on one side alone counts as infinitely far off. */
        const bool equal = a[i] == b[i] || (isnan(a[i]) && isnan(b[i]));
        const double distance = equal ? 0 : isfinite(difference) ? difference : INFINITY;
        if (distance > largest) {
            largest = distance;
            d->row = i / columns;
            d->column = i % columns;
            d->a = (double)a[i];
            d->b = (double)b[i];
        }
    }
    const double rms = sqrt(squares / (double)(rows * columns));
    d->error = largest <= 0 ? 0 : largest / (rms > 0 ? rms : 1);
}

static ffai_status compare_output(ffai_difference *worst, side *a, side *b, ffai__value value, size_t n,
                                  ffai_error *err)
{
    const ffai__value_info *info = &a->model->program->values[value];
    ffai_difference d = *worst;
    FFAI__TRY(ffai__session_read(a->values, a->session, value, err));
    FFAI__TRY(ffai__session_read(b->values, b->session, value, err));
    compare(&d, a->values, b->values, info->rows == FFAI__ROWS_R ? 1 : (int64_t)n, info->columns);
    if (worst->error < 0 || d.error > worst->error)
        *worst = d;
    return FFAI_OK;
}

static ffai_status compare_sides(size_t *first, side *a, side *b, size_t n, double tolerance,
                                 bool (*on_difference)(void *, const ffai_difference *), void *context, ffai_error *err)
{
    const ffai__program *program = a->model->program;
    char listing[1024];
    *first = SIZE_MAX;
    for (size_t i = 0; i < program->num_instructions; i++) {
        ffai__instruction_print(listing, sizeof listing, program, i);
        ffai_difference worst = {.instruction = i, .listing = listing, .error = -1};
        for (int k = 0; k < FFAI__MAX_OUTPUTS; k++) {
            const ffai__value out = program->instructions[i].out[k];
            if (out != FFAI__NONE && program->values[out].kind == FFAI__ACTIVATION)
                FFAI__TRY(compare_output(&worst, a, b, out, n, err));
        }
        if (worst.error < 0) /* it has no activations to compare */
            continue;
        worst.departs = !(worst.error <= tolerance);
        if (worst.departs && *first == SIZE_MAX)
            *first = i;
        if (on_difference && !on_difference(context, &worst))
            break;
    }
    return FFAI_OK;
}

ffai_status ffai_diff(size_t *first, const char *path, const char *backend_a, const char *backend_b,
                      const int32_t *tokens, size_t n, double tolerance, const ffai_model_options *options,
                      bool (*on_difference)(void *context, const ffai_difference *difference), void *context,
                      ffai_error *err)
{
    side a = {0};
    side b = {0};
    ffai_model_options sides[2];
    const char *const backends[2] = {backend_a, backend_b};
    if (n < 1 || n > 65536)
        return ffai__fail(err, FFAI_E_ARGUMENT, "diff: %zu tokens; it takes 1 to 65536", n);
    FFAI__TRY(choose_sides(sides, backends, options, err));
    ffai_status status = run_side(&a, path, tokens, n, &sides[0], err);
    if (status == FFAI_OK)
        status = run_side(&b, path, tokens, n, &sides[1], err);
    if (status == FFAI_OK)
        status = compare_sides(first, &a, &b, n, tolerance, on_difference, context, err);
    close_side(&a);
    close_side(&b);
    return status;
}
