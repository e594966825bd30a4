#include "decoder.h"

#include <string.h>

#include "alloc.h"
#include "byte_level.h"
#include "component.h"
#include "pattern.h"
#include "utf8.h"

typedef enum { BYTE_LEVEL, BYTE_FALLBACK, FUSE, REPLACE, STRIP, METASPACE, BPE_DECODER, JOIN } step_kind;

typedef struct {
    step_kind kind;
    ffai__pattern *pattern; /* REPLACE */
    char *content;          /* REPLACE; the suffix of BPE_DECODER */
    size_t content_size;
    uint32_t character; /* STRIP, METASPACE */
    size_t start, stop; /* STRIP: how many characters at most */
    bool drops_first;   /* METASPACE: the first token's marks vanish instead of becoming spaces */
} step;

struct ffai__decoder {
    step steps[FFAI__STEPS_MAX];
    size_t count;
};

/* Between steps runs a stream of tokens, each in one or more parts of whole characters. ByteLevel and Fuse make
 * one token of all, which ends with the stream. */
typedef struct {
    ffai__matches matches;
    ffai__buffer parts;  /* of a token that has not ended yet */
    ffai__buffer held;   /* BYTE_LEVEL: bytes of an unfinished character; BPE_DECODER: the last token */
    bool first;          /* in the stream's first token */
    bool waiting;        /* BPE_DECODER: held is a token whose successor is not known yet */
    size_t leading;      /* STRIP: characters cut from the token's start so far */
    bool past_leading;   /* STRIP: something else has come */
    size_t trailing;     /* STRIP: characters held back at the token's end */
    size_t fallback;     /* BYTE_FALLBACK: bytes in output */
    ffai__buffer output; /* what REPLACE and others make of a token */
} step_state;

struct ffai__decoder_run {
    const ffai__decoder *decoder;
    ffai__buffer *out;
    ffai__budget budget;
    uint64_t work;
    step_state states[];
};

static ffai_status parse_metaspace(step *s, const json_t *json, const char *place, ffai_error *err)
{
    const char *scheme = "always";
    bool add_prefix_space = true;
    s->kind = METASPACE;
    FFAI__TRY(ffai__component_character(&s->character, json, "replacement", place, err));
    FFAI__TRY(ffai__json_get_string(&scheme, json, "prepend_scheme", place, err));
    FFAI__TRY(ffai__json_get_bool(&add_prefix_space, json, "add_prefix_space", place, err));
    s->drops_first = add_prefix_space && strcmp(scheme, "never") != 0;
    return FFAI_OK;
}

static ffai_status parse_strip(step *s, const json_t *json, const char *place, ffai_error *err)
{
    int64_t start = 0;
    int64_t stop = 0;
    s->kind = STRIP;
    FFAI__TRY(ffai__component_character(&s->character, json, "content", place, err));
    FFAI__TRY(ffai__json_get_int(&start, json, "start", 0, INT32_MAX, place, err));
    FFAI__TRY(ffai__json_get_int(&stop, json, "stop", 0, INT32_MAX, place, err));
    s->start = (size_t)start;
    s->stop = (size_t)stop;
    return FFAI_OK;
}

static ffai_status parse_content(step *s, const json_t *json, const char *key, const char *place, ffai_error *err)
{
    const char *text = NULL;
    FFAI__TRY(ffai__component_text(&text, &s->content_size, json, key, place, err));
    s->content = ffai__strndup(text, s->content_size);
    return s->content ? FFAI_OK : ffai__fail_memory(err, "a decoder", s->content_size);
}

static ffai_status parse_replace(step *s, const json_t *json, const char *place, ffai_error *err)
{
    s->kind = REPLACE;
    FFAI__TRY(parse_content(s, json, "content", place, err));
    return ffai__pattern_parse(&s->pattern, json, place, err);
}

