/* Unit tests of wire/rfb.c: what is sent, and what each kind of answer means. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "wire/rfb.h"

#define SIZE(text) (sizeof(text) - 1)
/* A handshake with a screen of 640x480 called "QEMU", and an announcement of a size by reason, status. */
#define HANDSHAKE "RFB 003.008\n\1\1\0\0\0\0\2\200\1\340" SIXTEEN "\0\0\0\4QEMU"
#define SIXTEEN "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define ANNOUNCED(reason, status) "\0\0\0\1" reason status "\4\0\3\0\377\377\376\314\1\0\0\0" SIXTEEN

#define WELL -1

typedef struct {
        const char *says;
        size_t length;
        bool stays; /* does not hang up */
        int code;   /* WELL: there is none */
} Peer;

/* Returns what the peer heard. */
static GByteArray *talk(const Peer *peer)
{
        int ends[2];
        guint8 bytes[256];
        g_autoptr(GError) error = NULL;
        g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
        g_assert_cmpint(write(ends[1], peer->says, peer->length), ==, (ssize_t)peer->length);
        if (!peer->stays)
                shutdown(ends[1], SHUT_WR);
        bool done = rfb_set_size_on(ends[0], 1024, 600, 50, &error);
        g_assert_true(done == (peer->code == WELL));
        if (!done)
                g_assert_error(error, HOSTLER_ERROR, peer->code);
        close(ends[0]);
        GByteArray *heard = g_byte_array_new();
        for (ssize_t got; (got = read(ends[1], bytes, sizeof bytes)) > 0;)
                g_byte_array_append(heard, bytes, (guint)got);
        close(ends[1]);
        return heard;
}

static void test_asks(void)
{
        static const char says[] = HANDSHAKE ANNOUNCED("\0\0", "\0\0") "\2" ANNOUNCED("\0\1", "\0\4");
        static const char expected[] = "RFB 003.008\n\1\1\2\0\0\1\377\377\376\314\373\0\4\0\2\130\1\0"
                                       "\0\0\0\0\0\0\0\0\4\0\2\130\0\0\0\0";
        g_autoptr(GByteArray) heard = talk(&(Peer){says, SIZE(says), true, WELL});
        g_assert_cmpmem(heard->data, heard->len, expected, SIZE(expected));
}

static void test_answers(void)
{
        static const char refused[] = HANDSHAKE ANNOUNCED("\0\1", "\0\3");
        static const char password[] = "RFB 003.008\n\1\2", version[] = "RFB 004.000\n", half[] = "RFB 0";
        static const char text[] = HANDSHAKE "\3\0\0\0\0\0\0\3abc" ANNOUNCED("\0\1", "\0\0");
        static const char endless[] = HANDSHAKE "\3\0\0\0\377\377\377\377";
        static const char unknown[] = HANDSHAKE "\7";
        const Peer peers[] = {
            {refused, SIZE(refused), true, HOSTLER_ERROR_UNSUPPORTED},
            {password, SIZE(password), true, HOSTLER_ERROR_FAILED},
            {version, SIZE(version), true, HOSTLER_ERROR_FAILED},
            {half, SIZE(half), false, HOSTLER_ERROR_FAILED},
            {half, SIZE(half), true, HOSTLER_ERROR_UNRESPONSIVE},
            {text, SIZE(text), true, WELL},
            {endless, SIZE(endless), true, HOSTLER_ERROR_FAILED},
            {unknown, SIZE(unknown), true, HOSTLER_ERROR_FAILED},
        };
        for (size_t i = 0; i < G_N_ELEMENTS(peers); i++)
                g_byte_array_unref(talk(&peers[i]));
}

int main(int argc, char **argv)
{
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/rfb/asks", test_asks);
        g_test_add_func("/rfb/answers", test_answers);
        return g_test_run();
}
