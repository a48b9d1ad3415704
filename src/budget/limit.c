/*
 * What all kinds of limits have in common: what the API said beside what is
 * configured, and images.
 *
 * A cap is one statement of the API: so many are left until then.  Every
 * spending lowers all caps; a cap ends at its time.  Statements that speak of the same
 * time are one cap with the lower number; of more than LIMIT_CAPS the
 * loosest is dropped, since the next answer repeats it.
 */
#include "budget/limit_kind.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define SAME_CAP_NS     (2 * NS_PER_SEC)
#define LONGEST_TOLD_NS (INT64_C(32) * 86400 * NS_PER_SEC) /* a mistaken reset does not freeze for ever */

/* -- a limit that allows everything -- */

static void open_nothing(struct limit *l)
{
    (void)l;
}

static int64_t open_wait_ns(const struct limit *l, uint64_t cost, struct budget_now now)
{
    (void)l;
    (void)cost;
    (void)now;
    return 0;
}

static void open_spend(struct limit *l, uint64_t cost, struct budget_now now)
{
    (void)l;
    (void)cost;
    (void)now;
}

static uint64_t open_left(const struct limit *l, struct budget_now now)
{
    (void)l;
    (void)now;
    return UINT64_MAX;
}

static int64_t open_whole_in_ns(const struct limit *l, struct budget_now now)
{
    (void)l;
    (void)now;
    return 0;
}

static size_t open_image_bytes(const struct limit *l)
{
    (void)l;
    return 0;
}

static size_t open_save(const struct limit *l, void *out, struct budget_now now)
{
    (void)l;
    (void)out;
    (void)now;
    return 0;
}

static bool open_restore(struct limit *l, const void *in, size_t bytes, int64_t elapsed_ns, bool same_boot,
                         struct budget_now now)
{
    (void)l;
    (void)in;
    (void)elapsed_ns;
    (void)same_boot;
    (void)now;
    return bytes == 0;
}

static const struct limit_kind_ops open_ops = {
    .init = open_nothing,
    .fini = open_nothing,
    .wait_ns = open_wait_ns,
    .spend = open_spend,
    .give_back = open_spend,
    .predict_ns = open_wait_ns,
    .left = open_left,
    .whole_in_ns = open_whole_in_ns,
    .image_bytes = open_image_bytes,
    .save = open_save,
    .restore = open_restore,
};

/* -- life -- */

static const struct limit_kind_ops *const kinds[] = {
    [LIMIT_SLIDING] = &limit_sliding_ops,
    [LIMIT_BUCKET] = &limit_bucket_ops,
    [LIMIT_FIXED] = &limit_fixed_ops,
    [LIMIT_LEARNED] = &limit_learned_ops,
};

struct limit *limit_new(const struct limit_options *o)
{
    struct limit *l = mem_alloc(sizeof *l);

    CHECK((unsigned)o->kind < sizeof kinds / sizeof kinds[0]);
    CHECK(o->count > 0 && o->window_ns > 0);
    CHECK(o->kind != LIMIT_BUCKET || o->burst > 0);
    l->ops = kinds[o->kind];
    l->kind = o->kind;
    l->count = o->count;
    l->burst = o->burst;
    l->window_ns = o->window_ns;
    l->start_minute = o->start_minute;
    if (o->kind == LIMIT_FIXED) {
        l->zone = o->zone != NULL ? zone_open(o->zone) : NULL;
        if (l->zone == NULL) /* its file vanished since the configuration was read */
            l->zone = zone_open("UTC");
    }
    l->ops->init(l);
    return l;
}

struct limit *limit_new_like(struct limit *like)
{
    struct limit *l = mem_alloc(sizeof *l);

    *l = (struct limit){ .ops = like->ops,
                         .kind = like->kind,
                         .count = like->count,
                         .burst = like->burst,
                         .window_ns = like->window_ns,
                         .start_minute = like->start_minute,
                         .zone = zone_share(like->zone) };
    l->ops->init(l);
    return l;
}

static uint64_t part_of(uint64_t count, unsigned permille)
{
    uint64_t part = count / 1000 * permille + count % 1000 * permille / 1000;

    return part > 0 ? part : 1;
}

struct limit *limit_new_part(const struct limit *like, unsigned permille)
{
    struct limit *l = mem_alloc(sizeof *l);
    bool          drips = like->kind == LIMIT_BUCKET; /* of its rate there is an exact part */

