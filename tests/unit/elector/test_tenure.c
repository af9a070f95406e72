/* test_tenure.c - the nodes of <root>/tenures: names that nobody else has, and contents that anybody may have
 * written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tenure.h"

static void name_of(const char *id, const char *host, const char *runtime_dir, char name[CORE_TENURE_SIZE])
{
    struct conf conf = {.id = (char *)id, .host = (char *)host, .runtime_dir = (char *)runtime_dir};
    tenure_name(&conf, name);
}

static void test_names(void **state)
{
    char name[CORE_TENURE_SIZE], other[CORE_TENURE_SIZE], id[129];

    (void)state;
    name_of("livy-a", "a.example.com", "/run/livy-ha", name);
    name_of("livy-a", "a.example.com", "/run/livy-ha", other);
    assert_string_equal(name, other);
    assert_int_equal(strncmp(name, "livy-a@", 7), 0);
    assert_int_equal(strlen(name), 7 + 16);
    name_of("livy-a", "b.example.com", "/run/livy-ha", other); /* the same id elsewhere */
    assert_string_not_equal(name, other);
    name_of("livy-a", "a.example.com", "/run/livy-hb", other);
    assert_string_not_equal(name, other);
    name_of("livy-a", "a.example.com/run", "/livy-ha", other); /* not told apart by where the one ends */
    assert_string_not_equal(name, other);
    memset(id, 'x', sizeof(id) - 1);
    id[sizeof(id) - 1] = '\0';
    name_of(id, "a.example.com", "/run/livy-ha", other);
    assert_int_equal(strlen(other), 128 + 1 + 16);
}

static void test_round_trip(void **state)
{
    struct ipc_member member = {
        .id = "livy-a", .host = "a.example.com", .url = "https://a.example.com:18998", .epoch = 4294967301};
    struct core_victim victim;

    (void)state;
    char *text = tenure_write(&member, "_c_1-latch-0000000007");
    assert_non_null(text);
    tenure_read("livy-a@0123456789abcdef", text, (int)strlen(text), &victim);
    free(text);
    assert_string_equal(victim.tenure, "livy-a@0123456789abcdef");
    assert_memory_equal(&victim.member, &member, sizeof(member));
}

static void test_what_is_no_tenure(void **state)
{
    static const char *const texts[] = {"", "null", "[]", "{\"id\":5,\"epoch\":-3,\"livy_url\":{}}", "\xff{"};
    struct core_victim victim;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        tenure_read("livy-a@0123456789abcdef", texts[i], (int)strlen(texts[i]), &victim);
        assert_string_equal(victim.member.id, "livy-a"); /* it is fenced all the same */
        assert_string_equal(victim.member.url, "");
        assert_int_equal(victim.member.epoch, 0);
    }
    tenure_read("stranger", NULL, -1, &victim);
    assert_string_equal(victim.member.id, "stranger");
}

/* It would reach the log and a shell. */
static void test_what_a_stranger_writes(void **state)
{
    static const char *const names[] = {"",
                                        "stranger",
                                        "@0123456789abcdef",
                                        "livy-a@0123456789abcde",
                                        "livy-a@0123456789abcdeff",
                                        "livy-a@0123456789ABCDEF",
                                        "a b@0123456789abcdef",
                                        "$(id)@0123456789abcdef",
                                        "a\n@0123456789abcdef"};
    static const char *const urls[] = {"http://a\\u0007:1", "http://a\\n:1", "http://$(id):1",
                                       "http://\xc3\xbc:1"};
    struct core_victim victim;
    char id[130], name[160], text[2048];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_false(tenure_is_one(names[i]));
    assert_true(tenure_is_one("livy-a.example.com:1@0123456789abcdef"));
    memset(id, 'x', sizeof(id) - 1);
    id[128] = id[129] = '\0';
    snprintf(name, sizeof(name), "%s@0123456789abcdef", id);
    assert_true(tenure_is_one(name));
    id[128] = 'x';
    snprintf(name, sizeof(name), "%s@0123456789abcdef", id);
    assert_false(tenure_is_one(name));
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        snprintf(text, sizeof(text), "{\"id\":\"$(id)\",\"host\":\"a.example.com\",\"livy_url\":\"%s\"}",
                 urls[i]);
        tenure_read("livy-a@0123456789abcdef", text, (int)strlen(text), &victim);
        assert_string_equal(victim.member.id, "livy-a");
        assert_string_equal(victim.member.host, "a.example.com");
        assert_string_equal(victim.member.url, "");
    }
    snprintf(text, sizeof(text), "{\"livy_url\":\"http://%01000d:1\"}", 0);
    tenure_read("livy-a@0123456789abcdef", text, (int)strlen(text), &victim);
    assert_string_equal(victim.member.url, ""); /* none is better than another one */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_what_is_no_tenure),
        cmocka_unit_test(test_what_a_stranger_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
