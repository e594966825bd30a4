#include "detokenizer.h"

#include "alloc.h"
#include "failure.h"
#include "tokenizer_parts.h"

struct ffai_detokenizer {
    const ffai_tokenizer *tokenizer;
    ffai__decoder_run *run;
    ffai__buffer piece; /* what the last call handed out */
    bool skip_special_tokens;
};

ffai_status ffai_detokenizer_create(ffai_detokenizer **out, const ffai_tokenizer *tokenizer, bool skip_special_tokens,
                                    ffai_error *err)
{
    ffai_detokenizer *d = ffai__calloc(1, sizeof *d);
    if (!d)
        return ffai__fail_memory(err, "a detokenizer", sizeof *d);
    d->tokenizer = tokenizer;
    d->skip_special_tokens = skip_special_tokens;
    const ffai_status status = ffai__decoder_run_create(&d->run, tokenizer->decoder, err);
    if (status != FFAI_OK) {
        ffai_detokenizer_free(d);
        return status;
    }
    *out = d;
    return FFAI_OK;
}

void ffai_detokenizer_free(ffai_detokenizer *d)
{
    if (!d)
        return;
    ffai__decoder_run_free(d->run);
    ffai__buffer_free(&d->piece);
    ffai__free(d);
}

/* Empty the buffer for the next piece, and give memory back that an unusually long one took. */
static ffai_status start_piece(ffai_detokenizer *d, ffai_error *err)
{
    if (d->piece.failed || d->piece.capacity > 1u << 20)
        ffai__buffer_free(&d->piece);
    d->piece.size = 0;
    return ffai__buffer_append(&d->piece, "", 0) ? FFAI_OK : ffai__fail_memory(err, "decoded text", 1);
}

ffai_status ffai_detokenizer_push(const char **text, size_t *size, ffai_detokenizer *d, int32_t id, ffai_error *err)
{
    size_t token_size = 0;
    bool skipped = false;
    const char *token = ffai__tokenizer_decoder_input(&token_size, &skipped, d->tokenizer, id);
    if (!token)
        return ffai__fail(err, FFAI_E_ARGUMENT, "token id %ld is not in the vocabulary", (long)id);
    FFAI__TRY(start_piece(d, err));
    if (!skipped || !d->skip_special_tokens)
        FFAI__TRY(ffai__decoder_run_token(&d->piece, d->run, token, token_size, err));
    *text = d->piece.data;
    *size = d->piece.size;
    return FFAI_OK;
}

ffai_status ffai_detokenizer_finish(const char **text, size_t *size, ffai_detokenizer *d, ffai_error *err)
{
    FFAI__TRY(start_piece(d, err));
    FFAI__TRY(ffai__decoder_run_finish(&d->piece, d->run, err));
    *text = d->piece.data;
    *size = d->piece.size;
    return FFAI_OK;
}

uint64_t ffai__detokenizer_work(const ffai_detokenizer *d)
{
    return ffai__decoder_run_work(d->run);
}
