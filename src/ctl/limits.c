/*
 * weirctl limits: every limit of every upstream.
 */
#include "ctl/ctl.h"

static void print_limit(const json_t *l)
{
    const char *credential = json_string_value(json_object_get(l, "credential"));
    double      resets = json_number_value(json_object_get(l, "resets_in_s"));
    double      blocked = json_number_value(json_object_get(l, "blocked_for_s"));

    printf("%-12s %-28s %-12s %8lld of %-8lld %-10s %s%s\n", json_string_value(json_object_get(l, "upstream")),
           json_string_value(json_object_get(l, "limit")), credential != NULL ? credential : "-",
           (long long)json_integer_value(json_object_get(l, "left")),
           (long long)json_integer_value(json_object_get(l, "allowed")),
           resets > 0 ? ctl_duration(resets) : "-", blocked > 0 ? "the API says wait " : "",
           blocked > 0 ? ctl_duration(blocked) : "");
}

int ctl_limits(const struct ctl *c)
{
    json_t *answer = ctl_ask(c, "GET", "/limits", NULL), *limit;
    size_t  i;

    if (answer == NULL)
        return 1;
    if (!ctl_print_json(c, answer)) {
        printf("%-12s %-28s %-12s %-20s %-10s\n", "UPSTREAM", "LIMIT", "CREDENTIAL", "    LEFT", "WHOLE IN");
        json_array_foreach(json_object_get(answer, "limits"), i, limit)
            print_limit(limit);
    }
    json_decref(answer);
    return 0;
}
