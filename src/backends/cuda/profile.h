/* Where steps spend their time, by kind of work: ffai__backend.profile and profile_read. A step that is timed launches
 * its kernels one by one, with an event between each two, so that none overlaps the next. */
#ifndef FFAI_CUDA_PROFILE_H
#define FFAI_CUDA_PROFILE_H

#include "cuda.h"

ffai_status ffai__cuda_profile_switch(ffai__run *base, bool on, ffai_error *err);
size_t ffai__cuda_profile_read(const ffai__run *base, ffai__op_time *times, size_t room);
void ffai__cuda_profile_free(ffai__cuda_run *run);
/* Launch a class's operations, wait for them, and add up their times. */
ffai_status ffai__cuda_profile_step(ffai__cuda_run *run, const ffai__cuda_class *of, const ffai__step *step,
                                    ffai_error *err);

#endif
