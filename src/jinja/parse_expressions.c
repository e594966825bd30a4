/* Expressions, from what binds least to what binds most. */
#include <string.h>

#include "parser.h"
#include "texts.h"

jinja_node *ffai__jinja_new_node(jinja_parser *p, jinja_node_kind kind)
{
    jinja_node *node = ffai__jinja_alloc(p->j, 1, sizeof *node);
    node->kind = kind;
    node->line = p->at->line;
    return node;
}

void ffai__jinja_add_node(jinja_parser *p, jinja_nodes *nodes, jinja_node *node)
{
    if (nodes->count == nodes->capacity)
        nodes->items = ffai__jinja_grow(p->j, nodes->items, nodes->count, &nodes->capacity, sizeof(jinja_node *));
    nodes->items[nodes->count++] = node;
}

/* --- tokens --- */

static bool is_text(const jinja_token *token, const char *text)
{
    return strlen(text) == token->size && memcmp(token->text, text, token->size) == 0;
}

bool ffai__jinja_is_operator(const jinja_parser *p, const char *operator)
{
    return p->at->kind == JINJA_OPERATOR && is_text(p->at, operator);
}

bool ffai__jinja_is_word(const jinja_parser *p, const char *word)
{
    return p->at->kind == JINJA_NAME && is_text(p->at, word);
}

bool ffai__jinja_take_operator(jinja_parser *p, const char *operator)
{
    const bool taken = ffai__jinja_is_operator(p, operator);
    p->at += taken;
    return taken;
}

bool ffai__jinja_take_word(jinja_parser *p, const char *word)
{
    const bool taken = ffai__jinja_is_word(p, word);
    p->at += taken;
    return taken;
}

void ffai__jinja_unexpected(jinja_parser *p, const char *wanted)
{
    static const char *const kinds[] = {"text", "{%", "%}", "{{", "}}", "", "", "", "the template's end"};
    const char *text = kinds[p->at->kind];
    p->j->line = p->at->line;
    if (*text)
        ffai__jinja_fail(p->j, FFAI_E_FORMAT, "%s expected, but here is %s", wanted, text);
    ffai__jinja_fail(p->j, FFAI_E_FORMAT, "%s expected, but here is '%.*s'", wanted,
                     p->at->size < 60 ? (int)p->at->size : 60, p->at->text);
}

void ffai__jinja_expect_operator(jinja_parser *p, const char *operator)
{
    if (!ffai__jinja_take_operator(p, operator))
        ffai__jinja_unexpected(p, operator);
}

void ffai__jinja_expect(jinja_parser *p, jinja_token_kind kind, const char *what)
{
    if (p->at->kind != kind)
        ffai__jinja_unexpected(p, what);
    p->at++;
}

const jinja_string *ffai__jinja_expect_name(jinja_parser *p)
{
    const jinja_token *token = p->at;
    ffai__jinja_expect(p, JINJA_NAME, "a name");
    return ffai__jinja_string(p->j, token->text, token->size, false).string;
}

/* --- what stands by itself --- */

static jinja_node *constant(jinja_parser *p, jinja_value value)
{
    jinja_node *node = ffai__jinja_new_node(p, JINJA_NODE_CONSTANT);
    node->constant = value;
    return node;
}

static jinja_node *parse_name(jinja_parser *p)
{
    static const struct {
        const char *word;
        jinja_kind kind;
        bool boolean;
    } constants[] = {
        {"true", JINJA_BOOLEAN, true},   {"True", JINJA_BOOLEAN, true}, {"false", JINJA_BOOLEAN, false},
        {"False", JINJA_BOOLEAN, false}, {"none", JINJA_NONE, false},   {"None", JINJA_NONE, false},
    };
    jinja_node *node = ffai__jinja_new_node(p, JINJA_NODE_NAME);
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++) {
        if (ffai__jinja_take_word(p, constants[i].word)) {
            node->kind = JINJA_NODE_CONSTANT;
            node->constant = (jinja_value){.kind = constants[i].kind, .boolean = constants[i].boolean};
            return node;
        }
    }
    p->uses |= ffai__jinja_is_word(p, "varargs") ? JINJA_USES_VARARGS : 0;
    p->uses |= ffai__jinja_is_word(p, "kwargs") ? JINJA_USES_KWARGS : 0;
    p->uses |= ffai__jinja_is_word(p, "caller") ? JINJA_USES_CALLER : 0;
    node->name = ffai__jinja_expect_name(p);
    return node;
}

