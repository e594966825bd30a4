#include "tokenizer_lists.h"

#include "alloc.h"

void ffai__tokenizer_lists_free(ffai__tokenizer_lists *lists)
{
    ffai__free(lists->tokens);
    ffai__free(lists->merges);
    ffai__free(lists->ranks);
    *lists = (ffai__tokenizer_lists){NULL, 0, NULL, 0, NULL};
}
