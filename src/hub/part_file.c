#define _GNU_SOURCE
#include "part_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"
#include "cache_folder.h"

/* Behind the bytes of the file: this head, then done of each piece, all in the machine's order of bytes. */
typedef struct part_head {
    char magic[8];
    int64_t size, piece;
} part_head;

static const char magic[8] = {'F', 'F', 'A', 'I', 'P', 'R', 'T', '1'};

static ffai_status failed(const ffai__part_file *part, const char *what, ffai_error *err)
{
    return ffai__hub_cache_failure(part->path, what, err);
}

static ffai_status write_all(const ffai__part_file *part, const void *bytes, size_t count, int64_t at, ffai_error *err)
{
    const char *next = bytes;
    while (count > 0) {
        const ssize_t written = pwrite(part->descriptor, next, count, at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return failed(part, "written", err);
        next += written;
        at += written;
        count -= (size_t)written;
    }
    return FFAI_OK;
}

static int64_t place_of_done(const ffai__part_file *part, int64_t piece)
{
    return part->size + (int64_t)sizeof(part_head) + piece * (int64_t)sizeof(int64_t);
}

int64_t ffai__part_file_length(const ffai__part_file *part, int64_t piece)
{
    const int64_t left = part->size - piece * FFAI__PART_PIECE;
    return left < FFAI__PART_PIECE ? left : FFAI__PART_PIECE;
}

int64_t ffai__part_file_done(const ffai__part_file *part)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < part->pieces; i++)
        sum += part->done[i];
    return sum;
}

int64_t ffai__part_file_whole(const ffai__part_file *part, int64_t known)
{
    int64_t piece = known / FFAI__PART_PIECE;
    while (piece < part->pieces && part->done[piece] == ffai__part_file_length(part, piece))
        piece++;
    return piece < part->pieces ? piece * FFAI__PART_PIECE + part->done[piece] : part->size;
}

/* Whether what is written down makes sense; then done has it. */
static bool read_done(ffai__part_file *part)
{
    part_head head;
    struct stat info;
    const size_t bytes = (size_t)part->pieces * sizeof *part->done;
    if (fstat(part->descriptor, &info) != 0)
        return false;
    if (info.st_size == part->size) { /* the digest will say whether it is right */
        for (int64_t i = 0; i < part->pieces; i++)
            part->done[i] = ffai__part_file_length(part, i);
        return true;
    }
    if (info.st_size != place_of_done(part, part->pieces))
        return false;
    if (pread(part->descriptor, &head, sizeof head, part->size) != (ssize_t)sizeof head ||
        pread(part->descriptor, part->done, bytes, place_of_done(part, 0)) != (ssize_t)bytes)
        return false;
    if (memcmp(head.magic, magic, sizeof magic) != 0 || head.size != part->size || head.piece != FFAI__PART_PIECE)
        return false;
    for (int64_t i = 0; i < part->pieces; i++) {
        if (part->done[i] < 0 || part->done[i] > ffai__part_file_length(part, i))
            return false;
    }
    return true;
}

ffai_status ffai__part_file_forget(ffai__part_file *part, ffai_error *err)
{
    part_head head = {.size = part->size, .piece = FFAI__PART_PIECE};
    memcpy(head.magic, magic, sizeof magic);
    memset(part->done, 0, (size_t)part->pieces * sizeof *part->done);
    if (ftruncate(part->descriptor, 0) != 0 || ftruncate(part->descriptor, place_of_done(part, part->pieces)) != 0)
        return failed(part, "made as long as the file", err);
    return write_all(part, &head, sizeof head, part->size, err);
}

static ffai_status open_at(ffai__part_file *part, ffai_error *err)
{
    part->descriptor = open(part->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (part->descriptor < 0)
        return failed(part, "opened", err);
    return read_done(part) ? FFAI_OK : ffai__part_file_forget(part, err);
}

ffai_status ffai__part_file_open(ffai__part_file *out, const char *path, int64_t size, ffai_error *err)
{
    ffai__part_file part = {.descriptor = -1, .size = size};
    part.pieces = size > FFAI__PART_PIECE ? (size - 1) / FFAI__PART_PIECE + 1 : 1;
    part.path = ffai__strdup(path);
    part.done = ffai__calloc((size_t)part.pieces, sizeof *part.done);
    const ffai_status status =
        part.path && part.done ? open_at(&part, err) : ffai__fail_memory(err, path, (uint64_t)part.pieces);
    if (status == FFAI_OK)
        *out = part;
    else
        ffai__part_file_close(&part);
    return status;
}

void ffai__part_file_close(ffai__part_file *part)
{
    if (part->descriptor >= 0)
        close(part->descriptor);
    if (part->descriptor >= 0 && part->spoiled)
        (void)unlink(part->path);
    ffai__free(part->path);
    ffai__free(part->done);
    *part = (ffai__part_file){.descriptor = -1};
}

ffai_status ffai__part_file_write(ffai__part_file *part, int64_t at, const char *bytes, int64_t count, ffai_error *err)
{
    FFAI__TRY(write_all(part, bytes, (size_t)count, at, err));
    while (count > 0) {
        const int64_t piece = at / FFAI__PART_PIECE;
        const int64_t from = at % FFAI__PART_PIECE;
        const int64_t room = ffai__part_file_length(part, piece) - from;
        const int64_t taken = count < room ? count : room;
        part->done[piece] = from + taken;
        FFAI__TRY(write_all(part, &part->done[piece], sizeof *part->done, place_of_done(part, piece), err));
        at += taken;
        count -= taken;
    }
    return FFAI_OK;
}

ffai_status ffai__part_file_finish(ffai__part_file *part, const char *path, ffai_error *err)
{
    if (ftruncate(part->descriptor, part->size) != 0)
        return failed(part, "cut to its size", err);
    if (fdatasync(part->descriptor) != 0) {
        part->spoiled = true;
        return failed(part, "brought to the disk", err);
    }
    if (rename(part->path, path) != 0)
        return failed(part, "renamed", err);
    return FFAI_OK;
}