/* A number, or strings that stand side by side. */
static jinja_node *parse_constant(jinja_parser *p)
{
    jinja_node *node = constant(p, p->at->value);
    p->at++;
    if (node->constant.kind != JINJA_STRING || p->at->kind != JINJA_CONSTANT || p->at->value.kind != JINJA_STRING)
        return node;
    jinja_text text = ffai__jinja_new_text(p->j);
    ffai__jinja_append(&text, node->constant.string);
    for (; p->at->kind == JINJA_CONSTANT && p->at->value.kind == JINJA_STRING; p->at++)
        ffai__jinja_append(&text, p->at->value.string);
    node->constant = ffai__jinja_finish(&text);
    return node;
}

/* Behind "[". */
static jinja_node *parse_list(jinja_parser *p)
{
    jinja_node *node = ffai__jinja_new_node(p, JINJA_NODE_LIST);
    while (!ffai__jinja_take_operator(p, "]")) {
        if (node->items.count)
            ffai__jinja_expect_operator(p, ",");
        if (ffai__jinja_take_operator(p, "]"))
            break;
        ffai__jinja_add_node(p, &node->items, ffai__jinja_parse_expression(p));
    }
    return node;
}

/* Behind "{". */
static jinja_node *parse_dict(jinja_parser *p)
{
    jinja_node *node = ffai__jinja_new_node(p, JINJA_NODE_DICT);
    while (!ffai__jinja_take_operator(p, "}")) {
        if (node->items.count)
            ffai__jinja_expect_operator(p, ",");
        if (ffai__jinja_take_operator(p, "}"))
            break;
        ffai__jinja_add_node(p, &node->items, ffai__jinja_parse_expression(p));
        ffai__jinja_expect_operator(p, ":");
        ffai__jinja_add_node(p, &node->items, ffai__jinja_parse_expression(p));
    }
    return node;
}

static jinja_node *parse_primary(jinja_parser *p)
{
    if (p->at->kind == JINJA_NAME)
        return parse_name(p);
    if (p->at->kind == JINJA_CONSTANT)
        return parse_constant(p);
    if (ffai__jinja_take_operator(p, "["))
        return parse_list(p);
    if (ffai__jinja_take_operator(p, "{"))
        return parse_dict(p);
    if (!ffai__jinja_take_operator(p, "("))
        ffai__jinja_unexpected(p, "an expression");
    if (ffai__jinja_is_operator(p, ")")) {
        p->at++;
        return ffai__jinja_new_node(p, JINJA_NODE_TUPLE);
    }
    jinja_node *node = ffai__jinja_parse_tuple(p, true);
    ffai__jinja_expect_operator(p, ")");
    return node;
}

/* --- what follows an expression --- */

static void parse_argument(jinja_parser *p, jinja_argument_nodes *arguments)
{
    if (ffai__jinja_take_operator(p, "*")) {
        arguments->rest = ffai__jinja_parse_expression(p);
    } else if (ffai__jinja_take_operator(p, "**")) {
        arguments->named_rest = ffai__jinja_parse_expression(p);
    } else if (p->at->kind == JINJA_NAME && p->at[1].kind == JINJA_OPERATOR && is_text(&p->at[1], "=")) {
        jinja_node *named = ffai__jinja_new_node(p, JINJA_NODE_ATTRIBUTE);
        named->name = ffai__jinja_expect_name(p);
        p->at++;
        named->a = ffai__jinja_parse_expression(p);
        ffai__jinja_add_node(p, &arguments->named, named);
    } else {
        if (arguments->named.count || arguments->named_rest)
            ffai__jinja_unexpected(p, "a named argument");
        ffai__jinja_add_node(p, &arguments->values, ffai__jinja_parse_expression(p));
    }
}

