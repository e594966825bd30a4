/* What the host tells the device of a step: a message in host memory that the device reads when the step begins. */
#ifndef FFAI_CUDA_MESSAGE_H
#define FFAI_CUDA_MESSAGE_H

#include "cuda.h"

/* Memory for messages and results, and what the kernels must know of it. Needs the run's places. What was made before a
 * failure stays for ffai__cuda_messages_free. */
ffai_status ffai__cuda_messages_make(ffai__cuda_run *run, ffai_error *err);
void ffai__cuda_messages_free(ffai__cuda_run *run);

/* Write a step's message into its slot, which nobody reads any longer. *greedy: of every row that draws the largest
 * logit is taken, as it is. FFAI_E_UNSUPPORTED for pages in another format than the run's. */
ffai_status ffai__cuda_message_write(bool *greedy, ffai__cuda_run *run, const ffai__step *step, ffai_error *err);
/* The device may not have read the last message: the next one has all of the block tables again. */
void ffai__cuda_message_lost(ffai__cuda_run *run);
/* Another sequence takes this slot over, not from position 0: its pages are looked at from there on again. */
void ffai__cuda_message_forget(ffai__cuda_run *run, int32_t slot);

#endif
