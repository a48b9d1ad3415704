/*
 * The ledger's rows: read once at the start, written through the store's
 * writer thread as the ledger wants them written.
 *
 * A row's name in the state is its budget's name, a newline, and the row's key.
 */
#include "upstream/internal.h"

#include "base/boot.h"
#include "base/log.h"

#include <stdlib.h>

_Static_assert((int)LEDGER_BOOT_BYTES == (int)BOOT_ID_BYTES, "the ledger keeps the whole of it");
enum { NAME_MAX_BYTES = 400 - LEDGER_KEY_BYTES - 1 };

struct row_change {
    struct state_change change;
    struct budget      *budget;
    uint8_t             key[LEDGER_KEY_BYTES];
    uint64_t            ticket;
    char                bytes[]; /* name, then value */
};

/* -- loading -- */

static void load_row(void *context, struct slice name, struct slice value)
{
    struct upstream *up = context;
    struct kept_row *row;

    if (name.len < LEDGER_KEY_BYTES + 1 || name.ptr[name.len - LEDGER_KEY_BYTES - 1] != '\n')
        return;
    row = mem_alloc(sizeof *row);
    row->budget = mem_copy(slice_sub(name, 0, name.len - LEDGER_KEY_BYTES - 1));
    memcpy(row->key, name.ptr + name.len - LEDGER_KEY_BYTES, LEDGER_KEY_BYTES);
    row->value = mem_copy(value);
    row->bytes = value.len;
    SLIST_INSERT_HEAD(&up->kept.rows, row, entry);
}

static void free_row(struct kept_row *row)
{
    free(row->budget);
    free(row->value);
    free(row);
}

const struct state_owner keep_rows = { .table = "ledger", .format = 1, .load = load_row };

void keep_load(struct upstream *up)
{
    if (up->state == NULL)
        return;
    boot_read(BOOT_ID_FILE, up->kept.boot);
    state_load(up->state, &keep_rows, up);
}

void keep_free(struct upstream *up)
{
    while (!SLIST_EMPTY(&up->kept.rows)) {
        struct kept_row *row = SLIST_FIRST(&up->kept.rows);

        SLIST_REMOVE_HEAD(&up->kept.rows, entry);
        free_row(row);
    }
}

/* -- writing -- */

static void receive_saved(struct mail *m)
{
    struct row_change *r = CONTAINER_OF(m, struct row_change, change.done);
    struct budget     *b = r->budget;
    struct upstream   *up = b->up;
    struct queue_class class = ledger_row_class(r->key);

    up->pending.saves--;
    ledger_saved(b->ledger, r->key, r->ticket, r->change.ok, budget_time());
    if (!r->change.ok && !up->kept.failed)
        log_error("ledger_not_kept", " budget=%s reason=%s", log_quote(b->name),
                  log_quote("the state directory cannot be written: what is spent would be forgotten by a restart"));
    up->kept.failed = !r->change.ok;
    queue_reconsider(b->queue, r->change.ok ? &class : NULL); /* where it failed, all go on without rows */
    free(r);
    budget_kick(b);
}

static void put_row(void *context, const struct ledger_row *row)
{
    struct budget     *b = context;
    size_t             length = strlen(b->name);
    size_t             name_bytes;
    struct row_change *r;

    if (length > NAME_MAX_BYTES)
        length = NAME_MAX_BYTES;
    name_bytes = length + 1 + LEDGER_KEY_BYTES;
    r = mem_alloc(sizeof *r + name_bytes + row->value.len);
    memcpy(r->bytes, b->name, length);
    r->bytes[length] = '\n';
    memcpy(r->bytes + length + 1, row->key, LEDGER_KEY_BYTES);
    if (row->value.ptr != NULL)
        memcpy(r->bytes + name_bytes, row->value.ptr, row->value.len);
    r->budget = b;
    memcpy(r->key, row->key, sizeof r->key);
    r->ticket = row->ticket;
    r->change.state = b->up->state;
    r->change.owner = &keep_rows;
    r->change.name = (struct slice){ r->bytes, name_bytes };
    r->change.value = row->value.ptr != NULL ? (struct slice){ r->bytes + name_bytes, row->value.len } : SLICE_NONE;
    r->change.reply_to = b->up->mailbox;
    r->change.done.receive = receive_saved;
    b->up->pending.saves++;
    state_submit(b->up->store, &r->change);
}

void keep_look(struct budget *b)
{
    struct budget_now now = budget_time();
    int64_t           due;

    if (b->up->state == NULL || b->up->stopping)
        return;
    due = ledger_save_due_ns(b->ledger, now);
    if (due == 0) {
        ledger_save(b->ledger, now, put_row, b);
        due = ledger_save_due_ns(b->ledger, now);
    }
    if (due == INT64_MAX)
        timers_clear(&b->up->timers, &b->save);
    else
        timers_set(&b->up->timers, &b->save, now.mono_ns + (due > NS_PER_MS ? due : NS_PER_MS));
}

static void fire_save(struct timer *t)
{
    keep_look(CONTAINER_OF(t, struct budget, save));
}

void keep_start(struct budget *b)
{
    struct kept_row **at = &SLIST_FIRST(&b->up->kept.rows);

    b->save.fire = fire_save;
    if (b->up->state == NULL)
        return;
    while (*at != NULL) {
        struct kept_row *row = *at;

        if (strncmp(row->budget, b->name, NAME_MAX_BYTES) != 0) {
            at = &SLIST_NEXT(row, entry);
            continue;
        }
        *at = SLIST_NEXT(row, entry);
        ledger_load(b->ledger, row->key, (struct slice){ row->value, row->bytes });
        free_row(row);
    }
    if (state_rows_lost(b->up->state))
        ledger_rows_lost(b->ledger);
    ledger_start(b->ledger, b->up->kept.boot, budget_time());
    if (ledger_lost_ago_ns(b->ledger, budget_time()) >= 0)
        log_warning("ledger_rows_lost", "budget=%s note=%s", log_quote(b->name),
                    log_quote("what is not known to be left counts as spent until the limit's window has gone by"));
    keep_look(b);
}

void keep_stop(struct budget *b)
{
    if (b->up->state != NULL && b->ledger != NULL)
        ledger_stop(b->ledger, budget_time(), put_row, b);
}