/* Behind "(". */
static void parse_arguments(jinja_parser *p, jinja_argument_nodes *arguments)
{
    bool first = true;
    while (!ffai__jinja_take_operator(p, ")")) {
        if (!first)
            ffai__jinja_expect_operator(p, ",");
        if (!first && ffai__jinja_take_operator(p, ")"))
            break;
        first = false;
        parse_argument(p, arguments);
    }
}

static jinja_node *of(jinja_parser *p, jinja_node_kind kind, jinja_node *a)
{
    jinja_node *node = ffai__jinja_new_node(p, kind);
    node->a = a;
    return node;
}

static bool ends_part(const jinja_parser *p)
{
    return ffai__jinja_is_operator(p, ":") || ffai__jinja_is_operator(p, "]") || ffai__jinja_is_operator(p, ",");
}

/* Behind "[": a key, or a slice. */
static jinja_node *parse_item(jinja_parser *p, jinja_node *a)
{
    jinja_node *parts[3] = {NULL, NULL, NULL};
    int colons = 0;
    if (!ends_part(p))
        parts[0] = ffai__jinja_parse_tuple(p, true);
    while (colons < 2 && ffai__jinja_take_operator(p, ":")) {
        colons++;
        if (!ends_part(p))
            parts[colons] = ffai__jinja_parse_expression(p);
    }
    jinja_node *node = of(p, colons ? JINJA_NODE_SLICE : JINJA_NODE_ITEM, a);
    node->b = parts[0];
    if (!colons && !parts[0])
        ffai__jinja_unexpected(p, "an index");
    for (int i = 0; i < 3 && colons; i++)
        ffai__jinja_add_node(p, &node->items, parts[i]);
    ffai__jinja_expect_operator(p, "]");
    return node;
}

/* Behind ".". */
static jinja_node *parse_attribute(jinja_parser *p, jinja_node *a)
{
    jinja_node *node = of(p, JINJA_NODE_ATTRIBUTE, a);
    if (p->at->kind == JINJA_CONSTANT && p->at->value.kind == JINJA_INTEGER) {
        node->kind = JINJA_NODE_ITEM;
        node->b = parse_constant(p);
    } else {
        node->name = ffai__jinja_expect_name(p);
    }
    return node;
}

static jinja_node *parse_call(jinja_parser *p, jinja_node *a)
{
    jinja_node *node = of(p, JINJA_NODE_CALL, a);
    parse_arguments(p, &node->arguments);
    return node;
}

static jinja_node *parse_postfix(jinja_parser *p, jinja_node *node)
{
    for (int count = 0;; count++) {
        if (count == JINJA_MOST_DEPTH) /* the tree grows deep without the parser going deep */
            ffai__jinja_fail(p->j, FFAI_E_LIMIT, "more than %d attributes and calls in a row", JINJA_MOST_DEPTH);
        if (ffai__jinja_take_operator(p, "."))
            node = parse_attribute(p, node);
        else if (ffai__jinja_take_operator(p, "["))
            node = parse_item(p, node);
        else if (ffai__jinja_take_operator(p, "("))
            node = parse_call(p, node);
        else
            return node;
    }
}

/* A dotted name, as filters and tests may have. */
static const jinja_string *parse_dotted(jinja_parser *p)
{
    const jinja_token *first = p->at;
    ffai__jinja_expect_name(p);
    while (ffai__jinja_take_operator(p, "."))
        ffai__jinja_expect_name(p);
    const jinja_token *last = p->at - 1;
    return ffai__jinja_string(p->j, first->text, (size_t)(last->text + last->size - first->text), false).string;
}

