/* Sound: WAV headers, made and found, and which part on the host a card plays into. */
#include <string.h>

#include "base/error.h"
#include "device/audio.h"
#include "device/wav.h"

/* 6 frames: as the standard has it, by hand. */
static const guint8 six_frames[WAV_HEADER_BYTES] = {
    'R', 'I', 'F',  'F',  60, 0, 0, 0,    'W', 'A', 'V', 'E', 'f', 'm', 't', ' ', 16,  0,   0,  0, 1, 0,
    2,   0,   0x80, 0xbb, 0,  0, 0, 0xee, 2,   0,   4,   0,   16,  0,   'd', 'a', 't', 'a', 24, 0, 0, 0,
};

static void test_header(void)
{
        guint8 header[WAV_HEADER_BYTES];
        wav_header(24, header);
        g_assert_cmpmem(header, sizeof header, six_frames, sizeof six_frames);
        wav_header(0x12345678, header);
        g_assert_cmpmem(header + 40, 4, "\x78\x56\x34\x12", 4);
        g_assert_cmpmem(header + 4, 4, "\x9c\x56\x34\x12", 4);
}

/* What QEMU writes when the guest opens its card: no lengths yet. */
static void put_header(guint8 *bytes)
{
        memcpy(bytes, six_frames, WAV_HEADER_BYTES);
        bytes[4] = bytes[40] = 0;
}

static void test_quiet(void)
{
        guint8 bytes[200], expected[200];
        memset(bytes, 7, sizeof bytes);
        put_header(bytes);
        put_header(bytes + 100);
        memcpy(bytes + 160, bytes, 40); /* cut off at the end: stays, for whoever looks at what follows */
        memcpy(expected, bytes, sizeof bytes);
        memset(expected, 0, WAV_HEADER_BYTES);
        memset(expected + 100, 0, WAV_HEADER_BYTES);
        wav_quiet_headers(bytes, sizeof bytes);
        g_assert_cmpmem(bytes, sizeof bytes, expected, sizeof expected);
        wav_quiet_headers(bytes, 0);
}

/* Sound that is like a header but for its place or its lengths is left alone. */
static void test_loud(void)
{
        guint8 bytes[100], before[100];
        memset(bytes, 7, sizeof bytes);
        put_header(bytes + 2);
        memcpy(bytes + 52, six_frames, WAV_HEADER_BYTES);
        memcpy(before, bytes, sizeof bytes);
        wav_quiet_headers(bytes, sizeof bytes);
        g_assert_cmpmem(bytes, sizeof bytes, before, sizeof before);
}

static void spec_read(const char *text, HostlerSpec *ret_spec)
{
        g_autoptr(GError) error = NULL;
        g_autofree char *quoted = g_strdelimit(g_strdup(text), "'", '"');
        json_auto_t *json = json_loads(quoted, 0, NULL);
        record_from_json(&hostler_spec_type, json, "/spec", ret_spec, &error);
        g_assert_no_error(error);
}

static const char *backend(const HostlerSpec *spec, const char *part)
{
        return audio_backend(spec_part(spec, part));
}

/* Cards that were given no audio part take the free ones in order; what has been decided stays. */
static void test_settle(void)
{
        HostlerSpec spec;
        spec_read("{'audio0': {}, 'audio1': {}, 'audio2': {}, 'dsp0': {}, 'sound0': {'audio': 'audio1'}, 'sound1': {},"
                  " 'sound2': {}, 'sound3': {'audio': 'none'}}",
                  &spec);
        g_assert_cmpstr(backend(&spec, "dsp0"), ==, "silence.0");
        device_settle(&spec);
        g_assert_cmpstr(backend(&spec, "dsp0"), ==, "audio0");
        g_assert_cmpstr(backend(&spec, "sound0"), ==, "audio1");
        g_assert_cmpstr(backend(&spec, "sound1"), ==, "audio2");
        g_assert_cmpstr(backend(&spec, "sound2"), ==, "silence.0");
        g_assert_cmpstr(backend(&spec, "sound3"), ==, "silence.0");
        g_assert_cmpstr(((const HostlerSoundProps *)spec_part(&spec, "sound2")->props)->audio, ==, "none");
        record_clear(&hostler_spec_type, &spec);
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/sound/header", test_header);
        g_test_add_func("/sound/quiet", test_quiet);
        g_test_add_func("/sound/loud", test_loud);
        g_test_add_func("/sound/settle", test_settle);
        return g_test_run();
}
