/* Statements. */
#include "render.h"

#include <string.h>

#include "texts.h"

typedef enum outcome { GO_ON, BREAK, CONTINUE } outcome;

static outcome run_body(ffai__jinja *j, const jinja_nodes *body);

static jinja_frame *new_frame(ffai__jinja *j, jinja_frame *parent)
{
    jinja_frame *frame = ffai__jinja_alloc(j, 1, sizeof *frame);
    frame->parent = parent;
    return frame;
}

/* With variables of its own. */
static outcome run_within(ffai__jinja *j, const jinja_nodes *body, jinja_frame *frame)
{
    jinja_frame *around = j->frame;
    j->frame = frame;
    const outcome how = run_body(j, body);
    j->frame = around;
    return how;
}

/* What a body writes, with variables of its own. */
static jinja_value capture(ffai__jinja *j, const jinja_nodes *body, jinja_frame *frame)
{
    jinja_text text = ffai__jinja_new_text(j);
    jinja_text *around = j->out;
    j->out = &text;
    run_within(j, body, frame);
    j->out = around;
    return ffai__jinja_finish(&text);
}

/* --- setting --- */

static void assign_several(ffai__jinja *j, const jinja_nodes *targets, jinja_value value)
{
    const jinja_list *list = ffai__jinja_list_of(j, value);
    if (list->count != targets->count)
        ffai__jinja_refuse(j, "%zu values for %zu names", list->count, targets->count);
    for (size_t i = 0; i < list->count; i++)
        ffai__jinja_assign(j, targets->items[i], list->items[i]);
}

static void assign_attribute(ffai__jinja *j, const jinja_node *target, jinja_value value)
{
    const jinja_value of = ffai__jinja_evaluate(j, target->a);
    if (target->kind != JINJA_NODE_ATTRIBUTE || of.kind != JINJA_NAMESPACE)
        ffai__jinja_refuse(j, "only what namespace() made can be given attributes, not %s", ffai__jinja_type_name(of));
    ffai__jinja_dict_set(j, of.dict, ffai__jinja_of_string(target->name), value);
}

void ffai__jinja_assign(ffai__jinja *j, const jinja_node *target, jinja_value value)
{
    ffai__jinja_enter(j);
    if (target->kind == JINJA_NODE_NAME)
        ffai__jinja_bind(j, j->frame, target->name, value);
    else if (target->kind == JINJA_NODE_TUPLE)
        assign_several(j, &target->items, value);
    else
        assign_attribute(j, target, value);
    ffai__jinja_leave(j);
}

/* What filters make of a block's text. */
static jinja_value filtered(ffai__jinja *j, const jinja_node *filters, jinja_value text)
{
    if (!filters)
        return text;
    const jinja_string *around = j->block;
    j->block = text.string;
    const jinja_value value = ffai__jinja_evaluate(j, filters);
    j->block = around;
    return value;
}

static outcome run_with(ffai__jinja *j, const jinja_node *node)
{
    jinja_frame *around = j->frame;
    jinja_frame *inner = new_frame(j, around);
    for (size_t i = 0; i < node->items.count; i += 2) {
        const jinja_value value = ffai__jinja_evaluate(j, node->items.items[i + 1]);
        j->frame = inner;
        ffai__jinja_assign(j, node->items.items[i], value);
        j->frame = around;
    }
    return run_within(j, &node->body, inner);
}

/* --- loops --- */

/* The items for which the loop's condition holds. */
static jinja_sequence select_items(ffai__jinja *j, const jinja_node *node, const jinja_sequence *all)
{
    jinja_list *selected = ffai__jinja_new_list(j, 0);
    jinja_frame *around = j->frame;
    jinja_frame *frame = new_frame(j, around);
    j->frame = frame;
    for (uint64_t i = 0; i < all->count; i++) {
        frame->count = 0;
        const jinja_value item = ffai__jinja_at(all, i);
        ffai__jinja_assign(j, node->a, item);
        if (ffai__jinja_is_true(ffai__jinja_evaluate(j, node->c)))
            ffai__jinja_add(j, selected, item);
    }
    j->frame = around;
    return (jinja_sequence){.count = selected->count, .items = selected->items};
}

