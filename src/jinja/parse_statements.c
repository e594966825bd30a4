/* Statements: texts, what is printed, and tags. */
#include <string.h>

#include "parser.h"

static jinja_nodes parse_body(jinja_parser *p);

static bool is_tag(const jinja_parser *p, const char *word)
{
    const size_t size = strlen(word);
    return p->at->kind == JINJA_BLOCK_BEGIN && p->at[1].kind == JINJA_NAME && p->at[1].size == size &&
           memcmp(p->at[1].text, word, size) == 0;
}

/* Go on behind "{% word" if it is there. */
static bool take_tag(jinja_parser *p, const char *word)
{
    const bool taken = is_tag(p, word);
    p->at += taken ? 2 : 0;
    return taken;
}

static void expect_end(jinja_parser *p)
{
    ffai__jinja_expect(p, JINJA_BLOCK_END, "%}");
}

/* "%}", the statements up to "{% word", and that. */
static jinja_nodes parse_until(jinja_parser *p, const char *word)
{
    expect_end(p);
    const jinja_nodes body = parse_body(p);
    if (!take_tag(p, word))
        ffai__jinja_unexpected(p, word);
    return body;
}

/* The same to "%}" of the closing tag. */
static jinja_nodes parse_to_end(jinja_parser *p, const char *word)
{
    const jinja_nodes body = parse_until(p, word);
    expect_end(p);
    return body;
}

/* Behind "if" or "elif". */
static jinja_node *parse_if(jinja_parser *p)
{
    jinja_node *node = ffai__jinja_new_node(p, JINJA_NODE_IF);
    ffai__jinja_enter(p->j);
    node->a = ffai__jinja_parse_tuple(p, true);
    expect_end(p);
    node->body = parse_body(p);
    if (take_tag(p, "elif"))
        ffai__jinja_add_node(p, &node->others, parse_if(p));
    else if (take_tag(p, "else"))
        node->others = parse_to_end(p, "endif");
    else if (take_tag(p, "endif"))
        expect_end(p);
    else
        ffai__jinja_unexpected(p, "endif");
    ffai__jinja_leave(p->j);
    return node;
}

static jinja_node *parse_for(jinja_parser *p)
{
    jinja_node *node = ffai__jinja_new_node(p, JINJA_NODE_FOR);
    node->a = ffai__jinja_parse_target(p, false);
    if (!ffai__jinja_take_word(p, "in"))
        ffai__jinja_unexpected(p, "in");
    node->b = ffai__jinja_parse_tuple(p, false);
    if (ffai__jinja_take_word(p, "if"))
        node->c = ffai__jinja_parse_expression(p);
    node->recursive = ffai__jinja_take_word(p, "recursive");
    expect_end(p);
    p->loops++;
    node->body = parse_body(p);
    p->loops--;
    if (take_tag(p, "else"))
        node->others = parse_to_end(p, "endfor");
    else if (take_tag(p, "endfor"))
        expect_end(p);
    else
        ffai__jinja_unexpected(p, "endfor");
    return node;
}

static jinja_node *parse_set(jinja_parser *p)
{
    jinja_node *node = ffai__jinja_new_node(p, JINJA_NODE_SET);
    node->a = ffai__jinja_parse_target(p, true);
    if (ffai__jinja_take_operator(p, "=")) {
        node->b = ffai__jinja_parse_tuple(p, true);
        expect_end(p);
        return node;
    }
    node->kind = JINJA_NODE_SET_BLOCK;
    node->b = ffai__jinja_parse_filters(p, NULL, false);
    node->body = parse_to_end(p, "endset");
    return node;
}

static jinja_node *parse_with(jinja_parser *p)
{
    jinja_node *node = ffai__jinja_new_node(p, JINJA_NODE_WITH);
    while (p->at->kind != JINJA_BLOCK_END) {
        if (node->items.count)
            ffai__jinja_expect_operator(p, ",");
        ffai__jinja_add_node(p, &node->items, ffai__jinja_parse_target(p, false));
        ffai__jinja_expect_operator(p, "=");
        ffai__jinja_add_node(p, &node->items, ffai__jinja_parse_expression(p));
    }
    node->body = parse_to_end(p, "endwith");
    return node;
}

