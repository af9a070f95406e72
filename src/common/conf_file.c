/* conf_file.c - the configuration file: libconfig's tree checked against the table. Of the file it reports
 * every error, not the first: unknown groups and keys, wrong types, wrong values.
 */
#include <libconfig.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "conf_internal.h"

enum { WHERE_SIZE = PATH_MAX + 256, KEY_SIZE = 160 };

struct file_walk {
    struct conf_loader *loader;
    const struct conf_text *text;
};

static void file_describe(const config_setting_t *setting, bool secret, char *text, size_t size)
{
    char shown[CONF_SHOWN_SIZE];
    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        (void)snprintf(text, size, "the number %lld", config_setting_get_int64(setting));
        return;
    case CONFIG_TYPE_FLOAT:
        (void)snprintf(text, size, "the number %g", config_setting_get_float(setting));
        return;
    case CONFIG_TYPE_BOOL:
        (void)snprintf(text, size, "%s", config_setting_get_bool(setting) ? "true" : "false");
        return;
    case CONFIG_TYPE_STRING:
        conf_shown(config_setting_get_string(setting), shown);
        (void)snprintf(text, size, "the string %s", secret ? "not shown here" : shown);
        return;
    case CONFIG_TYPE_GROUP:
        (void)snprintf(text, size, "a group { }");
        return;
    case CONFIG_TYPE_ARRAY:
        (void)snprintf(text, size, "an array [ ]");
        return;
    case CONFIG_TYPE_LIST:
        (void)snprintf(text, size, "a list ( )");
        return;
    default: /* libconfig's types are no enum. */
        (void)snprintf(text, size, "nothing");
        return;
    }
}

/* The setting's value as text where it has a type that the key takes; NULL where not. */
static const char *file_text(const struct conf_key *key, const config_setting_t *setting, char *buffer,
                             size_t size)
{
    int type = config_setting_type(setting);
    bool number = type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
    switch (key->type) {
    case CONF_TYPE_BOOL:
        if (type != CONFIG_TYPE_BOOL) {
            return NULL;
        }
        return config_setting_get_bool(setting) ? "true" : "false";
    case CONF_TYPE_INT:
        break;
    case CONF_TYPE_PORT:
        if (type == CONFIG_TYPE_STRING && key->min == 0) {
            return config_setting_get_string(setting);
        }
        break;
    case CONF_TYPE_DURATION:
        if (number && config_setting_get_int64(setting) == 0) {
            return "0"; /* Nought needs no unit, and so no quotes. */
        }
        return type == CONFIG_TYPE_STRING ? config_setting_get_string(setting) : NULL;
    case CONF_TYPE_ID:
    case CONF_TYPE_STRING:
    case CONF_TYPE_PATH:
    case CONF_TYPE_SOCKET:
    case CONF_TYPE_ENUM:
    case CONF_TYPE_LISTEN:
    case CONF_TYPE_URL:
    case CONF_TYPE_HOSTS:
    case CONF_TYPE_ZNODE:
    case CONF_TYPE_DIGEST:
        return type == CONFIG_TYPE_STRING ? config_setting_get_string(setting) : NULL;
    }
    if (!number) {
        return NULL;
    }
    (void)snprintf(buffer, size, "%lld", config_setting_get_int64(setting));
    return buffer;
}

static void file_take(struct file_walk *walk, const struct conf_key *key, const config_setting_t *setting)
{
    char origin[WHERE_SIZE];
    char where[WHERE_SIZE + KEY_SIZE];
    char number[32];
    conf_text_where(walk->text, setting->line, origin, sizeof origin);
    (void)snprintf(where, sizeof where, "%s: %s", origin, key->key);
    const char *text = file_text(key, setting, number, sizeof number);
    if (text != NULL) {
        conf_take(walk->loader, key, text, where, origin);
        return;
    }
    char found[CONF_SHOWN_SIZE + 20];
    char expected[256];
    file_describe(setting, key->secret, found, sizeof found);
    conf_value_expected(key, expected, sizeof expected);
    conf_report_error(walk->loader->report, "%s: found %s, expected %s", where, found, expected);
    conf_places(walk->loader->conf)[key - conf_keys].failed = true;
}

static void file_unknown(struct file_walk *walk, const config_setting_t *setting, const char *name,
                         bool group)
{
    char where[WHERE_SIZE];
    char found[CONF_SHOWN_SIZE + 20];
    conf_text_where(walk->text, setting->line, where, sizeof where);
    const char *nearest = group ? conf_group_nearest(name) : conf_key_nearest(name);
    file_describe(setting, true, found, sizeof found);
    if (!group && conf_group_exists(name)) {
        conf_report_error(walk->loader->report, "%s: %s: found %s, expected a group: %s = { ... };", where,
                          name, found, name);
    } else if (nearest != NULL) {
        conf_report_error(walk->loader->report, "%s: %.100s: there is no such %s; did you mean %s?", where,
                          name, group ? "group" : "key", nearest);
    } else {
        conf_report_error(walk->loader->report,
                          "%s: %.100s: there is no such %s; the sample livy-ha.conf lists all", where, name,
                          group ? "group" : "key");
    }
}

static void file_walk_group(struct file_walk *walk, const config_setting_t *group)
{
    for (int i = 0; i < config_setting_length(group); i++) {
        const config_setting_t *setting = config_setting_get_elem(group, (unsigned)i);
        char key[KEY_SIZE];
        (void)snprintf(key, sizeof key, "%s.%s", config_setting_name(group), config_setting_name(setting));
        int row = conf_key_find(key);
        if (row >= 0) {
            file_take(walk, &conf_keys[row], setting);
        } else {
            file_unknown(walk, setting, key, false);
        }
    }
}

static void file_walk_root(struct file_walk *walk, const config_setting_t *root)
{
    for (int i = 0; i < config_setting_length(root); i++) {
        const config_setting_t *setting = config_setting_get_elem(root, (unsigned)i);
        const char *name = config_setting_name(setting);
        bool group = config_setting_type(setting) == CONFIG_TYPE_GROUP;
        int row = conf_key_find(name);
        if (row >= 0) {
            file_take(walk, &conf_keys[row], setting);
        } else if (group && conf_group_exists(name)) {
            file_walk_group(walk, setting);
        } else {
            file_unknown(walk, setting, name, group);
        }
    }
}

static void file_syntax(struct file_walk *walk, const config_t *config)
{
    char where[WHERE_SIZE];
    const char *text = config_error_text(config);
    conf_text_where(walk->text, (unsigned)config_error_line(config), where, sizeof where);
    if (text != NULL && strcmp(text, "duplicate setting name") == 0) {
        conf_report_error(walk->loader->report,
                          "%s: duplicate setting name: this key or group stood before; keep one", where);
        return;
    }
    conf_report_error(
        walk->loader->report,
        "%s: %s here or just before: strings and durations stand in double quotes, groups in braces, "
        "and a setting ends with a semicolon: livy = { stop_grace = \"5s\"; };",
        where, text != NULL ? text : "syntax error");
}

void conf_load_file(struct conf_loader *loader, const char *path)
{
    struct conf_text text;
    if (!conf_text_read(&text, path, loader->report)) {
        loader->unparsed = true;
        conf_text_clear(&text);
        return;
    }
    struct file_walk walk = {.loader = loader, .text = &text};
    config_t config;
    config_init(&config);
    if (config_read_string(&config, text.data) == CONFIG_TRUE) {
        file_walk_root(&walk, config_root_setting(&config));
    } else {
        loader->unparsed = true;
        file_syntax(&walk, &config);
    }
    config_destroy(&config);
    conf_text_clear(&text);
}
