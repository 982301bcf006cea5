/* Several devices on the command line; see divide.h. */
#include "divide.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

bool read_shares(const struct settings *settings, struct division *division)
{
    const char *at = settings->shares;
    char *end;
    division->share_count = 0;
    if (settings->devices && settings->device) {
        complain("--device names one device and --devices several; leave out one of them");
        return false;
    }
    if (at && !settings->devices) {
        complain("--shares is for --devices, which names the devices they are of");
        return false;
    }
    for (; at; at = *end ? end + 1 : NULL) {
        double share = strtod(at, &end);
        if (division->share_count == MOST_DEVICES || end == at || !(share > 0 && share < 1e9) || (*end && *end != ',')) {
            complain("--shares: \"%s\" is no list of numbers above 0 for up to %d devices, as 2,1", settings->shares, MOST_DEVICES);
            return false;
        }
        division->shares[division->share_count++] = share;
    }
    return true;
}

bool open_division(const struct settings *settings, struct division *division)
{
    if (!settings->devices) {
        ink_device **one = calloc(1, sizeof(ink_device *));
        if (!one || !open_device(settings, one)) {
            free(one);
            return false;
        }
        division->devices = one;
        division->count = 1;
        return true;
    }
    if (ink_devices_open(settings->devices, &division->devices, &division->count)) {
        complain_library("--devices");
        return false;
    }
    if (division->share_count && division->share_count != division->count) {
        complain("--shares has %zu numbers, and --devices gives %zu device%s; give a number for each", division->share_count, division->count,
                 division->count == 1 ? "" : "s");
        return false;
    }
    return true;
}

void close_division(struct division *division) { ink_devices_close(&division->devices, &division->count); }

void print_division(const struct division *division)
{
    for (size_t i = 0; i < division->count; i++)
        print_device(division->devices[i]);
}
