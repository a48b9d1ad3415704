/*
 * /ca and /ca/rotate: the certificate of Weir's own CA, never its key, and where the proxy
 * is that needs it.
 */
#include "admin/internal.h"

#include <time.h>

static json_t *time_json(int64_t s)
{
    char      text[32];
    time_t    t = (time_t)s;
    struct tm parts;

    gmtime_r(&t, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return json_string(text);
}

static void answer(struct admin_call *call, bool rotate)
{
    const struct admin_services *services = call->admin->services;
    struct admin_ca              ca;
    struct fault                 why = { "" };

    if (!services->ca(services->context, rotate, &ca, &why)) {
        admin_answer_problem(call, PROBLEM_NO_CA, why.text);
        return;
    }
    admin_answer_json(call, 200,
                      json_pack("{s:s, s:s, s:s, s:o, s:o, s:s?}", "certificate", ca.certificate, "sha256",
                                ca.fingerprint, "subject", ca.subject, "made", time_json(ca.made_s), "expires",
                                time_json(ca.expires_s), "proxy", services->proxy));
}

static void show(struct admin_call *call)
{
    answer(call, false);
}

static void rotate(struct admin_call *call)
{
    answer(call, true);
}

const struct endpoint endpoint_ca = { "/ca", HTTP_GET, show, ON_QUERY_SOCKET };
const struct endpoint endpoint_ca_rotate = { "/ca/rotate", HTTP_POST, rotate, ON_ADMIN_SOCKET_ALONE };
