/* How many cores there are to use. */
#ifndef INK_UTIL_CORES_H
#define INK_UTIL_CORES_H

/* Cores that this process may keep busy: those that it may run on, and no more than the quota of its control group (a container's), whole
 * ones; 1 at least. */
unsigned ink_cores_allowed(void);

/* The whole cores of a quota as Linux writes it into cpu.max, "200000 100000" for two in microseconds of each period; 1 at least, UINT_MAX
 * for "max 100000" and for what is not understood. */
unsigned ink_cores_of_quota(const char *text);

#endif
