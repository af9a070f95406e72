/* What a view says, and what becomes of connections when it changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "view.h"

static struct front_view view(enum front_route route, const char *url, int64_t epoch)
{
    struct front_view made = {.route = route, .epoch = epoch, .valid_until = 1000};

    snprintf(made.livy_url, sizeof(made.livy_url), "%s", url);
    snprintf(made.id, sizeof(made.id), "livy-b");
    return made;
}

static void fates(void **state)
{
    static const char a[] = "http://a:1", b[] = "http://b:1";
    const struct {
        enum front_route old, fresh;
        const char *old_url, *fresh_url;
        int64_t old_epoch, fresh_epoch;
        enum view_fate fate;
    } rows[] = {
        {FRONT_LOCAL, FRONT_LOCAL, a, a, 1, 1, VIEW_KEEP},
        {FRONT_LOCAL, FRONT_REMOTE, a, a, 1, 1, VIEW_KEEP},
        {FRONT_LOCAL, FRONT_LOCAL, a, a, 1, 2, VIEW_CUT}, /* another Livy at the same place */
        {FRONT_LOCAL, FRONT_REMOTE, a, b, 1, 2, VIEW_CUT},
        {FRONT_LOCAL, FRONT_REMOTE, a, b, 1, 1, VIEW_CUT},
        {FRONT_LOCAL, FRONT_PAUSE, a, a, 1, 1, VIEW_MAY_END},
        {FRONT_LOCAL, FRONT_PAUSE, a, a, 1, 0, VIEW_MAY_END},
        {FRONT_LOCAL, FRONT_PAUSE, a, b, 1, 2, VIEW_CUT},
        {FRONT_LOCAL, FRONT_PAUSE, a, "", 1, 1, VIEW_CUT},
        {FRONT_PAUSE, FRONT_LOCAL, a, a, 1, 1, VIEW_KEEP},
        {FRONT_PAUSE, FRONT_REMOTE, a, b, 1, 2, VIEW_CUT},
        {FRONT_LOCAL, FRONT_NOBODY, a, "", 1, 0, VIEW_CUT},
        {FRONT_LOCAL, FRONT_NOBODY, a, a, 1, 1, VIEW_CUT},
        {FRONT_NOBODY, FRONT_LOCAL, "", "", 0, 0, VIEW_CUT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct front_view old = view(rows[i].old, rows[i].old_url, rows[i].old_epoch);
        struct front_view fresh = view(rows[i].fresh, rows[i].fresh_url, rows[i].fresh_epoch);
        if (view_fate(&old, &fresh) != rows[i].fate)
            fail_msg("row %zu", i);
    }
    struct front_view plain = view(FRONT_LOCAL, a, 1), tls = plain;
    tls.tls = 1;
    assert_int_equal(view_fate(&plain, &tls), VIEW_CUT);
}

static void routes(void **state)
{
    struct front_view v = view(FRONT_REMOTE, "http://a:1", 7);

    (void)state;
    assert_int_equal(view_route(&v, 999), FRONT_REMOTE);
    assert_int_equal(view_route(&v, 1000), FRONT_NOBODY);
    assert_false(view_redirects(&v, FRONT_REMOTE));
    v.mode = FRONT_REDIRECT;
    assert_true(view_redirects(&v, FRONT_REMOTE));
    assert_false(view_redirects(&v, FRONT_LOCAL));
    assert_false(view_redirects(&v, FRONT_NOBODY));
    assert_true(view_routes(FRONT_LOCAL) && view_routes(FRONT_REMOTE));
    assert_false(view_routes(FRONT_NOBODY) || view_routes(FRONT_PAUSE));
    v.ending = 1;
    view_expire(&v);
    assert_int_equal(v.route, FRONT_NOBODY);
    assert_int_equal(v.epoch, 0);
    assert_string_equal(v.livy_url, "");
    assert_int_equal(v.ending, 1);
}

static void descriptions(void **state)
{
    struct front_view a = view(FRONT_REMOTE, "http://a:1", 7), b = a;
    char text[2048];

    (void)state;
    b.serial = 9;
    b.valid_until = 5000;
    assert_false(view_describe(&a, &b, NULL, text, sizeof(text)));
    view_expire(&b);
    assert_true(view_describe(&a, &b, "it has run out", text, sizeof(text)));
    assert_non_null(strstr(text, "front remote -> nobody: it has run out: "));
    assert_true(view_describe(&b, &a, NULL, text, sizeof(text)));
    assert_non_null(strstr(text, "front nobody -> remote: livy-b"));
    assert_non_null(strstr(text, "http://a:1"));
    b = a;
    b.mode = FRONT_REDIRECT;
    snprintf(b.front_url, sizeof(b.front_url), "http://front:8998");
    assert_true(view_describe(&a, &b, NULL, text, sizeof(text)));
    assert_non_null(strstr(text, "redirected to http://front:8998"));
}

static void urls(void **state)
{
    char host[64];
    int port = 0;

    (void)state;
    assert_true(view_parse_url("http://127.0.0.1:18998", host, sizeof(host), &port));
    assert_string_equal(host, "127.0.0.1");
    assert_int_equal(port, 18998);
    assert_true(view_parse_url("https://[2001:db8::1]:443/", host, sizeof(host), &port));
    assert_string_equal(host, "2001:db8::1");
    assert_int_equal(port, 443);
    assert_true(view_parse_url("http://livy-a.example.com:8998", host, sizeof(host), &port));
    assert_string_equal(host, "livy-a.example.com");
    static const char *const wrong[] = {"",
                                        "livy:1",
                                        "http://",
                                        "http://livy",
                                        "http://:1",
                                        "http://livy:",
                                        "http://livy:0",
                                        "http://livy:65536",
                                        "http://livy:1x",
                                        "http://[::1",
                                        "http://[::1]1",
                                        "http://[]:1"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (view_parse_url(wrong[i], host, sizeof(host), &port))
            fail_msg("%s was taken", wrong[i]);
    char longest[128];
    snprintf(longest, sizeof(longest), "http://%0100d:1", 7);
    assert_false(view_parse_url(longest, host, sizeof(host), &port));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fates),
        cmocka_unit_test(routes),
        cmocka_unit_test(descriptions),
        cmocka_unit_test(urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
