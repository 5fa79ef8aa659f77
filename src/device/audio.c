/*
 * The host's sides of sound cards. What goes to a player is QEMU's own audiodev; what is recorded goes through a pipe
 * to the keeper, whose logs cannot grow without bound, as a guest may play for ever. See audio.h and wav.h.
 *
 * What the host lacks is said before QEMU is started, which would only end.
 */
#include "device/audio.h"

#include <errno.h>
#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/keeper_launch.h"
#include "device/wav.h"

/* No part can be called this: names have no dots. */
#define SILENCE_ID "silence.0"
#define NO_AUDIO "none"
/* A half must hold what the keeper reads at once, and more. */
#define RECORD_MIN_BYTES (64 * 1024)
#define RECORD_DEFAULT_BYTES (32 * 1024 * 1024)
/* A server takes no more. */
#define PLAYER_MAX_BYTES (10 * WAV_BYTES_A_SECOND)

#define SOUND_NODES "/dev/snd"
#define QEMU_MODULES "/usr/lib/x86_64-linux-gnu/qemu"

static bool is_audio(const HostlerPart *part, HostlerAudioModel model)
{
        return strcmp(part->kind, "audio") == 0 && ((const HostlerAudioProps *)part->props)->model == model;
}

/* ---- cards ---- */

/* Where a card's property `audio` is; NULL: the part is no card. */
static char **audio_property(const HostlerPart *part)
{
        const Field *field = record_field(kind_find(part->kind)->props, "audio");
        return field ? (char **)((char *)part->props + field->offset) : NULL;
}

/* The audio part that @part names; NULL: it names none. */
static const char *named_audio(const HostlerPart *part)
{
        char *const *audio = audio_property(part);
        return audio && *audio && strcmp(*audio, NO_AUDIO) != 0 ? *audio : NULL;
}

const char *audio_backend(const HostlerPart *part)
{
        const char *name = named_audio(part);
        return name ? name : SILENCE_ID;
}

/* The first card of the spec that names @audio; NULL: none. */
static const HostlerPart *card_of(const HostlerSpec *spec, const char *audio)
{
        for (size_t i = 0; i < spec->count; i++)
                if (g_strcmp0(named_audio(&spec->items[i]), audio) == 0)
                        return &spec->items[i];
        return NULL;
}

static const char *free_audio(const HostlerSpec *spec)
{
        for (size_t i = 0; i < spec->count; i++)
                if (strcmp(spec->items[i].kind, "audio") == 0 && !card_of(spec, spec->items[i].name))
                        return spec->items[i].name;
        return NO_AUDIO;
}

void audio_settle(const HostlerSpec *spec, HostlerPart *part)
{
        char **audio = audio_property(part);
        if (!*audio)
                *audio = g_strdup(free_audio(spec));
}

void audio_needs(const DeviceContext *context, const HostlerPart *part, GPtrArray *names)
{
        const char *name = named_audio(part);
        if (name)
                g_ptr_array_add(names, (char *)name);
}

void audio_check_card(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const char *name = named_audio(part);
        const HostlerPart *audio = name ? spec_part(context->spec, name) : NULL;
        const HostlerPart *first = name ? card_of(context->spec, name) : NULL;
        g_autofree char *pointer = g_strdup_printf("/spec/%s/audio", part->name);
        if (audio && strcmp(audio->kind, "audio") != 0)
                faults_add(faults, pointer, "%s is no audio part", name);
        else if (audio && first != part)
                faults_add(faults, pointer, "%s plays into %s already, and each is for one card", first->name, name);
}

/* ---- the plan ---- */

static json_t *format_of_sound(void)
{
        return json_pack("{s:i, s:i, s:s}", "frequency", WAV_FRAMES_A_SECOND, "channels", WAV_CHANNELS, "format",
                         "s16");
}

static void plan_audiodev(Plan *plan, json_t *args_taken)
{
        json_auto_t *args = args_taken;
        char *text = json_dumps(args, JSON_COMPACT);
        plan_argument(plan, "-audiodev", text);
        free(text);
}

void audio_plan_silence(Plan *plan)
{
        plan_audiodev(plan, json_pack("{s:s, s:s, s:o, s:o}", "driver", "none", "id", SILENCE_ID, "out",
                                      format_of_sound(), "in", format_of_sound()));
}

/* QEMU counts in microseconds, rounds to the nearest, and so comes back to the very number of frames. */
static int64_t buffer_us(int64_t bytes)
{
        int64_t frames = bytes / WAV_FRAME_BYTES;
        return (frames * 1000000 + WAV_FRAMES_A_SECOND / 2) / WAV_FRAMES_A_SECOND;
}

/* QEMU opens this in VMDIR/run: there it is the way to the keeper's pipe. */
static char *pipe_name(const HostlerPart *part)
{
        return g_strdup_printf("%s.wav", part->name);
}

