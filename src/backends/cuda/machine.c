/* What a device can do at most, timed by its own events. */
#include "machine.h"

#include <stdio.h>

#include "cuda.h"

#define MOST_BYTES ((uint64_t)4 << 30)
enum { READS = 5, READ_BLOCKS = 8, PRODUCT_ROUNDS = 1500, REGISTER_THREADS = 256, GROUP_THREADS = 256 };

typedef struct measuring {
    ffai__cuda_opened opened;
    ffai__cuda_stream stream;
    ffai__cuda_event start, end;
    ffai__cuda_address data, sink;
    uint64_t bytes;
} measuring;

static ffai_status check(const measuring *m, ffai__cuda_result result, ffai_error *err)
{
    return ffai__cuda_check(m->opened.driver, result, "measuring", err);
}

/* Seconds of one launch, the least of several. */
static ffai_status time_launch(double *seconds, const measuring *m, ffai__cuda_kernel kernel, unsigned blocks,
                               unsigned threads, unsigned shared_bytes, ffai__cuda_machine_args *args, ffai_error *err)
{
    const ffai__cuda_driver *driver = m->opened.driver;
    const unsigned grid[3] = {blocks, 1, 1};
    for (int i = 0; i < READS; i++) {
        float milliseconds = 0;
        FFAI__TRY(check(m, driver->event_record(m->start, m->stream), err));
        FFAI__TRY(ffai__cuda_launch_kernel(&m->opened, m->stream, kernel, grid, threads, shared_bytes, args, err));
        FFAI__TRY(check(m, driver->event_record(m->end, m->stream), err));
        FFAI__TRY(check(m, driver->event_wait(m->end), err));
        FFAI__TRY(check(m, driver->event_milliseconds(&milliseconds, m->start, m->end), err));
        const double own = (double)milliseconds * 1e-3;
        *seconds = i == 0 || own < *seconds ? own : *seconds;
    }
    return FFAI_OK;
}

static ffai_status measure_reading(ffai__machine *machine, const measuring *m, ffai_error *err)
{
    double seconds = 0;
    ffai__cuda_machine_args args = {
        .data = ffai__cuda_pointer(m->data), .count = (int64_t)(m->bytes / 16), .sink = ffai__cuda_pointer(m->sink)};
    FFAI__TRY(time_launch(&seconds, m, FFAI__CUDA_KERNEL_read_memory, READ_BLOCKS * (unsigned)m->opened.multiprocessors,
                          256, 0, &args, err));
    machine->read_bytes_s = seconds > 0 ? (double)m->bytes / seconds : 0;
    return FFAI_OK;
}

/* Of whole groups of warps where there is such an instruction, else of single warps. */
static ffai_status measure_multiplying(ffai__machine *machine, const measuring *m, ffai_error *err)
{
    const unsigned blocks = (unsigned)m->opened.multiprocessors;
    ffai__cuda_machine_args args = {.count = PRODUCT_ROUNDS, .sink = ffai__cuda_pointer(m->sink)};
    double seconds = 0;
    FFAI__TRY(
        time_launch(&seconds, m, FFAI__CUDA_KERNEL_multiply_registers, 2 * blocks, REGISTER_THREADS, 0, &args, err));
    const unsigned warps = 2 * blocks * (REGISTER_THREADS / 32);
    machine->matmul_flop_s = seconds > 0 ? (double)warps * PRODUCT_ROUNDS * 8 * 2 * 16 * 8 * 16 / seconds : 0;
    machine->instruction = "mma.sync m16n8k16 bf16";
    if (m->opened.compute != 90)
        return FFAI_OK;
    FFAI__TRY(time_launch(&seconds, m, FFAI__CUDA_KERNEL_multiply_groups, blocks, GROUP_THREADS,
                          FFAI__CUDA_MACHINE_SHARED_BYTES, &args, err));
    uint32_t there = 0;
    FFAI__TRY(check(m, m->opened.driver->copy_out(&there, m->sink, sizeof there, m->stream), err));
    FFAI__TRY(check(m, m->opened.driver->stream_wait(m->stream), err));
    const unsigned groups = blocks * (GROUP_THREADS / 128);
    const double rate = seconds > 0 ? (double)groups * PRODUCT_ROUNDS * 4 * 2 * 64 * 256 * 16 / seconds : 0;
    if (there == 1 && rate > machine->matmul_flop_s) {
        machine->matmul_flop_s = rate;
        machine->instruction = "wgmma m64n256k16 bf16";
    }
    return FFAI_OK;
}

