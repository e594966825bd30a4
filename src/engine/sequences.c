#include "session.h"

static bool is_open(const ffai_session *s, ffai_sequence number)
{
    return number >= 0 && number < s->options.max_sequences && s->sequences[number].open;
}

ffai_status ffai__sequence_require(const ffai_session *s, ffai_sequence number, ffai_error *err)
{
    return is_open(s, number) ? FFAI_OK : ffai__fail(err, FFAI_E_ARGUMENT, "sequence %d is not open", number);
}

void ffai__sequence_keep_pages(ffai_session *s, ffai__sequence *q, int64_t length)
{
    const uint32_t keep = ffai__pages_for(length);
    for (; q->num_pages > keep; q->num_pages--) {
        for (size_t g = 0; g < s->num_groups; g++)
            ffai__pages_drop(&s->pages[g], q->tables[g][q->num_pages - 1].page);
    }
}

ffai_status ffai_sequence_open(ffai_sequence *out, ffai_session *s, ffai_error *err)
{
    for (int32_t i = 0; i < s->options.max_sequences; i++) {
        if (s->sequences[i].open)
            continue;
        s->sequences[i].open = true;
        s->sequences[i].length = 0;
        s->sequences[i].drawn_position = -1;
        *out = i;
        return FFAI_OK;
    }
    return ffai__fail(err, FFAI_E_LIMIT, "all %d sequences of the session are open", s->options.max_sequences);
}

void ffai_sequence_close(ffai_session *s, ffai_sequence number)
{
    if (!is_open(s, number))
        return;
    ffai__sequence_keep_pages(s, &s->sequences[number], 0);
    s->sequences[number].open = false;
}

int64_t ffai_sequence_length(const ffai_session *s, ffai_sequence number)
{
    return is_open(s, number) ? s->sequences[number].length : -1;
}

static ffai_status check_length(const ffai_session *s, ffai_sequence number, int64_t length, ffai_error *err)
{
    FFAI__TRY(ffai__sequence_require(s, number, err));
    if (length >= 0 && length <= s->sequences[number].length)
        return FFAI_OK;
    return ffai__fail(err, FFAI_E_ARGUMENT, "sequence %d has %lld tokens, not %lld", number,
                      (long long)s->sequences[number].length, (long long)length);
}

ffai_status ffai_sequence_truncate(ffai_session *s, ffai_sequence number, int64_t length, ffai_error *err)
{
    FFAI__TRY(check_length(s, number, length, err));
    ffai__sequence *q = &s->sequences[number];
    ffai__sequence_keep_pages(s, q, length);
    q->length = length;
    q->drawn_position = -1;
    return FFAI_OK;
}

void ffai__sequence_take_back(ffai_session *s, ffai_sequence number, int64_t length)
{
    ffai__sequence *q = &s->sequences[number];
    ffai__sequence_keep_pages(s, q, length);
    q->length = length;
    q->drawn_position = length;
    s->submitted = false;
}

ffai_status ffai_sequence_fork(ffai_sequence *out, ffai_session *s, ffai_sequence from, int64_t length, ffai_error *err)
{
    ffai_sequence number = 0;
    FFAI__TRY(check_length(s, from, length, err));
    FFAI__TRY(ffai_sequence_open(&number, s, err));
    const ffai_status status = s->model->backend->copy_tokens(s->run, number, from, length, err);
    if (status != FFAI_OK) {
        ffai_sequence_close(s, number);
        return status;
    }
    ffai__sequence *q = &s->sequences[number];
    const ffai__sequence *source = &s->sequences[from];
    q->length = length;
    q->num_pages = ffai__pages_for(length);
    for (size_t g = 0; g < s->num_groups; g++) {
        for (uint32_t i = 0; i < q->num_pages; i++) {
            q->tables[g][i] = source->tables[g][i];
            ffai__pages_share(&s->pages[g], q->tables[g][i].page);
        }
    }
    *out = number;
    return FFAI_OK;
}

/* --- pages --- */

/* The page that the sequence's next token goes into must be its own: copy it where a fork shares it. */
static ffai_status own_last_page(ffai_session *s, ffai__sequence *q, ffai_error *err)
{
    const uint32_t last = (uint32_t)(q->length / FFAI__PAGE_TOKENS);
    for (size_t g = 0; q->length % FFAI__PAGE_TOKENS && g < s->num_groups; g++) {
        ffai__page_ref *entry = &q->tables[g][last];
        if (!ffai__pages_is_shared(&s->pages[g], entry->page))
            continue;
        const uint32_t copy = ffai__pages_take(&s->pages[g]);
        const ffai_status status = s->model->backend->copy_page(s->run, (int)g, copy, entry->page, err);
        if (status != FFAI_OK) {
            ffai__pages_drop(&s->pages[g], copy);
            return status;
        }
        ffai__pages_drop(&s->pages[g], entry->page);
        entry->page = copy;
    }
    return FFAI_OK;
}

ffai_status ffai__sequence_provide_pages(ffai_session *s, ffai__sequence *q, int64_t length, ffai_error *err)
{
    FFAI__TRY(own_last_page(s, q, err));
    for (; q->num_pages < ffai__pages_for(length); q->num_pages++) {
        for (size_t g = 0; g < s->num_groups; g++)
            q->tables[g][q->num_pages] =
                (ffai__page_ref){ffai__pages_take(&s->pages[g]), (uint32_t)s->options.store_format};
    }
    return FFAI_OK;
}
