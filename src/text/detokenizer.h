/* For tests: what a detokenizer has done so far. */
#ifndef FFAI_TEXT_DETOKENIZER_H
#define FFAI_TEXT_DETOKENIZER_H

#include <ffai/tokenizer.h>

/* Bytes handled by all steps since it was created. */
uint64_t ffai__detokenizer_work(const ffai_detokenizer *detokenizer);

#endif
