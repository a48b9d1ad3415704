/*
 * Globs: a recursive reader that emits the program, the machine that runs
 * it, and a comparison of two programs for the warning about hidden rules.
 */
#include "route/glob.h"

#include "base/arena.h"
#include "route/program.h"

#include <stdlib.h>

enum { SET_WORDS = GLOB_MAX_OPS / 64, MAX_DEPTH = 16 };

/* ---- reading ---- */

struct glob_reader {
    struct slice  text;
    size_t        at;
    size_t        offset;
    bool          segments;
    unsigned      depth;
    unsigned      count;
    struct fault *why;
    bool          failed;
    struct op     ops[GLOB_MAX_OPS];
};

static void refuse(struct glob_reader *r, size_t at, const char *what)
{
    if (!r->failed)
        fault_set(r->why, "character %zu: %s", r->offset + at + 1, what);
    r->failed = true;
}

static unsigned emit(struct glob_reader *r, enum opcode code, char byte)
{
    if (r->count == GLOB_MAX_OPS) {
        refuse(r, r->at, "the pattern is too long");
        return 0;
    }
    r->ops[r->count] = (struct op){ .code = (uint8_t)code, .byte = byte };
    return r->count++;
}

/* Zero or more of the byte class `code`. */
static void emit_loop(struct glob_reader *r, enum opcode code)
{
    unsigned split = emit(r, OP_SPLIT, 0);
    unsigned jump;

    emit(r, code, 0);
    jump = emit(r, OP_JUMP, 0);
    r->ops[jump].a = (uint16_t)split;
    r->ops[split].a = (uint16_t)(split + 1);
    r->ops[split].b = (uint16_t)r->count;
}

static bool at_end_of_sequence(const struct glob_reader *r, size_t at)
{
    return at == r->text.len || (r->depth > 0 && (r->text.ptr[at] == ',' || r->text.ptr[at] == '}'));
}

static void emit_any(struct glob_reader *r)
{
    if (r->at == r->text.len) /* nothing can follow */
        emit(r, OP_REST, 0);
    else
        emit_loop(r, OP_ANY_BYTE);
}

/* A slash and two stars: alone at the end they stand for nothing or for "/" and all below;
 * between slashes for any number of segments. */
static void read_slash_any(struct glob_reader *r)
{
    unsigned split;

    r->at += 3;
    while (r->at < r->text.len && r->text.ptr[r->at] == '*')
        r->at++;
    if (at_end_of_sequence(r, r->at)) {
        split = emit(r, OP_SPLIT, 0);
        emit(r, OP_BYTE, '/');
        emit_any(r);
    } else if (r->text.ptr[r->at] == '/') {
        r->at++;
        emit(r, OP_BYTE, '/');
        split = emit(r, OP_SPLIT, 0);
        emit_loop(r, OP_ANY_BYTE);
        emit(r, OP_BYTE, '/');
    } else {
        emit(r, OP_BYTE, '/');
        emit_any(r);
        return;
    }
    r->ops[split].a = (uint16_t)(split + 1);
    r->ops[split].b = (uint16_t)r->count;
}

static void read_star(struct glob_reader *r)
{
    size_t from = r->at;

    while (r->at < r->text.len && r->text.ptr[r->at] == '*')
        r->at++;
    if (r->at - from > 1 || !r->segments)
        emit_any(r);
    else
        emit_loop(r, OP_SEGMENT_BYTE);
}

static void read_sequence(struct glob_reader *r);

static void read_braces(struct glob_reader *r)
{
    size_t from = r->at;
    /* the jumps to the end, chained by .a until it is known */
    unsigned first_jump = 0, last_jump = 0;
    bool     more = true;

    if (++r->depth > MAX_DEPTH)
        refuse(r, from, "braces are nested too deep");
    while (more && !r->failed) {
        unsigned split, jump;

        r->at++; /* '{' or ',' */
        split = emit(r, OP_SPLIT, 0);
        r->ops[split].a = (uint16_t)r->count;
        read_sequence(r);
        if (r->failed)
            return;
        if (r->at == r->text.len) {
            refuse(r, from, "this brace is not closed");
            return;
        }
        more = r->text.ptr[r->at] == ',';
        jump = emit(r, OP_JUMP, 0);
        if (last_jump != 0)
            r->ops[last_jump].a = (uint16_t)jump;
        else
            first_jump = jump;
        last_jump = jump;
        /* The last alternative has no other: its split leads to itself twice. */
        r->ops[split].b = more ? (uint16_t)r->count : r->ops[split].a;
    }
    if (r->failed)
        return;
    r->depth--;
    r->at++; /* '}' */
    for (unsigned jump = first_jump;;) {
        unsigned next = r->ops[jump].a;

        r->ops[jump].a = (uint16_t)r->count;
        if (jump == last_jump)
            break;
        jump = next;
    }
}

static bool looking_at(const struct glob_reader *r, struct slice what)
{
    return slice_starts_with(slice_sub(r->text, r->at, r->text.len), what);
}

