/*
 * What the parts of the loader share while a configuration is read: memory,
 * problems, and how a setting of libconfig's tree is named in a message.
 * One thread.
 */
#ifndef WEIR_CONFIG_READER_H
#define WEIR_CONFIG_READER_H

#include "config/problems.h"
#include "config/settings.h"

struct reader {
    struct arena    *arena; /* the snapshot's: what is read stays there */
    struct problems *problems;
};

struct source_place reader_place(const struct config_setting_t *);
/* The setting `name` of a group, or the group itself where it has none. */
const struct config_setting_t *reader_member(const struct config_setting_t *group, const char *name);
/* A problem with a setting, or with what its group should have and does not (`member`, may be
 * NULL). */
void reader_error(struct reader *, const struct config_setting_t *, const char *member, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void reader_warning(struct reader *, const struct config_setting_t *, const char *member, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* -- what is read (groups.c) -- */

/* Fills the struct at `base` with the section's defaults. */
void reader_defaults(struct reader *, const struct section *, void *base);
/* Reads the group over what stands at `base`. */
void reader_group(struct reader *, const struct section *, const struct config_setting_t *group, void *base);
/* Reads a list of groups after those that are there already. */
void reader_groups(struct reader *, const struct option *, const struct config_setting_t *list, const void *parent,
                   struct group_list *out);

/* The structs that a room uses out of a list's items, one after the other. */
#define GROUPS_TAKE(arena, list, type) \
    groups_take((arena), (list), sizeof(type), offsetof(type, to), sizeof(((type *)NULL)->to))
void *groups_take(struct arena *, const struct group_list *, size_t item_bytes, size_t at, size_t bytes);

/* The settings' values: one per option type (values.c). */
struct value_type {
    const char *wanted; /* "a duration in quotes, such as \"30s\", or \"forever\"" */
    /* False and a problem where the setting is not of this type. */
    bool (*parse)(struct reader *, const struct config_setting_t *, const struct option *, void *field);
    /* False where it is not set. */
    bool (*print)(FILE *, const struct option *, const void *field);
    unsigned char not_set; /* what the bytes of a field are that is not set */
};
extern const struct value_type value_types[TYPE_COUNT];

/* "30s", "forever" and "2GiB" in a buffer of at least 32 bytes. */
const char *units_duration(int64_t ns, char *buffer);
const char *units_size(int64_t bytes, char *buffer);
/* "2GiB" and its kin; false for anything else. */
bool units_parse_size(const char *text, int64_t *bytes);

#endif
