/* cds_trust.c - see the header. Pure. */
#include "cds_trust.h"

#include <signal.h>

#include "livy-ha/gate.h"

bool cds_trust_barred(const struct cds_trust *trust)
{
    return trust->strikes >= CDS_STRIKES || trust->failures >= CDS_FAILURES;
}

enum cds_use cds_trust_use(const struct cds_trust *trust)
{
    if (trust->drop)
        return CDS_DROP;
    return trust->suspect || cds_trust_barred(trust) ? CDS_USE_NOT : CDS_USE;
}

bool cds_trust_served(struct cds_trust *trust, bool with)
{
    bool guilty = trust->suspect && !with;

    if (guilty) {
        trust->strikes++;
        trust->drop = true;
    }
    trust->suspect = false;
    return guilty;
}

bool cds_trust_ended(struct cds_trust *trust, bool with)
{
    trust->suspect = with; /* without it, this one has ended as well: there is another reason */
    return with;
}

void cds_trust_refused(struct cds_trust *trust)
{
    trust->strikes++;
}

void cds_trust_fits(struct cds_trust *trust)
{
    trust->strikes = 0;
}

void cds_trust_made(struct cds_trust *trust)
{
    trust->drop = false;
    trust->failures = 0;
}

void cds_trust_failed(struct cds_trust *trust)
{
    trust->failures++;
}

bool cds_trust_counts(int status)
{
    return status != 256 + SIGKILL && status != 256 + SIGTERM && status != 128 + SIGTERM &&
           status != GATE_EXIT_REFUSED && status != GATE_EXIT_LEASE && status != GATE_EXIT_ORPHANED;
}