static void read_sequence(struct glob_reader *r)
{
    while (!r->failed && !at_end_of_sequence(r, r->at)) {
        char c = r->text.ptr[r->at];

        if (r->segments && looking_at(r, SLICE("/**"))) {
            read_slash_any(r);
        } else if (c == '*') {
            read_star(r);
        } else if (c == '{') {
            read_braces(r);
        } else if (c == '}') {
            refuse(r, r->at, "this brace was never opened (a literal one is written \\})");
        } else if (c == '?') {
            emit(r, r->segments ? OP_SEGMENT_BYTE : OP_ANY_BYTE, 0);
            r->at++;
        } else {
            if (c == '\\' && ++r->at == r->text.len) {
                refuse(r, r->at - 1, "a backslash needs a character after it");
                return;
            }
            emit(r, OP_BYTE, r->text.ptr[r->at]);
            r->at++;
        }
    }
}

static struct glob *glob_of_reader(const struct glob_reader *r)
{
    struct glob *g = mem_alloc(sizeof *g + r->count * sizeof r->ops[0]);

    g->op_count = r->count;
    memcpy(g->ops, r->ops, r->count * sizeof r->ops[0]);
    while (g->ops[g->prefix_length].code == OP_BYTE)
        g->prefix_length++;
    g->prefix = mem_alloc(g->prefix_length);
    for (unsigned i = 0; i < g->prefix_length; i++)
        g->prefix[i] = g->ops[i].byte;
    return g;
}

struct glob *glob_compile(struct slice text, bool segments, size_t offset, struct fault *why)
{
    struct glob_reader *r = mem_alloc(sizeof *r);
    struct glob        *g = NULL;

    r->text = text;
    r->segments = segments;
    r->offset = offset;
    r->why = why;
    read_sequence(r);
    emit(r, OP_END, 0);
    if (!r->failed)
        g = glob_of_reader(r);
    free(r);
    return g;
}

void glob_free(struct glob *g)
{
    if (g == NULL)
        return;
    free(g->prefix);
    free(g);
}

/* ---- running ---- */

struct threads { /* where the program stands: no SPLIT or JUMP among them */
    unsigned count;
    uint16_t pc[GLOB_MAX_OPS];
    uint64_t seen[SET_WORDS];
};

static void threads_clear(struct threads *t, const struct glob *g)
{
    t->count = 0;
    memset(t->seen, 0, (g->op_count + 63) / 64 * sizeof t->seen[0]);
}

static bool threads_mark(struct threads *t, unsigned pc)
{
    uint64_t bit = UINT64_C(1) << (pc % 64);

    if ((t->seen[pc / 64] & bit) != 0)
        return false;
    t->seen[pc / 64] |= bit;
    return true;
}

static void threads_add(struct threads *t, const struct glob *g, unsigned start)
{
    uint16_t stack[GLOB_MAX_OPS + 1];
    unsigned depth = 0;

    stack[depth++] = (uint16_t)start;
    while (depth > 0) {
        unsigned         pc = stack[--depth];
        const struct op *op = &g->ops[pc];

        if (!threads_mark(t, pc))
            continue;
        if (op->code == OP_SPLIT) { /* each op is expanded once and pushes two at most */
            stack[depth++] = op->b;
            stack[depth++] = op->a;
        } else if (op->code == OP_JUMP) {
            stack[depth++] = op->a;
        } else {
            t->pc[t->count++] = (uint16_t)pc;
        }
    }
}

static bool op_takes(const struct op *op, char c)
{
    switch (op->code) {
    case OP_BYTE:
        return op->byte == c;
    case OP_SEGMENT_BYTE:
        return c != '/';
    default:
        return op->code == OP_ANY_BYTE;
    }
}

static bool threads_hold(const struct threads *t, const struct glob *g, enum opcode code)
{
    for (unsigned i = 0; i < t->count; i++)
        if (g->ops[t->pc[i]].code == code)
            return true;
    return false;
}

bool glob_matches(const struct glob *g, struct slice subject)
{
    struct threads   lists[2], *now = &lists[0], *next = &lists[1];
    const struct op *op = &g->ops[g->prefix_length];

    if (subject.len < g->prefix_length ||
        memcmp(subject.ptr != NULL ? subject.ptr : "", g->prefix, g->prefix_length) != 0)
        return false;
    if (op->code == OP_REST)
        return true;
    if (op->code == OP_END)
        return subject.len == g->prefix_length;

    threads_clear(now, g);
    threads_add(now, g, g->prefix_length);
    for (size_t i = g->prefix_length; i < subject.len; i++) {
        struct threads *swap = now;

        if (threads_hold(now, g, OP_REST))
            return true;
        threads_clear(next, g);
        for (unsigned k = 0; k < now->count; k++)
            if (op_takes(&g->ops[now->pc[k]], subject.ptr[i]))
                threads_add(next, g, now->pc[k] + 1u);
        if (next->count == 0)
            return false;
        now = next;
        next = swap;
    }
    return threads_hold(now, g, OP_END) || threads_hold(now, g, OP_REST);
}

