/* Cores to use; see cores.h. */
#define _GNU_SOURCE
#include "util/cores.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

static unsigned affinity(void)
{
#ifdef CPU_COUNT
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return (unsigned)CPU_COUNT(&set);
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}

unsigned ink_cores_of_quota(const char *text)
{
    long long quota, period;
    if (sscanf(text, "%lld %lld", &quota, &period) != 2 || quota <= 0 || period <= 0)
        return UINT_MAX;
    long long cores = quota / period;
    return cores < 1 ? 1 : cores < UINT_MAX ? (unsigned)cores : UINT_MAX;
}

/* The first lines of files, one behind the other; "" where one cannot be read. */
static void read_lines(const char *const *paths, int count, char text[128])
{
    size_t used = 0;
    text[0] = 0;
    for (int i = 0; i < count; i++) {
        FILE *file = fopen(paths[i], "r");
        char line[60] = "";
        if (file && !fgets(line, sizeof line, file))
            line[0] = 0;
        if (file)
            fclose(file);
        used += (size_t)snprintf(text + used, 128 - used, "%s ", line);
    }
}

unsigned ink_cores_allowed(void)
{
    static const char *const second[] = {"/sys/fs/cgroup/cpu.max"};
    static const char *const first[] = {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"};
    unsigned cores = affinity();
    char text[128];
    read_lines(second, 1, text);
    cores = ink_cores_of_quota(text) < cores ? ink_cores_of_quota(text) : cores;
    read_lines(first, 2, text);
    return ink_cores_of_quota(text) < cores ? ink_cores_of_quota(text) : cores;
}
