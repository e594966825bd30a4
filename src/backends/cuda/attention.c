/* Attention, and what prepares its heads. */
#include "attention.h"

#include "fold.h"
#include "products.h"

void ffai__attention_emit_store(ffai__maker *m)
{
    const ffai__instruction *instruction = m->instruction;
    const ffai__cuda_kv_store_args args = {
        .step = m->run->step,
        .store = m->run->each[m->run->program->values[instruction->in[2]].store],
        .keys = ffai__maker_address(m, instruction->in[0]),
        .values = ffai__maker_address(m, instruction->in[1]),
    };
    ffai__maker_over_work(
        ffai__maker_emit(m, FFAI__CUDA_KERNEL_kv_store, instruction->in[0], "store", &args, sizeof args),
        ffai__maker_columns(m, instruction->in[0]));
}

typedef struct attend_kernels {
    int32_t head_dim;
    ffai__cuda_kernel row[2], many[2]; /* by ffai__store_format */
} attend_kernels;

/* Tensor cores take stores of 16 bits and heads of these sizes: NULL for others. */
static const attend_kernels *attend_kernels_for(const ffai__cuda_store *store)
{
    static const attend_kernels kernels[] = {
#define ATTEND(n)                                                                                                      \
    {                                                                                                                  \
        n, {FFAI__CUDA_KERNEL_attend_f16_##n, FFAI__CUDA_KERNEL_attend_bf16_##n},                                      \
        {                                                                                                              \
            FFAI__CUDA_KERNEL_attend_many_f16_##n, FFAI__CUDA_KERNEL_attend_many_bf16_##n                              \
        }                                                                                                              \
    }
        ATTEND(32),
        ATTEND(64),
        ATTEND(96),
        ATTEND(128),
#undef ATTEND
    };
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        if (kernels[i].head_dim == store->head_dim && store->format != FFAI__STORE_F32)
            return &kernels[i];
    }
    return NULL;
}

/* Whether tiles of rows go through the store's pages together: queries and weights are then rounded once, as inputs of
 * products are. Not if a step might be single tokens of many sequences, which share no page. */
static bool attends_many(const ffai__maker *m, const ffai__cuda_store *store)
{
    const ffai__cuda_plan *plan = m->run->plan;
    const bool rounds = plan->activations == FFAI__ACTIVATIONS_DEFAULT || plan->activations == FFAI__ACTIVATIONS_BF16;
    return m->of->rows > FFAI__CUDA_FEW_ROWS && m->of->rows >= 4 * m->run->options.max_sequences && rounds &&
           attend_kernels_for(store) &&
           FFAI__CUDA_ATTEND_MANY_SHARED_BYTES(store->head_dim) + FFAI__CUDA_STATIC_SHARED_BYTES <=
               plan->opened.shared_bytes;
}

static const ffai__cuda_store *store_of(const ffai__maker *m, const ffai__instruction *attention)
{
    return &m->run->each[m->run->program->values[attention->in[1]].store];
}

void ffai__attention_emit_tiles(ffai__maker *m)
{
    const ffai__program *program = m->run->program;
    const ffai__cuda_attend_tiles_args args = {
        .step = m->run->step,
        .tiles = ffai__cuda_pointer(m->run->tiles),
        .tile_rows = m->run->tile_rows,
    };
    for (size_t i = 0; i < program->num_instructions; i++) {
        m->instruction = &program->instructions[i];
        if (m->instruction->op == FFAI__OP_attention && attends_many(m, store_of(m, m->instruction))) {
            ffai__maker_emit(m, FFAI__CUDA_KERNEL_attend_tiles, m->instruction->in[0], "tiles", &args, sizeof args);
            return;
        }
    }
}

/* Parts of the context: those of one row's are shared out among a few, but for a quarter of these there are blocks
 * enough in any case. */
static int32_t attend_splits(const ffai__maker *m, const ffai__instruction *attention)
{
    const int32_t rows = m->of->rows;
    if (rows > FFAI__CUDA_FEW_ROWS)
        return 1;
    const int32_t blocks = rows * store_of(m, attention)->heads;
    const int32_t splits = 4 * m->run->plan->opened.multiprocessors / blocks;
    return rows == 1 || m->run->splits < splits ? m->run->splits : splits > 1 ? splits : 1;
}

static ffai__cuda_attention_args attention_args(const ffai__maker *m)
{
    const ffai__instruction *instruction = m->instruction;
    return (ffai__cuda_attention_args){
        .step = m->run->step,
        .store = *store_of(m, instruction),
        .q = ffai__maker_address(m, instruction->in[0]),
        .y = ffai__maker_address(m, instruction->out[0]),
        .partials = ffai__cuda_pointer(m->run->partials),
        .splits = attend_splits(m, instruction),
        .heads = instruction->attributes.attention.num_attention_heads,
        .scale = instruction->attributes.attention.scale,
        .window = instruction->attributes.attention.window,
    };
}

