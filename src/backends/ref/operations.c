/* One function an operation; ops.def has the formulas. */
#include <math.h>
#include <string.h>

#include "ref.h"
#include "sampling.h"

typedef struct {
    ref_run *run;
    const ffai__instruction *instruction;
    const ffai__step *step;
} frame;

static const ffai__value_info *info(const frame *f, ffai__value value)
{
    return &f->run->program->values[value];
}

static float *in(const frame *f, int i)
{
    return f->run->values[f->instruction->in[i]];
}

static float *out(const frame *f, int i)
{
    return f->run->values[f->instruction->out[i]];
}

static int64_t columns_in(const frame *f, int i)
{
    return info(f, f->instruction->in[i])->columns;
}

static int32_t rows_of(const frame *f, ffai__value value)
{
    return info(f, value)->rows == FFAI__ROWS_R ? f->step->num_outputs : f->step->num_rows;
}

static const ffai__step_sequence *sequence_of(const frame *f, int32_t row)
{
    return &f->step->sequences[f->step->sequence_of_row[row]];
}

static void run_embed(const frame *f)
{
    const ffai__weight *weight = info(f, f->instruction->in[0])->weight;
    for (int32_t t = 0; t < f->step->num_rows; t++) {
        int32_t *token = ref_tokens(f->run, sequence_of(f, t)->slot) + f->step->positions[t];
        if (f->step->tokens[t] != FFAI__TOKEN_SAMPLED)
            *token = f->step->tokens[t];
        ffai__weight_read(out(f, 0) + t * weight->columns, weight, *token);
    }
}

static void run_rms_norm(const frame *f)
{
    const ffai__weight *weight = info(f, f->instruction->in[1])->weight;
    const int64_t width = weight->columns;
    const int64_t spans = columns_in(f, 0) / width * rows_of(f, f->instruction->in[0]);
    ffai__weight_read(f->run->row, weight, 0);
    for (int64_t s = 0; s < spans; s++) {
        const float *x = in(f, 0) + s * width;
        float *y = out(f, 0) + s * width;
        double squares = 0;
        for (int64_t i = 0; i < width; i++)
            squares += (double)x[i] * (double)x[i];
        const float scale =
            (float)(1.0 / sqrt(squares / (double)width + (double)f->instruction->attributes.rms_norm.eps));
        for (int64_t i = 0; i < width; i++)
            y[i] = x[i] * scale * f->run->row[i];
    }
}

/* y [rows of x] = W x + b; each weight row is read once for all of them. */
static void multiply(const frame *f, float *y, ffai__value matrix, ffai__value bias)
{
    const ffai__weight *weight = info(f, matrix)->weight;
    const int32_t rows = rows_of(f, f->instruction->in[0]);
    for (int64_t o = 0; o < weight->rows; o++) {
        ffai__weight_read(f->run->row, weight, o);
        for (int32_t t = 0; t < rows; t++) {
            const float *x = in(f, 0) + t * weight->columns;
            double sum = 0;
            for (int64_t i = 0; i < weight->columns; i++)
                sum += (double)f->run->row[i] * (double)x[i];
            y[t * weight->rows + o] = (float)sum;
        }
    }
    if (bias == FFAI__NONE)
        return;
    ffai__weight_read(f->run->row, info(f, bias)->weight, 0);
    for (int32_t t = 0; t < rows; t++) {
        for (int64_t o = 0; o < weight->rows; o++)
            y[t * weight->rows + o] += f->run->row[o];
    }
}

static void run_linear(const frame *f)
{
    multiply(f, out(f, 0), f->instruction->in[1], f->instruction->in[2]);
}

static void run_linear_shared(const frame *f)
{
    for (int i = 0; i < FFAI__MAX_OUTPUTS; i++) {
        if (f->instruction->out[i] != FFAI__NONE)
            multiply(f, out(f, i), f->instruction->in[1 + 2 * i], f->instruction->in[2 + 2 * i]);
    }
}