/* Behind "(": parameters, the last ones with defaults. */
static void parse_parameters(jinja_parser *p, jinja_node *macro)
{
    while (!ffai__jinja_take_operator(p, ")")) {
        if (macro->items.count)
            ffai__jinja_expect_operator(p, ",");
        if (ffai__jinja_take_operator(p, ")"))
            break;
        jinja_node *parameter = ffai__jinja_new_node(p, JINJA_NODE_NAME);
        parameter->name = ffai__jinja_expect_name(p);
        ffai__jinja_add_node(p, &macro->items, parameter);
        if (ffai__jinja_take_operator(p, "="))
            ffai__jinja_add_node(p, &macro->defaults, ffai__jinja_parse_expression(p));
        else if (macro->defaults.count)
            ffai__jinja_unexpected(p, "a default");
    }
}

/* The body is neither in the loops nor in the macro around it. */
static void parse_macro_body(jinja_parser *p, jinja_node *macro, const char *end)
{
    const jinja_parser around = *p;
    p->loops = 0;
    p->uses = 0;
    macro->body = parse_to_end(p, end);
    macro->uses = p->uses;
    p->loops = around.loops;
    p->uses = around.uses;
}

static jinja_node *parse_macro(jinja_parser *p)
{
    jinja_node *node = ffai__jinja_new_node(p, JINJA_NODE_MACRO);
    node->name = ffai__jinja_expect_name(p);
    ffai__jinja_expect_operator(p, "(");
    parse_parameters(p, node);
    parse_macro_body(p, node, "endmacro");
    return node;
}

static jinja_node *parse_call_block(jinja_parser *p)
{
    jinja_node *node = ffai__jinja_new_node(p, JINJA_NODE_CALL_BLOCK);
    jinja_node *caller = ffai__jinja_new_node(p, JINJA_NODE_MACRO);
    caller->name = ffai__jinja_literal(p->j, "caller").string;
    if (ffai__jinja_take_operator(p, "("))
        parse_parameters(p, caller);
    node->a = ffai__jinja_parse_unary(p);
    if (node->a->kind != JINJA_NODE_CALL)
        ffai__jinja_fail(p->j, FFAI_E_FORMAT, "a call of a macro expected behind {%% call %%}");
    parse_macro_body(p, caller, "endcall");
    node->b = caller;
    return node;
}

static jinja_node *parse_filter_block(jinja_parser *p)
{
    jinja_node *node = ffai__jinja_new_node(p, JINJA_NODE_FILTERED);
    node->a = ffai__jinja_parse_filters(p, NULL, true);
    node->body = parse_to_end(p, "endfilter");
    return node;
}

static jinja_node *parse_generation(jinja_parser *p)
{
    jinja_node *node = ffai__jinja_new_node(p, JINJA_NODE_GROUP);
    node->body = parse_to_end(p, "endgeneration");
    return node;
}

static jinja_node *parse_block(jinja_parser *p)
{
    jinja_node *node = ffai__jinja_new_node(p, JINJA_NODE_GROUP);
    ffai__jinja_expect_name(p);
    ffai__jinja_take_word(p, "scoped");
    ffai__jinja_take_word(p, "required");
    node->body = parse_until(p, "endblock");
    if (p->at->kind == JINJA_NAME)
        p->at++;
    expect_end(p);
    return node;
}

static jinja_node *parse_print(jinja_parser *p)
{
    jinja_node *node = ffai__jinja_new_node(p, JINJA_NODE_PRINT);
    node->a = ffai__jinja_parse_tuple(p, true);
    expect_end(p);
    return node;
}

