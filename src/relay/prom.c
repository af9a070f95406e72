/* prom.c - see the header. */
#include "prom.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

/* Backslash and newline, in label values the double quote as well. */
static void escaped(FILE *out, const char *text, bool quoted)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n')
            fputs("\\n", out);
        else if (*text == '\\')
            fputs("\\\\", out);
        else if (*text == '"' && quoted)
            fputs("\\\"", out);
        else
            fputc(*text, out);
    }
}

static void number(FILE *out, double value)
{
    if (isnan(value))
        fputs("NaN", out);
    else if (isinf(value))
        fputs(value > 0 ? "+Inf" : "-Inf", out);
    else
        fprintf(out, "%.15g", value);
}

void prom_family(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP %s ", name);
    escaped(out, help, false);
    fprintf(out, "\n# TYPE %s %s\n", name, type);
}

void prom_sample(FILE *out, const char *name, const char *label, const char *of, double value)
{
    fputs(name, out);
    if (label != NULL) {
        fprintf(out, "{%s=\"", label);
        escaped(out, of, true);
        fputs("\"}", out);
    }
    fputc(' ', out);
    number(out, value);
    fputc('\n', out);
}

void prom_one(FILE *out, const char *name, const char *type, const char *help, double value)
{
    prom_family(out, name, type, help);
    prom_sample(out, name, NULL, NULL, value);
}

/* ---- the elector's
 * ------------------------------------------------------------------------------------------------- */

static bool is_name(const char *name)
{
    if (name == NULL || !(isalpha((unsigned char)name[0]) || name[0] == '_'))
        return false;
    for (; *name != '\0'; name++)
        if (!isalnum((unsigned char)*name) && *name != '_')
            return false;
    return true;
}

/* name, suffix, labels with `le` behind them where it is not NULL, value. */
static void line(FILE *out, const char *name, const char *suffix, const json_t *labels, const double *le,
                 double value)
{
    const char *label, *open = "{";
    json_t *of;

    fprintf(out, "%s%s", name, suffix);
    json_object_foreach((json_t *)labels, label, of)
    {
        if (!is_name(label) || !json_is_string(of))
            continue;
        fprintf(out, "%s%s=\"", open, label);
        escaped(out, json_string_value(of), true);
        fputc('"', out);
        open = ",";
    }
    if (le != NULL) {
        fprintf(out, "%sle=\"", open);
        number(out, *le);
        fputc('"', out);
        open = ",";
    }
    fputs(*open == ',' ? "} " : " ", out);
    number(out, value);
    fputc('\n', out);
}

static void distribution(FILE *out, const char *name, const json_t *sample, bool buckets)
{
    const json_t *labels = json_object_get(sample, "labels"), *bucket;
    double count = json_number_value(json_object_get(sample, "count")), infinite = INFINITY;
    size_t i;

    json_array_foreach(json_object_get(sample, "buckets"), i, bucket)
    {
        double le = json_number_value(json_array_get(bucket, 0));
        if (buckets)
            line(out, name, "_bucket", labels, &le, json_number_value(json_array_get(bucket, 1)));
    }
    if (buckets)
        line(out, name, "_bucket", labels, &infinite, count);
    line(out, name, "_sum", labels, NULL, json_number_value(json_object_get(sample, "sum")));
    line(out, name, "_count", labels, NULL, count);
}

void prom_document(FILE *out, const json_t *families, int gauges)
{
    const json_t *family, *sample;
    size_t i, j;

    json_array_foreach(families, i, family)
    {
        const char *name = json_string_value(json_object_get(family, "name"));
        const char *type = json_string_value(json_object_get(family, "type"));
        const char *help = json_string_value(json_object_get(family, "help"));
        if (!is_name(name) || !is_name(type) || help == NULL || (!gauges && strcmp(type, "gauge") == 0))
            continue;
        bool histogram = strcmp(type, "histogram") == 0;
        prom_family(out, name, type, help);
        json_array_foreach(json_object_get(family, "samples"), j, sample)
        {
            if (histogram || strcmp(type, "summary") == 0)
                distribution(out, name, sample, histogram);
            else
                line(out, name, "", json_object_get(sample, "labels"), NULL,
                     json_number_value(json_object_get(sample, "value")));
        }
    }
}