    if (permille == 0)
        permille = 1;
    *l = (struct limit){ .ops = like->ops,
                         .kind = like->kind,
                         .start_minute = like->start_minute,
                         .count = drips ? like->count * permille : part_of(like->count, permille),
                         .burst = part_of(like->burst, permille),
                         .window_ns = drips ? time_times(like->window_ns, 1000) : like->window_ns,
                         .zone = like->zone != NULL ? zone_share(like->zone) : NULL };
    l->ops->init(l);
    return l;
}

struct limit *limit_new_open(void)
{
    struct limit *l = mem_alloc(sizeof *l);

    *l = (struct limit){ .ops = &open_ops, .kind = LIMIT_LEARNED };
    return l;
}

void limit_free(struct limit *l)
{
    if (l == NULL)
        return;
    l->ops->fini(l);
    zone_close(l->zone);
    free(l);
}

uint64_t limit_most(const struct limit *l)
{
    return l->kind == LIMIT_BUCKET ? l->burst : l->count;
}

/* -- what the API said -- */

static bool cap_holds(const struct limit_cap *c, struct budget_now now)
{
    return c->until_ns > now.mono_ns;
}

/* The cap that keeps `units` waiting longest; NULL: none does. */
static const struct limit_cap *longest_cap(const struct limit *l, uint64_t units, struct budget_now now)
{
    const struct limit_cap *longest = NULL;

    for (unsigned i = 0; i < LIMIT_CAPS; i++)
        if (cap_holds(&l->cap[i], now) && l->cap[i].left < units &&
            (longest == NULL || l->cap[i].until_ns > longest->until_ns))
            longest = &l->cap[i];
    return longest;
}

static int64_t told_wait_ns(const struct limit *l, uint64_t units, struct budget_now now)
{
    const struct limit_cap *cap = longest_cap(l, units, now);
    int64_t                 until_ns = l->blocked_until_ns;

    if (cap != NULL && cap->until_ns > until_ns)
        until_ns = cap->until_ns;
    return until_ns > now.mono_ns ? until_ns - now.mono_ns : 0;
}

static uint64_t told_left(const struct limit *l, struct budget_now now)
{
    uint64_t left = l->blocked_until_ns > now.mono_ns ? 0 : UINT64_MAX;

    for (unsigned i = 0; i < LIMIT_CAPS; i++)
        if (cap_holds(&l->cap[i], now) && l->cap[i].left < left)
            left = l->cap[i].left;
    return left;
}

static int64_t clamp_told(int64_t in_ns)
{
    return in_ns > LONGEST_TOLD_NS ? LONGEST_TOLD_NS : in_ns;
}

/* The place of the window's last word, else a free one, else that of the loosest. */
static void add_assumed(struct limit *l, const struct limit_cap *new, struct budget_now now)
{
    struct limit_cap *place = NULL;

    for (unsigned i = TOLD_CAPS; i < LIMIT_CAPS; i++) {
        struct limit_cap *c = &l->cap[i];

        if (c->assumed_ns == new->assumed_ns) {
            *c = *new;
            return;
        }
        if (!cap_holds(c, now))
            *c = (struct limit_cap){ 0 };
        if (place == NULL || (place->until_ns != 0 && (c->until_ns == 0 || c->left > place->left)))
            place = c;
    }
    *place = *new;
}

static void add_cap(struct limit *l, const struct limit_cap *new, struct budget_now now)
{
    struct limit_cap *place = NULL;

    for (unsigned i = 0; i < TOLD_CAPS; i++) {
        struct limit_cap *c = &l->cap[i];

        if (!cap_holds(c, now)) {
            *c = (struct limit_cap){ 0 };
        } else if (llabs(c->until_ns - new->until_ns) <= SAME_CAP_NS) {
            c->left = new->left < c->left ? new->left : c->left;
            c->until_ns = new->until_ns > c->until_ns ? new->until_ns : c->until_ns;
            c->told = new->told;
            return;
        }
        if (place == NULL || (place->until_ns != 0 && (c->until_ns == 0 || c->left > place->left)))
            place = c;
    }
    if (place->until_ns == 0 || new->left < place->left)
        *place = *new;
}