static void add_player(const HostlerPart *part, json_t *args)
{
        const HostlerAudioProps *props = part->props;
        json_t *out = json_object_get(args, "out"), *in = json_object_get(args, "in");
        bool alsa = props->model == HOSTLER_AUDIO_MODEL_ALSA;
        if (props->device)
                json_object_set_new(out, alsa ? "dev" : "name", json_string(props->device));
        if (props->device && alsa)
                json_object_set_new(in, "dev", json_string(props->device));
        if (props->server)
                json_object_set_new(args, "server", json_string(props->server));
        if (props->memory == HOSTLER_UNSET)
                return;
        json_object_set_new(out, "buffer-length", json_integer(buffer_us(props->memory)));
        json_object_set_new(in, "buffer-length", json_integer(buffer_us(props->memory)));
}

/* A name in VMDIR/run. */
static char *spice_socket(const HostlerPart *part)
{
        return g_strdup_printf("%s.spice", part->name);
}

/* -spice takes no JSON; a part's name has neither commas nor dots. The socket is in a folder that only its owner opens.
 */
static void plan_spice(const HostlerPart *part, Plan *plan)
{
        g_autofree char *socket = spice_socket(part);
        g_autofree char *value = g_strdup_printf(
            "unix=on,addr=%s,disable-ticketing=on,disable-copy-paste=on,disable-agent-file-xfer=on", socket);
        plan_argument(plan, "-spice", value);
}

static void audio_plan(const DeviceContext *context, const HostlerPart *part, Plan *plan)
{
        g_autofree char *pipe = pipe_name(part);
        json_t *args = json_pack("{s:s, s:s, s:o, s:o}", "driver", part_model(part)->driver, "id", part->name, "out",
                                 format_of_sound(), "in", format_of_sound());
        if (is_audio(part, HOSTLER_AUDIO_MODEL_WAV))
                json_object_set_new(args, "path", json_string(pipe));
        else
                add_player(part, args);
        if (is_audio(part, HOSTLER_AUDIO_MODEL_SPICE))
                plan_spice(part, plan);
        plan_audiodev(plan, args);
}

bool audio_forks(const HostlerSpec *spec)
{
        for (size_t i = 0; i < spec->count; i++)
                if (is_audio(&spec->items[i], HOSTLER_AUDIO_MODEL_ALSA))
                        return true;
        return false;
}

/* ---- what is recorded ---- */

static int64_t half_bytes(const HostlerAudioProps *props)
{
        int64_t bytes = props->memory == HOSTLER_UNSET ? RECORD_DEFAULT_BYTES : props->memory;
        return bytes / 2 / WAV_FRAME_BYTES * WAV_FRAME_BYTES;
}

static void audio_host_end(const DeviceContext *context, const HostlerPart *part, HostEnd *ret_end)
{
        if (is_audio(part, HOSTLER_AUDIO_MODEL_SPICE))
                *ret_end = (HostEnd){.kind = HOST_END_SOCKET, .name = spice_socket(part)};
        if (!is_audio(part, HOSTLER_AUDIO_MODEL_WAV))
                return;
        *ret_end = (HostEnd){
            .kind = HOST_END_SOUND,
            .name = g_strdup_printf("%s.pcm", part->name),
            .pipe = pipe_name(part),
            .limit_bytes = half_bytes(part->props),
        };
}

static void remove_file(const DeviceContext *context, const HostlerPart *part, const char *suffix)
{
        g_autofree char *name = g_strconcat(part->name, suffix, NULL);
        g_autofree char *path = g_build_filename(context->vm_dir, name, NULL);
        unlink(path);
}

/* A recording is of one run; whatever the part was before, it begins with nothing. */
static void audio_remove(const DeviceContext *context, const HostlerPart *part)
{
        remove_file(context, part, ".pcm");
        remove_file(context, part, ".pcm.1");
}

/* ---- what the host has ---- */

/* The host's own card. Whoever names a PCM may mean one of ALSA's plugins, which needs no card. */
static bool find_card(const HostlerAudioProps *props, GError **error)
{
        g_autoptr(GDir) dir = g_dir_open(SOUND_NODES, 0, NULL);
        const char *name;
        bool exists = false;
        if (props->device)
                return true;
        while (dir && (name = g_dir_read_name(dir))) {
                g_autofree char *path = g_build_filename(SOUND_NODES, name, NULL);
                if (!g_str_has_prefix(name, "pcm") || !g_str_has_suffix(name, "p"))
                        continue;
                if (access(path, R_OK | W_OK) == 0)
                        return true;
                exists = true;
        }
        error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL, "the host has no sound card%s",
                  exists ? " that Hostler may use" : "");
        return error_hint(error, exists ? "add its user to the group audio"
                                        : "name a PCM of ALSA's with `device`, or record with model=wav");
}

static bool connects(const char *path)
{
        g_autoptr(GSocketClient) client = g_socket_client_new();
        g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
        g_autoptr(GSocketConnection) connection =
            g_socket_client_connect(client, G_SOCKET_CONNECTABLE(address), NULL, NULL);
        return connection != NULL;
}

