/*
 * How one thread asks another for something: a queue with one reader.
 *
 * A message is a `struct mail` embedded in what it is about; posting never
 * allocates and never fails.  Mail of one sender arrives in the order it was
 * posted, and what the sender wrote before posting is visible to the reader.
 * The reader's loop watches mailbox_fd() and calls mailbox_deliver(), which
 * runs each mail's `receive` on the reader's thread.
 */
#ifndef WEIR_BASE_MAILBOX_H
#define WEIR_BASE_MAILBOX_H

struct mail {
    struct mail *next;              /* the mailbox's while posted */
    void (*receive)(struct mail *); /* runs on the reader's thread; may free the mail */
};

struct mailbox;

struct mailbox *mailbox_open(void); /* NULL: no descriptor left, errno says why */
/* When every sender has stopped posting.  NULL is fine; undelivered mail is dropped. */
void mailbox_close(struct mailbox *);
/* Any thread.  One mail may stand in one mailbox at a time. */
void mailbox_post(struct mailbox *, struct mail *);
/* The same for a reader that need not wake for it: it finds this mail with the next that wakes it, or when it looks by
 * itself. */
void mailbox_post_quietly(struct mailbox *, struct mail *);
/* Readable (an eventfd) while there is mail that is to wake the reader. */
int mailbox_fd(const struct mailbox *);
/* Reader only.  Returns how many were delivered. */
unsigned mailbox_deliver(struct mailbox *);

#endif