static jinja_node *parse_filter(jinja_parser *p, jinja_node *input)
{
    jinja_node *node = of(p, JINJA_NODE_FILTER, input);
    node->name = parse_dotted(p);
    node->builtin = ffai__jinja_find_filter(node->name);
    if (ffai__jinja_take_operator(p, "("))
        parse_arguments(p, &node->arguments);
    return node;
}

/* Whether an argument without brackets follows a test: "is divisibleby 3". */
static bool begins_argument(const jinja_parser *p)
{
    if (p->at->kind == JINJA_CONSTANT)
        return true;
    if (p->at->kind == JINJA_NAME)
        return !ffai__jinja_is_word(p, "else") && !ffai__jinja_is_word(p, "or") && !ffai__jinja_is_word(p, "and") &&
               !ffai__jinja_is_word(p, "is") && !ffai__jinja_is_word(p, "if") && !ffai__jinja_is_word(p, "in") &&
               !ffai__jinja_is_word(p, "not") && !ffai__jinja_is_word(p, "recursive");
    return ffai__jinja_is_operator(p, "[") || ffai__jinja_is_operator(p, "{");
}

/* Behind "is". */
static jinja_node *parse_test(jinja_parser *p, jinja_node *input)
{
    const bool inverted = ffai__jinja_take_word(p, "not");
    jinja_node *node = of(p, JINJA_NODE_TEST, input);
    node->name = parse_dotted(p);
    node->builtin = ffai__jinja_find_test(node->name);
    if (ffai__jinja_take_operator(p, "("))
        parse_arguments(p, &node->arguments);
    else if (begins_argument(p))
        ffai__jinja_add_node(p, &node->arguments.values, parse_postfix(p, parse_primary(p)));
    return inverted ? of(p, JINJA_NODE_NOT, node) : node;
}

jinja_node *ffai__jinja_parse_filters(jinja_parser *p, jinja_node *input, bool started)
{
    jinja_node *node = started ? parse_filter(p, input) : input;
    for (int count = 0;; count++) {
        if (count == JINJA_MOST_DEPTH)
            ffai__jinja_fail(p->j, FFAI_E_LIMIT, "more than %d filters in a row", JINJA_MOST_DEPTH);
        if (ffai__jinja_take_operator(p, "|"))
            node = parse_filter(p, node);
        else if (ffai__jinja_take_word(p, "is"))
            node = parse_test(p, node);
        else if (node && ffai__jinja_take_operator(p, "("))
            node = parse_call(p, node);
        else
            return node;
    }
}

/* --- operators --- */

static jinja_node *parse_signed(jinja_parser *p, bool filters)
{
    jinja_node *node = NULL;
    ffai__jinja_enter(p->j);
    if (ffai__jinja_is_operator(p, "-") || ffai__jinja_is_operator(p, "+")) {
        node = ffai__jinja_new_node(p, ffai__jinja_is_operator(p, "-") ? JINJA_NODE_NEGATE : JINJA_NODE_POSITIVE);
        p->at++;
        node->a = parse_signed(p, false);
    } else {
        node = parse_primary(p);
    }
    node = parse_postfix(p, node);
    if (filters)
        node = ffai__jinja_parse_filters(p, node, false);
    ffai__jinja_leave(p->j);
    return node;
}

jinja_node *ffai__jinja_parse_unary(jinja_parser *p)
{
    return parse_signed(p, true);
}

typedef struct binary {
    const char *text;
    jinja_operator operator;
} binary;

/* Left to right: operands by `next`, with the operators of a list that ends with NULL between them. */
static jinja_node *parse_binary(jinja_parser *p, const binary *operators, jinja_node *(*next)(jinja_parser *p))
{
    jinja_node *node = next(p);
    for (int count = 0; count < JINJA_MOST_DEPTH; count++) {
        const binary *found = operators;
        while (found->text && !ffai__jinja_is_operator(p, found->text))
            found++;
        if (!found->text)
            return node;
        jinja_node *both = of(p, JINJA_NODE_BINARY, node);
        p->at++;
        both->operator= found->operator;
        both->b = next(p);
        node = both;
    }
    ffai__jinja_fail(p->j, FFAI_E_LIMIT, "more than %d operators in a row", JINJA_MOST_DEPTH);
}