/* Whether what prepares the heads of the attention at `index` is done in one: by its own kernel in steps of one row, by
 * another in others. */
static bool folds_heads(ffai__fold_attention *fold, const ffai__maker *m, size_t index)
{
    const ffai__cuda_run *run = m->run;
    if (run->program->instructions[index].op != FFAI__OP_attention || run->options.keep_values ||
        !ffai__fold_attention_find(fold, run->program, index))
        return false;
    return fold->q_rope == SIZE_MAX || run->angles[fold->q_rope] == run->angles[fold->k_rope];
}

static bool attends_one_row(const ffai__maker *m)
{
    return m->of->rows == 1 && attend_kernels_for(store_of(m, m->instruction));
}

void ffai__attention_mark_folded(ffai__maker *m)
{
    for (size_t i = 0; i < m->run->program->num_instructions; i++) {
        ffai__fold_attention fold;
        if (!folds_heads(&fold, m, i))
            continue;
        const size_t parts[] = {fold.store, fold.q_rope, fold.k_rope, fold.q_norm, fold.k_norm};
        for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
            if (parts[k] != SIZE_MAX)
                m->done[parts[k]] = true;
        }
    }
}

static const float *norm_of(const ffai__maker *m, size_t index, float *eps)
{
    if (index == SIZE_MAX)
        return NULL;
    const ffai__instruction *norm = &m->run->program->instructions[index];
    *eps = norm->attributes.rms_norm.eps;
    return ffai__maker_vector(m, norm->in[1]);
}

static void fold_heads(ffai__cuda_attend_args *args, const ffai__maker *m, const ffai__fold_attention *fold)
{
    args->fused = 1;
    args->attention.q = ffai__maker_address(m, fold->q);
    args->keys = ffai__maker_address(m, fold->k);
    args->values = ffai__maker_address(m, fold->v);
    args->q_norm = norm_of(m, fold->q_norm, &args->q_eps);
    args->k_norm = norm_of(m, fold->k_norm, &args->k_eps);
    if (fold->q_rope == SIZE_MAX)
        return;
    args->angles = ffai__cuda_pointer(m->run->angles[fold->q_rope]);
    args->dims = m->run->program->instructions[fold->q_rope].attributes.rope.dims;
}

static void emit_attend_many(ffai__maker *m)
{
    const int32_t splits = ffai__cuda_attend_splits(m->run, m->of->rows);
    ffai__cuda_attend_many_args args = {.attention = attention_args(m), .tiles = ffai__cuda_pointer(m->run->tiles)};
    const ffai__cuda_store *store = &args.attention.store;
    const ffai__value q = m->instruction->in[0];
    args.attention.splits = splits;
    args.sets = FFAI__CUDA_ATTEND_MANY_SETS(args.attention.heads / store->heads);
    ffai__cuda_operation *operation =
        ffai__maker_emit(m, attend_kernels_for(store)->many[store->format], q, "attend", &args, sizeof args);
    operation->grid = FFAI__CUDA_GRID_ATTEND_MANY;
    operation->attends = true;
    operation->blocks = (unsigned)(store->heads * args.sets * splits);
    operation->rows_a_block = (unsigned)m->run->tile_rows;
    operation->threads = FFAI__CUDA_ATTEND_MANY_THREADS;
    operation->shared_bytes = (unsigned)FFAI__CUDA_ATTEND_MANY_SHARED_BYTES(store->head_dim);
    if (splits > 1)
        ffai__maker_over_work(ffai__maker_emit(m, FFAI__CUDA_KERNEL_attend_many_merge, q, "merge", &args.attention,
                                               sizeof args.attention),
                              (int64_t)args.attention.heads * 32);
}

/* The few rows' product right behind it whose input this attention may lay out itself; NULL: there is none. */
static const ffai__instruction *folded_input(const ffai__maker *m, int head_dim)
{
    const ffai__value y = m->instruction->out[0];
    const ffai__instruction *product = ffai__fold_product(m->run->program, y);
    if (!product || product != m->instruction + 1 || m->run->options.keep_values || ffai__maker_is_one_row(m, y) ||
        m->of->rows >= FFAI__CUDA_MANY_ROWS)
        return NULL;
    return ffai__maker_columns(m, y) % FFAI__CUDA_TILE_COLUMNS == 0 && head_dim % FFAI__CUDA_BLOCK_COLUMNS == 0
               ? product
               : NULL;
}

