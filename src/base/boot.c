/* The boot's id: see boot.h. */
#include "base/boot.h"

#include "base/files.h"

#include <stdlib.h>
#include <string.h>

bool boot_parse(const char *text, uint8_t id[BOOT_ID_BYTES])
{
    int digits = 0;

    memset(id, 0, BOOT_ID_BYTES);
    for (; *text != '\0' && *text != '\n'; text++) {
        char c = *text;
        int  digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

        if (c == '-')
            continue;
        if (digit < 0 || digits == 2 * BOOT_ID_BYTES) {
            digits = -1;
            break;
        }
        id[digits / 2] = (uint8_t)(id[digits / 2] << 4 | digit);
        digits++;
    }
    if (digits != 2 * BOOT_ID_BYTES)
        memset(id, 0, BOOT_ID_BYTES);
    return digits == 2 * BOOT_ID_BYTES;
}

void boot_read(const char *file, uint8_t id[BOOT_ID_BYTES])
{
    char        text[64];
    const char *told = getenv(BOOT_ID_VARIABLE);

    file_read_line(file, text, sizeof text);
    if (!boot_parse(text, id) && told != NULL)
        boot_parse(told, id);
}