static jinja_node *parse_power(jinja_parser *p)
{
    static const binary operators[] = {{"**", JINJA_OP_POWER}, {NULL, JINJA_OP_POWER}};
    return parse_binary(p, operators, ffai__jinja_parse_unary);
}

static jinja_node *parse_product(jinja_parser *p)
{
    static const binary operators[] = {{"*", JINJA_OP_MULTIPLY},
                                       {"/", JINJA_OP_DIVIDE},
                                       {"//", JINJA_OP_FLOOR_DIVIDE},
                                       {"%", JINJA_OP_REMAINDER},
                                       {NULL, JINJA_OP_MULTIPLY}};
    return parse_binary(p, operators, parse_power);
}

static jinja_node *parse_concatenation(jinja_parser *p)
{
    jinja_node *first = parse_product(p);
    if (!ffai__jinja_is_operator(p, "~"))
        return first;
    jinja_node *node = ffai__jinja_new_node(p, JINJA_NODE_CONCATENATE);
    ffai__jinja_add_node(p, &node->items, first);
    while (ffai__jinja_take_operator(p, "~"))
        ffai__jinja_add_node(p, &node->items, parse_product(p));
    return node;
}

static jinja_node *parse_sum(jinja_parser *p)
{
    static const binary operators[] = {{"+", JINJA_OP_ADD}, {"-", JINJA_OP_SUBTRACT}, {NULL, JINJA_OP_ADD}};
    return parse_binary(p, operators, parse_concatenation);
}

static bool take_comparison(jinja_parser *p, jinja_operator *operator)
{
    static const binary comparisons[] = {{"==", JINJA_OP_EQUAL},  {"!=", JINJA_OP_NOT_EQUAL},
                                         {"<", JINJA_OP_LESS},    {"<=", JINJA_OP_LESS_EQUAL},
                                         {">", JINJA_OP_GREATER}, {">=", JINJA_OP_GREATER_EQUAL}};
    for (size_t i = 0; i < sizeof comparisons / sizeof *comparisons; i++) {
        if (ffai__jinja_take_operator(p, comparisons[i].text)) {
            *operator= comparisons[i].operator;
            return true;
        }
    }
    *operator= JINJA_OP_IN;
    if (ffai__jinja_take_word(p, "in"))
        return true;
    *operator= JINJA_OP_NOT_IN;
    if (!ffai__jinja_is_word(p, "not") || p->at[1].kind != JINJA_NAME || !is_text(&p->at[1], "in"))
        return false;
    p->at += 2;
    return true;
}

static jinja_node *parse_comparison(jinja_parser *p)
{
    jinja_node *first = parse_sum(p);
    jinja_node *node = NULL;
    jinja_operator operator;
    while (take_comparison(p, &operator)) {
        if (!node)
            node = of(p, JINJA_NODE_COMPARE, first);
        jinja_node *other = ffai__jinja_new_node(p, JINJA_NODE_COMPARE);
        other->operator= operator;
        other->a = parse_sum(p);
        ffai__jinja_add_node(p, &node->items, other);
    }
    return node ? node : first;
}

static jinja_node *parse_not(jinja_parser *p)
{
    if (!ffai__jinja_is_word(p, "not"))
        return parse_comparison(p);
    jinja_node *node = ffai__jinja_new_node(p, JINJA_NODE_NOT);
    p->at++;
    ffai__jinja_enter(p->j);
    node->a = parse_not(p);
    ffai__jinja_leave(p->j);
    return node;
}

