/*
 * A device's connection to QEMU. See link.h.
 *
 * QEMU's packets are parsed by libusbredirparser; what is in them is bounded here. Called by main.c.
 */
#include "usb/link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <usbredirparser.h>

enum { RETRY_MS = 100, CONFIGURATION = 1 };

/* ---- answers ---- */

static void remove_request(Link *link, int index)
{
        usbredirparser_free_packet_data(link->parser, link->requests[index].data);
        link->n_requests--;
        memmove(link->requests + index, link->requests + index + 1,
                (size_t)(link->n_requests - index) * sizeof *link->requests);
}

/* @data: what goes to the guest, or NULL; @length: of it, or of what came from the guest. */
static void answer_bulk(Link *link, const LinkRequest *request, uint8_t status, uint8_t *data, uint32_t length)
{
        struct usb_redir_bulk_packet_header header = {
            .endpoint = request->endpoint,
            .status = status,
            .length = (uint16_t)length,
            .length_high = (uint16_t)(length >> 16),
        };
        usbredirparser_send_bulk_packet(link->parser, request->id, &header, data, data ? (int)length : 0);
}

static void cancel_request(Link *link, int index)
{
        answer_bulk(link, &link->requests[index], usb_redir_cancelled, NULL, 0);
        remove_request(link, index);
}

static void cancel_all(Link *link)
{
        while (link->n_requests > 0)
                cancel_request(link, 0);
}

/* ---- what a device is ---- */

static void send_interfaces(const Link *link)
{
        struct usb_redir_interface_info_header info = {.interface_count = (uint32_t)link->device->n_interfaces};

        for (int i = 0; i < link->device->n_interfaces; i++) {
                info.interface[i] = (uint8_t)i;
                info.interface_class[i] = link->device->interfaces[i].class_code;
                info.interface_subclass[i] = link->device->interfaces[i].subclass;
                info.interface_protocol[i] = link->device->interfaces[i].protocol;
        }
        usbredirparser_send_interface_info(link->parser, &info);
}

/* The protocol has 32 places: 16 for endpoints out, 16 for those in. */
static void send_endpoints(const Link *link)
{
        struct usb_redir_ep_info_header info = {0};

        memset(info.type, usb_redir_type_invalid, sizeof info.type);
        info.type[0] = info.type[16] = usb_redir_type_control;
        info.max_packet_size[0] = info.max_packet_size[16] = 64;
        for (int i = 0; i < link->device->n_endpoints; i++) {
                const UsbEndpoint *endpoint = &link->device->endpoints[i];
                int place = (endpoint->address & USB_IN ? 16 : 0) + (endpoint->address & 0x0f);
                info.type[place] = usb_redir_type_bulk;
                info.interface[place] = endpoint->interface;
                info.max_packet_size[place] = USB_BULK_PACKET_BYTES;
        }
        usbredirparser_send_ep_info(link->parser, &info);
}

static void plug(Link *link)
{
        const uint8_t *descriptor = link->device->device;
        struct usb_redir_device_connect_header connect = {
            .speed = usb_redir_speed_high,
            .device_class = descriptor[4],
            .device_subclass = descriptor[5],
            .device_protocol = descriptor[6],
            .vendor_id = (uint16_t)(descriptor[8] | descriptor[9] << 8),
            .product_id = (uint16_t)(descriptor[10] | descriptor[11] << 8),
            .device_version_bcd = (uint16_t)(descriptor[12] | descriptor[13] << 8),
        };
        send_interfaces(link);
        send_endpoints(link);
        usbredirparser_send_device_connect(link->parser, &connect);
        link->device->type->restart(link->device->self);
        link->plugged = true;
}

/* ---- what QEMU says ---- */

static void on_log(void *data, int level, const char *text)
{
        if (level <= usbredirparser_warning)
                fprintf(stderr, "hostler-usb: %s\n", text);
}

static void on_hello(void *data, struct usb_redir_hello_header *hello)
{
        Link *link = data;
        link->greeted = true;
}

static void on_reset(void *data)
{
        Link *link = data;

        cancel_all(link);
        link->device->type->restart(link->device->self);
}

static void on_set_configuration(void *data, uint64_t id, struct usb_redir_set_configuration_header *wanted)
{
        Link *link = data;
        struct usb_redir_configuration_status_header status = {
            .status = wanted->configuration <= CONFIGURATION ? usb_redir_success : usb_redir_stall,
            .configuration = wanted->configuration,
        };
        cancel_all(link);
        link->device->type->restart(link->device->self);
        usbredirparser_send_configuration_status(link->parser, id, &status);
}

static void on_get_configuration(void *data, uint64_t id)
{
        Link *link = data;
        struct usb_redir_configuration_status_header status = {.configuration = CONFIGURATION};

        usbredirparser_send_configuration_status(link->parser, id, &status);
}

static void on_set_alt_setting(void *data, uint64_t id, struct usb_redir_set_alt_setting_header *wanted)
{
        Link *link = data;
        bool exists = wanted->interface < link->device->n_interfaces && wanted->alt == 0;
        struct usb_redir_alt_setting_status_header status = {
            .status = exists ? usb_redir_success : usb_redir_stall,
            .interface = wanted->interface,
        };
        usbredirparser_send_alt_setting_status(link->parser, id, &status);
}

