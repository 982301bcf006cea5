/* The inkling tool. */
#include <stdio.h>

#include "inkling/inkling.h"

int main(void)
{
    printf("inkling %s\n", ink_version());
    return 0;
}