/* ---- a text that matches ---- */

size_t glob_witness(const struct glob *g, char *out)
{
    static const char anything[] = "\x01\x02\x01";
    size_t            length = 0;
    unsigned          pc = 0;

    while (g->ops[pc].code != OP_END && g->ops[pc].code != OP_REST) {
        const struct op *op = &g->ops[pc];
        bool             loops = program_loops(g, pc);

        if (op->code == OP_BYTE)
            out[length++] = op->byte;
        else if (op->code == OP_SEGMENT_BYTE || op->code == OP_ANY_BYTE)
            out[length++] = '\x01';
        if (loops) {
            memcpy(out + length, anything, 3);
            length += 3;
        }
        pc = loops ? op->b : op->code == OP_SPLIT || op->code == OP_JUMP ? op->a : pc + 1u;
    }
    return length;
}

/* ---- comparing ---- */

enum { MAX_PAIRS = 512 };

struct pair { /* `later` stands at pc while `earlier` stands at set */
    unsigned pc;
    uint64_t set[SET_WORDS];
};

struct comparison {
    const struct glob *earlier, *later;
    unsigned           count, done;
    struct pair        pairs[MAX_PAIRS];
    struct threads     scratch;
};

static bool set_has(const uint64_t *set, unsigned pc)
{
    return (set[pc / 64] >> (pc % 64) & 1) != 0;
}

static bool set_accepts(const struct glob *g, const uint64_t *set)
{
    for (unsigned pc = 0; pc < g->op_count; pc++)
        if ((g->ops[pc].code == OP_END || g->ops[pc].code == OP_REST) && set_has(set, pc))
            return true;
    return false;
}

/* Does `op` take every byte that `symbol` of the other program takes? */
static bool op_covers(const struct op *op, const struct op *symbol)
{
    switch (symbol->code) {
    case OP_BYTE:
        return op_takes(op, symbol->byte);
    case OP_SEGMENT_BYTE:
        return op->code == OP_SEGMENT_BYTE || op->code == OP_ANY_BYTE;
    default:
        return op->code == OP_ANY_BYTE;
    }
}

/* False where there are too many pairs to follow. */
static bool pair_push(struct comparison *c, unsigned pc, const uint64_t *set)
{
    struct pair p = { .pc = pc };

    memcpy(p.set, set, sizeof p.set);
    for (unsigned i = 0; i < c->count; i++)
        if (c->pairs[i].pc == pc && memcmp(c->pairs[i].set, p.set, sizeof p.set) == 0)
            return true;
    if (c->count == MAX_PAIRS)
        return false;
    c->pairs[c->count++] = p;
    return true;
}

/* `earlier` moves over `symbol`; the pair goes on at `pc`. A thread that stands at OP_REST stays
 * there. */
static bool pair_advance(struct comparison *c, const uint64_t *set, const struct op *symbol, unsigned pc)
{
    const struct glob *g = c->earlier;

    memset(c->scratch.seen, 0, sizeof c->scratch.seen);
    c->scratch.count = 0;
    for (unsigned i = 0; i < g->op_count; i++) {
        if (!set_has(set, i))
            continue;
        if (g->ops[i].code == OP_REST)
            threads_add(&c->scratch, g, i);
        else if (op_covers(&g->ops[i], symbol))
            threads_add(&c->scratch, g, i + 1);
    }
    return c->scratch.count > 0 && pair_push(c, pc, c->scratch.seen);
}

static bool pair_follow(struct comparison *c, struct pair p)
{
    const struct op *op = &c->later->ops[p.pc];

    switch (op->code) {
    case OP_END:
        return set_accepts(c->earlier, p.set);
    case OP_REST:
        return set_accepts(c->earlier, p.set) && pair_advance(c, p.set, op, p.pc);
    case OP_SPLIT:
        return pair_push(c, op->a, p.set) && pair_push(c, op->b, p.set);
    case OP_JUMP:
        return pair_push(c, op->a, p.set);
    default:
        return pair_advance(c, p.set, op, p.pc + 1);
    }
}

bool glob_hides_within(const struct glob *earlier, const struct glob *later, int64_t *work)
{
    struct comparison *c = mem_alloc_raw(sizeof *c); /* of which most is never touched */
    bool               hides = true;

    c->count = c->done = 0;
    memset(&c->scratch, 0, sizeof c->scratch);
    c->earlier = earlier;
    c->later = later;
    threads_add(&c->scratch, earlier, 0);
    pair_push(c, 0, c->scratch.seen);
    while (hides && c->done < c->count) {
        hides = *work > 0 && pair_follow(c, c->pairs[c->done++]);
        *work -= earlier->op_count + c->count;
    }
    free(c);
    return hides;
}

bool glob_hides(const struct glob *earlier, const struct glob *later)
{
    int64_t work = INT64_MAX;

    return glob_hides_within(earlier, later, &work);
}
