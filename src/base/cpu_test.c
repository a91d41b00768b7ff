/* cpu_test.c - which instructions KRAIT_ISA allows. */
#include "base/cpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/vnni.h"

/* In a process of its own, as the answer is kept. */
static int asked(const char *isa) {
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        if (isa) setenv("KRAIT_ISA", isa, 1);
        else unsetenv("KRAIT_ISA");
        kr_impl best = kr_cpu_best();
        _exit((int)best << 1 | kr_cpu_allows_vnni());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WEXITSTATUS(status);
}

static void names_are_heard(void **state) {
    (void)state;
    static const struct { const char *isa; kr_impl impl; int vnni; } row[] = {
        {"baseline", KR_BASELINE, 0}, {"avx2", KR_AVX2, 0}, {"avx2vnni", KR_AVX2, 1}, {"avx512", KR_AVX512, 0}, {"avx512vnni", KR_AVX512, 1}, {"neon", KR_NEON, 0}};
    const int best = asked(NULL);
    assert_int_equal(best & 1, 1);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        assert_int_equal(asked(row[i].isa), kr_cpu_has(row[i].impl) ? (int)row[i].impl << 1 | row[i].vnni : best);
    assert_int_equal(asked("avx2x"), best);
    assert_int_equal(asked("baselinevnni"), best);
    assert_int_equal(asked(""), best);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(names_are_heard)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
