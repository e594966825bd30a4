#define _GNU_SOURCE
#include "cores.h"

#include <hwloc.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "cpu_quota.h"

/* A kind of cores this close to the fastest is as good. One that is slower must gain so much: threads on it make
 * all others wait, and more so while another process runs. */
#define SAME_SPEED      0.8
#define WORTHWHILE_GAIN 1.25

typedef struct core {
    int node;
    int kind; /* hwloc's number: from the slowest; 0 where there is one */
} core;

struct ffai__cores {
    core *list; /* [num_cores] in the machine's order */
    int num_cores;
    core *fast; /* [num_fast] the same without kinds that are too slow */
    int num_fast;
    int default_threads;
    ffai__affinity *masks; /* [num_nodes] a node's processors that may be used */
    int num_nodes;
};

void ffai__cores_free(ffai__cores *cores)
{
    if (!cores)
        return;
    ffai__free(cores->list);
    ffai__free(cores->fast);
    ffai__free(cores->masks);
    ffai__free(cores);
}

/* --- the machine --- */

/* Cores, or processors where the system does not tell which of them share one. */
static hwloc_obj_type_t core_type(hwloc_topology_t topology)
{
    return hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE) > 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
}

/* The kind of an object's processors; 0 where kinds have no order. */
static int kind_of(hwloc_topology_t topology, hwloc_obj_t object)
{
    int efficiency = -1;
    const int kind = hwloc_cpukinds_get_by_cpuset(topology, object->cpuset, 0);
    if (kind < 0 || hwloc_cpukinds_get_info(topology, (unsigned)kind, NULL, &efficiency, NULL, NULL, 0))
        return 0;
    return efficiency < 0 ? 0 : kind;
}

static cpu_set_t *processors_of(ffai__affinity *mask)
{
    return (cpu_set_t *)(void *)mask;
}

static void set_mask(ffai__affinity *mask, hwloc_const_bitmap_t node, hwloc_const_bitmap_t allowed)
{
    *mask = (ffai__affinity){{0}};
    for (int cpu = -1; (cpu = hwloc_bitmap_next(node, cpu)) >= 0 && cpu < FFAI__MAX_PROCESSORS;) {
        if (hwloc_bitmap_isset(allowed, (unsigned)cpu))
            CPU_SET_S((size_t)cpu, sizeof *mask, processors_of(mask));
    }
}

/* The number of the object's node among those that have cores. Memory without cores of its own, and a second kind
 * of memory beside the same cores, are no nodes here. */
static int node_of(ffai__cores *cores, hwloc_topology_t topology, hwloc_obj_t object, hwloc_const_bitmap_t allowed)
{
    const int first = hwloc_bitmap_first(object->nodeset);
    hwloc_obj_t node = first < 0 ? NULL : hwloc_get_numanode_obj_by_os_index(topology, (unsigned)first);
    ffai__affinity m;
    set_mask(&m, node ? node->cpuset : hwloc_topology_get_topology_cpuset(topology), allowed);
    for (int i = 0; i < cores->num_nodes; i++) {
        if (memcmp(&m, &cores->masks[i], sizeof m) == 0)
            return i;
    }
    cores->masks[cores->num_nodes] = m;
    return cores->num_nodes++;
}

static void list_cores(ffai__cores *cores, hwloc_topology_t topology, hwloc_const_bitmap_t allowed)
{
    const hwloc_obj_type_t type = core_type(topology);
    for (hwloc_obj_t object = NULL; (object = hwloc_get_next_obj_by_type(topology, type, object));) {
        if (hwloc_bitmap_intersects(object->cpuset, allowed))
            cores->list[cores->num_cores++] =
                (core){node_of(cores, topology, object, allowed), kind_of(topology, object)};
    }
}

/* --- kinds of cores --- */

static const char *info_of(const struct hwloc_info_s *infos, unsigned count, const char *name)
{
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(infos[i].name, name) == 0)
            return infos[i].value;
    }
    return "";
}

/* How fast a kind's cores are beside those of other kinds, in any unit; 0 where the system does not tell. An Atom
 * core's vector units are half as wide as those of the cores beside it. */
static double kind_speed(hwloc_topology_t topology, int kind)
{
    unsigned count = 0;
    struct hwloc_info_s *infos = NULL;
    if (hwloc_cpukinds_get_info(topology, (unsigned)kind, NULL, NULL, &count, &infos, 0))
        return 0;
    const double capacity = strtod(info_of(infos, count, "LinuxCapacity"), NULL);
    const double megahertz = strtod(info_of(infos, count, "FrequencyMaxMHz"), NULL);
    const bool atom = strcmp(info_of(infos, count, "CoreType"), "IntelAtom") == 0;
    return capacity > 0 ? capacity : atom ? megahertz / 2 : megahertz;
}

static int count_kind(const ffai__cores *cores, int kind)
{
    int count = 0;
    for (int i = 0; i < cores->num_cores; i++)
        count += cores->list[i].kind == kind;
    return count;
}

/* The slowest kind that is used by default. A share of a product is as large as any other, so all threads take as
 * long as the slowest: n cores do n times what that one does. */
static int slowest_worthwhile(const ffai__cores *cores, hwloc_topology_t topology)
{
    int slowest = -1;
    int count = 0;
    double fastest = 0;
    double best = 0;
    for (int kind = hwloc_cpukinds_get_nr(topology, 0) - 1; kind >= 0; kind--) {
        const int more = count_kind(cores, kind);
        const double speed = kind_speed(topology, kind);
        count += more;
        if (slowest < 0 && more)
            fastest = speed;
        else if (!more || speed <= 0 || (speed < SAME_SPEED * fastest && count * speed < WORTHWHILE_GAIN * best))
            continue;
        slowest = kind;
        best = count * speed;
    }
    return slowest;
}

