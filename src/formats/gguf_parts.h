/* A GGUF model in several files, as gguf-split makes them: split.no, split.count, split.tensors.count. */
#ifndef FFAI_FORMATS_GGUF_PARTS_H
#define FFAI_FORMATS_GGUF_PARTS_H

#include "contents.h"

/* Where checkpoint->gguf, the file at checkpoint->path, is one of several parts, open the others, which lie beside it,
 * and make it the first with the tensors of all; metadata are the first's. FFAI_E_NOT_FOUND names a part that is
 * missing, FFAI_E_FORMAT the part and the key or tensor where parts contradict each other. */
ffai_status ffai__gguf_join_parts(ffai__checkpoint *checkpoint, ffai_error *err);

/* FFAI_E_UNSUPPORTED where the file is one of several parts, for bytes without a place for the others. */
ffai_status ffai__gguf_refuse_parts(const ffai__gguf *file, ffai_error *err);

#endif
