/* For tests of the store: changes that are waited for, bodies that can be told apart.  One thread. */
#ifndef WEIR_TEST_STORE_SUPPORT_H
#define WEIR_TEST_STORE_SUPPORT_H

#include "store/state.h"
#include "store/store.h"

/* A store of a test's own, which must open; the note may be NULL. */
struct store *open_store(const char *path, uint64_t max_bytes);
/* Submits and waits for the answer; change->ok. Fails the test where none comes within 20 s. */
bool do_change(struct store *, struct store_change *);
bool do_state(struct store *, struct state_change *);

/* A PUT of key number `n`, variant `v`, whose tag is n / 100: hash, full key, fields, and times that grow with n + v.
 * The body is the caller's. Its text is in the arena. */
struct store_change make_put(struct arena *, unsigned n, unsigned v, struct spool *body);
void                make_hash(uint8_t out[STORE_HASH_BYTES], const char *kind, unsigned n);
struct slice        make_full_key(struct arena *, unsigned n);
/* make_put(), done: a body of `bytes`, whose content follows from n. */
bool put_record(struct store *, unsigned n, unsigned v, int64_t bytes);
/* Keys [from, to), all submitted before the first answer is waited for; true where all were stored. */
bool put_records(struct store *, unsigned from, unsigned to, int64_t bytes);
/* The same with variants [from, to) of one key. */
bool put_variants(struct store *, unsigned n, unsigned from, unsigned to, int64_t bytes);
/* Submits `count` changes, and one that is urgent so that nobody waits for a group, and waits for all answers;
 * true where all are ok. */
bool          do_changes(struct store *, struct store_change *, unsigned count);
struct spool *make_body(int directory_fd, unsigned seed, int64_t bytes);
/* The content a body of make_body() has at that offset. */
unsigned char body_byte(unsigned seed, int64_t offset);

/* Looks up key n; true where there is a record and its head and body are what put_record() wrote. *out may be NULL. */
bool              has_record(struct store *, struct store_reader *, unsigned n, unsigned v, int64_t bytes);
enum store_result look_up(struct store_reader *, unsigned n, struct store_record *out);

/* -- a store in a directory of its own, for cmocka's setup and teardown -- */

struct fixture {
    char                *directory;
    struct store        *store;
    struct store_reader *reader;
};

int  setup(void **state);
int  teardown(void **state);
void fixture_open(struct fixture *);
void fixture_close(struct fixture *);
void fixture_reopen(struct fixture *);
/* A path in its directory; valid until the next call. */
const char *below(const struct fixture *, const char *name);
bool        is_hit(struct fixture *, unsigned n);
/* 300 records: 0 to 299, tags 0 to 2; every tenth has a body file. */
void     put_300(struct fixture *);
unsigned files_in_bodies(const struct fixture *);

#endif
