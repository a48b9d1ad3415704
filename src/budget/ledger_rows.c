/*
 * Lists of rows: those that were loaded, and those that wait to be deleted.
 */
#include "budget/ledger_parts.h"

#include "base/arena.h"

#include <stdlib.h>

void lease_rows_add(struct kept_rows *rows, const uint8_t key[LEDGER_KEY_BYTES], struct slice value)
{
    struct saved_row *row;

    if (rows->count == rows->capacity) {
        rows->capacity = rows->capacity > 0 ? rows->capacity * 2 : 16;
        rows->items = mem_resize(rows->items, rows->capacity * sizeof *rows->items);
    }
    row = &rows->items[rows->count++];
    *row = (struct saved_row){ .bytes = value.len };
    memcpy(row->key, key, LEDGER_KEY_BYTES);
    if (value.ptr != NULL)
        row->value = mem_copy(value);
}

void lease_rows_drop(struct kept_rows *rows, size_t at)
{
    free(rows->items[at].value);
    rows->items[at] = rows->items[--rows->count];
}

void lease_rows_free(struct kept_rows *rows)
{
    while (rows->count > 0)
        lease_rows_drop(rows, rows->count - 1);
    free(rows->items);
    *rows = (struct kept_rows){ 0 };
}

int lease_rows_find(const struct kept_rows *rows, const uint8_t key[LEDGER_KEY_BYTES])
{
    for (size_t i = 0; i < rows->count; i++)
        if (memcmp(rows->items[i].key, key, LEDGER_KEY_BYTES) == 0)
            return (int)i;
    return -1;
}