static void on_get_alt_setting(void *data, uint64_t id, struct usb_redir_get_alt_setting_header *wanted)
{
        Link *link = data;
        struct usb_redir_alt_setting_status_header status = {.interface = wanted->interface};

        usbredirparser_send_alt_setting_status(link->parser, id, &status);
}

/* Must be answered, or QEMU waits for the end of the cancelled one for ever. */
static void on_cancel(void *data, uint64_t id)
{
        Link *link = data;

        for (int i = 0; i < link->n_requests; i++) {
                if (link->requests[i].id == id) {
                        cancel_request(link, i);
                        return;
                }
        }
}

static void on_control(void *data, uint64_t id, struct usb_redir_control_packet_header *header, uint8_t *bytes,
                       int length)
{
        Link *link = data;
        uint8_t answer[USB_CONTROL_MAX_BYTES] = {0};
        UsbSetup setup = {header->requesttype, header->request, header->value, header->index, header->length};
        bool in = header->requesttype & USB_IN;
        int result = USB_STALL;

        if (in == !!(header->endpoint & USB_IN) && (in || header->length <= sizeof answer)) {
                if (!in && length > 0)
                        memcpy(answer, bytes, (size_t)length); /* the parser has checked that it is header->length */
                result = usb_control(link->device, &setup, answer);
        }
        usbredirparser_free_packet_data(link->parser, bytes);
        header->status = result < 0 ? usb_redir_stall : usb_redir_success;
        if (in || result < 0)
                header->length = (uint16_t)(result < 0 ? 0 : result);
        usbredirparser_send_control_packet(link->parser, id, header, in && result > 0 ? answer : NULL,
                                           in && result > 0 ? result : 0);
}

static bool has_endpoint(const Link *link, uint8_t address)
{
        for (int i = 0; i < link->device->n_endpoints; i++)
                if (link->device->endpoints[i].address == address)
                        return true;
        return false;
}

static void on_bulk(void *data, uint64_t id, struct usb_redir_bulk_packet_header *header, uint8_t *bytes, int length)
{
        Link *link = data;
        LinkRequest request = {
            .id = id,
            .endpoint = header->endpoint,
            .data = bytes,
            .length = header->length | (uint32_t)header->length_high << 16,
        };
        if (!has_endpoint(link, header->endpoint) || link->n_requests == LINK_REQUESTS_MAX) {
                answer_bulk(link, &request, usb_redir_stall, NULL, 0);
                usbredirparser_free_packet_data(link->parser, bytes);
                return;
        }
        link->requests[link->n_requests++] = request;
}

/* What QEMU has no reason to send to a device of ours. The parser calls without looking whether anybody listens. */
#define IGNORED(packet)                                                                                                \
        static void ignore_##packet(void *data, uint64_t id, struct usb_redir_##packet##_header *header)               \
        {                                                                                                              \
        }
#define IGNORED_DATA(packet)                                                                                           \
        static void ignore_##packet(void *data, uint64_t id, struct usb_redir_##packet##_header *header,               \
                                    uint8_t *bytes, int length)                                                        \
        {                                                                                                              \
                Link *link = data;                                                                                     \
                usbredirparser_free_packet_data(link->parser, bytes);                                                  \
        }
IGNORED(start_iso_stream)
IGNORED(stop_iso_stream)
IGNORED(start_interrupt_receiving)
IGNORED(stop_interrupt_receiving)
IGNORED(alloc_bulk_streams)
IGNORED(free_bulk_streams)
IGNORED_DATA(iso_packet)
IGNORED_DATA(interrupt_packet)

/* ---- the connection ---- */

