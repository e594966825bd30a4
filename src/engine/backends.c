/* Which backend computes, and on which device. */
#include <stdio.h>
#include <string.h>

#include <ffai/device.h>

#include "cuda_devices.h"
#include "engine.h"

static bool is(const char *name, const char *wanted)
{
    return name && strcmp(name, wanted) == 0;
}

/* The processor is one device. */
static ffai_status choose_processor(ffai__backend_choice *out, const ffai__backend *backend, const char *why,
                                    ffai_error *err)
{
    out->backend = backend;
    snprintf(out->reason, sizeof out->reason, "%s", why);
    if (out->device == 0)
        return FFAI_OK;
    return ffai__fail(err, FFAI_E_ARGUMENT, "device %d: the backend %s has one device, 0 (%s)", out->device,
                      backend->name, why);
}

static ffai_status choose_auto(ffai__backend_choice *out, ffai_error *err)
{
    ffai_error why = FFAI_ERROR_INIT;
    const ffai_status status = ffai__cuda_usable(out->device, &why);
    if (status == FFAI_OK) {
        out->backend = &ffai__backend_cuda;
        snprintf(out->reason, sizeof out->reason, "auto: cuda has a device");
        return FFAI_OK;
    }
    if (status == FFAI_E_ARGUMENT)
        return ffai__fail(err, status, "%s", why.message);
    char reason[sizeof out->reason];
    snprintf(reason, sizeof reason, "auto: %.200s", why.message);
    return choose_processor(out, &ffai__backend_cpu, reason, err);
}

ffai_status ffai__backend_choose(ffai__backend_choice *out, const char *name, int device, ffai_error *err)
{
    static const char asked[] = "asked for";
    *out = (ffai__backend_choice){.device = device};
    if (!name || is(name, "auto"))
        return choose_auto(out, err);
    if (is(name, "cpu"))
        return choose_processor(out, &ffai__backend_cpu, asked, err);
    if (is(name, "ref"))
        return choose_processor(out, &ffai__backend_ref, asked, err);
    if (!is(name, "cuda"))
        return ffai__fail(err, FFAI_E_UNSUPPORTED, "backend: there is no \"%.40s\"; there are cpu, cuda and ref", name);
    out->backend = &ffai__backend_cuda;
    snprintf(out->reason, sizeof out->reason, "%s", asked);
    return ffai__cuda_usable(device, err);
}

const char *ffai_backend_auto(char *why, size_t size)
{
    static const char mark[] = "auto: ";
    ffai__backend_choice choice;
    ffai_error err = FFAI_ERROR_INIT;
    const bool chosen = ffai__backend_choose(&choice, NULL, 0, &err) == FFAI_OK;
    snprintf(why, size, "%s", chosen ? choice.reason + strlen(mark) : err.message);
    return chosen ? choice.backend->name : ffai__backend_cpu.name;
}

ffai_status ffai_devices(ffai_device *devices, size_t room, size_t *count, ffai_error *err)
{
    return ffai__cuda_devices(devices, room, count, err);
}
