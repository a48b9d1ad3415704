/*
 * The configuration of someone who has none: loopback only, the directories of the user who starts Weir, and upstreams
 * to try, with what a dry run answers to their writes.  The same upstreams stand in etc/weir.conf, with comments; a
 * test compares the two.
 */
#include "config/snapshot.h"

#include "base/paths.h"
#include "config/source.h"

#include <unistd.h>

#ifndef WEIR_SYSCONFDIR
#define WEIR_SYSCONFDIR "/etc"
#endif

static const char default_text[] =
    "proxy = { listen = \"127.0.0.1:3128\"; };\n"
    "upstreams = (\n"
    "  { name   = \"inat\";\n"
    "    url    = \"https://api.inaturalist.org\";\n"
    "    limits = ( \"1/s burst 5\", \"60/min\", \"10000/day\" );\n"
    "    ttl    = \"origin else 30m\";\n"
    "    stale_if_error = \"1d\";\n"
    "    stale_while_revalidate = \"1m\";\n"
    "    rules  = (\n"
    "      @include \"mocks/inat.conf\"\n"
    "      ,\n"
    "      { match = \"/v1/users/me\"; ttl = \"never\"; },\n"
    "      { match = \"/v1/taxa/**\";  ttl = \"30d\"; status = ( \"404 1h\" ); },\n"
    "      { match = \"~^/v[0-9]+/(places|controlled_terms)(/|$)\"; ttl = \"7d\"; }\n"
    "    );\n"
    "  },\n"
    "  { name   = \"github\";\n"
    "    url    = \"https://api.github.com\";\n"
    "    limits = ( { rate = \"5000/h window learned\"; per = \"credential\"; cost = ( \"304 0\" "
    "); },\n"
    "               { rate = \"900/min\"; per = \"credential\"; cost = ( \"GET 1\", \"HEAD 1\", "
    "\"* 5\" ); },\n"
    "               { rate = \"30/min\";  per = \"credential\"; match = \"/search/**\"; } );\n"
    "    stale_if_error = \"1d\";\n"
    "    rules  = (\n"
    "      @include \"mocks/github.conf\"\n"
    "    );\n"
    "  },\n"
    "  { name   = \"gbif\";\n"
    "    url    = \"https://api.gbif.org\";\n"
    "    limits = ( \"10/s burst 20\" );\n"
    "    ttl    = \"origin else 1h\";\n"
    "    stale_if_error = \"1d\";\n"
    "    rules  = (\n"
    "      @include \"mocks/gbif.conf\"\n"
    "      ,\n"
    "      { match = \"/v1/species/**\";              ttl = \"7d\"; },\n"
    "      { match = \"/v1/{dataset,organization}/*\"; ttl = \"1d\"; }\n"
    "    );\n"
    "  },\n"
    "  { name   = \"crossref\";\n"
    "    url    = \"https://api.crossref.org\";\n"
    "    limits = ( \"10/s burst 10\" );\n"
    "    ttl    = \"1d\";\n"
    "    stale_if_error = \"7d\";\n"
    "    rules  = (\n"
    "      @include \"mocks/crossref.conf\"\n"
    "    );\n"
    "  },\n"
    "  { name   = \"nominatim\";\n"
    "    url    = \"https://nominatim.openstreetmap.org\";\n"
    "    limits = ( \"1/s burst 1\" );\n"
    "    max_in_flight = 1;\n"
    "    ttl    = \"30d\";\n"
    "    stale_if_error = \"forever\";\n"
    "    rules  = (\n"
    "      @include \"mocks/nominatim.conf\"\n"
    "    );\n"
    "  },\n"
    "  { name   = \"wikipedia\";\n"
    "    url    = \"https://en.wikipedia.org\";\n"
    "    limits = ( \"5/s burst 10\" );\n"
    "    max_in_flight = 3;\n"
    "    rules  = (\n"
    "      @include \"mocks/wikipedia.conf\"\n"
    "      ,\n"
    "      { match = \"/api/rest_v1/**\"; ttl = \"origin else 1h\"; set_cookie = \"strip\"; },\n"
    "      { match = \"/w/api.php?action=query\"; ttl = \"10m\"; }\n"
    "    );\n"
    "  }\n"
    ");\n";

// clang-format off
#define MOCKS(X) X(crossref) X(gbif) X(github) X(inat) X(nominatim) X(wikipedia)

/* As page.c does it. */
#define HOLD(name) \
    __asm__(".pushsection .rodata\n" \
            ".globl weir_mocks_" #name "\n.hidden weir_mocks_" #name "\nweir_mocks_" #name ":\n" \
            ".incbin \"" WEIR_MOCK_FILES #name ".conf\"\n" \
            ".byte 0\n" \
            ".popsection\n"); \
    extern const char weir_mocks_##name[];
MOCKS(HOLD)

#define ENTRY(name) { "mocks/" #name ".conf", weir_mocks_##name },
static const struct source_part parts[] = { MOCKS(ENTRY) { NULL, NULL } };
// clang-format on

bool default_source(struct source *out, struct arena *arena, struct problems *problems, unsigned *rank)
{
    return source_of_text(out, "the embedded default", slice_of(default_text), parts, arena, problems, rank);
}

void defaults_for_user(struct settings *top, struct arena *arena)
{
    char path[4096];

    if (paths_user_cache(path, sizeof path) == 0)
        top->config.cache.path = arena_copy(arena, slice_of(path)).ptr;
    if (paths_user_state(path, sizeof path) == 0)
        top->config.state.path = arena_copy(arena, slice_of(path)).ptr;
    if (paths_user_runtime(path, sizeof path) == 0)
        top->admin_path = arena_printf(arena, "%s/admin.sock", path).ptr;
}

const char *settings_query_path(const struct settings *top, struct arena *arena)
{
    const char *slash = top->admin_path != NULL ? strrchr(top->admin_path, '/') : NULL;

    if (top->admin_query == NULL || top->admin_query[0] == '/' || slash == NULL)
        return top->admin_query;
    return arena_printf(arena, "%.*s%s", (int)(slash - top->admin_path + 1), top->admin_path, top->admin_query).ptr;
}

const char *config_find(char *buffer, size_t bytes)
{
    if (geteuid() != 0) {
        if (paths_user_config(buffer, bytes) != 0)
            return NULL;
    } else if ((size_t)snprintf(buffer, bytes, "%s/weir/weir.conf", WEIR_SYSCONFDIR) >= bytes) {
        return NULL;
    }
    return access(buffer, F_OK) == 0 ? buffer : NULL;
}
