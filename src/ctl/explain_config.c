/*
 * weirctl explain --config: what another configuration would make of the request, beside what the running one says.
 *
 * The file is read by a run of weir --explain with the rights of who asks; the daemon only gives the facts of what it
 * has stored under that path.
 */
#include "ctl/explain_wish.h"

#include "ctl/program.h"

#include <string.h>

/* What was asked, and what the daemon knows is stored. */
static json_t *question_of(const struct explain_wish *e, const json_t *running)
{
    json_t *q = json_copy(e->question);

    json_object_del(q, "facts");
    json_object_set(q, "facts", json_object_get(running, "facts"));
    return q;
}

json_t *explain_wish_judge(const struct explain_wish *e, const json_t *running)
{
    json_t *question = question_of(e, running), *answer;
    bool    failed;

    answer = program_ask((const char *[]){ "weir", "-c", e->config, "--explain", NULL }, question, &failed);
    json_decref(question);
    if (answer == NULL || !failed)
        return answer;
    fprintf(stderr, "weirctl: %s\n", json_string_value(json_object_get(answer, "detail")));
    json_decref(answer);
    return NULL;
}

/* -- the difference -- */

static const json_t *at(const json_t *o, const char *part, const char *name)
{
    const json_t *p = json_object_get(o, part);

    return name != NULL ? json_object_get(p, name) : p;
}

/* Where a setting stands says nothing of what it is. */
static bool is_same_settings(const json_t *a, const json_t *b)
{
    size_t        i;
    const json_t *s;

    if (json_array_size(a) != json_array_size(b))
        return false;
    json_array_foreach(a, i, s)
    {
        const json_t *other = json_array_get(b, i);

        if (!json_equal(json_object_get(s, "name"), json_object_get(other, "name")) ||
            !json_equal(json_object_get(s, "value"), json_object_get(other, "value")))
            return false;
    }
    return true;
}

static bool is_nothing(const json_t *v)
{
    return v == NULL || json_is_null(v);
}

/* A partition's hash is another one in each process. */
static bool is_same(const json_t *a, const json_t *b, bool is_partition)
{
    if (is_nothing(a) || is_nothing(b))
        return is_nothing(a) && is_nothing(b);
    if (is_partition)
        return (strcmp(json_string_value(a), "shared") == 0) == (strcmp(json_string_value(b), "shared") == 0);
    return json_equal(a, b);
}

static bool has_text(const json_t *list, const char *text)
{
    const json_t *each;
    size_t        i;

    json_array_foreach(list, i, each) if (strcmp(json_string_value(each), text) == 0) return true;
    return false;
}

json_t *explain_wish_differences(const json_t *running, const json_t *other)
{
    static const struct {
        const char *part, *name, *what;
    } rows[] = {
        { "upstream", "name", "upstream" }, { "rule", "match", "rule" },         { "key", "url", "key" },
        { "key", "more", "key" },           { "key", "whose", "partition" },     { "stored", "found", "stored" },
        { "would", "do", "would" },         { "would", "cache", "would" },       { "would", "status", "would" },
        { "would", "kept", "kept" },        { "would", "attempts", "attempts" },
    };
    json_t *list = json_array();

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!has_text(list, rows[i].what) &&
            !is_same(at(running, rows[i].part, rows[i].name), at(other, rows[i].part, rows[i].name),
                     strcmp(rows[i].name, "whose") == 0))
            json_array_append_new(list, json_string(rows[i].what));
    if (!is_same_settings(at(running, "settings", NULL), at(other, "settings", NULL)))
        json_array_append_new(list, json_string("settings"));
    return list;
}
