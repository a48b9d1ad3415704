/*
 * Mailboxes between threads, and the reference counts that travel in mail.
 */
#include "base/mailbox.h"

#include "base/ref.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <cmocka.h>

enum { SENDERS = 4, MAILS = 2000 };

struct note {
    struct mail mail;
    int         sender;
    int         number;
};

static int  next_number[SENDERS];
static bool in_order;

static void receive_note(struct mail *mail)
{
    struct note *note = CONTAINER_OF(mail, struct note, mail);

    if (note->number != next_number[note->sender]++)
        in_order = false;
    free(note);
}

static struct note *make_note(int sender, int number)
{
    struct note *note = calloc(1, sizeof *note);

    if (note == NULL)
        abort();
    *note = (struct note){ { NULL, receive_note }, sender, number };
    return note;
}

static bool is_readable(const struct mailbox *box, int wait_ms)
{
    struct pollfd p = { mailbox_fd(box), POLLIN, 0 };

    return poll(&p, 1, wait_ms) == 1;
}

struct sending {
    struct mailbox *box;
    int             sender;
};

static void *send_notes(void *argument)
{
    struct sending *s = argument;

    for (int i = 0; i < MAILS; i++)
        mailbox_post(s->box, &make_note(s->sender, i)->mail);
    return NULL;
}

static void test_all_mail_arrives_in_the_order_of_its_sender(void **state)
{
    struct mailbox *box = mailbox_open();
    struct sending  sendings[SENDERS];
    pthread_t       threads[SENDERS];
    unsigned        arrived = 0;

    (void)state;
    assert_non_null(box);
    in_order = true;
    for (int i = 0; i < SENDERS; i++) {
        next_number[i] = 0;
        sendings[i] = (struct sending){ box, i };
        assert_int_equal(pthread_create(&threads[i], NULL, send_notes, &sendings[i]), 0);
    }
    while (arrived < SENDERS * MAILS) {
        if (!is_readable(box, 30000))
            fail_msg("mail lies in the box and nobody is woken");
        arrived += mailbox_deliver(box);
    }
    for (int i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(arrived, SENDERS * MAILS);
    assert_true(in_order);
    mailbox_close(box);
}

static void test_descriptor_is_readable_while_there_is_mail(void **state)
{
    struct mailbox *box = mailbox_open();

    (void)state;
    next_number[0] = 0;
    assert_false(is_readable(box, 0));
    mailbox_post(box, &make_note(0, 0)->mail);
    mailbox_post(box, &make_note(0, 1)->mail);
    assert_true(is_readable(box, 0));
    assert_int_equal(mailbox_deliver(box), 2);
    assert_false(is_readable(box, 0));
    assert_int_equal(mailbox_deliver(box), 0);
    mailbox_close(box);
    mailbox_close(NULL);
}

static void test_quiet_mail_wakes_nobody_and_comes_in_its_turn(void **state)
{
    struct mailbox *box = mailbox_open();

    (void)state;
    next_number[0] = 0;
    in_order = true;
    mailbox_post_quietly(box, &make_note(0, 0)->mail);
    assert_false(is_readable(box, 0));
    mailbox_post(box, &make_note(0, 1)->mail); /* though the box was not empty */
    assert_true(is_readable(box, 0));
    mailbox_post_quietly(box, &make_note(0, 2)->mail);
    assert_int_equal(mailbox_deliver(box), 3);
    assert_false(is_readable(box, 0));
    mailbox_post_quietly(box, &make_note(0, 3)->mail);
    assert_int_equal(mailbox_deliver(box), 1);
    assert_true(in_order);
    mailbox_close(box);
}

struct again {
    struct mail     mail;
    struct mailbox *box;
    int             left;
};

static void post_again(struct mail *mail)
{
    struct again *again = CONTAINER_OF(mail, struct again, mail);

    if (--again->left > 0)
        mailbox_post(again->box, mail);
}

static void test_mail_posted_by_a_receiver_waits_for_the_next_delivery(void **state)
{
    struct again again = { { NULL, post_again }, mailbox_open(), 3 };

    (void)state;
    mailbox_post(again.box, &again.mail);
    for (int round = 0; round < 3; round++) {
        assert_true(is_readable(again.box, 0));
        assert_int_equal(mailbox_deliver(again.box), 1);
    }
    assert_int_equal(again.left, 0);
    assert_false(is_readable(again.box, 0));
    mailbox_close(again.box);
}

struct counted {
    struct ref ref;
    int        destroyed;
};

static void count_destroyed(struct ref *r)
{
    CONTAINER_OF(r, struct counted, ref)->destroyed++;
}

static void test_last_release_destroys_once(void **state)
{
    struct counted c = { .destroyed = 0 };

    (void)state;
    ref_init(&c.ref, count_destroyed);
    ref_acquire(&c.ref);
    ref_release(&c.ref);
    assert_int_equal(c.destroyed, 0);
    ref_release(&c.ref);
    assert_int_equal(c.destroyed, 1);
    ref_release(NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_mail_arrives_in_the_order_of_its_sender),
        cmocka_unit_test(test_descriptor_is_readable_while_there_is_mail),
        cmocka_unit_test(test_quiet_mail_wakes_nobody_and_comes_in_its_turn),
        cmocka_unit_test(test_mail_posted_by_a_receiver_waits_for_the_next_delivery),
        cmocka_unit_test(test_last_release_destroys_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