static ffai_status parse_step(void *context, const json_t *json, const char *type, const char *place, ffai_error *err)
{
    static const char *const plain[] = {"ByteLevel", "ByteFallback", "Fuse"};
    ffai__decoder *d = context;
    if (d->count == FFAI__STEPS_MAX)
        return ffai__fail(err, FFAI_E_LIMIT, "%s: more than %d steps", place, FFAI__STEPS_MAX);
    step *s = &d->steps[d->count++];
    for (unsigned i = BYTE_LEVEL; i <= FUSE; i++) {
        if (strcmp(type, plain[i]) == 0) {
            s->kind = (step_kind)i;
            return FFAI_OK;
        }
    }
    if (strcmp(type, "Replace") == 0)
        return parse_replace(s, json, place, err);
    if (strcmp(type, "Strip") == 0)
        return parse_strip(s, json, place, err);
    if (strcmp(type, "Metaspace") == 0)
        return parse_metaspace(s, json, place, err);
    if (strcmp(type, "BPEDecoder") == 0) {
        s->kind = BPE_DECODER;
        return parse_content(s, json, "suffix", place, err);
    }
    return ffai__component_unsupported(type, place, err);
}

ffai_status ffai__decoder_parse(ffai__decoder **out, const json_t *json, const char *place, ffai_error *err)
{
    ffai__decoder *d = ffai__calloc(1, sizeof *d);
    if (!d)
        return ffai__fail_memory(err, "a decoder", sizeof *d);
    if (!json)
        d->steps[d->count++].kind = JOIN;
    const ffai_status status = ffai__component_each(json, "decoders", place, parse_step, d, err);
    if (status != FFAI_OK) {
        ffai__decoder_free(d);
        return status;
    }
    *out = d;
    return FFAI_OK;
}

void ffai__decoder_free(ffai__decoder *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->count; i++) {
        ffai__free(d->steps[i].content);
        ffai__pattern_free(d->steps[i].pattern);
    }
    ffai__free(d);
}

static void restart(ffai__decoder_run *run)
{
    for (size_t i = 0; i < run->decoder->count; i++) {
        step_state *st = &run->states[i];
        st->parts.size = 0;
        st->held.size = 0;
        st->output.size = 0;
        st->first = true;
        st->waiting = false;
        st->leading = 0;
        st->past_leading = false;
        st->trailing = 0;
        st->fallback = 0;
    }
}

ffai_status ffai__decoder_run_create(ffai__decoder_run **out, const ffai__decoder *d, ffai_error *err)
{
    ffai__decoder_run *run = ffai__calloc(1, sizeof *run + d->count * sizeof run->states[0]);
    if (!run)
        return ffai__fail_memory(err, "a decoder's run", sizeof *run);
    run->decoder = d;
    ffai_status status = FFAI_OK;
    for (size_t i = 0; i < d->count && status == FFAI_OK; i++) {
        if (d->steps[i].kind == REPLACE)
            status = ffai__matches_create(&run->states[i].matches, d->steps[i].pattern, err);
    }
    if (status != FFAI_OK) {
        ffai__decoder_run_free(run);
        return status;
    }
    restart(run);
    *out = run;
    return FFAI_OK;
}

void ffai__decoder_run_free(ffai__decoder_run *run)
{
    if (!run)
        return;
    for (size_t i = 0; i < run->decoder->count; i++) {
        ffai__matches_free(&run->states[i].matches);
        ffai__buffer_free(&run->states[i].parts);
        ffai__buffer_free(&run->states[i].held);
        ffai__buffer_free(&run->states[i].output);
    }
    ffai__free(run);
}

uint64_t ffai__decoder_run_work(const ffai__decoder_run *run)
{
    return run->work;
}

static ffai_status put(ffai__decoder_run *run, size_t index, const char *part, size_t size, bool ends, ffai_error *err);

static ffai_status pass(ffai__decoder_run *run, size_t index, const char *part, size_t size, bool ends, ffai_error *err)
{
    return put(run, index + 1, part, size, ends, err);
}

