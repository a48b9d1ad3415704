/* The list of what is stored, for who has read by himself which entries are meant. */
#ifndef WEIR_ADMIN_ENTRIES_H
#define WEIR_ADMIN_ENTRIES_H

#include "admin/meant.h"

/* Answers with all of them, as /entries does. Takes the meant over. */
void entries_list(struct admin_call *, struct meant *);

#endif
