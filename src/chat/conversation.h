/* A conversation as the variables of a template. */
#ifndef FFAI_CHAT_CONVERSATION_H
#define FFAI_CHAT_CONVERSATION_H

#include <ffai/chat.h>
#include <jansson.h>

struct ffai_conversation {
    json_t *messages;  /* array of objects, as templates get them */
    json_t *variables; /* the others */
};

#endif
