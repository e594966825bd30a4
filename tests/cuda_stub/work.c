/* What streams do, at once or, while they capture, later. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "internal.h"
#include "launch.h"

typedef enum node_kind { A_KERNEL, A_COPY, A_FILL } node_kind;

typedef struct node {
    node_kind kind;
    const cuda_model_kernel *kernel;
    void *args; /* the node's own */
    cuda_model_index grid;
    unsigned threads;
    unsigned shared_bytes;
    void *to;
    const void *from;
    size_t bytes;
    unsigned char value;
    bool from_device, to_device; /* these ranges must be allocated when it is done */
} node;

typedef struct nodes {
    node *list;
    size_t count;
} nodes;

struct ffai__cuda_graph_of_nodes {
    stub_object object;
    nodes nodes;
};

struct ffai__cuda_instance_of_a_graph {
    stub_object object;
    nodes nodes;
};

struct ffai__cuda_stream_of_a_context {
    stub_object object;
    ffai__cuda_graph capture; /* NULL: it does not */
};

struct ffai__cuda_event_of_a_context {
    stub_object object;
    unsigned flags;
    bool recorded;
    double seconds;
};

static _Thread_local int captures;

bool stub_thread_captures(void)
{
    return captures;
}

static void *copy_of(const void *bytes, size_t size)
{
    return memcpy(stub_memory(size), bytes, size);
}

static void append(nodes *to, node what)
{
    node *list = stub_memory((to->count + 1) * sizeof *list);
    if (to->count)
        memcpy(list, to->list, to->count * sizeof *list);
    if (what.kind == A_KERNEL)
        what.args = copy_of(what.args, what.kernel->args_bytes);
    free(to->list);
    list[to->count++] = what;
    to->list = list;
}

static void free_nodes(nodes *gone)
{
    for (size_t i = 0; i < gone->count; i++) {
        if (gone->list[i].kind == A_KERNEL)
            free(gone->list[i].args);
    }
    free(gone->list);
}

static bool ranges_are_allocated(const node *n)
{
    return (!n->to_device || stub_is_allocated((uintptr_t)n->to, n->bytes)) &&
           (!n->from_device || stub_is_allocated((uintptr_t)n->from, n->bytes));
}

static void run_kernel(const node *n)
{
    const char *fault = cuda_model_launch_grid(n->kernel, n->grid, n->threads, n->shared_bytes, n->args);
    if (fault) {
        fprintf(stderr, "stub driver: %s\n", fault);
        stub_set_fault(LAUNCH_FAILED);
    }
}

/* A fault is found by whoever asks next. */
static void perform(const node *n)
{
    if (stub_device_fault() != FFAI__CUDA_SUCCESS)
        return;
    if (n->kind == A_KERNEL) {
        run_kernel(n);
    } else if (!ranges_are_allocated(n)) {
        fputs("stub driver: a graph copies or fills memory that was freed\n", stderr);
        stub_set_fault(ILLEGAL_ADDRESS);
    } else if (n->kind == A_COPY) {
        memmove(n->to, n->from, n->bytes);
    } else {
        memset(n->to, n->value, n->bytes);
    }
}

/* NULL is the default stream. */
static bool is_stream(ffai__cuda_stream stream)
{
    return !stream || stub_is_open(stream, A_STREAM);
}

static ffai__cuda_result submit(ffai__cuda_stream stream, node what)
{
    if (!is_stream(stream))
        return INVALID_HANDLE;
    if (stream && stream->capture) {
        append(&stream->capture->nodes, what);
        return FFAI__CUDA_SUCCESS;
    }
    stub_count_submission();
    perform(&what);
    return FFAI__CUDA_SUCCESS;
}

static ffai__cuda_result submit_bytes(ffai__cuda_stream stream, node what)
{
    return ranges_are_allocated(&what) ? submit(stream, what) : INVALID_VALUE;
}

ffai__cuda_result cuMemcpyHtoDAsync_v2(ffai__cuda_address to, const void *from, size_t bytes, ffai__cuda_stream stream)
{
    CALLED_ON_DEVICE(cuMemcpyHtoDAsync_v2);
    return submit_bytes(
        stream, (node){.kind = A_COPY, .to = (void *)(uintptr_t)to, .to_device = true, .from = from, .bytes = bytes});
}

ffai__cuda_result cuMemcpyDtoHAsync_v2(void *to, ffai__cuda_address from, size_t bytes, ffai__cuda_stream stream)
{
    CALLED_ON_DEVICE(cuMemcpyDtoHAsync_v2);
    return submit_bytes(
        stream, (node){.kind = A_COPY, .to = to, .from = (void *)(uintptr_t)from, .from_device = true, .bytes = bytes});
}

