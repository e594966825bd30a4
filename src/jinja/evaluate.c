/* Expressions. */
#include <string.h>

#include "render.h"
#include "texts.h"

void ffai__jinja_bind(ffai__jinja *j, jinja_frame *frame, const jinja_string *name, jinja_value value)
{
    for (size_t i = 0; i < frame->count; i++) {
        if (ffai__jinja_same(frame->bindings[i].name, name)) {
            frame->bindings[i].value = value;
            return;
        }
    }
    if (frame->count == frame->capacity)
        frame->bindings = ffai__jinja_grow(j, frame->bindings, frame->count, &frame->capacity, sizeof *frame->bindings);
    frame->bindings[frame->count++] = (jinja_binding){name, value};
}

static jinja_value function_value(ffai__jinja *j, const jinja_builtin *builtin)
{
    jinja_function *function = ffai__jinja_alloc(j, 1, sizeof *function);
    *function = (jinja_function){.builtin = builtin, .self = ffai__jinja_none()};
    return (jinja_value){.kind = JINJA_FUNCTION, .function = function};
}

static jinja_value look_up(ffai__jinja *j, const jinja_string *name)
{
    for (const jinja_frame *frame = j->frame; frame; frame = frame->parent) {
        for (size_t i = 0; i < frame->count; i++) {
            if (ffai__jinja_same(frame->bindings[i].name, name))
                return frame->bindings[i].value;
        }
    }
    const jinja_builtin *function = ffai__jinja_find_function(name);
    if (function)
        return function_value(j, function);
    return ffai__jinja_undefined(j, "'%.200s' is undefined", name->data);
}

static const jinja_list *evaluate_items(ffai__jinja *j, const jinja_nodes *nodes)
{
    jinja_list *list = ffai__jinja_new_list(j, nodes->count);
    for (size_t i = 0; i < nodes->count; i++)
        ffai__jinja_add(j, list, ffai__jinja_evaluate(j, nodes->items[i]));
    return list;
}

static jinja_value evaluate_dict(ffai__jinja *j, const jinja_nodes *items)
{
    jinja_dict *dict = ffai__jinja_new_dict(j);
    for (size_t i = 0; i < items->count; i += 2) {
        const jinja_value key = ffai__jinja_evaluate(j, items->items[i]);
        ffai__jinja_dict_set(j, dict, key, ffai__jinja_evaluate(j, items->items[i + 1]));
    }
    return ffai__jinja_of_dict(dict);
}

static jinja_value evaluate_slice(ffai__jinja *j, const jinja_node *node)
{
    const jinja_value value = ffai__jinja_evaluate(j, node->a);
    jinja_value parts[3];
    for (int i = 0; i < 3; i++)
        parts[i] = node->items.items[i] ? ffai__jinja_evaluate(j, node->items.items[i]) : ffai__jinja_none();
    return ffai__jinja_slice(j, value, parts[0], parts[1], parts[2]);
}

/* --- calls --- */

static void add_named(ffai__jinja *j, jinja_arguments *arguments, size_t *capacity, const jinja_string *name,
                      jinja_value value)
{
    if (ffai__jinja_named(arguments, name->data))
        ffai__jinja_refuse(j, "the argument '%.100s' is given twice", name->data);
    jinja_named *named = (jinja_named *)arguments->named;
    if (arguments->num_named == *capacity)
        named = ffai__jinja_grow(j, named, arguments->num_named, capacity, sizeof *named);
    named[arguments->num_named++] = (jinja_named){name, value};
    arguments->named = named;
}

static void add_named_rest(ffai__jinja *j, jinja_arguments *arguments, size_t *capacity, jinja_value rest)
{
    if (rest.kind != JINJA_DICT)
        ffai__jinja_refuse(j, "what follows ** must be a dict, not %s", ffai__jinja_type_name(rest));
    for (size_t i = 0; i < ffai__jinja_dict_count(rest.dict); i++)
        add_named(j, arguments, capacity,
                  ffai__jinja_need_string(j, ffai__jinja_dict_key(rest.dict, i), "an argument's name"),
                  ffai__jinja_dict_value(rest.dict, i));
}

