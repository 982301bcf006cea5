/* The fixed-width types that check.h includes under this name. */
#include <stdint.h>
