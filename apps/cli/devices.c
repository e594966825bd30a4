#include <ffai/device.h>

#include "command.h"
#include "json_output.h"

enum { MOST_DEVICES = 64 };

typedef struct devices_settings {
    setting json;
} devices_settings;

#define AT(field) offsetof(devices_settings, field)
static const option options[] = {
    SWITCH("json", json, "as one JSON object"),
};
#undef AT

static json_t *json_of_device(const ffai_device *d)
{
    char compute[32];
    snprintf(compute, sizeof compute, "%d.%d", d->compute_major, d->compute_minor);
    return json_pack("{ss si ss ss si sI sI}", "backend", d->backend, "number", d->number, "name", d->name, "compute",
                     compute, "multiprocessors", d->multiprocessors, "memory_bytes", (json_int_t)d->memory_bytes,
                     "available_bytes", (json_int_t)d->available_bytes);
}

/* Without devices: why not, in "none". */
static ffai_status print_json(output *out, const ffai_device *devices, size_t count, const char *none, ffai_error *err)
{
    char why[256];
    const char *backend = ffai_backend_auto(why, sizeof why);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_of_device(&devices[i]));
    json_t *object = json_pack("{so ss ss}", "devices", list, "auto", backend, "auto_reason", why);
    if (object && none)
        json_object_set_new(object, "none", json_string(none));
    return json_print(out, object, err);
}

static void print_text(output *out, const ffai_device *devices, size_t count, const char *none)
{
    const double gib = (double)((uint64_t)1 << 30);
    char why[256];
    const char *backend = ffai_backend_auto(why, sizeof why);
    for (size_t i = 0; i < count; i++)
        output_format(out, "%s:%d  %s, compute %d.%d, %d multiprocessors, %.1f GiB, %.1f GiB free\n",
                      devices[i].backend, devices[i].number, devices[i].name, devices[i].compute_major,
                      devices[i].compute_minor, devices[i].multiprocessors, (double)devices[i].memory_bytes / gib,
                      (double)devices[i].available_bytes / gib);
    if (count == 0)
        output_format(out, "none beside the processor%s%s\n", none ? ": " : "", none ? none : "");
    output_format(out, "auto is %s (%s)\n", backend, why);
}

static ffai_status run(output *out, const void *settings, ffai_error *err)
{
    const devices_settings *s = settings;
    ffai_device devices[MOST_DEVICES];
    ffai_error absent = FFAI_ERROR_INIT;
    size_t count = 0;
    const ffai_status status = ffai_devices(devices, MOST_DEVICES, &count, &absent);
    if (status != FFAI_OK && status != FFAI_E_NOT_FOUND) {
        *err = absent;
        return status;
    }
    const char *none = status == FFAI_OK ? NULL : absent.message;
    count = count < MOST_DEVICES ? count : MOST_DEVICES;
    if (s->json.given)
        return print_json(out, devices, count, none, err);
    print_text(out, devices, count, none);
    return FFAI_OK;
}

extern const command command_devices;
const command command_devices = {
    .name = "devices",
    .summary = "List the devices beside the processor, with their memory.",
    .synopsis = "[--json]",
    .details = "The last line says which backend auto is here, and why.",
    .options = {options, sizeof options / sizeof *options},
    .settings_size = sizeof(devices_settings),
    .run = run,
};
