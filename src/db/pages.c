/*
 * See pages.h.  A walk goes down from the two trees that the newest meta page
 * names: that of the free pages and that of the tables, whose entries are trees
 * themselves.  A check ends at the first thing that is wrong; salvaging steps over it.
 */
#include "db/pages.h"

#include "base/arena.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HEAD_BYTES = 16,
    NODE_BYTES = 8,
    DEEPEST = 24,
    LARGEST_PAGE = 32768,
    KEY_MOST = 511,
    BRANCH = 1,
    LEAF = 2,
    OVERFLOW = 4,
    META = 8,
    DIRTY = 0x10,
    BIG_DATA = 1,
    SUB_DATA = 2,
    INTEGER_KEYS = 8,
    VALUE_MOST = 256 * 1024 * 1024
};
#define MAGIC   0xBEEFC0DEu
#define NO_PAGE UINT64_MAX

struct page_head {
    uint64_t number;
    uint16_t pad, flags, lower, upper;
}; /* an overflow page: `lower` and
                                                                                 * `upper` are how many */
struct node_head {
    uint16_t low, high, flags, key_bytes;
};
struct pages_tree {
    uint32_t pad;
    uint16_t flags, depth;
    uint64_t branches, leaves, overflows, entries, root;
};
struct meta {
    uint32_t          magic, version;
    uint64_t          address, map_bytes;
    struct pages_tree trees[2]; /* of the free pages (its pad: bytes of a page), of the tables */
    uint64_t          last_page, transaction;
};

_Static_assert(sizeof(struct page_head) == HEAD_BYTES && sizeof(struct node_head) == NODE_BYTES, "as LMDB has them");
_Static_assert(sizeof(struct pages_tree) == 48 && sizeof(struct meta) == 136, "as LMDB has them");

struct pages_walk {
    int               fd;
    uint32_t          page_bytes;
    uint64_t          pages; /* in use: numbers below it */
    uint64_t          transaction;
    uint8_t          *seen;      /* a bit for each page */
    bool              is_strict; /* false: salvaging, which steps over what is wrong */
    struct fault     *why;
    struct pages_tree found; /* counted in the tree that is walked */
    bool              is_free_list;
    const char       *wanted; /* salvaging: the table */
    bool              is_wanted;
    pages_row        *each;
    void             *context;
};

struct range {
    struct slice from, to;
}; /* keys: ptr NULL: no bound */

struct pages_node {
    struct node_head head;
    struct slice     key;
    const char      *data;  /* of a leaf */
    uint64_t         bytes; /* of a leaf's data, as said */
    uint64_t         child; /* of a branch */
};

/* -- reading -- */

