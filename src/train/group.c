/* Groups of processes over MPI; see group.h. */
#include "train/group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef INK_MPI
#include <mpi.h>

enum { MESSAGE_BYTES = 2048 };

struct ink_group {
    int rank, size, local_rank, local_size;
    bool running, agreed; /* training; a failure that all know of */
    MPI_Request sums[INK_MOST_SUMS];
    int begun;
};

ink_status ink_group_join(ink_group **out)
{
    int begun = 0, over = 0;
    ink_group *group = calloc(1, sizeof *group);
    if (!group)
        return ink_fail_memory(sizeof *group);
    MPI_Initialized(&begun);
    MPI_Finalized(&over);
    if (begun || over) {
        free(group);
        return ink_fail(INK_ERROR_ARGUMENT, "this process has joined a group before; it can do so once");
    }
    MPI_Comm local;
    MPI_Init(NULL, NULL);
    MPI_Comm_rank(MPI_COMM_WORLD, &group->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &group->size);
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, group->rank, MPI_INFO_NULL, &local);
    MPI_Comm_rank(local, &group->local_rank);
    MPI_Comm_size(local, &group->local_size);
    MPI_Comm_free(&local);
    *out = group;
    return INK_OK;
}

void ink_group_leave(ink_group **group)
{
    if (!group || !*group)
        return;
    MPI_Finalize();
    free(*group);
    *group = NULL;
}

struct ink_group_info ink_group_get_info(const ink_group *group)
{
    return (struct ink_group_info){group->rank, group->size, group->local_rank, group->local_size};
}

void ink_group_sum_begin(ink_group *group, float *values, size_t count)
{
    MPI_Iallreduce(MPI_IN_PLACE, values, (int)count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD, &group->sums[group->begun++]);
}

void ink_group_sum_reals_begin(ink_group *group, double *values, size_t count)
{
    MPI_Iallreduce(MPI_IN_PLACE, values, (int)count, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD, &group->sums[group->begun++]);
}

bool ink_group_poll(ink_group *group)
{
    int done = 1;
    if (group->begun)
        MPI_Testall(group->begun, group->sums, &done, MPI_STATUSES_IGNORE);
    return done;
}

void ink_group_wait(ink_group *group)
{
    while (!ink_group_poll(group))
        ink_group_nap();
    group->begun = 0;
}

size_t ink_group_most(ink_group *group, size_t number)
{
    unsigned long long most = number;
    (void)group;
    MPI_Allreduce(MPI_IN_PLACE, &most, 1, MPI_UNSIGNED_LONG_LONG, MPI_MAX, MPI_COMM_WORLD);
    return (size_t)most;
}

bool ink_group_same(ink_group *group, uint64_t hash)
{
    uint64_t ends[2] = {hash, ~hash};
    (void)group;
    MPI_Allreduce(MPI_IN_PLACE, ends, 2, MPI_UINT64_T, MPI_MAX, MPI_COMM_WORLD);
    return ends[0] == ~ends[1];
}

void ink_group_spread(ink_group *group, void *bytes, size_t size)
{
    (void)group;
    MPI_Bcast(bytes, (int)size, MPI_BYTE, 0, MPI_COMM_WORLD);
}

ink_status ink_group_agree(ink_group *group, ink_status status)
{
    char message[MESSAGE_BYTES];
    int first = status ? group->rank : group->size, all = status != INK_OK, code = (int)status;
    MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    if (first == group->size)
        return INK_OK;
    MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_INT, MPI_LAND, MPI_COMM_WORLD);
    snprintf(message, sizeof message, "%s", ink_last_error());
    MPI_Bcast(&code, 1, MPI_INT, first, MPI_COMM_WORLD);
    MPI_Bcast(message, sizeof message, MPI_CHAR, first, MPI_COMM_WORLD);
    group->agreed = true;
    if (all) /* most likely of one cause */
        return ink_fail((ink_status)code, "%s", message);
    return ink_fail((ink_status)code, "process %d of %d: %s", first + 1, group->size, message);
}

void ink_group_begin(ink_group *group)
{
    group->running = true;
    group->agreed = false;
}

void ink_group_end(ink_group *group) { group->running = false; }

ink_status ink_group_fail(ink_group *group, ink_status status, const char *message)
{
    if (group->agreed)
        return status;
    ink_fail(status, "%s", message);
    if (!group->running)
        return ink_group_agree(group, status);
    fprintf(stderr, "inkling: process %d of %d: %s\n", group->rank + 1, group->size, message);
    fflush(NULL);
    MPI_Abort(MPI_COMM_WORLD, 1);
    return status;
}

#else

ink_status ink_group_join(ink_group **group)
{
    (void)group;
    return ink_fail(INK_ERROR_UNSUPPORTED, "this build knows nothing of MPI, so several processes cannot train together; build it with -Dmpi=enabled "
                                           "(Debian: libopenmpi-dev), or start one process");
}

void ink_group_leave(ink_group **group) { (void)group; }
struct ink_group_info ink_group_get_info(const ink_group *group) { (void)group; return (struct ink_group_info){0, 1, 0, 1}; }
ink_status ink_group_fail(ink_group *group, ink_status status, const char *message) { (void)group; return ink_fail(status, "%s", message); }

/* Never called, as there is no group. */
void ink_group_sum_begin(ink_group *group, float *values, size_t count) { (void)group, (void)values, (void)count; }
void ink_group_sum_reals_begin(ink_group *group, double *values, size_t count) { (void)group, (void)values, (void)count; }
bool ink_group_poll(ink_group *group) { (void)group; return true; }
void ink_group_wait(ink_group *group) { (void)group; }
size_t ink_group_most(ink_group *group, size_t number) { (void)group; return number; }
bool ink_group_same(ink_group *group, uint64_t hash) { (void)group, (void)hash; return true; }
void ink_group_spread(ink_group *group, void *bytes, size_t size) { (void)group, (void)bytes, (void)size; }
ink_status ink_group_agree(ink_group *group, ink_status status) { (void)group; return status; }
void ink_group_begin(ink_group *group) { (void)group; }
void ink_group_end(ink_group *group) { (void)group; }

#endif

void ink_group_nap(void)
{
    const struct timespec nap = {0, 20000};
    nanosleep(&nap, NULL);
}