static jinja_node *parse_jump(jinja_parser *p, jinja_node_kind kind)
{
    jinja_node *node = ffai__jinja_new_node(p, kind);
    if (p->loops == 0)
        ffai__jinja_fail(p->j, FFAI_E_FORMAT, "break and continue belong into a loop");
    expect_end(p);
    return node;
}

static jinja_node *parse_break(jinja_parser *p)
{
    return parse_jump(p, JINJA_NODE_BREAK);
}

static jinja_node *parse_continue(jinja_parser *p)
{
    return parse_jump(p, JINJA_NODE_CONTINUE);
}

static jinja_node *refuse_tag(jinja_parser *p)
{
    ffai__jinja_fail(p->j, FFAI_E_UNSUPPORTED, "{%% %.*s %%} needs other files, which chat templates have none of",
                     (int)p->at[-1].size, p->at[-1].text);
}

/* At the name of a tag. */
static jinja_node *parse_tag(jinja_parser *p)
{
    static const struct {
        const char *word;
        jinja_node *(*parse)(jinja_parser *p);
    } tags[] = {
        {"if", parse_if},        {"for", parse_for},
        {"set", parse_set},      {"with", parse_with},
        {"macro", parse_macro},  {"call", parse_call_block},
        {"print", parse_print},  {"filter", parse_filter_block},
        {"break", parse_break},  {"continue", parse_continue},
        {"block", parse_block},  {"generation", parse_generation},
        {"include", refuse_tag}, {"import", refuse_tag},
        {"extends", refuse_tag}, {"from", refuse_tag},
    };
    p->j->line = p->at->line;
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        if (ffai__jinja_take_word(p, tags[i].word))
            return tags[i].parse(p);
    }
    ffai__jinja_unexpected(p, "a statement");
}

static jinja_node *parse_variable(jinja_parser *p)
{
    jinja_node *node = ffai__jinja_new_node(p, JINJA_NODE_PRINT);
    node->a = ffai__jinja_parse_tuple(p, true);
    ffai__jinja_expect(p, JINJA_VARIABLE_END, "}}");
    return node;
}

static jinja_node *parse_text(jinja_parser *p)
{
    jinja_node *node = ffai__jinja_new_node(p, JINJA_NODE_TEXT);
    node->constant = ffai__jinja_string(p->j, p->at->text, p->at->size, false);
    p->at++;
    return node;
}

/* Whether the tag here belongs to the statement around: {% else %}, {% endif %} … */
static bool closes(const jinja_parser *p)
{
    return is_tag(p, "else") || is_tag(p, "elif") ||
           (p->at->kind == JINJA_BLOCK_BEGIN && p->at[1].kind == JINJA_NAME && p->at[1].size > 3 &&
            memcmp(p->at[1].text, "end", 3) == 0);
}

static jinja_nodes parse_body(jinja_parser *p)
{
    jinja_nodes body = {NULL, 0, 0};
    ffai__jinja_enter(p->j);
    while (p->at->kind != JINJA_END && !closes(p)) {
        p->j->line = p->at->line;
        if (p->at->kind == JINJA_TEXT) {
            ffai__jinja_add_node(p, &body, parse_text(p));
        } else if (p->at->kind == JINJA_VARIABLE_BEGIN) {
            p->at++;
            ffai__jinja_add_node(p, &body, parse_variable(p));
        } else {
            p->at++;
            ffai__jinja_add_node(p, &body, parse_tag(p));
        }
    }
    ffai__jinja_leave(p->j);
    return body;
}

jinja_nodes ffai__jinja_parse_source(ffai__jinja *j, const char *source, size_t size)
{
    j->line = 1;
    const jinja_tokens tokens = ffai__jinja_lex(j, source, size);
    jinja_parser p = {.j = j, .at = tokens.items};
    const jinja_nodes body = parse_body(&p);
    if (p.at->kind != JINJA_END)
        ffai__jinja_unexpected(&p, "the template's end");
    return body;
}