static void run_linear_add(const frame *f)
{
    run_linear(f);
    const int64_t count = columns_in(f, 3) * rows_of(f, f->instruction->in[3]);
    for (int64_t i = 0; i < count; i++)
        out(f, 0)[i] += in(f, 3)[i];
}

static void run_rope(const frame *f)
{
    const ffai__rope *rope = &f->instruction->attributes.rope;
    const int64_t columns = columns_in(f, 0);
    const int half = rope->dims / 2;
    float *cosines = f->run->row; /* a row is at least a head wide */
    float *sines = cosines + half;
    for (int32_t t = 0; t < f->step->num_rows; t++) {
        ffai__rope_angles(cosines, sines, rope, f->step->positions[t]);
        for (int64_t head = 0; head < columns / rope->head_dim; head++) {
            const float *x = in(f, 0) + t * columns + head * rope->head_dim;
            float *y = out(f, 0) + t * columns + head * rope->head_dim;
            memcpy(y, x, (size_t)rope->head_dim * sizeof *y);
            for (int i = 0; i < half; i++) {
                y[i] = x[i] * cosines[i] - x[i + half] * sines[i];
                y[i + half] = x[i + half] * cosines[i] + x[i] * sines[i];
            }
        }
    }
}

static float round_to_store(float value, uint32_t format)
{
    switch ((ffai__store_format)format) {
    case FFAI__STORE_BF16:
        return ffai__bf16_to_f32(ffai__f32_to_bf16(value));
    case FFAI__STORE_F16:
        value = value > FFAI__F16_MOST ? FFAI__F16_MOST : value < -FFAI__F16_MOST ? -FFAI__F16_MOST : value;
        return ffai__f16_to_f32(ffai__f32_to_f16(value));
    case FFAI__STORE_F32:
        break;
    }
    return value;
}

/* Offset of a position's heads in a store. */
static int64_t store_offset(const ffai__store *store, const ffai__page_ref *table, int64_t position)
{
    const int64_t page = table[position / FFAI__PAGE_TOKENS].page;
    const int64_t token = page * FFAI__PAGE_TOKENS + position % FFAI__PAGE_TOKENS;
    return token * store->num_key_value_heads * store->head_dim;
}

static void run_kv_store(const frame *f)
{
    const int index = info(f, f->instruction->in[2])->store;
    const ffai__store *store = &f->run->program->stores[index];
    const int64_t columns = columns_in(f, 0);
    for (int32_t t = 0; t < f->step->num_rows; t++) {
        const ffai__page_ref *table = sequence_of(f, t)->tables[store->group];
        const int64_t at = store_offset(store, table, f->step->positions[t]);
        const uint32_t format = table[f->step->positions[t] / FFAI__PAGE_TOKENS].format;
        for (int64_t i = 0; i < columns; i++) {
            f->run->keys[index][at + i] = round_to_store(in(f, 0)[t * columns + i], format);
            f->run->contents[index][at + i] = round_to_store(in(f, 1)[t * columns + i], format);
        }
    }
}

/* Softmax in place; the largest score is taken out first so that nothing overflows. */
static void softmax(float *scores, int64_t count)
{
    float largest = -INFINITY;
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        largest = fmaxf(largest, scores[i]);
    for (int64_t i = 0; i < count; i++) {
        scores[i] = expf(scores[i] - largest);
        sum += (double)scores[i];
    }
    for (int64_t i = 0; i < count; i++)
        scores[i] = (float)((double)scores[i] / sum);
}

/* One head of one row: q and y [head_dim], positions [first, last]. */
static void attend(const frame *f, float *y, const float *q, int head, const ffai__page_ref *table, int64_t first,
                   int64_t last)
{
    const int index = info(f, f->instruction->in[1])->store;
    const ffai__store *store = &f->run->program->stores[index];
    const int64_t of_head = (int64_t)head * store->head_dim;
    float *scores = f->run->scores;
    for (int64_t p = first; p <= last; p++) {
        const float *k = f->run->keys[index] + store_offset(store, table, p) + of_head;
        double dot = 0;
        for (int i = 0; i < store->head_dim; i++)
            dot += (double)q[i] * (double)k[i];
        scores[p - first] = (float)dot * f->instruction->attributes.attention.scale;
    }
    softmax(scores, last - first + 1);
    for (int i = 0; i < store->head_dim; i++) {
        double sum = 0;
        for (int64_t p = first; p <= last; p++)
            sum += (double)scores[p - first] *
                   (double)f->run->contents[index][store_offset(store, table, p) + of_head + i];
        y[i] = (float)sum;
    }
}