static ffai_status prepare(measuring *m, ffai_error *err)
{
    const ffai__cuda_driver *driver = m->opened.driver;
    uint64_t available = 0;
    FFAI__TRY(ffai__cuda_memory_available(&available, m->opened.number, err));
    m->bytes = (available / 2 < MOST_BYTES ? available / 2 : MOST_BYTES) / 4096 * 4096;
    FFAI__TRY(check(m, driver->stream_create(&m->stream, FFAI__CUDA_STREAM_ALONE), err));
    FFAI__TRY(check(m, driver->event_create(&m->start, 0), err));
    FFAI__TRY(check(m, driver->event_create(&m->end, 0), err));
    FFAI__TRY(ffai__cuda_allocate(&m->sink, sizeof(uint32_t), "measuring", &m->opened, err));
    FFAI__TRY(ffai__cuda_allocate(&m->data, m->bytes, "measuring", &m->opened, err));
    FFAI__TRY(check(m, driver->fill_bytes(m->data, 1, m->bytes, m->stream), err));
    return check(m, driver->fill_bytes(m->sink, 0, sizeof(uint32_t), m->stream), err);
}

static void finish(const measuring *m)
{
    const ffai__cuda_driver *driver = m->opened.driver;
    if (m->data)
        driver->memory_free(m->data);
    if (m->sink)
        driver->memory_free(m->sink);
    if (m->end)
        driver->event_destroy(m->end);
    if (m->start)
        driver->event_destroy(m->start);
    if (m->stream)
        driver->stream_destroy(m->stream);
}

static ffai_status measure_in_context(ffai__machine *machine, measuring *m, ffai_error *err)
{
    FFAI__TRY(ffai__cuda_enter(&m->opened, err));
    ffai_status status = prepare(m, err);
    if (status == FFAI_OK)
        status = measure_reading(machine, m, err);
    if (status == FFAI_OK)
        status = measure_multiplying(machine, m, err);
    finish(m);
    ffai__cuda_leave(&m->opened);
    return status;
}

static const char *isa_name(int compute)
{
    static const struct {
        int compute;
        const char *name;
    } known[] = {{75, "sm_75"}, {80, "sm_80"},   {86, "sm_86"},   {87, "sm_87"},   {89, "sm_89"},
                 {90, "sm_90"}, {100, "sm_100"}, {103, "sm_103"}, {120, "sm_120"}, {121, "sm_121"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (known[i].compute == compute)
            return known[i].name;
    }
    return "cuda";
}

ffai_status ffai__cuda_measure(ffai__machine *machine, const ffai__plan_options *options, ffai_error *err)
{
    measuring m = {.bytes = 0};
    *machine = (ffai__machine){0};
    ffai_status status = ffai__cuda_open_device(&m.opened, options->device, err);
    if (status == FFAI_OK)
        status = ffai__cuda_open_kernels(&m.opened, err);
    if (status == FFAI_OK)
        status = measure_in_context(machine, &m, err);
    machine->isa = isa_name(m.opened.compute);
    ffai__cuda_close_device(&m.opened);
    return status;
}

double ffai__cuda_read_weights(ffai__run *base)
{
    const ffai__cuda_run *run = (const ffai__cuda_run *)base;
    measuring m = {.opened = run->plan->opened, .stream = run->stream, .bytes = run->plan->matrix_bytes};
    const ffai__cuda_driver *driver = m.opened.driver;
    ffai__machine machine = {0};
    m.data = run->plan->weights;
    m.sink = run->partials; /* of attention, which every step writes before it reads */
    if (ffai__cuda_enter(&m.opened, NULL) != FFAI_OK)
        return 0;
    if (driver->event_create(&m.start, 0) == FFAI__CUDA_SUCCESS &&
        driver->event_create(&m.end, 0) == FFAI__CUDA_SUCCESS)
        measure_reading(&machine, &m, NULL);
    if (m.end)
        driver->event_destroy(m.end);
    if (m.start)
        driver->event_destroy(m.start);
    ffai__cuda_leave(&m.opened);
    return machine.read_bytes_s;
}
