/*
 * Files in larger pieces than libmicrohttpd sends them.
 *
 * MHD 0.9.75 hands the kernel 128 KiB of a file at a time, so that one fast client does not hold up the rest, and no
 * option says otherwise.  Each piece is a round of the worker and a wake-up of the reader; twice as much is as fair.
 * MHD calls the C library's sendfile64() through the dynamic linker, where the
 * program's own comes first: it is the one below, and it goes on after the piece as
 * far as the response does.  Linked in another way, MHD would find the C library's, and all
 * works as it did.  Worker's thread.
 */
#ifndef WEIR_FRONT_MHD_SENDFILE_H
#define WEIR_FRONT_MHD_SENDFILE_H

#include <stdint.h>

/* Pieces of `fd` that this thread sends may be longer, up to this offset of the file: where its response ends. */
void sendfile_until(int fd, int64_t end);

#endif
