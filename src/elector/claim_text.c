/* claim_text.c - where a claim lies and what it says. Pure: no input, no output.
 *
 * Livy keeps its sessions below "<chroot>/<key prefix>/v1" and in "<directory>/v1" and lists nothing else, so
 * a node beside the first and a file in the second are never read as a session.
 */
#include "claim_internal.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "livy-ha/clock.h"
#include "livy-ha/livyconf.h"

/* The key prefix as one name of a node: "a/b" must not need a parent, and must not be taken for "a-b". */
static void write_name(FILE *file, const char *prefix)
{
    for (; *prefix != '\0'; prefix++) {
        unsigned char c = (unsigned char)*prefix;
        if (c <= 0x20 || c == '%' || c == '/' || c == 0x7f)
            (void)fprintf(file, "%%%02X", c);
        else
            (void)fputc(c, file);
    }
    (void)fputs("-livy-ha", file);
}

static char *node_path(const char *chroot, const char *prefix)
{
    char *path = NULL;
    size_t size;
    FILE *file = open_memstream(&path, &size);

    if (file == NULL)
        return NULL;
    (void)fprintf(file, "%s/", chroot);
    write_name(file, prefix);
    if (fclose(file) == 0)
        return path;
    free(path);
    return NULL;
}

/* "h1:2181,h2:2181/chroot livy", cut in place. */
static int find_node(struct claim_place *place, char *rest, const char *hosts)
{
    char *prefix = strchr(rest, ' ');
    if (prefix == NULL || prefix == rest)
        return 0; /* no url: Livy refuses to start */
    *prefix++ = '\0';
    size_t ours = strcspn(hosts, "/"), theirs = strcspn(rest, "/");
    place->path = node_path(rest + theirs, prefix);
    place->hosts = strndup(rest, theirs);
    if (place->path == NULL || place->hosts == NULL)
        return -1;
    place->where = ours == theirs && strncmp(hosts, rest, ours) == 0 ? CLAIM_OWN : CLAIM_ELSEWHERE;
    return 0;
}

int claim_place_find(struct claim_place *place, const char *store, const char *hosts)
{
    static const char zookeeper[] = "zookeeper ", filesystem[] = "filesystem ";
    int rc = 0;

    *place = (struct claim_place){.where = CLAIM_NOWHERE};
    if (strncmp(store, zookeeper, sizeof(zookeeper) - 1) == 0) {
        char *rest = strdup(store + sizeof(zookeeper) - 1);
        rc = rest != NULL ? find_node(place, rest, hosts) : -1;
        free(rest);
    } else if (strncmp(store, filesystem, sizeof(filesystem) - 1) == 0 &&
               strncasecmp(store + sizeof(filesystem) - 1, "file:", 5) == 0) {
        place->path = livyconf_fs_path(store + sizeof(filesystem) - 1);
        place->hosts = strdup("");
        place->where = CLAIM_FILE;
        rc = place->path != NULL && place->hosts != NULL ? 0 : -1;
    }
    if (rc != 0)
        claim_place_clear(place);
    return rc;
}

void claim_place_clear(struct claim_place *place)
{
    free(place->hosts);
    free(place->path);
    *place = (struct claim_place){.where = CLAIM_NOWHERE};
}

char *claim_write(const struct claim_self *self)
{
    char now[CLOCK_UTC_SIZE];
    char *text = NULL;

    clock_format_utc(clock_wall_ms(), now);
    json_t *claim =
        json_pack("{s:s, s:s, s:s, s:b, s:s, s:s}", "cluster", self->cluster, "zookeeper", self->hosts,
                  "root", self->root, "own", self->own, "member", self->member, "at", now);
    if (claim != NULL)
        text = json_dumps(claim, JSON_COMPACT);
    json_decref(claim);
    return text;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

/* The same id, or, where the claim lies in the very ensemble that has the claimant's root and ours, the same
 * root: there can be one of that name only. So a root that was removed and made anew finds its claim again.
 */
static bool names_us(const struct claim_self *self, const json_t *claim)
{
    if (strcmp(text_of(claim, "cluster"), self->cluster) == 0)
        return true;
    return self->own && json_is_true(json_object_get(claim, "own")) &&
           strcmp(text_of(claim, "root"), self->root) == 0;
}

enum claim_says claim_read(const struct claim_self *self, const char *text, size_t length, char *who,
                           size_t size)
{
    enum claim_says says = CLAIM_SAYS_ANOTHER;

    if (length == 0)
        return CLAIM_SAYS_NOTHING;
    json_t *claim = json_loadb(text, length, 0, NULL);
    if (text_of(claim, "cluster")[0] == '\0' || text_of(claim, "root")[0] == '\0')
        (void)snprintf(who, size, "somebody that livy-ha does not know");
    else if (names_us(self, claim))
        says = CLAIM_SAYS_US;
    else
        (void)snprintf(who, size, "another cluster: root %.120s on %.160s", text_of(claim, "root"),
                       text_of(claim, "zookeeper"));
    json_decref(claim);
    return says;
}
