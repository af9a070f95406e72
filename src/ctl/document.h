/* document.h - reads the daemon's JSON: unknown fields are ignored, missing ones and ones of another type are
 * simply not there. Strings live as long as the document.
 */
#ifndef LIVY_HA_CTL_DOCUMENT_H
#define LIVY_HA_CTL_DOCUMENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define DOCUMENT_NUMBER_SIZE 24

const char *document_string(const json_t *object, const char *key); /* NULL where there is none */
bool document_true(const json_t *object, const char *key);
bool document_false(const json_t *object, const char *key); /* there, and false */
bool document_integer(const json_t *object, const char *key, int64_t *value);

/* The integer as text, "" where there is none. Returns `out`. */
const char *document_number(const json_t *object, const char *key, char out[static DOCUMENT_NUMBER_SIZE]);

/* Of a /cluster document: the member with this id; the active one (the document's "active", else the one with
 * that role); the one that was asked ("self"). NULL where there is none. */
const json_t *document_member(const json_t *cluster, const char *id);
const json_t *document_active(const json_t *cluster);
const json_t *document_self(const json_t *cluster);

/* Whether two /cluster documents differ in what is worth showing anew: by "change" where both have it, else
 * by all but lease_left_ms and uptime_s. */
bool document_changed(const json_t *before, const json_t *now);

#endif