/* The parser has taken memory for @count bytes by now, but none of it is touched before it is filled. */
static int on_read(void *data, uint8_t *bytes, int count)
{
        Link *link = data;
        ssize_t length;

        if (count > LINK_TRANSFER_MAX)
                return -1;
        length = recv(link->fd, bytes, (size_t)count, 0);
        if (length < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -1;
        return length > 0 ? (int)length : -1;
}

static int on_write(void *data, uint8_t *bytes, int count)
{
        Link *link = data;
        ssize_t length = send(link->fd, bytes, (size_t)count, MSG_NOSIGNAL);

        if (length < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -1;
        return (int)length;
}

static bool make_parser(Link *link)
{
        static const int abilities[] = {
            usb_redir_cap_connect_device_version,
            usb_redir_cap_ep_info_max_packet_size,
            usb_redir_cap_64bits_ids,
            usb_redir_cap_32bits_bulk_length,
        };
        uint32_t caps[USB_REDIR_CAPS_SIZE] = {0};
        struct usbredirparser *parser = usbredirparser_create();

        if (!parser)
                return false;
        parser->priv = link;
        parser->log_func = on_log;
        parser->read_func = on_read;
        parser->write_func = on_write;
        parser->hello_func = on_hello;
        parser->reset_func = on_reset;
        parser->set_configuration_func = on_set_configuration;
        parser->get_configuration_func = on_get_configuration;
        parser->set_alt_setting_func = on_set_alt_setting;
        parser->get_alt_setting_func = on_get_alt_setting;
        parser->cancel_data_packet_func = on_cancel;
        parser->control_packet_func = on_control;
        parser->bulk_packet_func = on_bulk;
        parser->start_iso_stream_func = ignore_start_iso_stream;
        parser->stop_iso_stream_func = ignore_stop_iso_stream;
        parser->start_interrupt_receiving_func = ignore_start_interrupt_receiving;
        parser->stop_interrupt_receiving_func = ignore_stop_interrupt_receiving;
        parser->alloc_bulk_streams_func = ignore_alloc_bulk_streams;
        parser->free_bulk_streams_func = ignore_free_bulk_streams;
        parser->iso_packet_func = ignore_iso_packet;
        parser->interrupt_packet_func = ignore_interrupt_packet;
        for (size_t i = 0; i < sizeof abilities / sizeof *abilities; i++)
                usbredirparser_caps_set_cap(caps, abilities[i]);
        usbredirparser_init(parser, "hostler-usb " HOSTLER_VERSION, caps, USB_REDIR_CAPS_SIZE,
                            usbredirparser_fl_usb_host);
        link->parser = parser;
        return true;
}

/* False: nobody listens there just now. */
static bool connect_to_qemu(Link *link)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        strncpy(address.sun_path, link->path, sizeof address.sun_path - 1);
        link->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        bool connected = link->fd >= 0 && connect(link->fd, (struct sockaddr *)&address, sizeof address) == 0;
        bool missing = !connected && (errno == ENOENT || errno == ECONNREFUSED);
        int64_t since_us = link->missing_us ? link->missing_us : usb_now_us();
        if (connected && make_parser(link))
                return true;
        link_close(link);
        link->missing_us = missing ? since_us : 0;
        return false;
}

/* Each endpoint has a turn of its own: a transfer waits for those before it on the same endpoint only. */
static bool serve_request(Link *link, int index)
{
        LinkRequest *request = &link->requests[index];
        const UsbDevice *device = link->device;
        uint8_t bytes[LINK_IN_MAX];
        int result;

        if (request->endpoint & USB_IN) {
                size_t room = request->length < sizeof bytes ? request->length : sizeof bytes;
                result = device->type->in(device->self, bytes, room);
                if (result == USB_NOTHING_YET)
                        return false;
                answer_bulk(link, request, result < 0 ? usb_redir_stall : usb_redir_success, result > 0 ? bytes : NULL,
                            result > 0 ? (uint32_t)result : 0);
                return true;
        }
        if (request->length > 0) /* a transfer of nothing has no data either, and the device has no say in it */
                request->done += (uint32_t)device->type->out(device->self, request->data + request->done,
                                                             request->length - request->done);
        if (request->done < request->length)
                return false;
        answer_bulk(link, request, usb_redir_success, NULL, request->length);
        return true;
}

static void serve_requests(Link *link)
{
        uint32_t waiting = 0; /* a bit for each of the 32 endpoints */
        int index = 0;

        while (index < link->n_requests) {
                uint8_t endpoint = link->requests[index].endpoint;
                uint32_t bit = 1u << ((endpoint & 0x0f) + (endpoint & USB_IN ? 16 : 0));

                if (!(waiting & bit) && serve_request(link, index)) {
                        remove_request(link, index);
                        continue;
                }
                waiting |= bit;
                index++;
        }
}

void link_init(Link *link, const UsbDevice *device, const char *path)
{
        *link = (Link){.device = device, .path = path, .fd = -1};
}

void link_prepare(Link *link, struct pollfd *poll, int *timeout_ms)
{
        *poll = (struct pollfd){.fd = link->fd, .events = POLLIN};
        if (link->fd < 0)
                usb_wait_at_most(timeout_ms, RETRY_MS);
        else if (usbredirparser_has_data_to_write(link->parser) > 0)
                poll->events |= POLLOUT;
}

void link_work(Link *link, const struct pollfd *poll)
{
        if (link->fd < 0 && !connect_to_qemu(link))
                return;
        if (poll->fd == link->fd && poll->revents & (POLLIN | POLLERR | POLLHUP) &&
            usbredirparser_do_read(link->parser) == usbredirparser_read_io_error) {
                link_close(link);
                return;
        }
        if (link->greeted && !link->plugged &&
            (!link->device->type->ready || link->device->type->ready(link->device->self)))
                plug(link);
        serve_requests(link);
        if (usbredirparser_do_write(link->parser) < 0)
                link_close(link);
}

int64_t link_missing_ms(const Link *link)
{
        return link->missing_us ? (usb_now_us() - link->missing_us) / 1000 : 0;
}

void link_close(Link *link)
{
        while (link->n_requests > 0)
                remove_request(link, 0);
        if (link->parser)
                usbredirparser_destroy(link->parser);
        if (link->fd >= 0)
                close(link->fd);
        link_init(link, link->device, link->path);
}
