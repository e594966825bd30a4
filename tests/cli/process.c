#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static void die(const char *what)
{
    perror(what);
    exit(99);
}

static int temporary_file(void)
{
    FILE *file = tmpfile();
    const int descriptor = file ? dup(fileno(file)) : -1;
    if (descriptor < 0)
        die("tmpfile");
    fclose(file);
    return descriptor;
}

static char *take_file(int descriptor, size_t *size)
{
    const off_t end = lseek(descriptor, 0, SEEK_END);
    char *bytes = calloc(1, (size_t)end + 1);
    if (!bytes || pread(descriptor, bytes, (size_t)end, 0) != end)
        die("read");
    *size = (size_t)end;
    close(descriptor);
    return bytes;
}

static int input_file(const setting *s)
{
    const int descriptor = temporary_file();
    const size_t size = s->input_size ? s->input_size : s->input ? strlen(s->input) : 0;
    if (write(descriptor, s->input, size) != (ssize_t)size)
        die("write");
    lseek(descriptor, 0, SEEK_SET);
    return descriptor;
}

/* Become the program, called ffai; what was built for another processor by way of its emulator. */
static void execute(const char *program, const char *const *arguments)
{
#if defined(FFAI_EMULATOR)
    const char *argv[68] = {FFAI_EMULATOR, "-0", "ffai", program};
    size_t count = 4;
#else
    const char *argv[68] = {"ffai"};
    size_t count = 1;
#endif
    for (size_t i = 0; arguments[i]; i++)
        argv[count++] = arguments[i];
#if defined(FFAI_EMULATOR)
    program = FFAI_EMULATOR;
#endif
    execvp(program, (char **)(size_t)argv);
}

/* In the child. */
static void become_ffai(const int streams[3], const setting *s, const char *const *arguments)
{
    for (int i = 0; i < 3; i++) {
        if (s->without_streams)
            close(i);
        else
            dup2(streams[i], i);
    }
    if (s->without_home) {
        setenv("HOME", "/nonexistent", 1);
        unsetenv("XDG_CACHE_HOME");
    }
    signal(SIGINT, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    if (chdir(FFAI_SOURCE_DIR) == 0)
        execute(s->program ? s->program : FFAI_BINARY, arguments);
    _exit(NOT_STARTED);
}

static pid_t start(const int streams[3], const setting *s, const char *const *arguments)
{
    fflush(stdout);
    const pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0)
        become_ffai(streams, s, arguments);
    return pid;
}

static int wait_for(pid_t pid)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    int status = 0;
    for (int i = 0; i < 30000; i++) {
        if (waitpid(pid, &status, WNOHANG) == pid)
            return WIFSIGNALED(status) ? SIGNALLED + WTERMSIG(status) : WEXITSTATUS(status);
        nanosleep(&pause, NULL);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return TIMED_OUT;
}

void process_run(outcome *o, const setting *s, const char *const *arguments)
{
    int streams[3] = {input_file(s), temporary_file(), temporary_file()};
    const int captured = streams[1];
    if (s->stdout_path)
        streams[1] = open(s->stdout_path, O_WRONLY | O_CLOEXEC);
    if (streams[1] < 0)
        die(s->stdout_path);
    *o = (outcome){.status = wait_for(start(streams, s, arguments))};
    if (s->stdout_path)
        close(streams[1]);
    close(streams[0]);
    o->out = take_file(captured, &o->out_size);
    o->err = take_file(streams[2], &o->err_size);
    if (o->status == NOT_STARTED) {
        fprintf(stderr, "%s cannot be run\n", s->program ? s->program : FFAI_BINARY);
        exit(99);
    }
}

void outcome_release(outcome *o)
{
    free(o->out);
    free(o->err);
}

static void open_pair(int *ours, int *theirs, bool terminal)
{
    int pair[2];
    if (!terminal) {
        if (pipe2(pair, O_CLOEXEC) != 0)
            die("pipe2");
        *ours = pair[0];
        *theirs = pair[1];
        return;
    }
    *ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*ours < 0 || grantpt(*ours) != 0 || unlockpt(*ours) != 0)
        die("posix_openpt");
    *theirs = open(ptsname(*ours), O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*theirs < 0)
        die("ptsname");
}

void process_start(running *r, bool terminal, const char *const *arguments)
{
    const setting s = {0};
    int writer = -1;
    open_pair(&r->reader, &writer, terminal);
    r->err = temporary_file();
    const int streams[3] = {input_file(&s), writer, r->err};
    r->pid = start(streams, &s, arguments);
    close(streams[0]);
    close(writer);
}

/* To the end of a pipe; a terminal whose other side has closed ends with EIO. */
static void copy_rest(int reader, int file)
{
    char bytes[4096];
    ssize_t size = 0;
    while ((size = read(reader, bytes, sizeof bytes)) > 0) {
        if (write(file, bytes, (size_t)size) != size)
            die("write");
    }
}

void process_finish(outcome *o, running *r)
{
    const int file = temporary_file();
    if (r->reader >= 0) {
        copy_rest(r->reader, file);
        close(r->reader);
    }
    *o = (outcome){.status = wait_for(r->pid)};
    o->out = take_file(file, &o->out_size);
    o->err = take_file(r->err, &o->err_size);
}

static bool is_one_message(const outcome *o)
{
    return strncmp(o->err, "ffai: ", 6) == 0 && o->err_size > 0 && strchr(o->err, '\n') == o->err + o->err_size - 1;
}

bool check_outcome(const outcome *o, int status, const char *message, const char *file, int line)
{
    const bool said = !message || (is_one_message(o) && strstr(o->err, message));
    return check_says(o->status == status && said, file, line,
                      "status %d, not %d; stderr should be a line with \"%s\"; stdout: %.300s; stderr: %.600s",
                      o->status, status, message ? message : "", o->out, o->err);
}

static char folder[64];

static int remove_entry(const char *path, const struct stat *status, int flag, struct FTW *walk)
{
    (void)status;
    (void)flag;
    (void)walk;
    return remove(path);
}

static void remove_folder(void)
{
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

const char *scratch(const char *name)
{
    static char paths[8][256];
    static size_t next;
    if (!*folder) {
        const char *temporary = getenv("TMPDIR");
        snprintf(folder, sizeof folder, "%.40s/ffai-cli-XXXXXX", temporary ? temporary : P_tmpdir);
        if (!mkdtemp(folder))
            die("mkdtemp");
        atexit(remove_folder);
    }
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

char *read_source(const char *name)
{
    char path[1024];
    size_t size = 0;
    snprintf(path, sizeof path, "%s/%s", FFAI_SOURCE_DIR, name);
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    return descriptor < 0 ? NULL : take_file(descriptor, &size);
}