static void run_turns(ffai__jinja *j, jinja_loop *loop)
{
    const jinja_node *node = loop->node;
    const jinja_string *name = ffai__jinja_literal(j, "loop").string;
    jinja_frame *frame = new_frame(j, j->frame);
    jinja_frame *around = j->frame;
    outcome how = GO_ON;
    j->frame = frame;
    for (loop->index = 0; loop->index < loop->sequence.count && how != BREAK; loop->index++) {
        ffai__jinja_step(j, 0);
        frame->count = 0;
        ffai__jinja_bind(j, frame, name, (jinja_value){.kind = JINJA_LOOP, .loop = loop});
        ffai__jinja_assign(j, node->a, ffai__jinja_at(&loop->sequence, loop->index));
        how = run_body(j, &node->body);
    }
    j->frame = around;
}

static void run_loop(ffai__jinja *j, const jinja_node *node, jinja_value items, int64_t depth)
{
    jinja_loop *loop = ffai__jinja_alloc(j, 1, sizeof *loop);
    *loop = (jinja_loop){.node = node, .frame = j->frame, .depth = depth};
    if (items.kind == JINJA_NONE || !ffai__jinja_is_iterable(items))
        ffai__jinja_refuse(j, "%s is not something to go through", ffai__jinja_type_name(items));
    loop->sequence = ffai__jinja_sequence(j, items);
    if (node->c)
        loop->sequence = select_items(j, node, &loop->sequence);
    if (loop->sequence.count == 0)
        run_within(j, &node->others, new_frame(j, j->frame));
    else
        run_turns(j, loop);
}

jinja_value ffai__jinja_call_loop(ffai__jinja *j, const jinja_loop *loop, jinja_value items)
{
    jinja_text text = ffai__jinja_new_text(j);
    jinja_text *out = j->out;
    jinja_frame *around = j->frame;
    if (!loop->node->recursive)
        ffai__jinja_refuse(j, "loop() is for loops that are marked as recursive");
    ffai__jinja_enter(j);
    j->out = &text;
    j->frame = loop->frame;
    run_loop(j, loop->node, items, loop->depth + 1);
    j->frame = around;
    j->out = out;
    ffai__jinja_leave(j);
    return ffai__jinja_finish(&text);
}

/* --- macros --- */

static bool is_parameter(const jinja_node *macro, const jinja_string *name)
{
    for (size_t i = 0; i < macro->items.count; i++) {
        if (strcmp(macro->items.items[i]->name->data, name->data) == 0)
            return true;
    }
    return false;
}

/* Arguments that there is no parameter for: varargs, kwargs and caller, of which the last is always one of kwargs. */
static void bind_rest(ffai__jinja *j, const jinja_node *macro, const jinja_arguments *arguments, jinja_frame *frame)
{
    jinja_list *varargs = ffai__jinja_new_list(j, 0);
    jinja_dict *kwargs = ffai__jinja_new_dict(j);
    for (size_t i = macro->items.count; i < arguments->count; i++)
        ffai__jinja_add(j, varargs, arguments->values[i]);
    if (varargs->count && !(macro->uses & JINJA_USES_VARARGS))
        ffai__jinja_refuse(j, "the macro '%.100s' takes not more than %zu arguments", macro->name->data,
                           macro->items.count);
    for (size_t i = 0; i < arguments->num_named; i++) {
        const jinja_named *named = &arguments->named[i];
        if (is_parameter(macro, named->name))
            continue;
        if (strcmp(named->name->data, "caller") == 0 && macro->uses & JINJA_USES_CALLER)
            ffai__jinja_bind(j, frame, named->name, named->value);
        else if (macro->uses & JINJA_USES_KWARGS)
            ffai__jinja_dict_set(j, kwargs, ffai__jinja_of_string(named->name), named->value);
        else
            ffai__jinja_refuse(j, "the macro '%.100s' takes no argument '%.100s'", macro->name->data,
                               named->name->data);
    }
    ffai__jinja_bind(j, frame, ffai__jinja_literal(j, "varargs").string, ffai__jinja_of_tuple(varargs));
    ffai__jinja_bind(j, frame, ffai__jinja_literal(j, "kwargs").string, ffai__jinja_of_dict(kwargs));
}

static void bind_parameter(ffai__jinja *j, const jinja_node *macro, size_t index, const jinja_arguments *arguments)
{
    const jinja_string *name = macro->items.items[index]->name;
    const jinja_value *named = ffai__jinja_named(arguments, name->data);
    const size_t required = macro->items.count - macro->defaults.count;
    jinja_value value;
    if (index < arguments->count && named)
        ffai__jinja_refuse(j, "the argument '%.100s' is given twice", name->data);
    if (index < arguments->count)
        value = arguments->values[index];
    else if (named)
        value = *named;
    else if (index >= required)
        value = ffai__jinja_evaluate(j, macro->defaults.items[index - required]);
    else
        value = ffai__jinja_undefined(j, "the parameter '%.100s' was not given", name->data);
    ffai__jinja_bind(j, j->frame, name, value);
}

