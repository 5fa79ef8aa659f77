/* The probe's payload under TCG and under whatever KVM this host has; what is remembered, and what is not. */
#include <glib/gstdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "host/accel_probe.h"
#include "host/qemu.h"

typedef struct {
        char *dir;
        char *qemu;
        Store *store;
} Fixture;

static char *script(const Fixture *fixture, const char *text)
{
        char *path = g_build_filename(fixture->dir, "fake-qemu", NULL);
        g_assert_true(g_file_set_contents(path, text, -1, NULL));
        g_assert_cmpint(g_chmod(path, 0700), ==, 0);
        return path;
}

static void set_up(Fixture *fixture, const void *data)
{
        fixture->dir = g_dir_make_tmp("hostler-accel-XXXXXX", NULL);
        g_autofree char *database = g_build_filename(fixture->dir, "hostler.db", NULL);
        fixture->store = store_open(database, NULL);
        g_assert_nonnull(fixture->store);
        fixture->qemu = qemu_find(NULL);
        g_unsetenv("HOSTLER_ACCEL");
}

static void tear_down(Fixture *fixture, const void *data)
{
        store_close(fixture->store);
        g_assert_true(dir_remove(fixture->dir, NULL));
        g_free(fixture->dir);
        g_free(fixture->qemu);
}

/* Under emulation every part of the payload works, so where it ends elsewhere the accelerator is to blame. */
static void test_payload_under_tcg(Fixture *fixture, const void *data)
{
        g_autofree char *reason = NULL;
        g_assert_nonnull(fixture->qemu);
        bool worked = accel_run_payload(fixture->qemu, "tcg", 60000, NULL, &reason);
        g_assert_cmpstr(reason, ==, "a probe booted under tcg");
        g_assert_true(worked);
}

static void test_time_limit(Fixture *fixture, const void *data)
{
        g_autofree char *reason = NULL, *qemu = script(fixture, "#!/bin/sh\necho r\necho p\necho l\nexec sleep 60\n");
        int64_t start_ms = clock_monotonic_ms();
        g_assert_false(accel_run_payload(qemu, "kvm", 300, NULL, &reason));
        g_assert_cmpstr(reason, ==, "a probe under kvm hung while handling an exception and a page fault (0.3 s)");
        g_assert_cmpint(clock_monotonic_ms() - start_ms, <, 10000);
}

static void test_emulated_kernel_mode(Fixture *fixture, const void *data)
{
        g_autofree char *reason = NULL,
                        *qemu = script(fixture, "#!/bin/sh\necho r\necho p\necho l\necho e\nexec sleep 60\n");
        g_assert_false(accel_run_payload(qemu, "kvm", 300, NULL, &reason));
        g_assert_nonnull(strstr(reason, "emulates guest kernels"));
}

static void test_refusal_keeps_qemus_words(Fixture *fixture, const void *data)
{
        g_autofree char *reason = NULL;
        g_autofree char *qemu =
            script(fixture, "#!/bin/sh\necho 'failed to initialize kvm: Device or resource busy' >&2\nexit 1\n");
        g_assert_false(accel_run_payload(qemu, "kvm", 30000, NULL, &reason));
        g_assert_nonnull(strstr(reason, "Device or resource busy"));
        g_assert_nonnull(strstr(reason, "first instruction"));
}

/* A triple fault resets the machine: QEMU ends well, but the payload is not through. */
static void test_early_reset_is_no_success(Fixture *fixture, const void *data)
{
        g_autofree char *reason = NULL, *qemu = script(fixture, "#!/bin/sh\necho r\n");
        g_assert_false(accel_run_payload(qemu, "kvm", 30000, NULL, &reason));
        g_assert_cmpstr(reason, ==, "a probe under kvm fell over while entering protected mode");
}

static void remember(Fixture *fixture, const char *boot_id, bool kvm)
{
        g_autofree char *text = g_strdup_printf(
            "{\"boot_id\":\"%s\",\"kvm\":%s,\"reason\":\"as remembered\",\"hint\":\"mend it\",\"took_ms\":42}", boot_id,
            kvm ? "true" : "false");
        g_assert_true(store_set(fixture->store, "accel", text, NULL));
}

