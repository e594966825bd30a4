/* Terminals, pipes that close, disks that are full, and Ctrl-C. */
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "json_reading.h"
#include "process.h"

/* More tokens than anyone waits for. */
#define ENDLESS "-m", MODEL, "--tokens", "83,114,103", "-n", "100000000", "--context", "4000000", "--ignore-eos"

static void read_something(const running *r)
{
    char bytes[16];
    CHECK(read(r->reader, bytes, sizeof bytes) > 0);
}

static void a_pipe_that_closes_ends_the_generation_quietly(void)
{
    running r;
    outcome o;
    START(r, false, ENDLESS);
    read_something(&r);
    close(r.reader);
    r.reader = -1;
    process_finish(&o, &r);
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(o.err_size == 0);
    outcome_release(&o);
}

static void a_pipe_that_is_closed_from_the_start_is_no_error(void)
{
    static const char *const lines[][8] = {
        {"-m", MODEL, "-p", "a", "-n", "4", "--json", NULL},
        {"help", NULL},
        {"program", "-m", MODEL, NULL},
        {"diff", "-m", MODEL, "--backend=ref", "--against=cpu", NULL},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        running r;
        outcome o;
        process_start(&r, false, lines[i]);
        close(r.reader);
        r.reader = -1;
        process_finish(&o, &r);
        CHECK_OUTCOME(o, 0, NULL);
        CHECK(o.err_size == 0);
        outcome_release(&o);
    }
}

static void a_full_disk_is_an_error(void)
{
    static const char *const lines[][8] = {
        {"-m", MODEL, "-p", "a", "-n", "4", NULL},
        {"-m", MODEL, "-p", "a", "-n", "4", "--json", NULL},
        {"help", NULL},
        {"version", NULL},
        {"generate", "--help", NULL},
        {"tokenize", "-m", MODEL, NULL},
        {"inspect", MODEL, NULL},
        {"program", "-m", MODEL, NULL},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        outcome o;
        process_run(&o, &(setting){.stdout_path = "/dev/full"}, lines[i]);
        CHECK_OUTCOME(o, 1, "write: stdout: No space left on device");
        outcome_release(&o);
    }
}

static void without_standard_streams_no_file_takes_their_place(void)
{
    outcome o;
    const setting s = {.without_streams = true};
    RUN_IN(o, s, "-m", MODEL, "-p", "a", "-n", "4");
    CHECK(o.status == 1);
    outcome_release(&o);
    RUN_IN(o, s, "-m", MODEL);
    CHECK(o.status == 1);
    outcome_release(&o);
}

static void control_c_ends_the_text_and_keeps_it(void)
{
    running r;
    outcome o;
    START(r, false, ENDLESS);
    read_something(&r);
    kill(r.pid, SIGINT);
    process_finish(&o, &r);
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(o.err_size == 0);
    outcome_release(&o);
}

static void control_c_while_a_prompts_pipe_is_opened_ends_with_nothing(void)
{
    const char *path = scratch("pipe");
    bool cancelled = false;
    CHECK(mkfifo(path, 0600) == 0);
    for (useconds_t delay = 100000; !cancelled && delay < 10000000; delay *= 4) {
        running r;
        outcome o;
        START(r, false, "-m", MODEL, "-f", path, "--json");
        usleep(delay);
        kill(r.pid, SIGINT);
        process_finish(&o, &r);
        cancelled = o.status == 0 && strstr(o.out, "\"finish_reason\": \"cancelled\"");
        CHECK(cancelled || o.status == SIGNALLED + SIGINT); /* before main has begun */
        outcome_release(&o);
    }
    CHECK(cancelled);
}

/* How many tokens there are when Ctrl-C comes after a while. */
static size_t tokens_until_cancelled(useconds_t delay)
{
    running r;
    outcome o;
    START(r, false, ENDLESS, "--json", "--seed", "3");
    usleep(delay);
    kill(r.pid, SIGINT);
    process_finish(&o, &r);
    CHECK_OUTCOME(o, 0, NULL);
    json_t *object = json_of_text(o.out);
    CHECK(json_is_text(json_at(object, "finish_reason"), "cancelled"));
    CHECK(json_integer_value(json_at(object, "seed")) == 3);
    const size_t count = json_array_size(json_at(object, "tokens"));
    json_decref(object);
    outcome_release(&o);
    return count;
}

static void control_c_ends_json_with_what_there_is(void)
{
    size_t count = 0;
    for (useconds_t delay = 300000; count == 0 && delay < 30000000; delay *= 4) /* a busy machine needs longer */
        count = tokens_until_cancelled(delay);
    CHECK(count > 0);
}

/* Ctrl-C may come at any moment, also before the first token: the object is whole every time. */
static void control_c_at_any_moment_gives_a_whole_object(void)
{
    for (useconds_t delay = 1500; delay < 12000; delay += 700) {
        running r;
        outcome o;
        START(r, false, "-m", "tests/golden/llama/affine-mixed", "-p", "a", "-n", "400", "--ignore-eos", "--json");
        usleep(delay);
        kill(r.pid, SIGINT);
        process_finish(&o, &r);
        /* Before main has begun the signal still ends the process. */
        if (o.status != SIGNALLED + SIGINT && CHECK_OUTCOME(o, 0, NULL)) {
            json_t *object = json_of_text(o.out);
            CHECK(json_object_size(object) == 7);
            json_decref(object);
        }
        outcome_release(&o);
    }
}

static void a_terminal_gets_a_line_end_and_a_pipe_none(void)
{
    running r;
    outcome terminal, pipe;
    START(r, true, "-m", MODEL, "--tokens", "83", "--temp", "0", "-n", "1");
    process_finish(&terminal, &r);
    RUN(pipe, NULL, "-m", MODEL, "--tokens", "83", "--temp", "0", "-n", "1");
    CHECK_OUTCOME(terminal, 0, NULL);
    CHECK(terminal.out_size >= 2 && memcmp(terminal.out + terminal.out_size - 2, "\r\n", 2) == 0);
    CHECK(pipe.out_size > 0 && pipe.out[pipe.out_size - 1] != '\n');
    CHECK(terminal.err_size == 0 && pipe.err_size == 0);
    outcome_release(&terminal);
    outcome_release(&pipe);
}

static void text_is_streamed_in_whole_characters(void)
{
    running r;
    outcome o;
    START(r, false, "-m", MODEL, "--tokens", "83", "--temp", "3", "--seed", "1", "-n", "200", "--ignore-eos");
    process_finish(&o, &r);
    CHECK_OUTCOME(o, 0, NULL);
    json_t *text = json_stringn(o.out, o.out_size); /* refuses what is no UTF-8 */
    CHECK(text != NULL);
    json_decref(text);
    outcome_release(&o);
}

static const test tests[] = {
    TEST(a_pipe_that_closes_ends_the_generation_quietly),
    TEST(a_pipe_that_is_closed_from_the_start_is_no_error),
    TEST(a_full_disk_is_an_error),
    TEST(without_standard_streams_no_file_takes_their_place),
    TEST(control_c_ends_the_text_and_keeps_it),
    TEST(control_c_while_a_prompts_pipe_is_opened_ends_with_nothing),
    TEST(control_c_ends_json_with_what_there_is),
    TEST(control_c_at_any_moment_gives_a_whole_object),
    TEST(a_terminal_gets_a_line_end_and_a_pipe_none),
    TEST(text_is_streamed_in_whole_characters),
};
extern const suite suite_streams;
const suite suite_streams = SUITE(tests);