/* The socket of the server that will be asked; NULL: it is not on this host. */
static char *server_socket(const HostlerAudioProps *props)
{
        const char *server = props->server ? props->server : g_getenv("PULSE_SERVER");
        if (!server)
                return g_build_filename(g_get_user_runtime_dir(), "pulse", "native", NULL);
        if (g_str_has_prefix(server, "unix:"))
                server += strlen("unix:");
        return server[0] == '/' ? g_strdup(server) : NULL;
}

/* A QEMU whose modules are elsewhere is taken at its word. */
static bool find_module(const char *file, const char *what, const char *package, GError **error)
{
        g_autofree char *path = g_build_filename(QEMU_MODULES, file, NULL);
        if (!g_file_test(QEMU_MODULES, G_FILE_TEST_IS_DIR) || g_file_test(path, G_FILE_TEST_EXISTS))
                return true;
        error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL, "QEMU has no %s driver on this host", what);
        return error_hint(error, "sudo apt install %s", package);
}

static bool find_server(const HostlerAudioProps *props, GError **error)
{
        g_autofree char *path = server_socket(props);
        if (!find_module("audio-pa.so", "PulseAudio", "qemu-system-gui", error))
                return false;
        if (!path || connects(path))
                return true;
        error_set(error, HOSTLER_ERROR_UNSUPPORTED, NULL, "there is no PulseAudio server at %s", path);
        return error_hint(error, "start one, or name its socket with `server`");
}

static bool audio_acquire(const DeviceContext *context, const HostlerPart *part, GError **error)
{
        const HostlerAudioProps *props = part->props;
        audio_remove(context, part);
        bool found = true;
        if (props->model == HOSTLER_AUDIO_MODEL_ALSA)
                found = find_card(props, error);
        else if (props->model == HOSTLER_AUDIO_MODEL_PULSE)
                found = find_server(props, error);
        else if (props->model == HOSTLER_AUDIO_MODEL_SPICE)
                found = find_module("audio-spice.so", "SPICE", "qemu-system-common", error);
        return found || error_wrap(error, HOSTLER_ERROR_UNSUPPORTED, NULL, "%s", part->name);
}

/* ---- faults ---- */

static void check_memory(const HostlerPart *part, const char *pointer, GPtrArray *faults)
{
        const HostlerAudioProps *props = part->props;
        if (props->memory == HOSTLER_UNSET)
                return;
        if (props->model == HOSTLER_AUDIO_MODEL_NONE)
                faults_add(faults, pointer, "what goes nowhere is not held anywhere");
        else if (props->model == HOSTLER_AUDIO_MODEL_SPICE)
                faults_add(faults, pointer, "what goes to a SPICE client is held there");
        else if (props->model == HOSTLER_AUDIO_MODEL_WAV && props->memory < RECORD_MIN_BYTES)
                faults_add(faults, pointer, "a recording has at least %d bytes", RECORD_MIN_BYTES);
        else if (props->model != HOSTLER_AUDIO_MODEL_WAV && props->memory > PLAYER_MAX_BYTES)
                faults_add(faults, pointer, "a player's buffer has at most %d bytes: ten seconds", PLAYER_MAX_BYTES);
}

static void check_spice(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        g_autofree char *pointer = g_strdup_printf("/spec/%s/model", part->name);
        for (const HostlerPart *other = context->spec->items; other < part; other++)
                if (is_audio(other, HOSTLER_AUDIO_MODEL_SPICE))
                        faults_add(faults, pointer, "a VM has one SPICE server, and that is %s's", other->name);
}

static void audio_check(const DeviceContext *context, const HostlerPart *part, GPtrArray *faults)
{
        const HostlerAudioProps *props = part->props;
        bool pulse = props->model == HOSTLER_AUDIO_MODEL_PULSE, alsa = props->model == HOSTLER_AUDIO_MODEL_ALSA;
        g_autofree char *pointer = g_strdup_printf("/spec/%s", part->name);
        g_autofree char *memory = g_strdup_printf("%s/memory", pointer),
                        *device = g_strdup_printf("%s/device", pointer);
        g_autofree char *server = g_strdup_printf("%s/server", pointer);
        check_memory(part, memory, faults);
        if (props->model == HOSTLER_AUDIO_MODEL_SPICE)
                check_spice(context, part, faults);
        if (props->model == HOSTLER_AUDIO_MODEL_WAV && device_log_set(context, part) > KEEPER_LOGS_MAX)
                faults_add(faults, pointer, "a VM has no more than %d logs and recordings", KEEPER_LOGS_MAX - 1);
        if (strcmp(part->name, NO_AUDIO) == 0)
                faults_add(faults, pointer, "a card's `audio=%s` means silence", NO_AUDIO);
        if (props->device && !alsa && !pulse)
                faults_add(faults, device, "only `alsa` and `pulse` play on a device");
        if (props->server && !pulse)
                faults_add(faults, server, "only `pulse` has a server");
}

const DeviceType audio_device = {
    .kind = "audio",
    .check = audio_check,
    .acquire = audio_acquire,
    .remove = audio_remove,
    .plan = audio_plan,
    .host_end = audio_host_end,
};
