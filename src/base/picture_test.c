/* picture_test.c - what a picture's texts become in an SVG: XML wants whole characters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/picture.h"

static void texts(void **state) {
    static const struct { const char *text, *want; } cases[] = {
        {"a < b & c\n", ">a &lt; b &amp; c<"}, {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x8d", ">\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x8d<"},
        {"cut \xe2\x82", ">cut \xef\xbf\xbd\xef\xbf\xbd<"}, {"\xc3", ">\xef\xbf\xbd<"}, {"\xff\x80z", ">\xef\xbf\xbd\xef\xbf\xbdz<"},
        {"\xed\xa0\x80", ">\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd<"}, {"\xc0\xbc", ">\xef\xbf\xbd\xef\xbf\xbd<"}, {"\xf4\x90\x80\x80.", ">\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd.<"},
        {"\xef\xbf\xbe", ">\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd<"},
    };
    char folder[] = "/tmp/krait-picture-XXXXXX", path[60];
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/p.svg", folder);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kr_picture *p;
        void *svg;
        size_t n;
        assert_int_equal(kr_picture_new(&p, 100, 50), KR_OK);
        kr_picture_text(p, 10, 10, 9, -1, 0, "%s", cases[i].text);
        if (kr_picture_save(p, path) != KR_OK || kr_file_read(&svg, &n, path) != KR_OK) fail_msg("%s", kr_error());
        if (!strstr(svg, cases[i].want)) fail_msg("case %d: %s", (int)i, (char *)svg);
        kr_mem_free(svg);
        kr_picture_free(p);
    }
    unlink(path);
    rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(texts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
