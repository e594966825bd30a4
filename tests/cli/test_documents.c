/* The help text, the man page, the completions and docs/cli.md say the same as the program. */
#define _GNU_SOURCE
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "json_reading.h"
#include "process.h"

static const char *const commands[] = {"generate", "logits",  "tokenize", "detokenize", "render", "pull",
                                       "models",   "inspect", "convert",  "program",    "diff",   "perplexity",
                                       "bench",    "tune",    "devices",  "version",    "help"};
enum { NUM_COMMANDS = sizeof commands / sizeof *commands };

static const char *const completions[] = {"share/completions/bash/ffai", "share/completions/zsh/_ffai",
                                          "share/completions/fish/ffai.fish"};
enum { NUM_COMPLETIONS = sizeof completions / sizeof *completions };

/* The words that begin with -- in a text, each once. */
typedef struct words {
    char *each[128];
    size_t count;
} words;

static void add_word(words *w, const char *text, size_t length)
{
    char *word = strndup(text, length);
    for (size_t i = 0; i < w->count; i++) {
        if (strcmp(w->each[i], word) == 0) {
            free(word);
            return;
        }
    }
    if (CHECK(w->count < 128))
        w->each[w->count++] = word;
}

static void collect_flags(words *w, const char *text)
{
    for (const char *at = strstr(text, "--"); at; at = strstr(at + 2, "--")) {
        size_t length = 2;
        while (islower((unsigned char)at[length]) || (at[length] == '-' && islower((unsigned char)at[length + 1])))
            length++;
        if (length > 2)
            add_word(w, at, length);
    }
}

static void release_words(words *w)
{
    for (size_t i = 0; i < w->count; i++)
        free(w->each[i]);
}

static void collect_help(words *w)
{
    for (size_t i = 0; i < NUM_COMMANDS; i++) {
        outcome o;
        RUN(o, NULL, "help", commands[i]);
        collect_flags(w, o.out);
        outcome_release(&o);
    }
}

/* "\-" is how a man page writes a dash. */
static char *read_man_page(void)
{
    char *text = read_source("share/man/ffai.1");
    if (!CHECK(text != NULL))
        return calloc(1, 1);
    char *to = text;
    for (const char *from = text; *from; from++) {
        if (*from != '\\' || from[1] != '-')
            *to++ = *from;
    }
    *to = 0;
    return text;
}

static bool has_word(const char *text, const char *word)
{
    const size_t length = strlen(word);
    for (const char *at = strstr(text, word); at; at = strstr(at + 1, word)) {
        if (!isalnum((unsigned char)at[length]) && at[length] != '-')
            return true;
    }
    return false;
}

static void help_lists_every_command(void)
{
    static const char *const ways[] = {"help", "--help", "-h"};
    for (size_t w = 0; w < 3; w++) {
        outcome o;
        RUN(o, NULL, ways[w]);
        CHECK_OUTCOME(o, 0, NULL);
        CHECK(o.err_size == 0);
        for (size_t i = 0; i < NUM_COMMANDS; i++)
            check_says(has_word(o.out, commands[i]), __FILE__, __LINE__, "%s is missing", commands[i]);
        outcome_release(&o);
    }
}

static void every_command_has_help(void)
{
    for (size_t i = 0; i < NUM_COMMANDS; i++) {
        outcome topic, flag;
        RUN(topic, NULL, "help", commands[i]);
        RUN(flag, NULL, commands[i], "--help");
        CHECK_OUTCOME(topic, 0, NULL);
        CHECK_OUTCOME(flag, 0, NULL);
        CHECK(strncmp(topic.out, "Usage: ffai ", 12) == 0 && strcmp(topic.out, flag.out) == 0);
        CHECK(topic.err_size == 0 && flag.err_size == 0);
        outcome_release(&topic);
        outcome_release(&flag);
    }
}

