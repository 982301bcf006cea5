/* One of several processes; see processes.h. */
#include "processes.h"

#include <stdio.h>
#include <stdlib.h>

#include "text.h"

/* What the launchers of Open MPI, and of MPICH and its kin, tell the processes they start. */
static const char *const sizes[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}, *const ranks[] = {"OMPI_COMM_WORLD_RANK", "PMI_RANK"};

static bool alone; /* silent, and not one of a group */

static long told(const char *const names[2])
{
    for (int i = 0; i < 2; i++)
        if (getenv(names[i]))
            return strtol(getenv(names[i]), NULL, 10);
    return 0;
}

void speak_as_one(void)
{
    if (told(sizes) < 2 || told(ranks) == 0)
        return;
    keep_silent();
    alone = true;
    if (!freopen("/dev/null", "w", stdout))
        complain("standard output cannot be turned off");
}

bool join_others(ink_group **group)
{
    if (told(sizes) < 2)
        return true;
    if (!ink_group_join(group)) {
        alone = false;
        return true;
    }
    complain_library(NULL);
    return false;
}

int status_of_all(int status) { return alone ? EXIT_OK : status; }

int leave_others(ink_group **group, int status)
{
    if (!*group)
        return status;
    if (status == EXIT_FAILED || status == EXIT_USAGE)
        ink_group_fail(*group, INK_ERROR_ARGUMENT, last_complaint());
    ink_group_leave(group);
    return status;
}

/* Keeps one of the devices that are open. */
static void keep_one(struct division *division, size_t which)
{
    for (size_t i = 0; i < division->count; i++)
        if (i != which)
            ink_device_destroy(&division->devices[i]);
    division->devices[0] = division->devices[which];
    division->count = 1;
}

/* "2,3" for the usable devices of the type that would be picked; "0/4" for the only one, a CPU, on which 4 processes run. False: leave it to
 * open_division(). */
static bool name_devices(const struct ink_group_info *info, char *list, size_t size)
{
    struct ink_device_info *infos = NULL;
    size_t count = 0, used = 0, found = 0;
    int picked = -1;
    if (ink_device_list(&infos, &count))
        return false;
    for (size_t i = 0; i < count; i++)
        if (infos[i].picked)
            picked = (int)i;
    for (size_t i = 0; i < count && picked >= 0; i++) {
        if (!infos[i].usable || infos[i].type != infos[picked].type || used + 16 > size)
            continue;
        used += (size_t)snprintf(list + used, size - used, "%s%zu", used ? "," : "", i);
        found++;
    }
    bool divide = found == 1 && infos[picked].type == INK_DEVICE_CPU && infos[picked].compute_units >= (unsigned)info->local_size;
    if (divide)
        snprintf(list, size, "%d/%d", picked, info->local_size);
    free(infos);
    return divide || found > 1;
}

bool open_own_device(const struct settings *settings, const ink_group *group, struct division *division)
{
    char list[1024];
    struct settings own = *settings;
    struct ink_group_info info = ink_group_get_info(group);
    if (settings->shares) {
        complain("--shares is for --devices in one process; several divide a batch evenly");
        return false;
    }
    if (!settings->device && !settings->devices && info.local_size > 1 && name_devices(&info, list, sizeof list))
        own.devices = list;
    if (own.devices == list && ink_devices_open(list, &division->devices, &division->count)) /* a CPU that cannot be divided is shared */
        own.devices = NULL;
    if (!division->count && !open_division(&own, division))
        return false;
    keep_one(division, (size_t)info.local_rank % division->count);
    return true;
}