/* Bytes of a token as ByteLevel means them: unspelled if every character spells a byte, else as they are. */
static void append_bytes(ffai__buffer *out, const char *token, size_t size)
{
    const size_t before = out->size;
    for (size_t at = 0, used = 0; at < size; at += used) {
        const int byte = ffai__byte_level_byte(ffai__utf8_get(token + at, &used));
        if (byte < 0) {
            if (!out->failed)
                out->size = before;
            ffai__buffer_append(out, token, size);
            return;
        }
        const char c = (char)byte;
        ffai__buffer_append(out, &c, 1);
    }
}

/* How many of the last bytes are the start of a character that may yet be completed: 0 to 3. */
static size_t unfinished(const char *text, size_t size)
{
    for (size_t back = 1; back <= 3 && back <= size; back++) {
        const unsigned char byte = (unsigned char)text[size - back];
        if (byte >= 0xC0)
            return ffai__utf8_next(text + size - back, back).cut ? back : 0;
        if (byte < 0x80)
            return 0;
    }
    return 0;
}

/* held: bytes of the whole stream that are not passed on yet. */
static ffai_status put_byte_level(ffai__decoder_run *run, size_t index, ffai_error *err)
{
    step_state *st = &run->states[index];
    const size_t rest = unfinished(st->held.data, st->held.size);
    const size_t ready = st->held.size - rest;
    st->output.size = 0;
    if (ready == 0)
        return FFAI_OK;
    ffai__utf8_append_repaired(&st->output, st->held.data, ready);
    memmove(st->held.data, st->held.data + ready, rest);
    st->held.size = rest;
    if (st->output.failed)
        return ffai__fail_memory(err, "decoded text", ready);
    return pass(run, index, st->output.data, st->output.size, false, err);
}

