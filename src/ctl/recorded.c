/*
 * See recorded.h.  The daemon may not write into the folder, nor read it: it gets a file to write (a journal), and all
 * that is recorded already in memory that is sealed.  What it has written is folded into the folder here, at the end;
 * what killed ones have left, at the beginning.
 */
#include "ctl/recorded.h"

#include "ctl/child.h"
#include "ctl/held.h"
#include "snapshot/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOT_RECORDED = HELD_NOT, HOLDS_SECRET = 4 };

struct recording {
    const char *path;
    int         folder, journal, snapshot; /* -1: none */
    char       *line;
};

static bool fails(const struct recording *r, const struct fault *why)
{
    fprintf(stderr, "weirctl: %s: %s\n", r->path, why->text);
    return false;
}

/* In memory that nobody can change any more. */
static bool copy_snapshot(struct recording *r, struct fault *why)
{
    struct snapshot_reader *s = snapshot_open(r->folder, NULL, why);
    bool                    good;

    if (s == NULL)
        return false;
    r->snapshot = memfd_create("snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (r->snapshot < 0)
        fault_set_errno(why, errno, "no memory for it");
    good = r->snapshot >= 0 && snapshot_copy(s, r->snapshot, why) == 0;
    snapshot_close(s);
    if (good && fcntl(r->snapshot, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
        fault_set_errno(why, errno, "its memory cannot be sealed");
        good = false;
    }
    return good;
}

static bool prepare(struct recording *r, bool plays)
{
    struct fault why = { "" };

    if (mkdir(r->path, 0777) != 0 && errno != EEXIST) {
        fault_set_errno(&why, errno, "it cannot be made");
        return fails(r, &why);
    }
    r->folder = open(r->path, O_RDONLY | O_CLOEXEC);
    if (r->folder < 0) {
        fault_set_errno(&why, errno, "it cannot be opened");
        return fails(r, &why);
    }
    r->journal = snapshot_journal(r->folder, &r->line, &why);
    if (r->journal < 0 || snapshot_fold(r->folder, NULL, &why) != 0 || (plays && !copy_snapshot(r, &why)))
        return fails(r, &why);
    return true;
}

/* Without its lock it is folded as any other: the daemon writes no more, though it may have it open still. */
static bool fold(struct recording *r)
{
    struct fault why = { "" };

    flock(r->journal, LOCK_UN);
    return snapshot_fold(r->folder, NULL, &why) == 0 || fails(r, &why);
}

static void put_away(struct recording *r)
{
    const int all[] = { r->journal, r->snapshot, r->folder };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i] >= 0)
            close(all[i]);
    free(r->line);
}

static json_t *order(const struct ctl *c, const struct recording *r, bool plays)
{
    json_t     *redact = json_array();
    const char *rule;

    for (unsigned i = 0; (rule = ctl_option(c, "redact", i)) != NULL; i++)
        json_array_append_new(redact, json_string(rule));
    return json_pack("{s:s, s:s, s:o}", "mode", plays ? "replay" : "record", "line", r->line, "redact", redact);
}

static void tell(const struct recording *r, const json_t *counts, bool plays)
{
    const long long played = ctl_number(counts, "played"), recorded = ctl_number(counts, "recorded");
    const char     *trouble = json_string_value(json_object_get(counts, "trouble"));

    if (plays)
        fprintf(stderr, "weirctl: %lld of %lld requests were answered from %s, and %lld recorded into it\n", played,
                (long long)ctl_number(counts, "requests"), r->path, recorded);
    else
        fprintf(stderr, "weirctl: %lld exchanges were recorded into %s\n", recorded, r->path);
    if (trouble != NULL)
        fprintf(stderr, "weirctl: not recorded: %s\n", trouble);
}

/* 0: all was recorded. */
static int verdict(const struct recording *r, const json_t *counts, bool plays, bool folded)
{
    bool is_whole;

    if (counts == NULL)
        return NOT_RECORDED;
    tell(r, counts, plays);
    is_whole = held_tell(counts, plays ? "replay" : "record", plays ? "answered from it or recorded" : "recorded") &&
               folded && ctl_number(counts, "failed") == 0;
    if (ctl_number(counts, "secret") > 0)
        return HOLDS_SECRET;
    return is_whole ? 0 : NOT_RECORDED;
}

int recorded_run(const struct ctl *c, const char *folder, bool plays, char *const arguments[])
{
    struct recording r = { .path = folder, .folder = -1, .journal = -1, .snapshot = -1 };
    struct ctl       own = *c;
    struct held      h;
    json_t          *counts;
    int              waited = -1, failed = 0, handed[2];
    bool             folded;

    if (!prepare(&r, plays)) {
        put_away(&r);
        return CHILD_OWN_FAILURE;
    }
    handed[0] = r.journal;
    handed[1] = r.snapshot;
    own.handed = handed;
    own.handed_count = plays ? 2 : 1;
    if (held_begin(&own, order(c, &r, plays), &h)) {
        waited = held_child(c, &h, arguments);
        counts = held_end(c, &h);
        folded = fold(&r);
        failed = verdict(&r, counts, plays, folded);
        json_decref(counts);
    } else {
        fold(&r);
        failed = CHILD_OWN_FAILURE;
    }
    put_away(&r);
    return failed != 0 ? failed : child_status(waited);
}
