/* Combined checkpoints: a text model with encoders for images or sound beside it, whose config.json has the text
 * model's own under "text_config". */
#ifndef FFAI_MODELS_COMBINED_H
#define FFAI_MODELS_COMBINED_H

#include "family.h"

/* The family of a checkpoint, and the configuration that a checkpoint of its text model alone would have: *flat, a new
 * reference, is `config` itself where that is one already. architectures and model_type in it are the checkpoint's.
 * what: said in front of an error. FFAI_E_UNSUPPORTED for what is not known, and for text models that compute
 * otherwise than their family where encoders are beside them: the message names it. */
ffai_status ffai__text_config(json_t **flat, const ffai__family **family, const json_t *config, const char *what,
                              ffai_error *err);

#endif