ffai__cuda_result cuMemcpyDtoDAsync_v2(ffai__cuda_address to, ffai__cuda_address from, size_t bytes,
                                       ffai__cuda_stream stream)
{
    CALLED_ON_DEVICE(cuMemcpyDtoDAsync_v2);
    return submit_bytes(stream, (node){.kind = A_COPY,
                                       .to = (void *)(uintptr_t)to,
                                       .to_device = true,
                                       .from = (void *)(uintptr_t)from,
                                       .from_device = true,
                                       .bytes = bytes});
}

ffai__cuda_result cuMemsetD8Async(ffai__cuda_address at, unsigned char value, size_t bytes, ffai__cuda_stream stream)
{
    CALLED_ON_DEVICE(cuMemsetD8Async);
    return submit_bytes(
        stream, (node){.kind = A_FILL, .to = (void *)(uintptr_t)at, .to_device = true, .value = value, .bytes = bytes});
}

static ffai__cuda_result refuse(const ffai__cuda_launch *launch, ffai__cuda_function function, const char *why)
{
    fprintf(stderr, "stub driver: kernel %s: %s: grid %u x %u x %u, block %u x %u x %u, %u bytes of shared memory\n",
            function->kernel->name, why, launch->grid_x, launch->grid_y, launch->grid_z, launch->block_x,
            launch->block_y, launch->block_z, launch->shared_bytes);
    return INVALID_VALUE;
}

static ffai__cuda_result check_launch(const ffai__cuda_launch *launch, ffai__cuda_function function)
{
    const cuda_model_index grid = {launch->grid_x, launch->grid_y, launch->grid_z};
    const char *why = cuda_model_refusal(function->kernel, grid, launch->block_x, launch->shared_bytes);
    if (why)
        return refuse(launch, function, why);
    if (launch->block_y != 1 || launch->block_z != 1)
        return refuse(launch, function, "blocks are one-dimensional here");
    if (launch->shared_bytes > function->most_shared_bytes)
        return refuse(launch, function, "the function's attribute was not set for so much shared memory");
    for (unsigned i = 0; i < launch->num_attributes; i++) {
        if (launch->attributes[i].which != FFAI__CUDA_LAUNCH_PROGRAMMATIC)
            return refuse(launch, function, "an attribute that the stub does not know");
    }
    return FFAI__CUDA_SUCCESS;
}

ffai__cuda_result cuLaunchKernelEx(const ffai__cuda_launch *launch, ffai__cuda_function function, void **arguments,
                                   void **extra)
{
    CALLED_ON_DEVICE(cuLaunchKernelEx);
    if (!stub_is_open(function, A_FUNCTION))
        return INVALID_HANDLE;
    if (!arguments || !arguments[0] || extra)
        return INVALID_VALUE;
    TRY(check_launch(launch, function));
    return submit(launch->stream, (node){.kind = A_KERNEL,
                                         .kernel = function->kernel,
                                         .args = arguments[0],
                                         .grid = {launch->grid_x, launch->grid_y, launch->grid_z},
                                         .threads = launch->block_x,
                                         .shared_bytes = launch->shared_bytes});
}

ffai__cuda_result cuStreamCreate(ffai__cuda_stream *stream, unsigned flags)
{
    CALLED_ON_DEVICE(cuStreamCreate);
    if (flags > FFAI__CUDA_STREAM_ALONE)
        return INVALID_VALUE;
    *stream = stub_open(A_STREAM, sizeof **stream);
    return FFAI__CUDA_SUCCESS;
}

static void drop_capture(ffai__cuda_stream stream)
{
    free_nodes(&stream->capture->nodes);
    stub_close(stream->capture);
    stream->capture = NULL;
    captures--;
}

ffai__cuda_result cuStreamDestroy_v2(ffai__cuda_stream stream)
{
    CALLED(cuStreamDestroy_v2);
    if (!stub_is_open(stream, A_STREAM))
        return INVALID_HANDLE;
    if (stream->capture)
        drop_capture(stream);
    stub_close(stream);
    return stub_device_fault();
}

static ffai__cuda_result wait_for_all(void)
{
    if (stub_wait_fails())
        stub_set_fault(ILLEGAL_ADDRESS);
    return stub_device_fault();
}

ffai__cuda_result cuStreamSynchronize(ffai__cuda_stream stream)
{
    CALLED_ON_DEVICE(cuStreamSynchronize);
    if (!is_stream(stream))
        return INVALID_HANDLE;
    return stream && stream->capture ? NOT_WHILE_CAPTURING : wait_for_all();
}

ffai__cuda_result cuStreamBeginCapture_v2(ffai__cuda_stream stream, int mode)
{
    CALLED_ON_DEVICE(cuStreamBeginCapture_v2);
    if (!stub_is_open(stream, A_STREAM))
        return INVALID_HANDLE;
    if (stream->capture || mode != FFAI__CUDA_CAPTURE_THREAD)
        return INVALID_VALUE;
    stream->capture = stub_open(A_GRAPH, sizeof *stream->capture);
    captures++;
    return FFAI__CUDA_SUCCESS;
}