static void list_fast(ffai__cores *cores, hwloc_topology_t topology)
{
    const int slowest = slowest_worthwhile(cores, topology);
    for (int i = 0; i < cores->num_cores; i++) {
        if (cores->list[i].kind >= slowest)
            cores->fast[cores->num_fast++] = cores->list[i];
    }
}

/* --- made and asked --- */

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* Room for as many cores and nodes. */
static ffai_status make_cores(ffai__cores **out, int cores_count, int nodes_count, ffai_error *err)
{
    const size_t bytes = (size_t)cores_count * sizeof(core) + (size_t)nodes_count * sizeof(ffai__affinity);
    ffai__cores *cores = ffai__calloc(1, sizeof *cores);
    if (cores) {
        cores->list = ffai__calloc((size_t)cores_count, sizeof *cores->list);
        cores->fast = ffai__calloc((size_t)cores_count, sizeof *cores->fast);
        cores->masks = ffai__calloc((size_t)nodes_count, sizeof *cores->masks);
    }
    if (!cores || !cores->list || !cores->fast || !cores->masks) {
        ffai__cores_free(cores);
        return ffai__fail_memory(err, "a list of cores", bytes);
    }
    *out = cores;
    return FFAI_OK;
}

ffai_status ffai__cores_of_topology(ffai__cores **out, hwloc_topology_t topology, hwloc_const_bitmap_t allowed,
                                    int quota, ffai_error *err)
{
    ffai__cores *cores = NULL;
    /* One node more: cores that the system gives no memory of their own. */
    FFAI__TRY(make_cores(&cores, hwloc_get_nbobjs_by_type(topology, core_type(topology)),
                         hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE) + 1, err));
    list_cores(cores, topology, allowed);
    list_fast(cores, topology);
    cores->default_threads = least(cores->num_fast, quota);
    *out = cores;
    return FFAI_OK;
}

/* Cores, nodes and kinds alone: caches and devices take time to look at. So does asking each processor itself, for
 * which hwloc moves this thread from one to the next. */
static bool load(hwloc_topology_t topology)
{
    return hwloc_topology_set_all_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_NONE) == 0 &&
           hwloc_topology_set_type_filter(topology, HWLOC_OBJ_CORE, HWLOC_TYPE_FILTER_KEEP_ALL) == 0 &&
           hwloc_topology_set_flags(topology, HWLOC_TOPOLOGY_FLAG_NO_DISTANCES | HWLOC_TOPOLOGY_FLAG_NO_MEMATTRS) ==
               0 &&
           hwloc_topology_set_components(topology, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86") == 0 &&
           hwloc_topology_load(topology) == 0;
}

static ffai_status find_in(ffai__cores **out, hwloc_topology_t topology, ffai_error *err)
{
    hwloc_bitmap_t allowed = hwloc_bitmap_alloc();
    if (!allowed)
        return ffai__fail_memory(err, "a list of cores", 0);
    if (hwloc_get_cpubind(topology, allowed, HWLOC_CPUBIND_THREAD))
        hwloc_bitmap_copy(allowed, hwloc_topology_get_allowed_cpuset(topology));
    const ffai_status status = ffai__cores_of_topology(out, topology, allowed, ffai__cpu_quota(""), err);
    hwloc_bitmap_free(allowed);
    return status;
}

/* Without hwloc's help: the processors of the affinity mask. */
static ffai_status count_processors(ffai__cores **out, ffai_error *err)
{
    ffai__affinity mask;
    FFAI__TRY(make_cores(out, 0, 0, err));
    if (sched_getaffinity(0, sizeof mask, processors_of(&mask)) == 0)
        (*out)->default_threads = least(CPU_COUNT_S(sizeof mask, processors_of(&mask)), ffai__cpu_quota(""));
    return FFAI_OK;
}

ffai_status ffai__cores_find(ffai__cores **out, ffai_error *err)
{
    hwloc_topology_t topology = NULL;
    if (hwloc_topology_init(&topology))
        return count_processors(out, err);
    const ffai_status status = load(topology) ? find_in(out, topology, err) : count_processors(out, err);
    hwloc_topology_destroy(topology);
    return status;
}

int ffai__cores_default_threads(const ffai__cores *cores)
{
    return cores->default_threads > 1 ? cores->default_threads : 1;
}

int ffai__cores_node_of(const ffai__cores *cores, int thread, int threads)
{
    const bool all = threads > cores->num_fast;
    const int64_t count = all ? cores->num_cores : cores->num_fast;
    return count ? (all ? cores->list : cores->fast)[thread * count / threads].node : 0;
}

int ffai__cores_nodes(const ffai__cores *cores, int threads)
{
    int nodes = 0;
    int last = -1;
    for (int i = 0; i < threads; i++) {
        const int node = ffai__cores_node_of(cores, i, threads);
        nodes += node != last;
        last = node;
    }
    return nodes;
}

bool ffai__cores_bind_threads(const ffai__cores *cores)
{
    return cores->num_nodes > 1;
}

void ffai__cores_bind(ffai__affinity *before, const ffai__cores *cores, int thread, int threads)
{
    if (!ffai__cores_bind_threads(cores))
        return;
    ffai__affinity *mask = &cores->masks[ffai__cores_node_of(cores, thread, threads)];
    if (before && sched_getaffinity(0, sizeof *before, processors_of(before)))
        *before = *mask;
    sched_setaffinity(0, sizeof *mask, processors_of(mask));
}

void ffai__cores_unbind(const ffai__cores *cores, const ffai__affinity *before)
{
    ffai__affinity mask = *before;
    if (ffai__cores_bind_threads(cores))
        sched_setaffinity(0, sizeof mask, processors_of(&mask));
}
