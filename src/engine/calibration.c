#include "calibration.h"

#include <math.h>
#include <string.h>

#include "alloc.h"

enum { WINDOW = 512, STEP = 64 };

typedef struct {
    char *name;
    ffai__value input;
    int64_t columns;
    double *squares; /* [columns], summed over rows */
    float *means;    /* [columns] */
    double rows;
} matrix;

struct ffai__calibration {
    matrix *matrices;
    size_t count;
};

typedef struct {
    ffai__calibration *calibration;
    ffai_model *model;
    ffai_session *session;
    float *values; /* one input of a step */
    const int32_t *tokens;
    size_t n;
    bool (*on_progress)(void *context, double fraction);
    void *context;
} calibrating;

/* ---- the matrices of a program ---- */

static ffai_status add_matrix(ffai__calibration *c, const ffai__weight *weight, ffai__value input, ffai_error *err)
{
    matrix *m = &c->matrices[c->count++];
    *m = (matrix){.name = ffai__strdup(weight->name),
                  .input = input,
                  .columns = weight->columns,
                  .squares = ffai__calloc((size_t)weight->columns, sizeof *m->squares),
                  .means = ffai__calloc((size_t)weight->columns, sizeof *m->means)};
    if (m->name && m->squares && m->means)
        return FFAI_OK;
    return ffai__fail_memory(err, "calibrating", (uint64_t)weight->columns * 12);
}

/* Without fusions every product is a linear of its own. */
static ffai_status find_matrices(calibrating *c, ffai_error *err)
{
    const ffai__program *program = c->model->program;
    int64_t widest = 1;
    c->calibration->matrices = ffai__calloc(program->num_instructions, sizeof *c->calibration->matrices);
    if (!c->calibration->matrices)
        return ffai__fail_memory(err, "calibrating", program->num_instructions * sizeof *c->calibration->matrices);
    for (size_t i = 0; i < program->num_instructions; i++) {
        const ffai__instruction *instruction = &program->instructions[i];
        if (instruction->op != FFAI__OP_linear)
            continue;
        const ffai__weight *weight = ffai__weight_of(program, instruction->in[1]);
        widest = weight->columns > widest ? weight->columns : widest;
        FFAI__TRY(add_matrix(c->calibration, weight, instruction->in[0], err));
    }
    c->values = ffai__array((size_t)widest * STEP, sizeof *c->values);
    return c->values ? FFAI_OK : ffai__fail_memory(err, "calibrating", (uint64_t)widest * STEP * sizeof *c->values);
}

/* ---- running ---- */

static ffai_status take_in(calibrating *c, matrix *m, const matrix *before, size_t rows, ffai_error *err)
{
    if (!before || before->input != m->input) /* matrices side by side share what they are multiplied with */
        FFAI__TRY(ffai__session_read(c->values, c->session, m->input, err));
    for (size_t row = 0; row < rows; row++) {
        const float *values = c->values + row * (size_t)m->columns;
        for (int64_t i = 0; i < m->columns; i++)
            m->squares[i] += (double)values[i] * (double)values[i];
    }
    m->rows += (double)rows;
    return FFAI_OK;
}

static ffai_status run_step(calibrating *c, ffai_sequence sequence, size_t first, size_t count, ffai_error *err)
{
    ffai_row rows[STEP];
    const float *logits = NULL;
    for (size_t i = 0; i < count; i++)
        rows[i] = (ffai_row){c->tokens[first + i], sequence, true, NULL};
    FFAI__TRY(ffai_forward(&logits, c->session, rows, count, err));
    for (size_t i = 0; i < c->calibration->count; i++) {
        matrix *m = &c->calibration->matrices[i];
        FFAI__TRY(take_in(c, m, i ? m - 1 : NULL, count, err));
    }
    if (c->on_progress && !c->on_progress(c->context, (double)(first + count) / (double)c->n))
        return ffai__fail(err, FFAI_E_CANCELLED, "calibrate: cancelled");
    return FFAI_OK;
}

static ffai_status run_window(calibrating *c, size_t begin, size_t end, ffai_error *err)
{
    ffai_sequence sequence = 0;
    FFAI__TRY(ffai_sequence_open(&sequence, c->session, err));
    ffai_status status = FFAI_OK;
    for (size_t first = begin; first < end && status == FFAI_OK; first += STEP)
        status = run_step(c, sequence, first, end - first < STEP ? end - first : STEP, err);
    ffai_sequence_close(c->session, sequence);
    return status;
}

static void conclude(matrix *m)
{
    const double least = 1e-4;
    double sum = 0;
    for (int64_t i = 0; i < m->columns; i++)
        sum += m->squares[i];
    const double mean = sum / (double)m->columns;
    for (int64_t i = 0; i < m->columns; i++) {
        const double share = mean > 0 && isfinite(mean) ? m->squares[i] / mean : 1;
        m->means[i] = (float)(share > least ? share : least);
    }
}

static ffai_status calibrate(calibrating *c, const char *path, int threads, ffai_error *err)
{
    const ffai_model_options loading = {.backend = "cpu",
                                        .threads = threads,
                                        .fusions = "none",
                                        .activations = FFAI_ACTIVATIONS_FINE,
                                        .without_tokenizer = true};
    const ffai_session_options opening = {
        .context = WINDOW, .max_sequences = 1, .max_rows = STEP, .max_outputs = STEP, .kv_format = FFAI_KV_F32};
    FFAI__TRY(ffai_model_load(&c->model, path, &loading, err));
    FFAI__TRY(ffai__text_check(c->model, c->tokens, c->n, "calibrate", err));
    FFAI__TRY(find_matrices(c, err));
    FFAI__TRY(ffai__session_open_readable(&c->session, c->model, &opening, err));
    for (size_t begin = 0; begin < c->n; begin += WINDOW)
        FFAI__TRY(run_window(c, begin, c->n - begin < WINDOW ? c->n : begin + WINDOW, err));
    for (size_t i = 0; i < c->calibration->count; i++)
        conclude(&c->calibration->matrices[i]);
    return FFAI_OK;
}

ffai_status ffai__calibration_run(ffai__calibration **out, const char *path, const int32_t *tokens, size_t n,
                                  int threads, bool (*on_progress)(void *context, double fraction), void *context,
                                  ffai_error *err)
{
    if (n == 0)
        return ffai__fail(err, FFAI_E_ARGUMENT, "calibrate: there are no tokens");
    calibrating c = {.tokens = tokens, .n = n, .on_progress = on_progress, .context = context};
    c.calibration = ffai__calloc(1, sizeof *c.calibration);
    if (!c.calibration)
        return ffai__fail_memory(err, "calibrating", sizeof *c.calibration);
    const ffai_status status = calibrate(&c, path, threads, err);
    ffai_session_close(c.session);
    ffai_model_free(c.model);
    ffai__free(c.values);
    if (status == FFAI_OK)
        *out = c.calibration;
    else
        ffai__calibration_free(c.calibration);
    return status;
}

void ffai__calibration_free(ffai__calibration *calibration)
{
    for (size_t i = 0; calibration && i < calibration->count; i++) {
        ffai__free(calibration->matrices[i].name);
        ffai__free(calibration->matrices[i].squares);
        ffai__free(calibration->matrices[i].means);
    }
    if (calibration)
        ffai__free(calibration->matrices);
    ffai__free(calibration);
}

const float *ffai__calibration_of(const ffai__calibration *calibration, const char *name)
{
    for (size_t i = 0; i < calibration->count; i++) {
        if (strcmp(calibration->matrices[i].name, name) == 0)
            return calibration->matrices[i].means;
    }
    return NULL;
}
