/*
 * A batch as its files see it: input.c (what comes in, from bytes to items), running.c (an item's exchange),
 * outlet.c (what goes out, in its order), batch.c (its life), parts.c (what they share).
 */
#ifndef WEIR_JOBS_INTERNAL_H
#define WEIR_JOBS_INTERNAL_H

#include "base/list.h"
#include "base/table.h"
#include "http/json.h"
#include "jobs/result.h"
#include "jobs/item.h"
#include "jobs/jobs.h"
#include "jobs/scan.h"
#include "jobs/wanted.h"

struct batch;

/* Equal safe items are asked once: twins.c. */
struct item_twins {
    uint64_t          hash[2]; /* of what is asked */
    bool              leads;   /* the first of them: in the table of `leaders` */
    struct table_node node;
    SLIST_HEAD(, item) followers;
    SLIST_ENTRY(item) follower;
};

struct item {
    TAILQ_ENTRY(item) entry; /* of those under way, done, or unused */
    struct batch     *batch;
    uint64_t          index;
    struct slice      key; /* of a dictionary: its name as JSON; ptr NULL: none */
    struct slice      id;  /* as JSON */
    struct arena      arena;

    struct item_request asked;
    struct item_twins   twins;
    struct exchange    *exchange; /* NULL: none (any more) */
    size_t              sent;     /* of the request's body */
    bool                sent_all;

    enum {
        ITEM_FOLLOWS,   /* an equal one is under way: it is asked once */
        ITEM_ASKED,     /* its exchange has no answer yet */
        ITEM_STREAMING, /* the body comes */
        ITEM_CHECKING,  /* the body is a file that is looked at */
        ITEM_DONE
    } state;
    bool          goes_on; /* it stopped in the midst, so that others have a turn */
    unsigned      status;
    bool          is_hit, is_stored;
    bool          has_answer; /* of the API or the cache */
    bool          is_extra;   /* more than `take` wants */
    bool          is_twin;    /* the answer is an equal item's */
    bool          is_aside;   /* it waits for its turn, without a place */
    struct result text;
};
TAILQ_HEAD(items, item);

enum batch_shape { SHAPE_UNKNOWN, SHAPE_LIST, SHAPE_KEYS, SHAPE_LINES };
enum batch_form { FORM_UNKNOWN, FORM_JSON, FORM_LINES, FORM_EVENTS };

struct input {
    enum batch_shape  shape;
    struct spool     *body; /* all that came; the batch's reference */
    struct json_check json; /* of a document */
    bool              document_ended;
    bool              is_lines; /* its media type says so */
    bool              ended;    /* nothing more will come */
    struct json_scan  scan;     /* where the next item begins */
    int64_t           items_at; /* where the first does */
    int64_t           looked;   /* of lines: up to here the next one has no end */
    uint64_t          next;     /* its index */
    uint64_t          count;    /* of all; 0: not known yet */
    uint64_t          lines;    /* that have ended */
    bool              in_line;  /* and one more has begun */
    bool              checked;  /* all of a document is well */
    bool              all_read;
    struct table      ids; /* struct known_id */
};

/* Of the items of one upstream, how many there are and what its budget says of them. */
struct prospect_part {
    const char             *upstream; /* its name */
    uint64_t                items;    /* of a document: all of them */
    uint64_t                started;
    struct upstream_outlook look;
    struct batch           *batch;
    bool                    is_asked;
};
enum { TARGETS = 8 }; /* of more upstreams nothing is foretold */

struct prospect {
    struct prospect_part targets[TARGETS];
    unsigned             count, asked;
    void (*tell)(struct batch *); /* once all is known */
    /* As it was heard last: */
    int64_t                     eta_ns; /* of all; -1: not known; INT64_MAX: never */
    const struct prospect_part *waits;  /* the one whose items wait longest; NULL: none */
};

struct outlet {
    enum batch_form form;
    struct spool   *to; /* the answer's body; the batch's reference */
    bool            answered, begun, ended;
    bool            waits; /* for readers to catch up */
    struct mail     drained;
    uint64_t        next;    /* in order of input: whose turn it is */
    struct item    *writing; /* in the midst of it */
    bool            framed;  /* what goes before it is written */
    /* In order of input: small ones that were done before their turn. */
    struct spool *early;
    struct table  early_ones;
    int64_t       early_at, early_left; /* one of them, in the midst of it */
};

