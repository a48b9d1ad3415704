/*
 * To wait for descriptors, and no longer than so many nanoseconds.
 *
 * epoll_wait() and poll() count milliseconds: what is due in 0.2 ms would come after a whole one, and a limit
 * of a thousand a second then be used to five sixths.  No wait ends before its time, so who asks
 * again at the end finds that it has come.  Any thread.
 */
#ifndef WEIR_BASE_WAIT_H
#define WEIR_BASE_WAIT_H

#include <stdint.h>

struct epoll_event;
struct pollfd;

#define WAIT_FOR_EVER INT64_C(-1) /* and whatever is below 0 */

/* As epoll_wait(). */
int wait_epoll(int epoll_fd, struct epoll_event *, int most, int64_t ns);
/* As poll(). */
int wait_poll(struct pollfd *, unsigned count, int64_t ns);
/* This thread's waits are not made longer to end together with others': the kernel takes 50 us for that. */
void wait_exactly(void);

#endif