static ffai_status finish_byte_level(ffai__decoder_run *run, size_t index, ffai_error *err)
{
    step_state *st = &run->states[index];
    st->output.size = 0;
    ffai__utf8_append_repaired(&st->output, st->held.data ? st->held.data : "", st->held.size);
    st->held.size = 0;
    if (st->output.failed)
        return ffai__fail_memory(err, "decoded text", 4);
    return pass(run, index, st->output.data, st->output.size, true, err);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte that a token like <0x0A> stands for, -1 for other tokens. Rust's parser, which Hugging Face uses,
 * takes a plus sign for a digit's place too. */
static int fallback_byte(const char *token, size_t size)
{
    if (size != 6 || memcmp(token, "<0x", 3) != 0 || token[5] != '>')
        return -1;
    const int high = token[3] == '+' ? 0 : hex_digit(token[3]);
    const int low = hex_digit(token[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* A run of byte tokens is one token if it is UTF-8 as a whole, else a U+FFFD for each byte. */
static ffai_status flush_fallback(ffai__decoder_run *run, size_t index, ffai_error *err)
{
    step_state *st = &run->states[index];
    const size_t count = st->fallback;
    st->fallback = 0;
    if (count == 0)
        return FFAI_OK;
    ffai_status status = FFAI_OK;
    if (ffai__utf8_valid(st->output.data, count))
        status = pass(run, index, st->output.data, count, true, err);
    else
        for (size_t i = 0; i < count && status == FFAI_OK; i++)
            status = pass(run, index, "\xEF\xBF\xBD", 3, true, err);
    st->output.size = 0;
    return status;
}

static ffai_status put_byte_fallback(ffai__decoder_run *run, size_t index, const char *token, size_t size,
                                     ffai_error *err)
{
    step_state *st = &run->states[index];
    const int byte = fallback_byte(token, size);
    if (byte < 0) {
        FFAI__TRY(flush_fallback(run, index, err));
        return pass(run, index, token, size, true, err);
    }
    const char c = (char)byte;
    if (!ffai__buffer_append(&st->output, &c, 1))
        return ffai__fail_memory(err, "decoded text", st->output.size);
    st->fallback++;
    return FFAI_OK;
}

/* The token with every match replaced, into the step's output. */
static ffai_status replace(ffai__decoder_run *run, size_t index, const char *token, size_t size, ffai_error *err)
{
    const step *s = &run->decoder->steps[index];
    step_state *st = &run->states[index];
    size_t done = 0;
    bool found = size > 0;
    st->output.size = 0;
    ffai__matches_over(&st->matches, token, size, &run->budget);
    while (found) {
        FFAI__TRY(ffai__matches_next(&found, &st->matches, err));
        const size_t until = found ? st->matches.start : size;
        ffai__buffer_append(&st->output, token + done, until - done);
        if (found) {
            FFAI__TRY(ffai__budget_take_bytes(&run->budget, s->content_size, err));
            ffai__buffer_append(&st->output, s->content, s->content_size);
            done = st->matches.end;
        }
    }
    return ffai__buffer_append(&st->output, "", 0) ? FFAI_OK : ffai__fail_memory(err, "decoded text", size);
}

static ffai_status put_replace(ffai__decoder_run *run, size_t index, const char *token, size_t size, ffai_error *err)
{
    FFAI__TRY(replace(run, index, token, size, err));
    return pass(run, index, run->states[index].output.data, run->states[index].output.size, true, err);
}

/* Characters that the end of the token would cut. */
static ffai_status release_trailing(ffai__decoder_run *run, size_t index, size_t keep, ffai_error *err)
{
    step_state *st = &run->states[index];
    char character[4];
    const size_t size = ffai__utf8_put(character, run->decoder->steps[index].character);
    for (; st->trailing > keep; st->trailing--)
        FFAI__TRY(pass(run, index, character, size, false, err));
    return FFAI_OK;
}

static ffai_status put_strip(ffai__decoder_run *run, size_t index, const char *part, size_t size, bool ends,
                             ffai_error *err)
{
    const step *s = &run->decoder->steps[index];
    step_state *st = &run->states[index];
    size_t plain = 0; /* where the characters start that are passed on together */
    for (size_t at = 0, used = 0; at < size; at += used) {
        const bool match = ffai__utf8_get(part + at, &used) == s->character;
        if (match && !st->past_leading && st->leading < s->start) {
            st->leading++;
            plain = at + used;
            continue;
        }
        st->past_leading = true;
        if (match) {
            FFAI__TRY(pass(run, index, part + plain, at - plain, false, err));
            st->trailing++;
            plain = at + used;
            FFAI__TRY(release_trailing(run, index, s->stop, err));
        } else if (st->trailing > 0) {
            FFAI__TRY(release_trailing(run, index, 0, err));
            plain = at;
        }
    }
    FFAI__TRY(pass(run, index, part + plain, size - plain, ends, err));
    if (ends) {
        st->trailing = 0;
        st->leading = 0;
        st->past_leading = false;
    }
    return FFAI_OK;
}

static ffai_status put_metaspace(ffai__decoder_run *run, size_t index, const char *part, size_t size, bool ends,
                                 ffai_error *err)
{
    const step *s = &run->decoder->steps[index];
    step_state *st = &run->states[index];
    st->output.size = 0;
    for (size_t at = 0, used = 0; at < size; at += used) {
        const bool match = ffai__utf8_get(part + at, &used) == s->character;
        if (!match)
            ffai__buffer_append(&st->output, part + at, used);
        else if (!st->first || !s->drops_first)
            ffai__buffer_append(&st->output, " ", 1);
    }
    if (!ffai__buffer_append(&st->output, "", 0))
        return ffai__fail_memory(err, "decoded text", size);
    if (ends)
        st->first = false;
    return pass(run, index, st->output.data, st->output.size, ends, err);
}

/* Pass the token in held on with the suffix replaced, by a space unless it is the last. */
static ffai_status flush_bpe(ffai__decoder_run *run, size_t index, bool last, ffai_error *err)
{
    const step *s = &run->decoder->steps[index];
    step_state *st = &run->states[index];
    if (!st->waiting)
        return FFAI_OK;
    st->waiting = false;
    st->output.size = 0;
    const char *token = st->held.data;
    for (size_t at = 0; at < st->held.size;) {
        const bool match = s->content_size > 0 && st->held.size - at >= s->content_size &&
                           memcmp(token + at, s->content, s->content_size) == 0;
        if (match && !last)
            ffai__buffer_append(&st->output, " ", 1);
        else if (!match)
            ffai__buffer_append(&st->output, token + at, 1);
        at += match ? s->content_size : 1;
    }
    st->held.size = 0;
    if (!ffai__buffer_append(&st->output, "", 0))
        return ffai__fail_memory(err, "decoded text", 0);
    return pass(run, index, st->output.data, st->output.size, true, err);
}

static ffai_status put_bpe(ffai__decoder_run *run, size_t index, const char *token, size_t size, ffai_error *err)
{
    step_state *st = &run->states[index];
    FFAI__TRY(flush_bpe(run, index, false, err));
    st->waiting = true;
    return ffai__buffer_append(&st->held, token, size) ? FFAI_OK : ffai__fail_memory(err, "decoded text", size);
}

static ffai_status put_join(ffai__decoder_run *run, size_t index, const char *token, size_t size, ffai_error *err)
{
    if (!run->states[index].first)
        FFAI__TRY(pass(run, index, " ", 1, true, err));
    run->states[index].first = false;
    return pass(run, index, token, size, true, err);
}

/* A whole token for the steps that need one. */
static ffai_status put_token(ffai__decoder_run *run, size_t index, const char *token, size_t size, ffai_error *err)
{
    switch (run->decoder->steps[index].kind) {
    case BYTE_LEVEL:
        append_bytes(&run->states[index].held, token, size);
        if (!ffai__buffer_append(&run->states[index].held, "", 0))
            return ffai__fail_memory(err, "decoded text", size);
        return put_byte_level(run, index, err);
    case BYTE_FALLBACK:
        return put_byte_fallback(run, index, token, size, err);
    case REPLACE:
        return put_replace(run, index, token, size, err);
    case BPE_DECODER:
        return put_bpe(run, index, token, size, err);
    default:
        return put_join(run, index, token, size, err);
    }
}

/* A token that comes in parts is put together in `parts` first. */
static ffai_status gather(ffai__decoder_run *run, size_t index, const char *part, size_t size, bool ends,
                          ffai__buffer *parts, ffai_error *err)
{
    if (ends && parts->size == 0)
        return put_token(run, index, part, size, err);
    if (!ffai__buffer_append(parts, part, size))
        return ffai__fail_memory(err, "decoded text", size);
    if (!ends)
        return FFAI_OK;
    const ffai_status status = put_token(run, index, parts->data, parts->size, err);
    parts->size = 0;
    return status;
}

static ffai_status put(ffai__decoder_run *run, size_t index, const char *part, size_t size, bool ends, ffai_error *err)
{
    run->work += size;
    if (index == run->decoder->count)
        return ffai__buffer_append(run->out, part, size) ? FFAI_OK : ffai__fail_memory(err, "decoded text", size);
    switch (run->decoder->steps[index].kind) {
    case FUSE:
        return size > 0 ? pass(run, index, part, size, false, err) : FFAI_OK;
    case STRIP:
        return put_strip(run, index, part, size, ends, err);
    case METASPACE:
        return put_metaspace(run, index, part, size, ends, err);
    default:
        return gather(run, index, part, size, ends, &run->states[index].parts, err);
    }
}

static ffai_status finish_step(ffai__decoder_run *run, size_t index, ffai_error *err)
{
    switch (run->decoder->steps[index].kind) {
    case BYTE_LEVEL:
        return finish_byte_level(run, index, err);
    case BYTE_FALLBACK:
        return flush_fallback(run, index, err);
    case FUSE:
        return pass(run, index, "", 0, true, err);
    case BPE_DECODER:
        return flush_bpe(run, index, true, err);
    default:
        return FFAI_OK;
    }
}

ffai_status ffai__decoder_run_token(ffai__buffer *out, ffai__decoder_run *run, const char *token, size_t size,
                                    ffai_error *err)
{
    run->out = out;
    ffai__budget_start(&run->budget, size);
    return put(run, 0, token, size, true, err);
}

ffai_status ffai__decoder_run_finish(ffai__buffer *out, ffai__decoder_run *run, ffai_error *err)
{
    ffai_status status = FFAI_OK;
    size_t held = 0;
    for (size_t i = 0; i < run->decoder->count; i++)
        held += run->states[i].parts.size;
    run->out = out;
    ffai__budget_start(&run->budget, held);
    for (size_t i = 0; i < run->decoder->count && status == FFAI_OK; i++)
        status = finish_step(run, i, err);
    restart(run);
    return status;
}

ffai_status ffai__decoder_bytewise(uint32_t *dropped, const ffai__decoder *d, ffai_error *err)
{
    bool fused = false;
    *dropped = 0;
    for (size_t i = 0; i < d->count; i++) {
        const step *s = &d->steps[i];
        const bool strips =
            s->kind == STRIP && fused && s->start <= 1 && s->stop == 0 && s->character == 0x20 && *dropped == 0;
        const bool plain = (s->kind == BYTE_LEVEL && i + 1 == d->count) || s->kind == BYTE_FALLBACK || s->kind == FUSE;
        const bool alone = (s->kind == REPLACE && !fused) || (s->kind == METASPACE && !s->drops_first);
        if (!strips && !plain && !alone)
            return ffai__fail(err, FFAI_E_UNSUPPORTED,
                              "decoder: step %zu: a token's text hangs on its neighbours, so that no grammar can be "
                              "held",
                              i + 1);
        fused = fused || s->kind == FUSE;
        if (strips)
            *dropped += (uint32_t)s->start;
    }
    return FFAI_OK;
}

ffai_status ffai__decoder_run_bytes(ffai__buffer *out, ffai__decoder_run *run, const char *token, size_t size,
                                    ffai_error *err)
{
    ffai__budget_start(&run->budget, size);
    for (size_t i = 0; i < run->decoder->count; i++) {
        const step *s = &run->decoder->steps[i];
        ffai__buffer *output = &run->states[i].output;
        const int byte = s->kind == BYTE_FALLBACK ? fallback_byte(token, size) : -1;
        if (byte >= 0) {
            const char c = (char)byte;
            return ffai__buffer_append(out, &c, 1) ? FFAI_OK : ffai__fail_memory(err, "a token's bytes", 1);
        }
        if (s->kind == REPLACE)
            FFAI__TRY(replace(run, i, token, size, err));
        output->size = s->kind == REPLACE ? output->size : 0;
        if (s->kind == BYTE_LEVEL)
            append_bytes(output, token, size);
        for (size_t at = 0, used = 0; s->kind == METASPACE && at < size; at += used) {
            const bool mark = ffai__utf8_get(token + at, &used) == s->character;
            ffai__buffer_append(output, mark ? " " : token + at, mark ? 1 : used);
        }
        if (output->failed)
            return ffai__fail_memory(err, "a token's bytes", size);
        if (s->kind == REPLACE || s->kind == BYTE_LEVEL || s->kind == METASPACE) {
            token = output->data;
            size = output->size;
        }
    }
    return ffai__buffer_append(out, token, size) ? FFAI_OK : ffai__fail_memory(err, "a token's bytes", size);
}
