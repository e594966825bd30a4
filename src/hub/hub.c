#include <ffai/hub.h>

#include <errno.h>
#include <string.h>

#include "alloc.h"
#include "file_map.h"
#include "pull.h"

bool ffai_hub_is_name(const char *name)
{
    ffai__repository repository;
    if (ffai__repository_parse(&repository, name, NULL) != FFAI_OK)
        return false;
    ffai__repository_free(&repository);
    return true;
}

ffai_status ffai_hub_cache_path(char **path, ffai_error *err)
{
    ffai__hub_settings settings;
    FFAI__TRY(ffai__hub_settings_read(&settings, err));
    *path = settings.cache;
    settings.cache = NULL;
    ffai__hub_settings_free(&settings);
    return FFAI_OK;
}

/* From the cache; or, with ask and where nothing forbids it, from the hub. */
static ffai_status bring(char **path, const ffai__repository *r, const ffai_hub_options *options, bool ask_anyway,
                         ffai_error *err)
{
    ffai__hub_settings settings;
    FFAI__TRY(ffai__hub_settings_read(&settings, err));
    const bool offline = settings.offline || (options && options->offline);
    ffai_status status = FFAI_E_NOT_FOUND;
    if (offline || !ask_anyway)
        status = ffai__pull_offline(path, &settings, r, err);
    if (offline && status == FFAI_E_NOT_FOUND)
        status = ffai__fail_in(err, status, "offline");
    else if (!offline && status == FFAI_E_NOT_FOUND)
        status = ffai__pull(path, &settings, r, options, err);
    ffai__hub_settings_free(&settings);
    return status;
}

static ffai_status check_options(const ffai_hub_options *options, ffai_error *err)
{
    if (options && (options->connections < 0 || options->connections > 16))
        return ffai__fail(err, FFAI_E_ARGUMENT, "hub: connections: %d: must be 0 to 16", options->connections);
    return FFAI_OK;
}

static ffai_status bring_and_free(char **path, ffai__repository *repository, const ffai_hub_options *options,
                                  bool ask_anyway, ffai_error *err)
{
    const ffai_status status = bring(path, repository, options, ask_anyway, err);
    ffai__repository_free(repository);
    return status;
}

ffai_status ffai_hub_pull(char **path, const char *name, const ffai_hub_options *options, ffai_error *err)
{
    ffai__repository repository;
    FFAI__TRY(check_options(options, err));
    FFAI__TRY(ffai__repository_parse(&repository, name, err));
    return bring_and_free(path, &repository, options, true, err);
}

/* What has the form of a repository's name and is no path; others are for whoever opens them to refuse. */
static ffai_status parse_unless_path(bool *is_name, ffai__repository *out, const char *name, ffai_error *err)
{
    const ffai__path_kind kind = ffai__path_kind_of(name);
    const int error = errno;
    *is_name = false;
    if (kind != FFAI__PATH_MISSING && kind != FFAI__PATH_UNKNOWN)
        return FFAI_OK;
    const ffai_status status = ffai__repository_parse(out, name, err);
    if (status == FFAI_E_ARGUMENT)
        return FFAI_OK;
    if (status == FFAI_OK && kind == FFAI__PATH_UNKNOWN) {
        ffai__repository_free(out);
        return ffai__fail(err, FFAI_E_IO, "%.600s: cannot be looked at: %s", name, strerror(error));
    }
    *is_name = status == FFAI_OK;
    return status;
}

ffai_status ffai_hub_find(char **path, const char *name, const ffai_hub_options *options, ffai_error *err)
{
    bool is_name = false;
    ffai__repository repository;
    FFAI__TRY(check_options(options, err));
    FFAI__TRY(parse_unless_path(&is_name, &repository, name, err));
    if (is_name)
        return bring_and_free(path, &repository, options, false, err);
    *path = ffai__strdup(name);
    return *path ? FFAI_OK : ffai__fail_memory(err, name, strlen(name));
}
