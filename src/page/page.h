/*
 * The files of the page at admin.listen, which are a part of the program.
 *
 * page.def names them, the assembler takes them in as they are.  Constant; any thread.
 */
#ifndef WEIR_PAGE_PAGE_H
#define WEIR_PAGE_PAGE_H

#include "base/slice.h"

enum { PAGE_TAG_BYTES = 36 };

struct page_file {
    const char *path, *type;
    const char *begin, *end;         /* its bytes */
    char        tag[PAGE_TAG_BYTES]; /* a strong entity tag (RFC 9110 8.8.3), of what the bytes are */
};

/* The file at a path; NULL: none is there. */
const struct page_file *page_find(struct slice path);

#endif