static bool read_at(int fd, uint64_t offset, void *out, size_t bytes)
{
    char *at = out;

    while (bytes > 0) {
        ssize_t n = pread(fd, at, bytes, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        offset += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return true;
}

static bool read_page(const struct pages_walk *w, uint64_t number, void *out, size_t bytes)
{
    return number < w->pages && read_at(w->fd, number * w->page_bytes, out, bytes);
}

static bool bad(struct pages_walk *w, uint64_t page, const char *what)
{
    if (w->is_strict)
        fault_set(w->why, "page %llu: %s", (unsigned long long)page, what);
    return false;
}

/* False where somebody has it already. */
static bool take(struct pages_walk *w, uint64_t number, uint64_t count)
{
    if (number < 2 || number >= w->pages || count > w->pages - number)
        return bad(w, number, "it does not exist");
    for (uint64_t i = number; i < number + count; i++) {
        if ((w->seen[i / 8] & 1 << i % 8) != 0) /* salvaging: a ring ends here */
            return bad(w, i, "two have it");
        w->seen[i / 8] |= (uint8_t)(1 << i % 8);
    }
    return true;
}

/* -- the meta pages -- */

static bool is_page_size(uint32_t bytes)
{
    return bytes >= 512 && bytes <= LARGEST_PAGE && (bytes & (bytes - 1)) == 0;
}

static bool meta_is_right(const struct page_head *head, const struct meta *m, uint64_t number)
{
    return head->number == number && (head->flags & META) != 0 && m->magic == MAGIC && m->version == 1 &&
           is_page_size(m->trees[0].pad) && m->trees[0].flags == INTEGER_KEYS && m->trees[1].flags == 0 &&
           m->last_page >= 1;
}

/* The newer of the two, as LMDB takes it; false where it is of no use.  Salvaging (`both` false) the older one will
 * do where the newer is damaged. */
static bool read_meta(int fd, bool both, struct meta *out, struct fault *why)
{
    struct {
        struct page_head head;
        struct meta      meta;
    } page[2];
    struct stat st;
    bool        right[2];
    int         newer;
    uint64_t    second;

    if (fstat(fd, &st) != 0 || !read_at(fd, 0, &page[0], sizeof page[0])) {
        fault_set(why, "it is too short");
        return false;
    }
    second = is_page_size(page[0].meta.trees[0].pad) ? page[0].meta.trees[0].pad : (uint64_t)sysconf(_SC_PAGESIZE);
    if (!read_at(fd, second, &page[1], sizeof page[1])) {
        fault_set(why, "it is too short");
        return false;
    }
    for (int i = 0; i < 2; i++)
        right[i] = meta_is_right(&page[i].head, &page[i].meta, (uint64_t)i);
    newer = page[0].meta.transaction < page[1].meta.transaction;
    if (!right[newer] && !both)
        newer = !newer;
    if (!right[newer] || (both && (!right[!newer] || page[0].meta.trees[0].pad != page[1].meta.trees[0].pad))) {
        fault_set(why, "a meta page is damaged");
        return false;
    }
    *out = page[newer].meta;
    if (out->last_page < (uint64_t)st.st_size / out->trees[0].pad)
        return true;
    fault_set(why, "the file is shorter (%llu bytes) than its own list of pages", (unsigned long long)st.st_size);
    out->last_page = (uint64_t)st.st_size / out->trees[0].pad - 1; /* what there is can be salvaged */
    return !both;
}

/* -- nodes -- */

static uint64_t pages_of_value(const struct pages_walk *w, uint64_t bytes)
{
    return (HEAD_BYTES - 1 + bytes) / w->page_bytes + 1;
}

/* The bounds of all that it says are looked at here. */
static bool read_node(const struct pages_walk *w, const char *page, const struct page_head *head, unsigned index,
                      struct pages_node *out)
{
    uint16_t offset;
    size_t   room;

    memcpy(&offset, page + HEAD_BYTES + index * sizeof offset, sizeof offset);
    if (offset < head->upper || offset % 2 != 0 || offset > w->page_bytes - NODE_BYTES)
        return false;
    memcpy(&out->head, page + offset, NODE_BYTES);
    room = w->page_bytes - offset - NODE_BYTES;
    if (out->head.key_bytes > room || out->head.key_bytes > KEY_MOST)
        return false;
    out->key = (struct slice){ page + offset + NODE_BYTES, out->head.key_bytes };
    out->data = out->key.ptr + out->key.len;
    out->bytes = (uint64_t)out->head.low | (uint64_t)out->head.high << 16;
    out->child = out->bytes | (uint64_t)out->head.flags << 32;
    if ((head->flags & BRANCH) != 0)
        return true;
    room -= out->key.len;
    return (out->head.flags & BIG_DATA) != 0 ? room >= sizeof(uint64_t) : out->bytes <= room;
}

static size_t node_size(const struct page_head *head, const struct pages_node *n)
{
    size_t bytes = NODE_BYTES + n->key.len;

    if ((head->flags & LEAF) != 0)
        bytes += (n->head.flags & BIG_DATA) != 0 ? sizeof(uint64_t) : n->bytes;
    return (bytes + 1) / 2 * 2;
}

static int compare_words(const void *a, const void *b)
{
    const uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return left < right ? -1 : left > right;
}

/* Nodes stand one after the other up to the page's end. */
static bool nodes_fill(const struct pages_walk *w, const char *page, const struct page_head *head, unsigned count)
{
    uint32_t         *places = mem_alloc_raw(count * sizeof *places);
    uint32_t          at = head->upper;
    struct pages_node n;
    bool              right = true;

    for (unsigned i = 0; right && i < count; i++) {
        uint16_t offset;

        memcpy(&offset, page + HEAD_BYTES + i * sizeof offset, sizeof offset);
        right = read_node(w, page, head, i, &n);
        places[i] = right ? (uint32_t)offset << 16 | (uint32_t)node_size(head, &n) : 0;
    }
    qsort(places, count, sizeof *places, compare_words);
    for (unsigned i = 0; right && i < count; i++) {
        right = places[i] >> 16 == at;
        at += places[i] & 0xffff;
    }
    free(places);
    return right && at == w->page_bytes;
}

/* As LMDB compares them. */
static int compare_keys(const struct pages_walk *w, struct slice a, struct slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int    order;

    if (w->is_free_list && common == sizeof(uint64_t)) {
        uint64_t left, right;

        memcpy(&left, a.ptr, sizeof left);
        memcpy(&right, b.ptr, sizeof right);
        return left < right ? -1 : left > right;
    }
    order = common > 0 ? memcmp(a.ptr, b.ptr, common) : 0;
    return order != 0 ? order : a.len < b.len ? -1 : a.len > b.len;
}

static bool is_within(const struct pages_walk *w, struct slice key, const struct range *r)
{
    return (r->from.ptr == NULL || compare_keys(w, key, r->from) >= 0) &&
           (r->to.ptr == NULL || compare_keys(w, key, r->to) < 0);
}

/* -- values -- */

/* A large value's pages; salvaging: its bytes too, malloc'd. */
static bool read_large(struct pages_walk *w, const struct pages_node *n, bool wants_bytes, char **out)
{
    struct page_head head;
    uint64_t         first;
    uint64_t         count;

    memcpy(&first, n->data, sizeof first);
    if (!read_page(w, first, &head, sizeof head))
        return bad(w, first, "it cannot be read");
    count = (uint64_t)head.lower | (uint64_t)head.upper << 16;
    if (head.number != first || (head.flags & ~DIRTY) != OVERFLOW || count < pages_of_value(w, n->bytes))
        return bad(w, first, "it is no large value's");
    if (!take(w, first, count))
        return false;
    w->found.overflows += count;
    if (!wants_bytes || n->bytes > VALUE_MOST)
        return !wants_bytes;
    *out = mem_alloc_raw(n->bytes + 1);
    if (read_at(w->fd, first * w->page_bytes + HEAD_BYTES, *out, n->bytes))
        return true;
    free(*out);
    *out = NULL;
    return bad(w, first, "it cannot be read");
}

/* Which pages a transaction freed: a count and their numbers, from high to low. */
static bool check_freed(struct pages_walk *w, uint64_t page, struct slice key, const char *data, uint64_t bytes)
{
    uint64_t by, count, number, last = NO_PAGE;

    if (key.len != sizeof by || bytes < sizeof count)
        return bad(w, page, "it is no list of free pages");
    memcpy(&by, key.ptr, sizeof by);
    memcpy(&count, data, sizeof count);
    if (by == 0 || by > w->transaction || count > bytes / sizeof count - 1)
        return bad(w, page, "its list of free pages is wrong");
    for (uint64_t i = 1; i <= count; i++, last = number) {
        memcpy(&number, data + i * sizeof number, sizeof number);
        if (number >= last)
            return bad(w, page, "its list of free pages is not in order");
        if (!take(w, number, 1))
            return false;
    }
    return true;
}

static bool walk_tree(struct pages_walk *w, const struct pages_tree *t); /* of rows */

static bool walk_table(struct pages_walk *w, uint64_t page, const struct pages_node *n)
{
    const struct pages_tree outer = w->found;
    struct pages_tree       inner;
    bool                    right;

    if (n->head.flags != SUB_DATA || n->bytes != sizeof inner)
        return bad(w, page, "it holds what is no table");
    memcpy(&inner, n->data, sizeof inner);
    w->is_wanted = w->wanted != NULL && slice_eq(n->key, slice_of(w->wanted));
    if (inner.flags != 0)
        return bad(w, page, "a table is of another kind");
    right = !w->is_strict && !w->is_wanted ? true : walk_tree(w, &inner);
    w->is_wanted = false;
    w->found = outer;
    return right;
}

enum level { OF_TABLES, OF_ROWS };

static bool walk_value(struct pages_walk *w, enum level level, uint64_t page, const struct pages_node *n)
{
    const bool wants = w->is_free_list || w->is_wanted;
    char      *large = NULL;
    bool       right;

    if (level == OF_TABLES)
        return walk_table(w, page, n);
    if ((n->head.flags & ~BIG_DATA) != 0)
        return bad(w, page, "a value is of another kind");
    if ((n->head.flags & BIG_DATA) != 0 && !read_large(w, n, wants, &large))
        return false;
    right = !w->is_free_list || check_freed(w, page, n->key, large != NULL ? large : n->data, n->bytes);
    if (w->is_wanted)
        w->each(w->context, n->key, (struct slice){ large != NULL ? large : n->data, n->bytes });
    free(large);
    return right;
}

/* -- pages -- */

static bool walk_page(struct pages_walk *w, enum level level, uint64_t number, unsigned depth_left, struct range range);

/* Salvaging goes on with the next where one is bad. */
static bool walk_nodes(struct pages_walk *w, enum level level, uint64_t number, const char *page,
                       const struct page_head *head, unsigned count, unsigned depth_left, const struct range *range)
{
    const bool        is_leaf = (head->flags & LEAF) != 0;
    struct pages_node n, next;

    for (unsigned i = 0; i < count; i++) {
        const bool   has_next = i + 1 < count && read_node(w, page, head, i + 1, &next);
        struct range below = { .to = has_next ? next.key : range->to };
        bool         right = read_node(w, page, head, i, &n);

        if (!right)
            right = bad(w, number, "a node does not fit");
        else if ((is_leaf || i > 0) && w->is_strict &&
                 (!is_within(w, n.key, range) || (has_next && compare_keys(w, n.key, next.key) >= 0)))
            right = bad(w, number, "its keys are not in order");
        else if (is_leaf)
            right = walk_value(w, level, number, &n);
        else {
            below.from = i > 0 ? n.key : range->from;
            right = walk_page(w, level, n.child, depth_left - 1, below);
        }
        if (!right && w->is_strict)
            return false;
        w->found.entries += is_leaf;
    }
    return true;
}

static bool walk_page(struct pages_walk *w, enum level level, uint64_t number, unsigned depth_left, struct range range)
{
    const unsigned   kind = depth_left == 1 ? LEAF : BRANCH;
    struct page_head head;
    unsigned         count;
    char            *page;
    bool             right;

    if (!take(w, number, 1))
        return false;
    page = mem_alloc_raw(w->page_bytes);
    if (!read_page(w, number, page, w->page_bytes)) {
        free(page);
        return bad(w, number, "it cannot be read");
    }
    memcpy(&head, page, sizeof head);
    count = head.lower >= HEAD_BYTES ? (unsigned)(head.lower - HEAD_BYTES) / 2 : 0;
    if (head.number != number || (head.flags & ~DIRTY) != kind)
        right = bad(w, number, kind == LEAF ? "it is no leaf" : "it is no branch");
    else if (head.lower % 2 != 0 || head.lower > head.upper || head.upper > w->page_bytes ||
             count < (kind == BRANCH && !w->is_free_list ? 2u : 1u))
        right = bad(w, number, "its head is wrong");
    else if (w->is_strict && !nodes_fill(w, page, &head, count))
        right = bad(w, number, "its nodes are not where they belong");
    else
        right = walk_nodes(w, level, number, page, &head, count, depth_left, &range);
    w->found.leaves += kind == LEAF;
    w->found.branches += kind == BRANCH;
    free(page);
    return right;
}

static bool walk_tree_of(struct pages_walk *w, enum level level, const struct pages_tree *t)
{
    w->found = (struct pages_tree){ 0 };
    if (t->root == NO_PAGE)
        return t->entries == 0 || bad(w, 0, "a tree has no root");
    if (t->depth == 0 || t->depth > DEEPEST)
        return bad(w, t->root, "its tree is too deep");
    if (!walk_page(w, level, t->root, t->depth, (struct range){ SLICE_NONE, SLICE_NONE }))
        return false;
    if (w->is_strict && (w->found.entries != t->entries || w->found.leaves != t->leaves ||
                         w->found.branches != t->branches || w->found.overflows != t->overflows))
        return bad(w, t->root, "its tree has not what it says");
    return true;
}

static bool walk_tree(struct pages_walk *w, const struct pages_tree *t)
{
    return walk_tree_of(w, OF_ROWS, t);
}

/* -- questions -- */

static struct pages_walk walk_begin(int fd, const struct meta *m)
{
    return (struct pages_walk){ .fd = fd,
                                .page_bytes = m->trees[0].pad,
                                .pages = m->last_page + 1,
                                .transaction = m->transaction,
                                .seen = mem_alloc((size_t)(m->last_page / 8 + 1)) };
}

bool pages_are_sound(int fd, struct fault *why)
{
    struct stat       st;
    struct meta       m;
    struct pages_walk w;
    bool              right;

    if (fstat(fd, &st) == 0 && st.st_size == 0)
        return true;
    if (!read_meta(fd, true, &m, why))
        return false;
    w = walk_begin(fd, &m);
    w.why = why;
    w.is_strict = true;
    w.is_free_list = true;
    right = walk_tree_of(&w, OF_ROWS, &m.trees[0]);
    w.is_free_list = false;
    right = right && walk_tree_of(&w, OF_TABLES, &m.trees[1]);
    free(w.seen);
    return right;
}

uint64_t pages_bytes_in_use(int fd)
{
    struct fault unused;
    struct meta  m;

    return read_meta(fd, false, &m, &unused) ? (m.last_page + 1) * m.trees[0].pad : 0;
}

void pages_salvage(int fd, const char *table, pages_row *each, void *context)
{
    struct fault      unused;
    struct meta       m;
    struct pages_walk w;

    if (!read_meta(fd, false, &m, &unused))
        return;
    w = walk_begin(fd, &m);
    w.wanted = table;
    w.each = each;
    w.context = context;
    (void)walk_tree_of(&w, OF_TABLES, &m.trees[1]);
    free(w.seen);
}
