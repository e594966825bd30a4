/* Numbers in JSON between bounds, as expressions over their digits. */
#ifndef FFAI_GRAMMAR_SCHEMA_NUMBERS_H
#define FFAI_GRAMMAR_SCHEMA_NUMBERS_H

#include "rules.h"

typedef struct ffai__number_range {
    bool integer;  /* none but integers */
    bool fraction; /* none but those that are no integers */
    bool has_min, has_max;
    double min, max;
    bool above_min, below_max; /* the bound itself is out */
    int64_t multiple_of;       /* 0: any; of integers alone */
} ffai__number_range;

enum { FFAI__MULTIPLE_MAX = 1000 };

/* One spelling a number: no "-0", no leading zeros; where there are bounds, no exponent, and so many digits that a
 * reader's double keeps to them too. FFAI__NEVER if there is no such number. */
ffai_status ffai__schema_number(ffai__expression *out, ffai__rules *rules, const ffai__number_range *n,
                                ffai_error *err);

#endif
