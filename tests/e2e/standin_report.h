/* standin_report.h - what livy-ha handed down to the stand-in. */
#ifndef STANDIN_REPORT_H
#define STANDIN_REPORT_H

/* Writes <base>.env.json; `own_lock` is a descriptor of the stand-in's own, which is left out. */
void report_write(const char *base, int own_lock, int argc, char **argv);

#endif
