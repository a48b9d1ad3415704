/*
 * What APIs say in the tests of one attempt.
 */
#ifndef WEIR_TEST_UPSTREAM_RIG_H
#define WEIR_TEST_UPSTREAM_RIG_H

#include "rig.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#define OK_HEAD "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"

/* Says a fixed text to every request. */
static inline void say_text(struct talk *t, const void *text)
{
    talk_say(t, text);
}

/* Says the n-th text of a NULL-ended list to the n-th request, the last one to all further ones;
 * a text that begins with '!' is followed by hanging up, "!reset" by a reset. */
static inline void say_in_turn(struct talk *t, const void *texts)
{
    const char *const *list = texts;
    const char        *text = list[0];

    for (unsigned i = 0; i < talk_number(t) && list[i + 1] != NULL; i++)
        text = list[i + 1];
    if (strcmp(text, "!reset") == 0) {
        talk_reset(t);
    } else if (text[0] == '!') {
        talk_say(t, text + 1);
        talk_hang_up(t);
    } else {
        talk_say(t, text);
    }
}

static inline bool starts_with(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static const unsigned listed[] __attribute__((unused)) = { 429, 503 }; /* of retry.on */

static inline void swallow_nothing(struct talk *t, const void *context)
{
    (void)context;
    talk_wait(t);
    talk_hang_up(t);
}
#define HELLO OK_HEAD "Content-Length: 5\r\n\r\nhello"
#define SORRY "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"

#endif