static jinja_arguments evaluate_arguments(ffai__jinja *j, const jinja_argument_nodes *nodes)
{
    jinja_list *values = ffai__jinja_new_list(j, nodes->values.count);
    jinja_arguments arguments = {.named = NULL};
    size_t capacity = 0;
    for (size_t i = 0; i < nodes->values.count; i++)
        ffai__jinja_add(j, values, ffai__jinja_evaluate(j, nodes->values.items[i]));
    if (nodes->rest) {
        const jinja_list *rest = ffai__jinja_list_of(j, ffai__jinja_evaluate(j, nodes->rest));
        for (size_t i = 0; i < rest->count; i++)
            ffai__jinja_add(j, values, rest->items[i]);
    }
    for (size_t i = 0; i < nodes->named.count; i++)
        add_named(j, &arguments, &capacity, nodes->named.items[i]->name,
                  ffai__jinja_evaluate(j, nodes->named.items[i]->a));
    if (nodes->named_rest)
        add_named_rest(j, &arguments, &capacity, ffai__jinja_evaluate(j, nodes->named_rest));
    arguments.values = values->items;
    arguments.count = values->count;
    return arguments;
}

jinja_value ffai__jinja_call(ffai__jinja *j, jinja_value callee, const jinja_arguments *arguments)
{
    switch (callee.kind) {
    case JINJA_FUNCTION:
        return ffai__jinja_call_builtin(j, callee.function->builtin, callee.function->self, arguments);
    case JINJA_MACRO:
        return ffai__jinja_call_macro(j, callee.macro, arguments);
    case JINJA_LOOP:
        if (arguments->count != 1 || arguments->num_named)
            ffai__jinja_refuse(j, "loop() takes what to go through");
        return ffai__jinja_call_loop(j, callee.loop, arguments->values[0]);
    case JINJA_UNDEFINED:
        ffai__jinja_refuse(j, "%s", callee.why);
    default:
        ffai__jinja_refuse(j, "%s cannot be called", ffai__jinja_type_name(callee));
    }
}

static jinja_value evaluate_call(ffai__jinja *j, const jinja_node *node)
{
    const jinja_value callee = ffai__jinja_evaluate(j, node->a);
    const jinja_arguments arguments = evaluate_arguments(j, &node->arguments);
    j->line = node->line;
    return ffai__jinja_call(j, callee, &arguments);
}

static jinja_value apply(ffai__jinja *j, const jinja_node *node, jinja_value self, const char *kind)
{
    const jinja_arguments arguments = evaluate_arguments(j, &node->arguments);
    j->line = node->line;
    if (!node->builtin)
        ffai__jinja_fail(j, FFAI_E_UNSUPPORTED, "there is no %s '%.100s'", kind, node->name->data);
    return ffai__jinja_call_builtin(j, node->builtin, self, &arguments);
}

static jinja_value evaluate_filter(ffai__jinja *j, const jinja_node *node)
{
    return apply(j, node, node->a ? ffai__jinja_evaluate(j, node->a) : ffai__jinja_of_string(j->block), "filter");
}

/* --- operators --- */

static bool holds(ffai__jinja *j, jinja_operator operator, jinja_value a, jinja_value b)
{
    switch (operator) {
    case JINJA_OP_EQUAL:
        return ffai__jinja_equal(j, a, b);
    case JINJA_OP_NOT_EQUAL:
        return !ffai__jinja_equal(j, a, b);
    case JINJA_OP_LESS:
        return ffai__jinja_compare(j, a, b, "<") < 0;
    case JINJA_OP_LESS_EQUAL:
        return ffai__jinja_compare(j, a, b, "<=") <= 0;
    case JINJA_OP_GREATER:
        return ffai__jinja_compare(j, a, b, ">") > 0;
    case JINJA_OP_GREATER_EQUAL:
        return ffai__jinja_compare(j, a, b, ">=") >= 0;
    case JINJA_OP_IN:
        return ffai__jinja_contains(j, b, a);
    default:
        return !ffai__jinja_contains(j, b, a);
    }
}

static jinja_value evaluate_comparison(ffai__jinja *j, const jinja_node *node)
{
    jinja_value left = ffai__jinja_evaluate(j, node->a);
    for (size_t i = 0; i < node->items.count; i++) {
        const jinja_value right = ffai__jinja_evaluate(j, node->items.items[i]->a);
        if (!holds(j, node->items.items[i]->operator, left, right))
            return ffai__jinja_boolean(false);
        left = right;
    }
    return ffai__jinja_boolean(true);
}