static void test_remembered_for_this_boot(Fixture *fixture, const void *data)
{
        g_auto(AccelVerdict) verdict = {0};
        remember(fixture, host_boot_id(), true);
        g_assert_true(accel_probe("/nonexistent", fixture->store, false, NULL, &verdict));
        g_assert_cmpstr(verdict.reason, ==, "as remembered");
        g_assert_cmpstr(verdict.hint, ==, "mend it");
        g_assert_cmpint(verdict.took_ms, ==, 42);
}

static void test_not_remembered(Fixture *fixture, const void *data)
{
        static const char *const values[] = {"", "no JSON", "[]", "{\"boot_id\":7}",
                                             "{\"boot_id\":\"another\",\"kvm\":true,\"reason\":\"\",\"took_ms\":1}"};
        for (gsize i = 0; i < G_N_ELEMENTS(values); i++) {
                g_auto(AccelVerdict) verdict = {0};
                g_assert_true(store_set(fixture->store, "accel", values[i], NULL));
                g_assert_false(accel_probe("/nonexistent", fixture->store, false, NULL, &verdict));
                g_assert_cmpstr(verdict.reason, !=, "as remembered");
        }
        g_auto(AccelVerdict) forced = {0};
        remember(fixture, host_boot_id(), true);
        g_assert_false(accel_probe("/nonexistent", fixture->store, true, NULL, &forced));
        g_assert_cmpstr(forced.reason, !=, "as remembered");
}

static void test_environment_decides(Fixture *fixture, const void *data)
{
        g_auto(AccelVerdict) tcg = {0}, kvm = {0};
        remember(fixture, host_boot_id(), true);
        g_setenv("HOSTLER_ACCEL", "tcg", true);
        g_assert_false(accel_probe(fixture->qemu, fixture->store, false, NULL, &tcg));
        g_setenv("HOSTLER_ACCEL", "kvm", true);
        g_assert_true(accel_probe(fixture->qemu, fixture->store, false, NULL, &kvm));
        g_unsetenv("HOSTLER_ACCEL");
        g_assert_nonnull(strstr(tcg.reason, "HOSTLER_ACCEL=tcg"));
}

/* On a cancelled probe nothing is learnt. */
static void test_cancelled(Fixture *fixture, const void *data)
{
        g_auto(AccelVerdict) verdict = {0};
        g_autoptr(GCancellable) cancellable = g_cancellable_new();
        g_cancellable_cancel(cancellable);
        g_assert_false(accel_probe(fixture->qemu, fixture->store, true, cancellable, &verdict));
        g_assert_nonnull(verdict.reason);
        g_autofree char *stored = store_get(fixture->store, "accel");
        g_assert_null(stored);
}

/* Whatever this host's KVM is worth: an answer comes in time, and the second time at once. */
static void test_this_host(Fixture *fixture, const void *data)
{
        g_auto(AccelVerdict) first = {0}, second = {0};
        int64_t start_ms = clock_monotonic_ms();
        accel_probe(fixture->qemu, fixture->store, false, NULL, &first);
        int64_t probed_ms = clock_monotonic_ms();
        g_test_message("kvm: %d, %s (%d ms)", first.kvm, first.reason, (int)first.took_ms);
        g_assert_nonnull(first.reason);
        g_assert_cmpint(probed_ms - start_ms, <, 15000);
        accel_probe(fixture->qemu, fixture->store, false, NULL, &second);
        g_assert_cmpstr(first.reason, ==, second.reason);
        g_assert_cmpint(first.kvm, ==, second.kvm);
        g_assert_cmpint(clock_monotonic_ms() - probed_ms, <, 1000);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add("/accel-probe/" name, Fixture, NULL, set_up, function, tear_down)
        ADD("payload-under-tcg", test_payload_under_tcg);
        ADD("time-limit", test_time_limit);
        ADD("emulated-kernel-mode", test_emulated_kernel_mode);
        ADD("refusal-keeps-qemus-words", test_refusal_keeps_qemus_words);
        ADD("early-reset-is-no-success", test_early_reset_is_no_success);
        ADD("remembered-for-this-boot", test_remembered_for_this_boot);
        ADD("not-remembered", test_not_remembered);
        ADD("environment-decides", test_environment_decides);
        ADD("cancelled", test_cancelled);
        ADD("this-host", test_this_host);
        return g_test_run();
}
