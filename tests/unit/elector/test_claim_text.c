/* test_claim_text.c - where a claim lies and whom it names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "claim_internal.h"

static void expect_place(const char *store, const char *hosts, enum claim_where where, const char *at,
                         const char *path)
{
    struct claim_place place;

    assert_int_equal(claim_place_find(&place, store, hosts), 0);
    assert_int_equal(place.where, where);
    if (where != CLAIM_NOWHERE) {
        assert_string_equal(place.hosts, at);
        assert_string_equal(place.path, path);
    }
    claim_place_clear(&place);
}

static void test_where(void **state)
{
    (void)state;
    expect_place("none", "h:2181", CLAIM_NOWHERE, NULL, NULL);
    expect_place("zookeeper  livy", "h:2181", CLAIM_NOWHERE, NULL, NULL); /* no url */
    expect_place("zookeeper h:2181 livy", "h:2181", CLAIM_OWN, "h:2181", "/livy-livy-ha");
    /* The chroots do not matter for whose ensemble it is. */
    expect_place("zookeeper g:2181,h:2181/x/y livy", "g:2181,h:2181/ours", CLAIM_OWN, "g:2181,h:2181",
                 "/x/y/livy-livy-ha");
    expect_place("zookeeper h:2181/x livy", "g:2181,h:2181", CLAIM_ELSEWHERE, "h:2181", "/x/livy-livy-ha");
    expect_place("zookeeper h:21810 livy", "h:2181", CLAIM_ELSEWHERE, "h:21810", "/livy-livy-ha");
    expect_place("zookeeper [::1]:2181 livy", "h:2181", CLAIM_ELSEWHERE, "[::1]:2181", "/livy-livy-ha");
    expect_place("filesystem file:///mnt/livy%20store", "h:2181", CLAIM_FILE, "", "/mnt/livy store");
    expect_place("filesystem file:/mnt/livy", "h:2181", CLAIM_FILE, "", "/mnt/livy");
    expect_place("filesystem hdfs://n/livy", "h:2181", CLAIM_NOWHERE, NULL, NULL);
    expect_place("filesystem /livy", "h:2181", CLAIM_NOWHERE, NULL, NULL); /* on whatever fs.defaultFS is */
}

/* Every prefix has a name of its own, one part long. */
static void test_names(void **state)
{
    (void)state;
    expect_place("zookeeper h:2181 a/b", "h:2181", CLAIM_OWN, "h:2181", "/a%2Fb-livy-ha");
    expect_place("zookeeper h:2181 a%2Fb", "h:2181", CLAIM_OWN, "h:2181", "/a%252Fb-livy-ha");
    expect_place("zookeeper h:2181 a b", "h:2181", CLAIM_OWN, "h:2181", "/a%20b-livy-ha");
    expect_place("zookeeper h:2181 ", "h:2181", CLAIM_OWN, "h:2181", "/-livy-ha");
}

static enum claim_says read_as(const struct claim_self *self, const char *text, char who[256])
{
    who[0] = '\0';
    return claim_read(self, text, strlen(text), who, 256);
}

static void test_reads_what_it_writes(void **state)
{
    struct claim_self self = {
        .cluster = "aa", .hosts = "h:2181", .root = "/livy_ha", .member = "a\"b", .own = false};
    char who[256];

    (void)state;
    char *text = claim_write(&self);
    assert_non_null(text);
    assert_null(strchr(text, '\n'));
    assert_int_equal(read_as(&self, text, who), CLAIM_SAYS_US);

    /* The id alone counts: the hosts may be written in another way today, the root may have moved. */
    struct claim_self moved = self;
    moved.hosts = "g:2181,h:2181";
    moved.root = "/elsewhere";
    moved.member = "b";
    assert_int_equal(read_as(&moved, text, who), CLAIM_SAYS_US);

    /* Equal strings, another cluster: "localhost" and "/livy_ha" are everywhere. */
    struct claim_self other = self;
    other.cluster = "bb";
    assert_int_equal(read_as(&other, text, who), CLAIM_SAYS_ANOTHER);
    assert_string_equal(who, "another cluster: root /livy_ha on h:2181");
    other.own = true; /* for us it is at home, for the claimant it was not */
    assert_int_equal(read_as(&other, text, who), CLAIM_SAYS_ANOTHER);
    free(text);
}

/* Both look at it through the handle that has their roots: there is one root of a name. */
static void test_one_root_of_a_name_in_one_ensemble(void **state)
{
    struct claim_self self = {
        .cluster = "aa", .hosts = "h:2181", .root = "/x/livy_ha", .member = "a", .own = true};
    char who[256];

    (void)state;
    char *text = claim_write(&self);
    assert_non_null(text);
    struct claim_self anew = self;
    anew.cluster = "bb";
    assert_int_equal(read_as(&anew, text, who), CLAIM_SAYS_US);
    anew.own = false;
    assert_int_equal(read_as(&anew, text, who), CLAIM_SAYS_ANOTHER);
    anew.own = true;
    anew.root = "/livy_ha";
    assert_int_equal(read_as(&anew, text, who), CLAIM_SAYS_ANOTHER);
    free(text);
}

static void test_not_ours_to_read(void **state)
{
    static const char *const texts[] = {"x",
                                        "{",
                                        "[]",
                                        "7",
                                        "{}",
                                        "{\"cluster\":7,\"root\":\"/r\"}",
                                        "{\"cluster\":\"aa\"}",
                                        "{\"cluster\":\"\",\"root\":\"/livy_ha\",\"own\":true}"};
    struct claim_self self = {
        .cluster = "aa", .hosts = "h:2181", .root = "/livy_ha", .member = "a", .own = true};
    char who[256];

    (void)state;
    assert_int_equal(claim_read(&self, NULL, 0, who, sizeof(who)), CLAIM_SAYS_NOTHING);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(read_as(&self, texts[i], who), CLAIM_SAYS_ANOTHER);
        assert_non_null(strstr(who, "does not know"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_where),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_reads_what_it_writes),
        cmocka_unit_test(test_one_root_of_a_name_in_one_ensemble),
        cmocka_unit_test(test_not_ours_to_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
