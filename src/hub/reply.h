/* The head of a reply, and what a refusal means to the person who asked. */
#ifndef FFAI_HUB_REPLY_H
#define FFAI_HUB_REPLY_H

#include "transfer.h"

void ffai__reply_reset(ffai__reply *reply);
/* A line of the head, with its line end. Fields that make no sense count as absent. False when memory is short. */
bool ffai__reply_line(ffai__reply *reply, const char *line, size_t size);

/* The error of a request that ended without what was asked: its address, what came, and what to do. */
ffai_status ffai__reply_refusal(const ffai__request *request, ffai_error *err);

#endif
