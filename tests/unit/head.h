/*
 * Header fields from a text, one "Name: value" a line, for tables of cases.
 * Each value stands in memory of its own that ends with it (see property.h).
 */
#ifndef WEIR_TESTS_UNIT_HEAD_H
#define WEIR_TESTS_UNIT_HEAD_H

#include "http/fields.h"

struct head {
    struct arena       arena;
    struct http_fields fields;
};

struct head head_of(const char *lines);
void        head_free(struct head *h);

#endif
