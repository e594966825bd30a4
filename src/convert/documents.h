/* The JSON documents of a converted folder. */
#ifndef FFAI_CONVERT_DOCUMENTS_H
#define FFAI_CONVERT_DOCUMENTS_H

#include "checkpoint.h"
#include "repack.h"

/* config.json with the quantization that plans amount to, generation_config.json, tokenizer.json,
 * tokenizer_config.json and a folder's further files of its tokenizer, where the source has them. */
ffai_status ffai__documents_write(const char *folder, const ffai__checkpoint *source, const ffai__repack *plans,
                                  size_t count, ffai__convert_dtype dtype, ffai_error *err);

#endif
