/* cds.c - see the header. */
#include "cds.h"

#include <signal.h>
#include <stdio.h>

#include "cds_make.h"
#include "keeper_internal.h"
#include "livy-ha/clock.h"
#include "livy-ha/log.h"

#define BACKSTOP 10000 /* ms that the maker may take beyond its own time */

static bool wanted(const struct keeper *k)
{
    return k->conf->livy.class_data_sharing == CONF_CDS_AUTO;
}

void cds_open(struct keeper *k)
{
    k->cds = (struct cds){.maker = {.pidfd = -1, .status = -1}, .until = CLOCK_NEVER};
}

void cds_close(struct keeper *k)
{
    child_signal(&k->cds.maker, SIGTERM); /* and by its death signal, where it does not hear that */
    child_forget(&k->cds.maker);
}

static uint64_t hash_of(const char *text)
{
    uint64_t hash = 14695981039346656037U;

    for (; *text != '\0'; text++) /* FNV-1a */
        hash = (hash ^ (unsigned char)*text) * 1099511628211U;
    return hash;
}

static bool is_news(struct cds *cds, const char *text)
{
    uint64_t hash = hash_of(text);
    bool news = hash != cds->told;

    cds->told = hash;
    return news;
}

static void tell_barred(const struct keeper *k, bool before)
{
    if (!before && cds_trust_barred(&k->cds.trust))
        log_error(
            "class data is neither made nor used any more before a reload, as it was no good %d times: see "
            "the messages before this one, or set livy.class_data_sharing = \"off\"",
            k->cds.trust.strikes >= CDS_STRIKES ? CDS_STRIKES : CDS_FAILURES);
}

/* ---- Livy ---------------------------------------------------------------------------------------------- */

enum cds_use cds_starting(struct keeper *k)
{
    struct cds *cds = &k->cds;

    if (cds->maker.pid != 0) {
        cds->cut = true;
        child_signal(&cds->maker, SIGTERM);
    }
    return wanted(k) ? cds_trust_use(&cds->trust) : CDS_DROP;
}

void cds_served(struct keeper *k)
{
    struct cds_trust *trust = &k->cds.trust;
    bool before = cds_trust_barred(trust);

    k->cds.served = k->core.run;
    if (!wanted(k) || !cds_trust_served(trust, child_has_class_data(&k->livy)))
        return;
    log_warn("class data suspect -> none: Livy comes up without it");
    tell_barred(k, before);
}

void cds_recorded(struct keeper *k)
{
    struct cds *cds = &k->cds;
    char why[256];

    if (!wanted(k) || cds->maker.pid != 0 || k->livy.pid == 0 || cds_trust_barred(&cds->trust))
        return;
    if (cds_make_begin(k->conf, &k->livy, cds_trust_use(&cds->trust), &cds->maker, why, sizeof(why)) == 0)
        cds->until = clock_boot_ms() + CDS_MAKE_WITHIN + BACKSTOP;
    else
        log_warn("class data is not made: %s", why);
    cds->cut = false;
}

static void ended(struct keeper *k, const struct child *livy, int status)
{
    if (!wanted(k) || !cds_trust_counts(status) || !cds_trust_ended(&k->cds.trust, livy->class_data))
        return;
    log_warn(
        "class data ready -> suspect: the Livy that was started with it (pid %d) ended before it served: the "
        "next one is started without",
        (int)livy->pid);
}

void cds_held_ended(struct keeper *k, const struct child *held, int status)
{
    ended(k, held, status);
}

void cds_livy_ended(struct keeper *k, int status)
{
    bool late = clock_boot_ms() - k->core.started_at >= k->conf->livy.start_timeout; /* given up for that */

    if (k->cds.served != k->core.run && (k->core.livy == KCORE_RUNNING || late))
        ended(k, &k->livy, late ? 0 : status);
}

void cds_reloaded(struct keeper *k)
{
    k->cds.trust = (struct cds_trust){.drop = k->cds.trust.drop};
    k->cds.told = 0;
}

/* ---- the maker ----------------------------------------------------------------------------------------- */

static void made(struct keeper *k, const struct cds_answer *answer)
{
    cds_trust_made(&k->cds.trust);
    log_info("class data making -> ready: %lld MB in %lld.%lld s, for Livy's next start",
             (long long)(answer->size + (1 << 19)) >> 20, (long long)answer->ms / 1000,
             (long long)answer->ms % 1000 / 100);
}

static void failed(struct keeper *k, const char *text)
{
    cds_trust_failed(&k->cds.trust);
    log_warn("class data making -> none: %s", text);
}

static void take(struct keeper *k, const struct cds_answer *answer)
{
    if (answer->refused)
        cds_trust_refused(&k->cds.trust);
    switch (answer->outcome) {
    case CDS_OUTCOME_NONE:
        if (!k->cds.cut)
            failed(k, "who makes it has ended without a word");
        else
            log_info("class data is left for later: a start of Livy comes first");
        break;
    case CDS_OUTCOME_FITS:
        if (k->livy.class_data)
            cds_trust_fits(&k->cds.trust);
        break;
    case CDS_OUTCOME_MADE:
        made(k, answer);
        break;
    case CDS_OUTCOME_CANNOT:
        if (is_news(&k->cds, answer->text))
            log_warn("class data cannot be had: %s", answer->text);
        break;
    case CDS_OUTCOME_FAILED:
        failed(k, answer->text);
        break;
    }
}

bool cds_reaped(struct keeper *k, pid_t pid)
{
    struct cds *cds = &k->cds;
    struct cds_answer answer;
    bool before = cds_trust_barred(&cds->trust);

    if (pid != cds->maker.pid)
        return false;
    cds_make_read(&cds->maker, &answer);
    child_forget(&cds->maker);
    cds->until = CLOCK_NEVER;
    take(k, &answer);
    tell_barred(k, before);
    return true;
}

void cds_time(struct keeper *k, int64_t now)
{
    if (now < k->cds.until)
        return;
    k->cds.until = CLOCK_NEVER;
    child_signal(&k->cds.maker, SIGKILL);
}

int64_t cds_next(const struct keeper *k)
{
    return k->cds.until;
}