struct batch {
    struct exchange *outer;
    struct engine   *engine;
    struct mailbox  *mailbox;
    struct arena    *arena; /* the outer exchange's */
    struct wanted    wanted;
    struct input     in;
    struct outlet    out;
    struct items     under_way, done, unused;
    struct table     leaders, answers; /* struct item; what they heard and no cache has */
    struct spool    *kept;             /* the latter's text */
    unsigned         under_way_count, done_count, aside_count;
    struct {
        uint64_t done, ok, failed, hits, upstream;
    } counts;
    struct prospect      prospect;
    struct race         *race; /* under `take` */
    int64_t              started_ns, progress_at_ns;
    struct engine_ticker ticker;
    void (*pump)(struct batch *); /* all that can be done now */
    struct mail again;            /* to go on in a while, after others */
    struct mail fence;            /* the last one */
    bool        again_posted, refused, closed, fenced;
    struct {
        bool         own_credential, does_harm; /* of what was looked at: see later.c */
        struct slice upstreams;                 /* names, a line each */
        void        *taker;                     /* it is a task's now; NULL: not */
    } later;
};

/* -- parts.c -- */
/* Goes on after others on this worker had their turn. */
void batch_later(struct batch *);
/* Nothing was answered yet: a problem instead. */
void batch_refuse(struct batch *, enum problem_kind, struct slice detail);
/* What options mean together, and under this configuration: refused where that is nothing. */
void                        batch_check_wanted(struct batch *);
struct item_asked           batch_asked(const struct batch *);
const struct batch_options *batch_bounds(const struct batch *);
struct item                *item_new(struct batch *);
void                        item_free(struct item *);
/* It is not wanted any more; it is under way or done. */
void item_drop(struct item *);

/* -- input.c -- */
void   input_begin(struct batch *, struct slice content_type);
size_t input_add(struct batch *, const char *bytes, size_t count);
void   input_end(struct batch *);
/* Looks at some more of a document's items, before any is asked; true when all are looked at (or it is refused). */
bool input_check(struct batch *);
/* The next item, read into `item`.  *wrong: what is the matter with it; NULL: nothing.  False: there is none yet, or no
 * more (all_read). */
bool input_next(struct batch *, struct item *item, const char **wrong);
void input_close(struct batch *);

/* -- prospect.c -- */
void prospect_count(struct batch *, const struct item *); /* while a document is looked at */
void prospect_start(const struct item *);
/* Asks for what is to come, where that can be asked; then `tell` is called, now or later. */
void prospect_ask(struct batch *, void (*tell)(struct batch *));
/* What was heard, as members that each follow a comma. */
void prospect_write(const struct batch *, struct json_out *);

/* -- later.c -- */
void later_read_fields(struct batch *);               /* what the request's own fields say of it */
bool later_is_wanted(const struct batch *);           /* known when a document's options are read, of lines at once */
void later_note(struct batch *, const struct item *); /* one that is well */
void later_take(struct batch *);                      /* all are: nothing more is done here */
void later_close(struct batch *);

/* -- twins.c -- */
enum twin {
    TWIN_NONE,    /* it is to be asked */
    TWIN_FOLLOWS, /* an equal one is under way: it hears when that is done */
    TWIN_ANSWERED /* an equal one was: item->text is set */
};
enum twin twins_find(struct item *);
/* It is done: its answer is kept where no cache does. */
void twins_keep(struct item *);
/* The next of those that have waited for it; NULL: there is none. */
struct item *twins_next(struct item *leader);
/* It is dropped. */
void twins_leave(struct item *);
void twins_close(struct batch *);

/* -- running.c -- */
void item_start(struct item *);
/* It cannot be asked. */
void item_refuse(struct item *, const char *wrong);
/* Goes on with one that stopped in the midst. */
void item_go_on(struct item *);

/* -- outlet.c -- */
void outlet_begin(struct batch *);
/* Writes what may be written now. */
void outlet_write(struct batch *);
/* Is there room for more?  Else the batch hears when there is. */
bool outlet_has_room(struct batch *);
/* One is done that may have to wait for its turn: a small one gives its place to another. */
void outlet_done(struct item *);
/* Can it be told how far it is? Not within an entry, nor in an answer that is one document. */
bool outlet_tells_progress(struct batch *);
void outlet_tell_progress(struct batch *);
/* The last words. */
void outlet_end(struct batch *);
void outlet_close(struct batch *);

#endif
