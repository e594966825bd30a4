/* A template as a tree. */
#ifndef FFAI_JINJA_AST_H
#define FFAI_JINJA_AST_H

#include "builtins.h"

typedef enum jinja_node_kind {
    /* Expressions. */
    JINJA_NODE_CONSTANT, /* constant */
    JINJA_NODE_NAME,     /* name */
    JINJA_NODE_LIST,     /* items */
    JINJA_NODE_TUPLE,
    JINJA_NODE_DICT,      /* items: a key, its value, the next key … */
    JINJA_NODE_ATTRIBUTE, /* a.name */
    JINJA_NODE_ITEM,      /* a[b] */
    JINJA_NODE_SLICE,     /* a[items[0]:items[1]:items[2]], NULL where left out */
    JINJA_NODE_CALL,      /* a(arguments) */
    JINJA_NODE_FILTER,    /* a | name(arguments); a NULL: of a block's text */
    JINJA_NODE_TEST,      /* a is name(arguments) */
    JINJA_NODE_NEGATE,    /* -a */
    JINJA_NODE_POSITIVE,  /* +a */
    JINJA_NODE_NOT,
    JINJA_NODE_AND,
    JINJA_NODE_OR,
    JINJA_NODE_BINARY,      /* a operator b */
    JINJA_NODE_COMPARE,     /* a, then each of items: operator, a */
    JINJA_NODE_CONCATENATE, /* items, as text */
    JINJA_NODE_CONDITION,   /* a if b else c; c NULL: undefined */

    /* Statements. */
    JINJA_NODE_TEXT,       /* constant */
    JINJA_NODE_PRINT,      /* a */
    JINJA_NODE_IF,         /* if a: body, else: others */
    JINJA_NODE_FOR,        /* for a in b if c: body, else: others */
    JINJA_NODE_SET,        /* set a = b */
    JINJA_NODE_SET_BLOCK,  /* set a, through the filters b or NULL: body */
    JINJA_NODE_WITH,       /* items: a target, its value …: body */
    JINJA_NODE_MACRO,      /* macro name(items, defaults[] from the end): body */
    JINJA_NODE_CALL_BLOCK, /* call a, whose caller is the macro b */
    JINJA_NODE_FILTERED,   /* filter a: body */
    JINJA_NODE_GROUP,      /* body alone: {% generation %}, {% block %} */
    JINJA_NODE_BREAK,
    JINJA_NODE_CONTINUE
} jinja_node_kind;

typedef enum jinja_operator {
    JINJA_OP_ADD,
    JINJA_OP_SUBTRACT,
    JINJA_OP_MULTIPLY,
    JINJA_OP_DIVIDE,
    JINJA_OP_FLOOR_DIVIDE,
    JINJA_OP_REMAINDER,
    JINJA_OP_POWER,
    JINJA_OP_EQUAL,
    JINJA_OP_NOT_EQUAL,
    JINJA_OP_LESS,
    JINJA_OP_LESS_EQUAL,
    JINJA_OP_GREATER,
    JINJA_OP_GREATER_EQUAL,
    JINJA_OP_IN,
    JINJA_OP_NOT_IN
} jinja_operator;

/* What a macro's body speaks of; arguments that it has no parameter for are an error otherwise. */
enum { JINJA_USES_VARARGS = 1, JINJA_USES_KWARGS = 2, JINJA_USES_CALLER = 4 };

typedef struct jinja_node jinja_node;

typedef struct jinja_nodes {
    jinja_node **items;
    size_t count, capacity;
} jinja_nodes;

/* What a call gives: values, name = value, *rest, **named. */
typedef struct jinja_argument_nodes {
    jinja_nodes values;
    jinja_nodes named; /* JINJA_NODE_ATTRIBUTE of its value, by its name */
    jinja_node *rest, *named_rest;
} jinja_argument_nodes;

struct jinja_node {
    jinja_node_kind kind;
    int line;
    jinja_operator operator;
    bool recursive; /* of a for */
    unsigned uses;  /* of a macro: JINJA_USES_… */
    const jinja_string *name;
    const jinja_builtin *builtin; /* of a filter or test; NULL: there is none of this name */
    jinja_value constant;
    jinja_node *a, *b, *c;
    jinja_nodes items, defaults, body, others;
    jinja_argument_nodes arguments;
};

/* The whole template's statements. */
jinja_nodes ffai__jinja_parse_source(ffai__jinja *j, const char *source, size_t size);

#endif
