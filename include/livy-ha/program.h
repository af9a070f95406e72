/* program.h - where what belongs to livy-ha is installed. */
#ifndef LIVY_HA_PROGRAM_H
#define LIVY_HA_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

#define PROGRAM_GATE "liblivy-ha-gate.so" /* the agent; not built where there was no JDK */

/* The path of `name`: beside the program that runs, as in a build tree, else in libexec. False where it is in
 * neither place, or access(2) refuses `mode`. */
bool program_find(const char *name, int mode, char *path, size_t size);

#endif
