/*
 * A mailbox: a list under a mutex that is held for a few instructions, and an
 * eventfd that is written by the first who wants the reader woken.
 *
 * The reader empties the eventfd before it takes the list.  Whoever wants it woken
 * after that writes the eventfd again, so no mail is left lying; at worst the reader wakes once for
 * nothing.
 */
#include "base/mailbox.h"

#include "base/arena.h"
#include "base/check.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct mailbox {
    pthread_mutex_t lock;
    struct mail    *first; /* lock */
    struct mail   **end;   /* lock; where the next mail is hung */
    bool            rung;  /* lock; the eventfd was written since the list was taken */
    int             fd;    /* never changes */
};

struct mailbox *mailbox_open(void)
{
    struct mailbox *box;
    int             fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd < 0)
        return NULL;
    box = mem_alloc(sizeof *box);
    CHECK(pthread_mutex_init(&box->lock, NULL) == 0);
    box->end = &box->first;
    box->fd = fd;
    return box;
}

void mailbox_close(struct mailbox *box)
{
    if (box == NULL)
        return;
    pthread_mutex_destroy(&box->lock);
    close(box->fd);
    free(box);
}

static void post(struct mailbox *box, struct mail *mail, bool rings)
{
    mail->next = NULL;
    pthread_mutex_lock(&box->lock);
    *box->end = mail;
    box->end = &mail->next;
    rings = rings && !box->rung;
    box->rung = box->rung || rings;
    pthread_mutex_unlock(&box->lock);

    /* EAGAIN: the counter is full, so the descriptor is readable anyway. */
    while (rings && eventfd_write(box->fd, 1) != 0 && errno == EINTR)
        ;
}

void mailbox_post(struct mailbox *box, struct mail *mail)
{
    post(box, mail, true);
}

void mailbox_post_quietly(struct mailbox *box, struct mail *mail)
{
    post(box, mail, false);
}

int mailbox_fd(const struct mailbox *box)
{
    return box->fd;
}

unsigned mailbox_deliver(struct mailbox *box)
{
    eventfd_t    ignored;
    struct mail *mail;
    unsigned     delivered = 0;

    while (eventfd_read(box->fd, &ignored) != 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&box->lock);
    mail = box->first;
    box->first = NULL;
    box->end = &box->first;
    box->rung = false;
    pthread_mutex_unlock(&box->lock);

    while (mail != NULL) {
        struct mail *next = mail->next; /* receive() may free or post it again */

        mail->next = NULL;
        mail->receive(mail);
        mail = next;
        delivered++;
    }
    return delivered;
}