/* As with a driver, a capture that is ended is over, even where this gives no graph. */
ffai__cuda_result cuStreamEndCapture(ffai__cuda_stream stream, ffai__cuda_graph *graph)
{
    LOCKED;
    const ffai__cuda_result result = stub_call(CALL_cuStreamEndCapture);
    TRY(stub_device_works());
    if (!stub_is_open(stream, A_STREAM))
        return INVALID_HANDLE;
    if (!stream->capture)
        return INVALID_VALUE;
    if (result != FFAI__CUDA_SUCCESS) {
        drop_capture(stream);
        return result;
    }
    *graph = stream->capture;
    stream->capture = NULL;
    captures--;
    return FFAI__CUDA_SUCCESS;
}

ffai__cuda_result cuGraphInstantiateWithFlags(ffai__cuda_graph_exec *exec, ffai__cuda_graph graph,
                                              unsigned long long flags)
{
    CALLED_ON_DEVICE(cuGraphInstantiateWithFlags);
    if (!stub_is_open(graph, A_GRAPH))
        return INVALID_HANDLE;
    if (flags)
        return INVALID_VALUE;
    *exec = stub_open(AN_INSTANCE, sizeof **exec);
    for (size_t i = 0; i < graph->nodes.count; i++)
        append(&(*exec)->nodes, graph->nodes.list[i]);
    return FFAI__CUDA_SUCCESS;
}

ffai__cuda_result cuGraphLaunch(ffai__cuda_graph_exec exec, ffai__cuda_stream stream)
{
    CALLED_ON_DEVICE(cuGraphLaunch);
    if (!stub_is_open(exec, AN_INSTANCE) || !is_stream(stream))
        return INVALID_HANDLE;
    if (stream && stream->capture)
        return NOT_WHILE_CAPTURING;
    stub_count_submission();
    for (size_t i = 0; i < exec->nodes.count; i++)
        perform(&exec->nodes.list[i]);
    return FFAI__CUDA_SUCCESS;
}

ffai__cuda_result cuGraphDestroy(ffai__cuda_graph graph)
{
    CALLED(cuGraphDestroy);
    if (!stub_is_open(graph, A_GRAPH))
        return INVALID_HANDLE;
    free_nodes(&graph->nodes);
    stub_close(graph);
    return stub_device_fault();
}

ffai__cuda_result cuGraphExecDestroy(ffai__cuda_graph_exec exec)
{
    CALLED(cuGraphExecDestroy);
    if (!stub_is_open(exec, AN_INSTANCE))
        return INVALID_HANDLE;
    free_nodes(&exec->nodes);
    stub_close(exec);
    return stub_device_fault();
}

ffai__cuda_result cuEventCreate(ffai__cuda_event *event, unsigned flags)
{
    CALLED_ON_DEVICE(cuEventCreate);
    if (flags > 3)
        return INVALID_VALUE;
    *event = stub_open(AN_EVENT, sizeof **event);
    (*event)->flags = flags;
    return FFAI__CUDA_SUCCESS;
}

ffai__cuda_result cuEventDestroy_v2(ffai__cuda_event event)
{
    CALLED(cuEventDestroy_v2);
    if (!stub_is_open(event, AN_EVENT))
        return INVALID_HANDLE;
    stub_close(event);
    return stub_device_fault();
}

ffai__cuda_result cuEventRecord(ffai__cuda_event event, ffai__cuda_stream stream)
{
    CALLED_ON_DEVICE(cuEventRecord);
    struct timespec now;
    if (!stub_is_open(event, AN_EVENT) || !is_stream(stream))
        return INVALID_HANDLE;
    clock_gettime(CLOCK_MONOTONIC, &now);
    event->recorded = !(stream && stream->capture); /* there it only orders what is captured */
    event->seconds = (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
    return FFAI__CUDA_SUCCESS;
}

ffai__cuda_result cuEventSynchronize(ffai__cuda_event event)
{
    CALLED_ON_DEVICE(cuEventSynchronize);
    return stub_is_open(event, AN_EVENT) ? wait_for_all() : INVALID_HANDLE;
}

ffai__cuda_result cuEventElapsedTime(float *milliseconds, ffai__cuda_event start, ffai__cuda_event end)
{
    CALLED_ON_DEVICE(cuEventElapsedTime);
    if (!stub_is_open(start, AN_EVENT) || !stub_is_open(end, AN_EVENT) || !start->recorded || !end->recorded ||
        ((start->flags | end->flags) & FFAI__CUDA_EVENT_UNTIMED))
        return INVALID_HANDLE;
    *milliseconds = (float)((end->seconds - start->seconds) * 1e3);
    return FFAI__CUDA_SUCCESS;
}
