#include "token_bytes.h"

#include "alloc.h"
#include "tokenizer_parts.h"

/* A run of the decoder's steps is all it takes. */
struct ffai__token_bytes {
    ffai__decoder_run *run;
};

ffai_status ffai__token_bytes_create(ffai__token_bytes **out, uint32_t *dropped, const ffai_tokenizer *tokenizer,
                                     ffai_error *err)
{
    FFAI__TRY(ffai__decoder_bytewise(dropped, tokenizer->decoder, err));
    ffai__token_bytes *reader = ffai__calloc(1, sizeof *reader);
    if (!reader)
        return ffai__fail_memory(err, "a decoder's run", sizeof *reader);
    const ffai_status status = ffai__decoder_run_create(&reader->run, tokenizer->decoder, err);
    if (status != FFAI_OK) {
        ffai__free(reader);
        return status;
    }
    *out = reader;
    return FFAI_OK;
}

void ffai__token_bytes_free(ffai__token_bytes *reader)
{
    if (!reader)
        return;
    ffai__decoder_run_free(reader->run);
    ffai__free(reader);
}

ffai_status ffai__token_bytes_append(ffai__buffer *out, ffai__token_bytes *reader, const ffai_tokenizer *tokenizer,
                                     int32_t id, ffai_error *err)
{
    size_t size = 0;
    bool skipped = false;
    const char *token = ffai__tokenizer_decoder_input(&size, &skipped, tokenizer, id);
    if (!token || skipped)
        return FFAI_OK;
    return ffai__decoder_run_bytes(out, reader->run, token, size, err);
}
