/* What regular languages allow and expressions cannot say: both, and one but not the other. */
#ifndef FFAI_GRAMMAR_REGULAR_H
#define FFAI_GRAMMAR_REGULAR_H

#include "rules.h"

/* States of one table, and of all that one grammar makes. */
enum { FFAI__TABLE_STATES_MAX = 1 << 14, FFAI__TABLE_WORK_MAX = 1 << 19 };

/* What both expressions match, or the first and not the second. Neither calls a rule. FFAI_E_LIMIT where that takes
 * more than FFAI__TABLE_STATES_MAX states, or all together more than FFAI__TABLE_WORK_MAX. */
ffai_status ffai__regular_both(ffai__expression *out, ffai__rules *rules, ffai__expression a, ffai__expression b,
                               ffai_error *err);
ffai_status ffai__regular_without(ffai__expression *out, ffai__rules *rules, ffai__expression a, ffai__expression b,
                                  ffai_error *err);

/* Whether the expression, which calls no rule, matches the text. */
ffai_status ffai__regular_matches(bool *matches, const ffai__rules *rules, ffai__expression expression,
                                  const char *text, size_t size, ffai_error *err);

#endif
