/* livyconf_env.c - finds the lines of livy-env.sh that set a variable. It reads shell text without running
 * it: a line at a time, commands and their words, quotes, comments. What it cannot see (a file that is
 * sourced in turn, eval of a computed text) the overlay's own livy-env.sh makes good.
 */
#include <ctype.h>
#include <string.h>

#include "livyconf_internal.h"

/* One line, and how far it has been read. */
struct scan {
    const char *at;
    const char *end;
    const char *name;
    size_t name_length;
};

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static bool is_separator(char c)
{
    return c != '\0' && strchr(";&|(){}`", c) != NULL;
}

static bool starts_with_name(const struct scan *scan, const char *at)
{
    return (size_t)(scan->end - at) > scan->name_length && memcmp(at, scan->name, scan->name_length) == 0;
}

/* ${NAME:=value} and ${NAME=value}, wherever the shell expands them. */
static bool is_default_assignment(const struct scan *scan, const char *at)
{
    if (scan->end - at < 2 || at[0] != '$' || at[1] != '{' || !starts_with_name(scan, at + 2))
        return false;
    at += 2 + scan->name_length;
    if (*at == ':')
        at++;
    return at < scan->end && *at == '=';
}

/* NAME=value and NAME+=value; export "NAME=value" has a quote before it. */
static bool is_assignment(const struct scan *scan, const char *at)
{
    if (at < scan->end && (*at == '"' || *at == '\''))
        at++;
    if (!starts_with_name(scan, at))
        return false;
    at += scan->name_length;
    if (*at == '+')
        at++;
    return at < scan->end && *at == '=';
}

/* Words after which an assignment may still follow in the same command: other assignments, the shell's own
 * words, options. After any other word it is that command's argument: echo NAME=value sets nothing. */
static bool leaves_room(const char *word, size_t length)
{
    static const char *const openers[] = {"export", "declare", "typeset", "readonly", "local",   "then",
                                          "else",   "elif",    "if",      "while",    "until",   "do",
                                          "!",      "time",    "eval",    "builtin",  "command", "\\"};
    size_t name = 0;

    if (length > 0 && word[0] == '-')
        return true;
    for (size_t i = 0; i < sizeof openers / sizeof *openers; i++) {
        if (strlen(openers[i]) == length && memcmp(word, openers[i], length) == 0)
            return true;
    }
    while (name < length && is_name(word[name]))
        name++;
    return name > 0 && name < length && (word[name] == '=' || word[name] == '+');
}

/* A character whose next one has no meaning of its own: after a backslash, and the brace of ${…}, which
 * separates nothing. */
static bool is_pair(const struct scan *scan, char quote)
{
    if (scan->end - scan->at < 2 || quote == '\'')
        return false;
    return scan->at[0] == '\\' || (scan->at[0] == '$' && scan->at[1] == '{');
}

/* Steps over one word. Returns true where a ${NAME:=…} in it sets the variable. */
static bool skip_word(struct scan *scan)
{
    char quote = '\0';

    for (; scan->at < scan->end; scan->at++) {
        char c = *scan->at;
        if (quote != '\'' && is_default_assignment(scan, scan->at))
            return true;
        if (is_pair(scan, quote))
            scan->at++;
        else if (quote != '\0' && c == quote)
            quote = '\0';
        else if (quote == '\0' && (c == '"' || c == '\''))
            quote = c;
        else if (quote == '\0' && (isspace((unsigned char)c) || (is_separator(c) && c != '}')))
            break;
    }
    return false;
}

static bool line_assigns(struct scan *scan)
{
    bool open = true; /* an assignment may stand here */

    while (scan->at < scan->end) {
        const char *word = scan->at;
        if (isspace((unsigned char)*word)) {
            scan->at++;
        } else if (*word == '#') {
            return false;
        } else if (is_separator(*word)) {
            open = true;
            scan->at++;
        } else {
            if (open && is_assignment(scan, word))
                return true;
            if (skip_word(scan))
                return true;
            open = open && leaves_room(word, (size_t)(scan->at - word));
        }
    }
    return false;
}

int livyconf_env_assigns(const char *text, size_t length, const char *name)
{
    const char *end = text + length;
    int line = 1;

    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        struct scan scan = {.at = text, .end = newline != NULL ? newline : end, .name = name};
        scan.name_length = strlen(name);
        if (line_assigns(&scan))
            return line;
        if (newline == NULL)
            break;
        text = newline + 1;
        line++;
    }
    return 0;
}