void limit_learn(struct limit *l, const struct limit_word *w, struct budget_now now)
{
    int64_t          reset_in_ns = clamp_told(w->reset_in_ns);
    struct limit_cap cap = { .left = w->remaining > 0 ? (uint64_t)w->remaining : 0,
                             .assumed_ns = w->assumed_ns,
                             .told = { w->by, now.wall_ns } };

    if (w->allowed > 0)
        l->told = (uint64_t)w->allowed;
    if (w->remaining < 0 || reset_in_ns <= 0)
        return;
    cap.until_ns = time_add(now.mono_ns, time_add(reset_in_ns, LIMIT_GUARD_NS));
    if (w->assumed_ns > 0) {
        add_assumed(l, &cap, now);
        return;
    }
    if (l->ops == &limit_learned_ops)
        limit_learned_told(l, w, now);
    add_cap(l, &cap, now);
}

const char *told_by_text(enum told_by by)
{
    static const char *const texts[] = {
        [TOLD_BY_NOBODY] = "",
        [TOLD_BY_RATELIMIT] = "RateLimit",
        [TOLD_BY_RATELIMIT_FIELDS] = "RateLimit-Remaining",
        [TOLD_BY_X_RATELIMIT] = "X-RateLimit-Remaining",
        [TOLD_BY_X_RATE_LIMIT] = "X-Rate-Limit-Remaining",
        [TOLD_BY_RETRY_AFTER] = "Retry-After",
        [TOLD_BY_BODY] = "the body of an answer",
        [TOLD_BY_READ] = "X-ReadRateLimit-Usage",
        [TOLD_BY_ANTHROPIC] = "anthropic-ratelimit-requests-remaining",
        [TOLD_BY_HUBSPOT] = "X-HubSpot-RateLimit-Remaining",
        [TOLD_BY_AZURE] = "x-ms-ratelimit-remaining",
        [TOLD_BY_SHOPIFY] = "X-Shopify-Shop-Api-Call-Limit",
        [TOLD_BY_X] = "x-app-limit-remaining",
        [TOLD_BY_OWN] = "learn",
    };

    return (unsigned)by < sizeof texts / sizeof texts[0] ? texts[by] : "";
}

void limit_block(struct limit *l, int64_t for_ns, enum told_by by, struct budget_now now)
{
    int64_t until_ns = time_add(now.mono_ns, clamp_told(for_ns));

    if (for_ns <= 0 || until_ns <= l->blocked_until_ns)
        return;
    l->blocked_until_ns = until_ns;
    l->blocked_by = (struct told){ by, now.wall_ns };
}

void limit_cut_told(struct limit *l, int64_t most_ns, struct budget_now now)
{
    int64_t last_ns = time_add(now.mono_ns, most_ns);

    if (l->blocked_until_ns > last_ns)
        l->blocked_until_ns = last_ns;
}

bool limit_forget(struct limit *l, struct budget_now now)
{
    bool held = l->blocked_until_ns > now.mono_ns || (l->kind == LIMIT_LEARNED && l->told > 0);

    for (unsigned i = 0; i < LIMIT_CAPS; i++) {
        held = held || cap_holds(&l->cap[i], now);
        l->cap[i] = (struct limit_cap){ 0 };
    }
    l->blocked_until_ns = 0;
    l->blocked_by = (struct told){ 0 };
    l->told = 0;
    if (l->ops == &limit_learned_ops)
        limit_learned_forget(l);
    return held;
}

/* The API's alone: its words stay, with another count. */
static bool set_told(struct limit *l, uint64_t left, struct budget_now now)
{
    bool has_any = false;

    for (unsigned i = 0; i < LIMIT_CAPS; i++)
        if (cap_holds(&l->cap[i], now) && (has_any = true))
            l->cap[i].left = left;
    if (has_any)
        l->blocked_until_ns = 0;
    return has_any;
}

bool limit_set_left(struct limit *l, uint64_t left, struct budget_now now)
{
    if (l->ops == &open_ops || left > limit_state(l, now).allowed)
        return l->ops == &open_ops && set_told(l, left, now);
    limit_forget(l, now);
    if (l->ops->left(l, now) < left) {
        l->ops->fini(l);
        l->ops->init(l);
    }
    limit_spend(l, l->ops->left(l, now) - left, now);
    return true;
}

void limit_copy_told(struct limit *to, const struct limit *from)
{
    memcpy(to->cap, from->cap, sizeof to->cap);
    to->blocked_until_ns = from->blocked_until_ns;
    to->blocked_by = from->blocked_by;
}

/* -- spending -- */

