/* Every OpenCL device of the machine, and the choice of one by a selector. */
#ifndef INK_DEVICE_LIST_H
#define INK_DEVICE_LIST_H

#include "device/device.h"

struct ink_listed {
    struct ink_device_info info;
    cl_platform_id platform;
    cl_device_id id;
    bool part;                 /* a sub-device; whoever made it releases it */
};

/* Platforms that fail or have no device are logged and passed over. *listed is freed with free(). */
ink_status ink_devices_enumerate(struct ink_listed **listed, size_t *count);

/* The entry that a selector (see ink_device_open) picks. Sets picked and why of the entries. */
ink_status ink_devices_select(struct ink_listed *listed, size_t count, const char *selector, size_t *chosen);

/* Fills in the info of an entry by what its device says. */
void ink_listed_describe(struct ink_listed *entry);

/* Opens the device of an entry. */
ink_status ink_listed_open(const struct ink_listed *listed, ink_device **device);

#endif
