/* Shared by every kernel; stands first in each program. */
