/* Which boot of the machine this is: within one the monotonic clock goes on.  Any thread. */
#ifndef WEIR_BASE_BOOT_H
#define WEIR_BASE_BOOT_H

#include <stdbool.h>
#include <stdint.h>

enum { BOOT_ID_BYTES = 16 };

#define BOOT_ID_FILE     "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_VARIABLE "WEIR_BOOT_ID"

/* Pure: 32 hexadecimal digits, with or without dashes, then nothing or the line's end.  False: it is none, and *id is
 * all zero. */
bool boot_parse(const char *text, uint8_t id[BOOT_ID_BYTES]);
/* From BOOT_ID_FILE, or, for a service that sees no such file, from its environment, where systemd has put it.  All
 * zero where neither tells. */
void boot_read(const char *file, uint8_t id[BOOT_ID_BYTES]);

#endif