static void help_wins_over_what_is_missing(void)
{
    outcome o;
    RUN(o, NULL, "logits", "-m", "x", "-h");
    CHECK_OUTCOME(o, 0, NULL);
    CHECK(strncmp(o.out, "Usage: ffai logits", 18) == 0);
    outcome_release(&o);
}

static void the_man_page_lists_every_flag_and_no_other(void)
{
    words flags = {0}, written = {0};
    char *page = read_man_page();
    collect_help(&flags);
    collect_flags(&written, page);
    for (size_t i = 0; i < flags.count; i++)
        check_says(has_word(page, flags.each[i]), __FILE__, __LINE__, "%s is missing", flags.each[i]);
    for (size_t i = 0; i < written.count; i++) {
        bool known = strcmp(written.each[i], "--version") == 0;
        for (size_t j = 0; j < flags.count; j++)
            known = known || strcmp(written.each[i], flags.each[j]) == 0;
        check_says(known, __FILE__, __LINE__, "%s is no flag", written.each[i]);
    }
    for (size_t i = 0; i < NUM_COMMANDS; i++)
        check_says(has_word(page, commands[i]), __FILE__, __LINE__, "%s is missing", commands[i]);
    release_words(&flags);
    release_words(&written);
    free(page);
}

/* fish writes -l name for --name. */
static bool completes(const char *script, const char *flag)
{
    char fish[64];
    snprintf(fish, sizeof fish, "-l %s", flag + 2);
    return has_word(script, flag) || has_word(script, fish);
}

static void the_completions_list_every_command_and_flag(void)
{
    words flags = {0};
    collect_help(&flags);
    for (size_t c = 0; c < NUM_COMPLETIONS; c++) {
        char *script = read_source(completions[c]);
        if (!check_says(script != NULL, __FILE__, __LINE__, "%s is missing", completions[c]))
            continue;
        for (size_t i = 0; i < NUM_COMMANDS; i++)
            check_says(has_word(script, commands[i]), __FILE__, __LINE__, "%s: %s", completions[c], commands[i]);
        for (size_t i = 0; i < flags.count; i++)
            check_says(completes(script, flags.each[i]), __FILE__, __LINE__, "%s: %s", completions[c], flags.each[i]);
        free(script);
    }
    release_words(&flags);
}

static void the_reference_lists_every_flag(void)
{
    words flags = {0};
    char *text = read_source("docs/cli.md");
    collect_help(&flags);
    for (size_t i = 0; CHECK(text != NULL) && i < flags.count; i++)
        check_says(has_word(text, flags.each[i]), __FILE__, __LINE__, "%s is missing", flags.each[i]);
    release_words(&flags);
    free(text);
}

static void the_man_page_and_the_reference_list_every_variable(void)
{
    static const char *const variables[] = {"FFAI_ISA",       "FFAI_TUNE",     "FFAI_COMPILED_TOKENIZERS",
                                            "XDG_CACHE_HOME", "HF_HUB_CACHE",  "HF_HOME",
                                            "HF_TOKEN",       "HF_TOKEN_PATH", "HF_ENDPOINT",
                                            "HF_HUB_OFFLINE", "SSL_CERT_FILE"};
    char *page = read_man_page(), *text = read_source("docs/cli.md");
    const char *in_page = strstr(page, "\n.SH ENVIRONMENT\n"),
               *in_text = text ? strstr(text, "\n## Environment\n") : NULL;
    for (size_t i = 0; i < sizeof variables / sizeof *variables && CHECK(in_page && in_text); i++) {
        check_says(has_word(in_page, variables[i]), __FILE__, __LINE__, "%s is not in the man page", variables[i]);
        check_says(has_word(in_text, variables[i]), __FILE__, __LINE__, "%s is not in docs/cli.md", variables[i]);
    }
    free(page);
    free(text);
}

