/* prom.h - Prometheus' text format 0.0.4, written to a stream. Names are the caller's and taken as they are;
 * help and label values are escaped. Whether all went well is the stream's to say (ferror).
 */
#ifndef LIVY_HA_RELAY_PROM_H
#define LIVY_HA_RELAY_PROM_H

#include <jansson.h>
#include <stdio.h>

#define PROM_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* The lines HELP and TYPE, before a family's samples. */
void prom_family(FILE *out, const char *name, const char *type, const char *help);

/* `label` NULL: none. */
void prom_sample(FILE *out, const char *name, const char *label, const char *of, double value);

/* A family with one sample, without labels. */
void prom_one(FILE *out, const char *name, const char *type, const char *help, double value);

/* Families as the elector tells them (src/elector/metrics.h). One that is not well-formed is passed over.
 * Those of type "gauge" are left out unless `gauges`. */
void prom_document(FILE *out, const json_t *families, int gauges);

#endif
