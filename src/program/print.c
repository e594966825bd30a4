/* The listing of a program. */
#include <stdarg.h>
#include <string.h>

#include "program.h"

typedef struct {
    char *text;
    size_t size;
    size_t length;
} line;

static void put(line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(line *l, const char *format, ...)
{
    if (l->length >= l->size)
        return;
    va_list arguments;
    va_start(arguments, format);
    const int wrote = vsnprintf(l->text + l->length, l->size - l->length, format, arguments);
    va_end(arguments);
    if (wrote > 0)
        l->length += (size_t)wrote;
}

static void put_value(line *l, const ffai__program *program, ffai__value value)
{
    if (value < 0 || (size_t)value >= program->num_values) {
        put(l, " ?");
        return;
    }
    const ffai__value_info *info = &program->values[value];
    const char *rows = info->rows == FFAI__ROWS_R ? "R" : "T";
    char format[32];
    switch (info->kind) {
    case FFAI__ACTIVATION:
        put(l, " v%d [%s,%lld]", value, rows, (long long)info->columns);
        break;
    case FFAI__IDS:
        put(l, " v%d [%s] ids", value, rows);
        break;
    case FFAI__WEIGHT:
        put(l, " %s %s", info->weight->name, ffai__weight_format_text(info->weight, format));
        break;
    case FFAI__STORE:
        put(l, " kv%d", info->store);
        break;
    case FFAI__TOKENS:
        put(l, " tokens");
        break;
    }
}

static void put_values(line *l, const ffai__program *program, const ffai__value *values, int most)
{
    const char *separator = "";
    for (int i = 0; i < most; i++) {
        if (values[i] == FFAI__NONE)
            continue;
        put(l, "%s", separator);
        put_value(l, program, values[i]);
        separator = ",";
    }
}

/* 0 where the program is broken: the verifier's messages print that, too. */
static int64_t count_heads(const ffai__program *program, ffai__value x, int head_dim)
{
    const bool known = x >= 0 && (size_t)x < program->num_values && head_dim > 0;
    return known ? program->values[x].columns / head_dim : 0;
}

static void put_attributes(line *l, const ffai__program *program, const ffai__instruction *instruction)
{
    const ffai__attributes *a = &instruction->attributes;
    switch (instruction->op) {
    case FFAI__OP_rms_norm:
        put(l, "  eps %g", (double)a->rms_norm.eps);
        break;
    case FFAI__OP_rope:
        put(l, "  %lld heads of %d", (long long)count_heads(program, instruction->in[0], a->rope.head_dim),
            a->rope.head_dim);
        break;
    case FFAI__OP_attention:
        put(l, "  %d/%d heads of %d", a->attention.num_attention_heads, a->attention.num_key_value_heads,
            a->attention.head_dim);
        if (a->attention.window)
            put(l, " window %lld", (long long)a->attention.window);
        break;
    default:
        break;
    }
}

void ffai__instruction_print(char *text, size_t size, const ffai__program *program, size_t index)
{
    const ffai__instruction *instruction = &program->instructions[index];
    line l = {text, size, 0};
    if (size)
        text[0] = 0;
    put(&l, "%-13s", ffai__ops[instruction->op].name);
    put_values(&l, program, instruction->out, FFAI__MAX_OUTPUTS);
    put(&l, " <-");
    put_values(&l, program, instruction->in, FFAI__MAX_INPUTS);
    put_attributes(&l, program, instruction);
}

/* "2.4 MB" in decimal units. */
static void put_amount(FILE *out, uint64_t amount, const char *unit)
{
    static const char *const prefixes[] = {"", "k", "M", "G", "T"};
    double value = (double)amount;
    size_t i = 0;
    while (value >= 1000 && i + 1 < sizeof prefixes / sizeof prefixes[0]) {
        value /= 1000;
        i++;
    }
    fprintf(out, i ? "  %.1f %s%s" : "  %.0f %s%s", value, prefixes[i], unit);
}

void ffai__program_print(FILE *out, const ffai__program *program, const char *title)
{
    uint64_t bytes = 0;
    uint64_t flops = 0;
    for (size_t i = 0; i < program->num_instructions; i++) {
        bytes += ffai__instruction_bytes(program, i);
        flops += ffai__instruction_flops(program, i);
    }
    fprintf(out, "%s  %d layers  %zu instructions  step = T rows, R of them with output\n", title, program->num_layers,
            program->num_instructions);
    fprintf(out, "one row reads");
    put_amount(out, bytes, "B");
    fprintf(out, " and computes");
    put_amount(out, flops, "FLOP");
    fprintf(out, " besides attention\n");
    const char *scope = "";
    for (size_t i = 0; i < program->num_instructions; i++) {
        char text[1024];
        if (strcmp(scope, program->instructions[i].scope) != 0) {
            scope = program->instructions[i].scope;
            fprintf(out, "%s:\n", scope[0] ? scope : "(top)");
        }
        ffai__instruction_print(text, sizeof text, program, i);
        fprintf(out, "%5zu  %s", i, text);
        if (ffai__instruction_bytes(program, i)) {
            put_amount(out, ffai__instruction_bytes(program, i), "B");
            put_amount(out, ffai__instruction_flops(program, i), "FLOP/row");
        }
        fputc('\n', out);
    }
}