/* The attention's y as the input of the product that alone reads it. */
static void fold_input(ffai__cuda_attend_args *args, ffai__maker *m)
{
    const ffai__instruction *product = folded_input(m, args->attention.store.head_dim);
    if (!product)
        return;
    const ffai__cuda_matrix *matrix = &m->run->plan->matrices[product->in[1]];
    const int32_t pieces = ffai__product_pieces_at(m, (size_t)(product - m->run->program->instructions));
    const ffai__cuda_order order = ffai__product_few_order(m, product->in[0], pieces);
    args->next = ffai__prepare_args(m, matrix, product->in[0], pieces, order);
    ffai__prepare_set(m, product->in[0], matrix->subgroups, pieces, order);
}

static void emit_attend(ffai__maker *m)
{
    ffai__fold_attention fold;
    ffai__cuda_attend_args args = {.attention = attention_args(m), .arrived = ffai__cuda_pointer(m->run->arrived)};
    const ffai__cuda_store *store = &args.attention.store;
    if (attends_one_row(m) && folds_heads(&fold, m, m->index))
        fold_heads(&args, m, &fold);
    fold_input(&args, m);
    const int group = args.attention.heads / store->heads;
    /* Where rows are many, two blocks with half the warps are on a multiprocessor at once. */
    const int warps = m->of->rows > FFAI__CUDA_FEW_ROWS ? FFAI__CUDA_ATTEND_WARPS / 2 : FFAI__CUDA_ATTEND_WARPS;
    ffai__cuda_operation *operation = ffai__maker_emit(m, attend_kernels_for(store)->row[store->format],
                                                       m->instruction->in[0], "attend", &args, sizeof args);
    operation->grid = FFAI__CUDA_GRID_ATTEND;
    operation->attends = true;
    operation->blocks =
        (unsigned)(store->heads * ((group + FFAI__CUDA_ATTEND_QUERIES - 1) / FFAI__CUDA_ATTEND_QUERIES));
    operation->parts = (unsigned)args.attention.splits;
    operation->threads = 32 * (unsigned)warps;
    operation->shared_bytes = (unsigned)FFAI__CUDA_ATTEND_SHARED_BYTES(store->head_dim, warps);
}

/* Any store and heads. */
static void emit_attend_any(ffai__maker *m)
{
    const ffai__cuda_attention_args args = attention_args(m);
    const ffai__value q = m->instruction->in[0];
    ffai__cuda_operation *attend = ffai__maker_emit(m, FFAI__CUDA_KERNEL_attend_any, q, "attend", &args, sizeof args);
    attend->grid = FFAI__CUDA_GRID_ATTEND;
    attend->attends = true;
    attend->blocks = (unsigned)args.store.heads;
    attend->parts = (unsigned)args.splits;
    attend->shared_bytes =
        (unsigned)(FFAI__CUDA_ATTEND_HEADS * (2 * args.store.head_dim + FFAI__CUDA_STRETCH + 2) * (int)sizeof(float));
    if (args.splits > 1)
        ffai__maker_over_work(ffai__maker_emit(m, FFAI__CUDA_KERNEL_attend_any_merge, q, "merge", &args, sizeof args),
                              (int64_t)args.heads * 32);
}

/* The heads of a step of several rows, of which the norms, turns and stores are marked as done. */
static void emit_heads(ffai__maker *m)
{
    ffai__fold_attention fold;
    if (attends_one_row(m) || !folds_heads(&fold, m, m->index))
        return;
    const ffai__instruction *attention = m->instruction;
    const bool turns = fold.q != attention->in[0];
    ffai__cuda_attend_args folded = {.attention = attention_args(m)};
    fold_heads(&folded, m, &fold);
    ffai__cuda_heads_args args = {
        .step = m->run->step,
        .store = folded.attention.store,
        .keys = ffai__maker_take_result(m, fold.k),
        .values = ffai__maker_take_result(m, fold.v),
        .turned = turns ? ffai__maker_address(m, attention->in[0]) : NULL,
        .q_norm = folded.q_norm,
        .k_norm = folded.k_norm,
        .q_eps = folded.q_eps,
        .k_eps = folded.k_eps,
        .angles = folded.angles,
        .dims = folded.dims,
        .heads = folded.attention.heads,
    };
    if (turns)
        args.q = ffai__maker_take_result(m, fold.q);
    ffai__cuda_operation *operation =
        ffai__maker_emit(m, FFAI__CUDA_KERNEL_heads, attention->in[0], "heads", &args, sizeof args);
    operation->threads = FFAI__CUDA_HEADS_THREADS;
    operation->shared_bytes = (unsigned)FFAI__CUDA_HEADS_SHARED_BYTES(args.store.head_dim);
    ffai__maker_over_work(operation, (int64_t)32 * (args.heads + 2 * args.store.heads));
}

void ffai__attention_emit(ffai__maker *m)
{
    const ffai__cuda_store *store = store_of(m, m->instruction);
    emit_heads(m);
    if (attends_many(m, store))
        emit_attend_many(m);
    else if (attend_kernels_for(store))
        emit_attend(m);
    else
        emit_attend_any(m);
}
