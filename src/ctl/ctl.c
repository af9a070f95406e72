/* ctl.c - what the commands share; see ctl.h. */
#include "ctl.h"

#include <stdarg.h>
#include <stdio.h>

void ctl_complain(const char *format, ...)
{
    char line[1024];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    (void)fflush(stdout);
    (void)fprintf(stderr, "livy-ha-ctl: %s\n", line);
}