/* With so many ahead, this many units in all. */
static uint64_t units_with(uint64_t ahead)
{
    return ahead < UINT64_MAX ? ahead + 1 : ahead;
}

int64_t limit_wait_ns(const struct limit *l, uint64_t cost, struct budget_now now)
{
    uint64_t most = limit_most(l);
    int64_t  own_ns, told_ns;

    if (cost == 0)
        return told_wait_ns(l, 0, now);
    if (most != 0 && cost > most)
        return INT64_MAX;
    own_ns = l->ops->wait_ns(l, cost, now);
    told_ns = told_wait_ns(l, cost, now);
    return own_ns > told_ns ? own_ns : told_ns;
}

void limit_spend(struct limit *l, uint64_t cost, struct budget_now now)
{
    if (cost == 0)
        return;
    l->ops->spend(l, cost, now);
    for (unsigned i = 0; i < LIMIT_CAPS; i++)
        l->cap[i].left -= cost < l->cap[i].left ? cost : l->cap[i].left;
}

/* Not cut to what is left: count and burst may have been larger when it was spent. */
void limit_spend_up_to(struct limit *l, uint64_t cost, struct budget_now now)
{
    uint64_t most = limit_most(l);

    if (cost > 0)
        l->ops->spend(l, cost < most ? cost : most, now);
}

/* A cap that holds was either lowered by this spending or learned while it was under way and then took it
 * for spent (the ledger's doing): in both cases it has these units to give back. */
void limit_return(struct limit *l, uint64_t cost, struct budget_now spent, struct budget_now now)
{
    if (cost == 0)
        return;
    l->ops->give_back(l, cost, spent);
    for (unsigned i = 0; i < LIMIT_CAPS; i++)
        if (cap_holds(&l->cap[i], now) && l->cap[i].left < UINT64_MAX - cost)
            l->cap[i].left += cost;
}

int64_t limit_predict_ns(const struct limit *l, uint64_t ahead, struct budget_now now)
{
    int64_t told_ns = told_wait_ns(l, units_with(ahead), now), own_ns = l->ops->predict_ns(l, ahead, now);

    return own_ns > told_ns ? own_ns : told_ns;
}

struct limit_cause limit_cause(const struct limit *l, uint64_t ahead, struct budget_now now)
{
    const struct limit_cap *cap = longest_cap(l, units_with(ahead), now);
    struct limit_cause      c = { .told_ns = told_wait_ns(l, units_with(ahead), now),
                                  .own_ns = l->ops->predict_ns(l, ahead, now) };
    struct told             by = l->blocked_by;

    if (cap != NULL && cap->until_ns > l->blocked_until_ns)
        by = cap->told;
    if (c.told_ns > 0) {
        c.by = by.by;
        c.heard_wall_ns = by.wall_ns;
    }
    return c;
}

/* Of what the API said. */
static bool something_holds(const struct limit *l, struct budget_now now)
{
    if (l->blocked_until_ns > now.mono_ns)
        return true;
    for (unsigned i = 0; i < LIMIT_CAPS; i++)
        if (cap_holds(&l->cap[i], now))
            return true;
    return false;
}

/* Of several words, the tightest. */
static enum told_by told_by_now(const struct limit *l, struct budget_now now)
{
    const struct limit_cap *tightest = NULL;

    if (l->blocked_until_ns > now.mono_ns)
        return l->blocked_by.by;
    for (unsigned i = 0; i < LIMIT_CAPS; i++)
        if (cap_holds(&l->cap[i], now) && (tightest == NULL || l->cap[i].left < tightest->left))
            tightest = &l->cap[i];
    return tightest != NULL ? tightest->told.by : TOLD_BY_NOBODY;
}

bool limit_is_whole(const struct limit *l, struct budget_now now)
{
    return !something_holds(l, now) && l->ops->whole_in_ns(l, now) <= 0;
}

int64_t limit_memory_ns(const struct limit *l)
{
    if (l->kind != LIMIT_BUCKET)
        return l->window_ns;
    return l->count == 0 ? 0 : (int64_t)((double)l->window_ns / (double)l->count * (double)l->burst);
}

struct limit_state limit_state(const struct limit *l, struct budget_now now)
{
    struct limit_state s = { .allowed = limit_most(l),
                             .left = l->ops->left(l, now),
                             .window_ns = l->window_ns,
                             .resets_in_ns = l->ops->whole_in_ns(l, now) };
    uint64_t           told = told_left(l, now);

