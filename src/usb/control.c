/*
 * The requests that every USB device answers: descriptors, status, halted endpoints (USB 2.0, chapter 9).
 *
 * Setting a configuration or an interface comes by packets of its own and is link.c's. Pure; called by link.c.
 */
#include <stdlib.h>
#include <string.h>

#include "usb/usb.h"

enum { TYPE_MASK = 0x60, TYPE_STANDARD = 0x00, TYPE_CLASS = 0x20, RECIPIENT_ENDPOINT = 0x02 };
enum { GET_STATUS = 0, CLEAR_FEATURE = 1, GET_DESCRIPTOR = 6 };
enum { FEATURE_ENDPOINT_HALT = 0 };
enum { DESCRIPTOR_DEVICE = 1, DESCRIPTOR_CONFIGURATION = 2, DESCRIPTOR_STRING = 3 };
enum { LANGUAGE_ENGLISH = 0x0409, STRING_MAX = 126 };

static int copy(uint8_t *data, const void *bytes, size_t length, size_t wanted)
{
        size_t count = length < wanted ? length : wanted;

        if (count > USB_CONTROL_MAX_BYTES)
                count = USB_CONTROL_MAX_BYTES;
        memcpy(data, bytes, count);
        return (int)count;
}

/* UTF-16LE after a head of two bytes; number 0 lists the languages. */
static int get_string(const UsbDevice *device, const UsbSetup *setup, uint8_t *data)
{
        const uint8_t languages[] = {4, DESCRIPTOR_STRING, USB_16(LANGUAGE_ENGLISH)};
        unsigned number = setup->value & 0xff;
        uint8_t descriptor[2 + 2 * STRING_MAX] = {0};
        size_t length = 0;

        if (number == 0)
                return copy(data, languages, sizeof languages, setup->length);
        if (number >= USB_STRINGS_MAX || !device->strings[number])
                return USB_STALL;
        for (const char *text = device->strings[number]; text[length] && length < STRING_MAX; length++)
                descriptor[2 + 2 * length] = (uint8_t)text[length];
        descriptor[0] = (uint8_t)(2 + 2 * length);
        descriptor[1] = DESCRIPTOR_STRING;
        return copy(data, descriptor, descriptor[0], setup->length);
}

static int get_descriptor(const UsbDevice *device, const UsbSetup *setup, uint8_t *data)
{
        switch (setup->value >> 8) {
        case DESCRIPTOR_DEVICE:
                return copy(data, device->device, device->device[0], setup->length);
        case DESCRIPTOR_CONFIGURATION:
                if (setup->value & 0xff)
                        return USB_STALL;
                return copy(data, device->configuration->bytes, device->configuration->length, setup->length);
        case DESCRIPTOR_STRING:
                return get_string(device, setup, data);
        default:
                return USB_STALL;
        }
}

static bool has_endpoint(const UsbDevice *device, unsigned address)
{
        for (int i = 0; i < device->n_endpoints; i++)
                if (device->endpoints[i].address == address)
                        return true;
        return false;
}

static int clear_feature(const UsbDevice *device, const UsbSetup *setup)
{
        if (setup->type != RECIPIENT_ENDPOINT || setup->value != FEATURE_ENDPOINT_HALT ||
            !has_endpoint(device, setup->index))
                return USB_STALL;
        device->type->restart(device->self);
        return 0;
}

static int standard(const UsbDevice *device, const UsbSetup *setup, uint8_t *data)
{
        static const uint8_t nothing_special[2];

        if (setup->request == GET_DESCRIPTOR && setup->type == USB_IN)
                return get_descriptor(device, setup, data);
        if (setup->request == GET_STATUS && setup->type & USB_IN)
                return copy(data, nothing_special, sizeof nothing_special, setup->length);
        if (setup->request == CLEAR_FEATURE)
                return clear_feature(device, setup);
        return USB_STALL;
}

void usb_configuration_add(UsbConfiguration *configuration, const uint8_t *bytes, size_t length)
{
        size_t total = configuration->length + length;

        if (total > sizeof configuration->bytes)
                abort(); /* what we say of ourselves is known when this is compiled */
        memcpy(configuration->bytes + configuration->length, bytes, length);
        configuration->length = total;
        configuration->bytes[2] = (uint8_t)(total & 0xff);
        configuration->bytes[3] = (uint8_t)(total >> 8);
}

int usb_control(const UsbDevice *device, const UsbSetup *setup, uint8_t data[USB_CONTROL_MAX_BYTES])
{
        if (!(setup->type & USB_IN) && setup->length > USB_CONTROL_MAX_BYTES)
                return USB_STALL;
        if ((setup->type & TYPE_MASK) == TYPE_STANDARD)
                return standard(device, setup, data);
        if ((setup->type & TYPE_MASK) == TYPE_CLASS)
                return device->type->control(device->self, setup, data);
        return USB_STALL;
}