jinja_value ffai__jinja_call_macro(ffai__jinja *j, const jinja_macro *macro, const jinja_arguments *arguments)
{
    jinja_frame *around = j->frame;
    jinja_frame *frame = new_frame(j, macro->frame);
    ffai__jinja_enter(j);
    j->frame = frame;
    for (size_t i = 0; i < macro->node->items.count; i++)
        bind_parameter(j, macro->node, i, arguments);
    bind_rest(j, macro->node, arguments, frame);
    j->frame = around;
    const jinja_value text = capture(j, &macro->node->body, frame);
    ffai__jinja_leave(j);
    return text;
}

static jinja_value macro_value(ffai__jinja *j, const jinja_node *node)
{
    jinja_macro *macro = ffai__jinja_alloc(j, 1, sizeof *macro);
    *macro = (jinja_macro){.node = node, .frame = j->frame};
    return (jinja_value){.kind = JINJA_MACRO, .macro = macro};
}

/* A call with one argument more, the caller, which is a variable of its frame. */
static void run_call_block(ffai__jinja *j, const jinja_node *node)
{
    jinja_node call = *node->a;
    jinja_node caller = {.kind = JINJA_NODE_CONSTANT, .line = node->line, .constant = macro_value(j, node->b)};
    jinja_node named = {.kind = JINJA_NODE_ATTRIBUTE, .line = node->line, .name = node->b->name, .a = &caller};
    const size_t count = call.arguments.named.count;
    jinja_node **items = ffai__jinja_alloc(j, count + 1, sizeof *items);
    if (count)
        memcpy(items, call.arguments.named.items, count * sizeof *items);
    items[count] = &named;
    call.arguments.named = (jinja_nodes){.items = items, .count = count + 1};
    ffai__jinja_append_value(j->out, ffai__jinja_evaluate(j, &call));
}

/* --- statements --- */

static outcome run_if(ffai__jinja *j, const jinja_node *node)
{
    return run_body(j, ffai__jinja_is_true(ffai__jinja_evaluate(j, node->a)) ? &node->body : &node->others);
}

static outcome run_node(ffai__jinja *j, const jinja_node *node)
{
    switch (node->kind) {
    case JINJA_NODE_TEXT:
        ffai__jinja_append(j->out, node->constant.string);
        return GO_ON;
    case JINJA_NODE_PRINT:
        ffai__jinja_append_value(j->out, ffai__jinja_evaluate(j, node->a));
        return GO_ON;
    case JINJA_NODE_IF:
        return run_if(j, node);
    case JINJA_NODE_FOR:
        run_loop(j, node, ffai__jinja_evaluate(j, node->b), 1);
        return GO_ON;
    case JINJA_NODE_SET:
        ffai__jinja_assign(j, node->a, ffai__jinja_evaluate(j, node->b));
        return GO_ON;
    case JINJA_NODE_SET_BLOCK:
        ffai__jinja_assign(j, node->a, filtered(j, node->b, capture(j, &node->body, new_frame(j, j->frame))));
        return GO_ON;
    case JINJA_NODE_WITH:
        return run_with(j, node);
    case JINJA_NODE_MACRO:
        ffai__jinja_bind(j, j->frame, node->name, macro_value(j, node));
        return GO_ON;
    case JINJA_NODE_CALL_BLOCK:
        run_call_block(j, node);
        return GO_ON;
    case JINJA_NODE_FILTERED:
        ffai__jinja_append_value(j->out, filtered(j, node->a, capture(j, &node->body, new_frame(j, j->frame))));
        return GO_ON;
    case JINJA_NODE_BREAK:
        return BREAK;
    case JINJA_NODE_CONTINUE:
        return CONTINUE;
    default:
        return run_within(j, &node->body, new_frame(j, j->frame));
    }
}

static outcome run_body(ffai__jinja *j, const jinja_nodes *body)
{
    outcome how = GO_ON;
    ffai__jinja_enter(j);
    for (size_t i = 0; i < body->count && how == GO_ON; i++) {
        ffai__jinja_step(j, 0);
        j->line = body->items[i]->line;
        how = run_node(j, body->items[i]);
    }
    ffai__jinja_leave(j);
    return how;
}

void ffai__jinja_run(ffai__jinja *j, const jinja_nodes *body)
{
    run_body(j, body);
}