    if (s.allowed == 0)
        s.allowed = l->told;
    if (l->kind == LIMIT_LEARNED && l->count > 0)
        s.allowed = limit_count(l);
    if (told < s.left)
        s.left = told;
    if (s.left > s.allowed && s.allowed != 0)
        s.left = s.allowed;
    for (unsigned i = 0; i < LIMIT_CAPS; i++)
        if (cap_holds(&l->cap[i], now) && l->cap[i].until_ns - now.mono_ns > s.resets_in_ns)
            s.resets_in_ns = l->cap[i].until_ns - now.mono_ns;
    if (l->blocked_until_ns > now.mono_ns)
        s.blocked_for_ns = l->blocked_until_ns - now.mono_ns;
    s.told_by = told_by_now(l, now);
    if (s.blocked_for_ns > s.resets_in_ns)
        s.resets_in_ns = s.blocked_for_ns;
    return s;
}

/* -- images: a head, the caps, what the kind keeps -- */

enum { IMAGE_VERSION = 1 };

struct image_cap {
    int64_t  for_ns;
    uint64_t left;
}; /* from the time of saving */
struct image_head {
    uint32_t         version, kind;
    uint64_t         sum; /* of everything after it */
    int64_t          window_ns;
    int64_t          blocked_for_ns;
    uint64_t         told; /* and, from bit TOLD_BY_SHIFT on, by which word */
    struct image_cap cap[TOLD_CAPS];
};
enum { SUMMED_FROM = offsetof(struct image_head, window_ns), TOLD_BY_SHIFT = 56 };

size_t limit_image_bytes(const struct limit *l)
{
    return sizeof(struct image_head) + l->ops->image_bytes(l);
}

size_t limit_save(const struct limit *l, void *image, struct budget_now now)
{
    struct image_head head = { .version = IMAGE_VERSION,
                               .kind = (uint32_t)l->kind,
                               .window_ns = l->window_ns,
                               .told = l->told | (uint64_t)told_by_now(l, now) << TOLD_BY_SHIFT };
    char             *out = image;
    size_t            bytes;
    unsigned          kept = 0;

    if (l->blocked_until_ns > now.mono_ns)
        head.blocked_for_ns = l->blocked_until_ns - now.mono_ns;
    for (unsigned i = 0; i < LIMIT_CAPS && kept < TOLD_CAPS; i++)
        if (cap_holds(&l->cap[i], now))
            head.cap[kept++] = (struct image_cap){ l->cap[i].until_ns - now.mono_ns, l->cap[i].left };
    bytes = sizeof head + l->ops->save(l, out + sizeof head, now);
    memcpy(out, &head, sizeof head);
    head.sum = XXH3_64bits(out + SUMMED_FROM, bytes - SUMMED_FROM);
    memcpy(out, &head, sizeof head);
    return bytes;
}

bool limit_restore(struct limit *l, const void *image, size_t bytes, int64_t elapsed_ns, bool same_boot,
                   struct budget_now now)
{
    struct image_head head;
    const char       *in = image;
    enum told_by      by;

    if (bytes < sizeof head)
        return false;
    memcpy(&head, in, sizeof head);
    if (head.version != IMAGE_VERSION || head.kind != (uint32_t)l->kind || head.window_ns != l->window_ns ||
        head.sum != XXH3_64bits(in + SUMMED_FROM, bytes - SUMMED_FROM))
        return false;
    if (elapsed_ns < 0)
        elapsed_ns = 0;
    if (!l->ops->restore(l, in + sizeof head, bytes - sizeof head, elapsed_ns, same_boot, now))
        return false;
    l->told = head.told & ((UINT64_C(1) << TOLD_BY_SHIFT) - 1);
    by = (enum told_by)(head.told >> TOLD_BY_SHIFT);
    l->blocked_until_ns = 0;
    limit_block(l, head.blocked_for_ns - elapsed_ns, by, now);
    l->blocked_by.wall_ns = 0;
    memset(l->cap, 0, sizeof l->cap);
    for (unsigned i = 0; i < TOLD_CAPS; i++) {
        int64_t left_ns = clamp_told(head.cap[i].for_ns) - elapsed_ns;

        if (left_ns > 0)
            l->cap[i] = (struct limit_cap){ time_add(now.mono_ns, left_ns), head.cap[i].left, 0, { by, 0 } };
    }
    return true;
}
