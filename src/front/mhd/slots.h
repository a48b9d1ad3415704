/*
 * Where libmicrohttpd's pools stand.
 *
 * MHD maps POOL_BYTES for each connection and unmaps them at its end: with a connection a request that, and the faults
 * of pages that are new each time, is a fifth of its cost.  MHD calls mmap() and munmap() through the dynamic linker,
 * where the program's own come first: they hand out slots of one mapping of the thread's, and take them back.  What
 * a slot held is cleared then, since it may hold a credential and since a mapping begins with zeros.  Beyond SLOTS
 * connections, on other threads, or in a sanitizer's build it is as MHD has it.
 *
 * Worker's thread.
 */
#ifndef WEIR_FRONT_MHD_SLOTS_H
#define WEIR_FRONT_MHD_SLOTS_H

/* On others mmap() is not one system call. */
#if defined WEIR_OWN_MEMSET && defined WEIR_MHD_TRICKS && (defined __x86_64__ || defined __aarch64__)
#define SLOTS_ARE_OWN
#endif

enum {
    SLOTS = 256,
    SLOTS_WARM = 32 /* of those nobody has, so many keep their pages */
};

/* Of this thread, before its first connection. */
void slots_open(void);
/* After its last one. */
void slots_close(void);

#endif