static void run_attention(const frame *f)
{
    const ffai__store *store = &f->run->program->stores[info(f, f->instruction->in[1])->store];
    const int heads = f->instruction->attributes.attention.num_attention_heads;
    const int64_t window = f->instruction->attributes.attention.window;
    const int64_t columns = columns_in(f, 0);
    for (int32_t t = 0; t < f->step->num_rows; t++) {
        const int64_t last = f->step->positions[t];
        const int64_t first = window && last >= window ? last - window + 1 : 0;
        for (int h = 0; h < heads; h++) {
            const int64_t at = t * columns + (int64_t)h * store->head_dim;
            attend(f, out(f, 0) + at, in(f, 0) + at, h / (heads / store->num_key_value_heads),
                   sequence_of(f, t)->tables[store->group], first, last);
        }
    }
}

static float silu(float x)
{
    return x / (1.0f + expf(-x));
}

static void run_silu(const frame *f)
{
    const int64_t count = columns_in(f, 0) * rows_of(f, f->instruction->in[0]);
    for (int64_t i = 0; i < count; i++)
        out(f, 0)[i] = silu(in(f, 0)[i]);
}

static void run_mul(const frame *f)
{
    const int64_t count = columns_in(f, 0) * rows_of(f, f->instruction->in[0]);
    for (int64_t i = 0; i < count; i++)
        out(f, 0)[i] = in(f, 0)[i] * in(f, 1)[i];
}

static void run_add(const frame *f)
{
    const int64_t count = columns_in(f, 0) * rows_of(f, f->instruction->in[0]);
    for (int64_t i = 0; i < count; i++)
        out(f, 0)[i] = in(f, 0)[i] + in(f, 1)[i];
}

static void run_swiglu(const frame *f)
{
    const int64_t count = columns_in(f, 0) * rows_of(f, f->instruction->in[0]);
    for (int64_t i = 0; i < count; i++)
        out(f, 0)[i] = silu(in(f, 0)[i]) * in(f, 1)[i];
}

static void run_select_rows(const frame *f)
{
    const int64_t columns = columns_in(f, 0);
    for (int32_t r = 0; r < f->step->num_outputs; r++)
        memcpy(out(f, 0) + r * columns, in(f, 0) + f->step->output_rows[r] * columns, (size_t)columns * sizeof(float));
}

static void run_sample(const frame *f)
{
    if (!f->step->draws)
        return;
    const int64_t vocab_size = columns_in(f, 0);
    for (int32_t r = 0; r < f->step->num_outputs; r++) {
        const int32_t row = f->step->output_rows[r];
        const int64_t position = f->step->positions[row];
        int32_t *tokens = ref_tokens(f->run, sequence_of(f, row)->slot);
        memcpy(f->run->draw_logits, in(f, 0) + r * vocab_size, (size_t)vocab_size * sizeof(float));
        f->run->ids[r] = ffai__sample(f->run->draw_logits, vocab_size, &f->step->draws[r], tokens, position + 1,
                                      position, f->run->sample_scratch);
        tokens[position + 1] = f->run->ids[r];
    }
}

void ref_execute(ref_run *run, const ffai__instruction *instruction, const ffai__step *step)
{
    static void (*const operations[FFAI__OP_COUNT])(const frame *) = {
#define OP(name, inputs, outputs, attributes, definition) run_##name,
#include "ops.def"
#undef OP
    };
    const frame f = {run, instruction, step};
    operations[instruction->op](&f);
}
