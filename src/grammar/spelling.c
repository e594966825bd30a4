#include "spelling.h"

#include <stdio.h>
#include <string.h>

enum { CONTROLS = 0x20, ESCAPED = CONTROLS + 2 };

/* "\n" and the like; false if the character stands for itself. */
static bool escape(char out[8], uint32_t c)
{
    static const char letters[] = "\"\\\b\f\n\r\t";
    static const char escapes[] = "\"\\bfnrt";
    const char *at = c != 0 && c < 0x80 ? strchr(letters, (int)c) : NULL;
    if (at)
        snprintf(out, 8, "\\%c", escapes[at - letters]);
    else if (c < CONTROLS)
        snprintf(out, 8, "\\u%04x", (unsigned)c);
    else
        return false;
    return true;
}

ffai__expression ffai__spell_characters(ffai__rules *rules, const ffai__characters *set, ffai__spelling spelling)
{
    if (spelling == FFAI__SPELL_PLAIN)
        return ffai__rules_characters(rules, set);
    ffai__expression parts[ESCAPED + 1];
    size_t count = 0;
    ffai__characters plain = {0};
    ffai__characters escaped = {0};
    ffai__characters_add_all(&plain, set);
    for (uint32_t c = 0; c < 0x80; c++) {
        char spelled[8];
        if (!escape(spelled, c))
            continue;
        ffai__characters_add(&escaped, c, c);
        if (ffai__characters_have(set, c))
            parts[count++] = ffai__rules_literal(rules, spelled, strlen(spelled));
    }
    ffai__characters_remove(&plain, &escaped);
    parts[count++] = ffai__rules_characters(rules, &plain);
    ffai__characters_free(&plain);
    ffai__characters_free(&escaped);
    return ffai__rules_choice(rules, parts, count);
}

void ffai__spell_json(ffai__buffer *out, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char escaped[8];
        if (escape(escaped, (unsigned char)text[i]))
            ffai__buffer_text(out, escaped);
        else
            ffai__buffer_append(out, text + i, 1);
    }
}

ffai__expression ffai__spell_text(ffai__rules *rules, const char *text, size_t size, ffai__spelling spelling)
{
    if (spelling == FFAI__SPELL_PLAIN)
        return ffai__rules_literal(rules, text, size);
    ffai__buffer spelled = FFAI__BUFFER_INIT;
    ffai__spell_json(&spelled, text, size);
    if (spelled.failed)
        rules->status = FFAI_E_MEMORY;
    const ffai__expression literal = ffai__rules_literal(rules, spelled.data, spelled.size);
    ffai__buffer_free(&spelled);
    return literal;
}