static jinja_node *parse_words(jinja_parser *p, const char *word, jinja_node_kind kind,
                               jinja_node *(*next)(jinja_parser *p))
{
    jinja_node *node = next(p);
    for (int count = 0; count < JINJA_MOST_DEPTH; count++) {
        if (!ffai__jinja_take_word(p, word))
            return node;
        node = of(p, kind, node);
        node->b = next(p);
    }
    ffai__jinja_fail(p->j, FFAI_E_LIMIT, "more than %d times '%s' in a row", JINJA_MOST_DEPTH, word);
}

static jinja_node *parse_and(jinja_parser *p)
{
    return parse_words(p, "and", JINJA_NODE_AND, parse_not);
}

jinja_node *ffai__jinja_parse_alternative(jinja_parser *p)
{
    return parse_words(p, "or", JINJA_NODE_OR, parse_and);
}

jinja_node *ffai__jinja_parse_expression(jinja_parser *p)
{
    ffai__jinja_enter(p->j);
    jinja_node *node = ffai__jinja_parse_alternative(p);
    for (int count = 0; ffai__jinja_take_word(p, "if"); count++) {
        if (count == JINJA_MOST_DEPTH)
            ffai__jinja_fail(p->j, FFAI_E_LIMIT, "more than %d conditions in a row", JINJA_MOST_DEPTH);
        node = of(p, JINJA_NODE_CONDITION, node);
        node->b = ffai__jinja_parse_alternative(p);
        if (ffai__jinja_take_word(p, "else"))
            node->c = ffai__jinja_parse_expression(p);
    }
    ffai__jinja_leave(p->j);
    return node;
}

/* --- several --- */

static bool ends_tuple(const jinja_parser *p)
{
    return p->at->kind == JINJA_BLOCK_END || p->at->kind == JINJA_VARIABLE_END || ffai__jinja_is_operator(p, ")") ||
           ffai__jinja_is_operator(p, "]") || ffai__jinja_is_operator(p, "=") || ffai__jinja_is_word(p, "in");
}

jinja_node *ffai__jinja_parse_tuple(jinja_parser *p, bool conditions)
{
    jinja_node *first = conditions ? ffai__jinja_parse_expression(p) : ffai__jinja_parse_alternative(p);
    if (!ffai__jinja_is_operator(p, ","))
        return first;
    jinja_node *node = ffai__jinja_new_node(p, JINJA_NODE_TUPLE);
    ffai__jinja_add_node(p, &node->items, first);
    while (ffai__jinja_take_operator(p, ",") && !ends_tuple(p))
        ffai__jinja_add_node(p, &node->items,
                             conditions ? ffai__jinja_parse_expression(p) : ffai__jinja_parse_alternative(p));
    return node;
}

static jinja_node *parse_one_target(jinja_parser *p, bool attributes)
{
    if (ffai__jinja_take_operator(p, "(")) {
        ffai__jinja_enter(p->j);
        jinja_node *inner = ffai__jinja_parse_target(p, attributes);
        ffai__jinja_leave(p->j);
        ffai__jinja_expect_operator(p, ")");
        return inner;
    }
    jinja_node *node = parse_name(p);
    if (node->kind == JINJA_NODE_CONSTANT)
        ffai__jinja_fail(p->j, FFAI_E_FORMAT, "a constant cannot be assigned to");
    if (attributes && ffai__jinja_take_operator(p, "."))
        node = parse_attribute(p, node);
    return node;
}

jinja_node *ffai__jinja_parse_target(jinja_parser *p, bool attributes)
{
    jinja_node *first = parse_one_target(p, attributes);
    if (!ffai__jinja_is_operator(p, ","))
        return first;
    jinja_node *node = ffai__jinja_new_node(p, JINJA_NODE_TUPLE);
    ffai__jinja_add_node(p, &node->items, first);
    while (ffai__jinja_take_operator(p, ",") && !ends_tuple(p))
        ffai__jinja_add_node(p, &node->items, parse_one_target(p, attributes));
    return node;
}