/* Same keys and types; of arrays the first entries are compared. A map's keys are data. */
static bool same_shape(const json_t *a, const json_t *b)
{
    const char *key = NULL;
    json_t *value = NULL;
    if (json_is_number(a) && json_is_number(b))
        return true;
    if (json_is_boolean(a) && json_is_boolean(b))
        return true;
    if (json_typeof(a) != json_typeof(b))
        return check_says(false, __FILE__, __LINE__, "types %d and %d", json_typeof(a), json_typeof(b));
    if (json_is_array(a) && json_array_size(a) && json_array_size(b))
        return same_shape(json_array_get(a, 0), json_array_get(b, 0));
    if (!json_is_object(a))
        return true;
    bool same = json_object_size(a) == json_object_size(b);
    json_object_foreach((json_t *)(size_t)a, key, value)
    {
        const json_t *other = json_object_get(b, key);
        const bool is_map =
            strcmp(key, "formats") == 0 || strcmp(key, "groups") == 0 || strcmp(key, "kv_bf16_by_context") == 0;
        same = check_says(other && (is_map || same_shape(value, other)), __FILE__, __LINE__, "key %s", key) && same;
    }
    return check_says(same, __FILE__, __LINE__, "the objects have different keys");
}

/* The fenced block after <!-- example: name -->. */
static json_t *read_example(const char *name)
{
    char marker[64];
    char *text = read_source("docs/cli.md");
    snprintf(marker, sizeof marker, "<!-- example: %s -->", name);
    const char *begin = text ? strstr(text, marker) : NULL;
    begin = begin ? strstr(begin, "```json\n") : NULL;
    char *end = begin ? strstr(begin, "\n```") : NULL;
    json_t *example = NULL;
    if (check_says(end != NULL, __FILE__, __LINE__, "docs/cli.md has no %s", marker)) {
        *end = 0;
        example = json_of_text(begin + strlen("```json\n"));
    }
    free(text);
    return example;
}

static void the_references_json_examples_have_the_shape_of_the_output(void)
{
    const struct {
        const char *name;
        const char *arguments[16];
    } examples[] = {
        {"bench",
         {"bench", "--shape", "smollm2-135m", "--bits", "4", "--prompt-tokens", "8", "--gen-tokens", "4", "--json"}},
        {"convert",
         {"convert", MODEL, scratch("documents-converted"), "--bits", "4", "--report", "docs/quickstart.md", "--json"}},
        {"generate", {"-m", MODEL, "-p", "Once upon", "-n", "4", "--ignore-eos", "--json"}},
        {"inspect", {"inspect", MODEL, "--json"}},
        {"perplexity", {"perplexity", "-m", MODEL, "-f", "LICENSE", "--json"}},
        {"tokenize", {"tokenize", "-m", MODEL}},
        {"tune", {"tune", "-m", MODEL, "--json"}},
    };
    char *before = getenv("XDG_CACHE_HOME") ? strdup(getenv("XDG_CACHE_HOME")) : NULL;
    setenv("XDG_CACHE_HOME", scratch("documents-cache"), 1);
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        outcome o;
        process_run(&o, &(setting){.input = "Once upon"}, examples[i].arguments);
        CHECK_OUTCOME(o, 0, NULL);
        json_t *printed = json_of_text(o.out), *written = read_example(examples[i].name);
        if (printed && written)
            check_says(same_shape(written, printed), __FILE__, __LINE__, "docs/cli.md: %s", examples[i].name);
        json_decref(printed);
        json_decref(written);
        outcome_release(&o);
    }
    if (before)
        setenv("XDG_CACHE_HOME", before, 1);
    else
        unsetenv("XDG_CACHE_HOME");
    free(before);
}

static const test tests[] = {
    TEST(help_lists_every_command),
    TEST(every_command_has_help),
    TEST(help_wins_over_what_is_missing),
    TEST(the_man_page_lists_every_flag_and_no_other),
    TEST(the_completions_list_every_command_and_flag),
    TEST(the_reference_lists_every_flag),
    TEST(the_man_page_and_the_reference_list_every_variable),
    TEST(the_references_json_examples_have_the_shape_of_the_output),
};
extern const suite suite_documents;
const suite suite_documents = SUITE(tests);