static jinja_value evaluate_concatenation(ffai__jinja *j, const jinja_nodes *items)
{
    jinja_text text = ffai__jinja_new_text(j);
    for (size_t i = 0; i < items->count; i++)
        ffai__jinja_append_value(&text, ffai__jinja_evaluate(j, items->items[i]));
    return ffai__jinja_finish(&text);
}

static jinja_value evaluate_condition(ffai__jinja *j, const jinja_node *node)
{
    if (ffai__jinja_is_true(ffai__jinja_evaluate(j, node->b)))
        return ffai__jinja_evaluate(j, node->a);
    return node->c ? ffai__jinja_evaluate(j, node->c)
                   : ffai__jinja_undefined(j, "the 'if' within an expression is false and has no 'else'");
}

static jinja_value evaluate_words(ffai__jinja *j, const jinja_node *node)
{
    const jinja_value first = ffai__jinja_evaluate(j, node->a);
    return ffai__jinja_is_true(first) == (node->kind == JINJA_NODE_AND) ? ffai__jinja_evaluate(j, node->b) : first;
}

static jinja_value evaluate_binary(ffai__jinja *j, const jinja_node *node)
{
    const jinja_value a = ffai__jinja_evaluate(j, node->a);
    const jinja_value b = ffai__jinja_evaluate(j, node->b);
    j->line = node->line;
    return ffai__jinja_operate(j, node->operator, a, b);
}

static jinja_value evaluate_item(ffai__jinja *j, const jinja_node *node)
{
    const jinja_value value = ffai__jinja_evaluate(j, node->a);
    return ffai__jinja_item(j, value, ffai__jinja_evaluate(j, node->b));
}

static jinja_value evaluate_node(ffai__jinja *j, const jinja_node *node)
{
    switch (node->kind) {
    case JINJA_NODE_CONSTANT:
        return node->constant;
    case JINJA_NODE_NAME:
        return look_up(j, node->name);
    case JINJA_NODE_LIST:
        return ffai__jinja_of_list(evaluate_items(j, &node->items));
    case JINJA_NODE_TUPLE:
        return ffai__jinja_of_tuple(evaluate_items(j, &node->items));
    case JINJA_NODE_DICT:
        return evaluate_dict(j, &node->items);
    case JINJA_NODE_ATTRIBUTE:
        return ffai__jinja_attribute(j, ffai__jinja_evaluate(j, node->a), node->name);
    case JINJA_NODE_ITEM:
        return evaluate_item(j, node);
    case JINJA_NODE_SLICE:
        return evaluate_slice(j, node);
    case JINJA_NODE_CALL:
        return evaluate_call(j, node);
    case JINJA_NODE_FILTER:
        return evaluate_filter(j, node);
    case JINJA_NODE_TEST:
        return apply(j, node, ffai__jinja_evaluate(j, node->a), "test");
    case JINJA_NODE_NEGATE:
        return ffai__jinja_negate(j, ffai__jinja_evaluate(j, node->a));
    case JINJA_NODE_POSITIVE:
        return ffai__jinja_negate(j, ffai__jinja_negate(j, ffai__jinja_evaluate(j, node->a)));
    case JINJA_NODE_NOT:
        return ffai__jinja_boolean(!ffai__jinja_is_true(ffai__jinja_evaluate(j, node->a)));
    case JINJA_NODE_AND:
    case JINJA_NODE_OR:
        return evaluate_words(j, node);
    case JINJA_NODE_BINARY:
        return evaluate_binary(j, node);
    case JINJA_NODE_COMPARE:
        return evaluate_comparison(j, node);
    case JINJA_NODE_CONCATENATE:
        return evaluate_concatenation(j, &node->items);
    default:
        return evaluate_condition(j, node);
    }
}

jinja_value ffai__jinja_evaluate(ffai__jinja *j, const jinja_node *node)
{
    ffai__jinja_enter(j);
    ffai__jinja_step(j, 0);
    j->line = node->line;
    const jinja_value value = evaluate_node(j, node);
    ffai__jinja_leave(j);
    return value;
}
