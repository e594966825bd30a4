/* Speed: the machine's ceilings, a step's work, and where steps spend their time. */
#include "session.h"

ffai_status ffai_machine_measure(ffai_machine *machine, const ffai_model_options *options,
                                 bool (*on_progress)(void *context, double fraction), void *context, ffai_error *err)
{
    static const ffai_model_options defaults = FFAI_MODEL_OPTIONS_INIT;
    ffai__backend_choice choice;
    ffai__machine measured;
    options = options ? options : &defaults;
    FFAI__TRY(ffai__backend_choose(&choice, options->backend, options->device, err));
    const ffai__plan_options how = {
        .device = choice.device, .threads = options->threads, .progress = on_progress, .progress_context = context};
    if (!choice.backend->measure)
        return ffai__fail(err, FFAI_E_UNSUPPORTED, "measure: the backend %s cannot be measured", choice.backend->name);
    FFAI__TRY(choice.backend->measure(&measured, &how, err));
    *machine = (ffai_machine){.backend = choice.backend->name,
                              .read_bytes_s = measured.read_bytes_s,
                              .matmul_flop_s = measured.matmul_flop_s,
                              .instruction = measured.instruction,
                              .isa = measured.isa,
                              .threads = measured.threads};
    return FFAI_OK;
}

double ffai_session_read_weights(ffai_session *s)
{
    return s->model->backend->read_weights ? s->model->backend->read_weights(s->run) : 0;
}

static int64_t attended(int64_t seen, int64_t window)
{
    return window && window < seen ? window : seen;
}

/* Sum of the positions that rows from depth on attend to. */
static double attended_by_all(int64_t depth, int64_t rows, int64_t window)
{
    double sum = 0;
    for (int64_t i = 0; i < rows; i++)
        sum += (double)attended(depth + i + 1, window);
    return sum;
}

static void add_product(ffai_step_work *work, const ffai__program *program, const ffai__instruction *instruction,
                        double rows)
{
    for (int i = 0; i < FFAI__MAX_INPUTS; i++) {
        const ffai__weight *weight = ffai__weight_of(program, instruction->in[i]);
        if (weight && weight->rank == 2 && instruction->op != FFAI__OP_embed)
            work->product_flops += 2.0 * (double)weight->rows * (double)weight->columns * rows;
    }
}

static void add_attention(ffai_step_work *work, const ffai_session *s, const ffai__instruction *instruction,
                          int64_t depth, int64_t rows)
{
    const ffai__program *program = s->model->program;
    const int64_t window = instruction->attributes.attention.window;
    const ffai__store *store = &program->stores[ffai__value_of(program, instruction->in[1])->store];
    const double element = (double)ffai__dtype_size(ffai__store_dtype(s->options.store_format));
    const double position = 2 * element * store->num_key_value_heads * store->head_dim;
    const double width = (double)instruction->attributes.attention.num_attention_heads * store->head_dim;
    /* The first row's window begins first. */
    const int64_t first = depth + 1 - attended(depth + 1, window);
    work->store_bytes += (uint64_t)(position * (double)(depth + rows - first));
    work->attention_flops += 4 * width * attended_by_all(depth, rows, window);
}

void ffai_session_work(ffai_step_work *work, const ffai_session *s, int64_t depth, int64_t rows, int64_t outputs)
{
    const ffai__program *program = s->model->program;
    ffai__memory_use use;
    s->model->backend->memory(s->run, &use);
    *work = (ffai_step_work){.weight_bytes = use.weights};
    for (size_t i = 0; i < program->num_instructions; i++) {
        const ffai__instruction *instruction = &program->instructions[i];
        if (instruction->op == FFAI__OP_attention) {
            add_attention(work, s, instruction, depth, rows);
            continue;
        }
        const ffai__value out = instruction->out[0];
        const bool of_outputs = out != FFAI__NONE && program->values[out].rows == FFAI__ROWS_R;
        add_product(work, program, instruction, (double)(of_outputs ? outputs : rows));
    }
}

ffai_status ffai_session_profile(ffai_session *s, bool on, ffai_error *err)
{
    if (!s->model->backend->profile)
        return ffai__fail(err, FFAI_E_UNSUPPORTED, "profile: the backend %s cannot be timed", s->model->backend->name);
    return s->model->backend->profile(s->run, on, err);
}

size_t ffai_session_profile_read(ffai_op_time *times, size_t room, const ffai_session *s)
{
    enum { MOST = 256 };
    ffai__op_time found[MOST];
    if (!s->model->backend->profile_read)
        return 0;
    const size_t count = s->model->backend->profile_read(s->run, found, MOST);
    for (size_t i = 0; i < count && i < room && i < MOST; i++)
        times[i] = (ffai_op_time){found[i].op,      found[i].part,  found[i].count,
                                  found[i].seconds, found[i].bytes, found[i].flops};
    return count;
}
