/*
 * weirctl ca: the local CA's certificate on standard output, and what to do
 * with it on standard error.
 */
#include "ctl/ctl.h"

#include <string.h>

extern const struct command command_ca;

static const char advice[] =
    "To trust it in one command, without any change to this machine:\n"
    "  weirctl run -- COMMAND\n"
    "To trust it on this machine (Debian; the file's name must end in .crt):\n"
    "  weirctl ca | sudo tee /usr/local/share/ca-certificates/weir.crt && sudo update-ca-certificates\n"
    "To stop that:\n"
    "  sudo rm /usr/local/share/ca-certificates/weir.crt && sudo update-ca-certificates --fresh\n"
    "Firefox and Chromium have stores of their own (libnss3-tools):\n"
    "  weirctl ca > weir.pem && certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n weir -i weir.pem\n"
    "  certutil -d sql:$HOME/.pki/nssdb -D -n weir\n"
    "Whoever has its key can pretend to be any site to those who trust it: the key stays in weir's state\n"
    "directory (ca.pem, mode 0600). weirctl ca rotate makes a new one; the old one is trusted until removed.\n";

static const char *text_of(const json_t *answer, const char *name)
{
    const char *text = json_string_value(json_object_get(answer, name));

    return text != NULL ? text : "?";
}

static int run(const struct ctl *c)
{
    bool    rotate = c->argument_count > 0;
    json_t *answer;

    if (rotate && strcmp(c->arguments[0], "rotate") != 0) {
        fprintf(stderr, "weirctl: ca does not know \"%s\"\n", c->arguments[0]);
        return ctl_use_wrongly(&command_ca);
    }
    answer = rotate ? ctl_ask(c, "POST", "/ca/rotate", NULL) : ctl_ask(c, "GET", "/ca", NULL);
    if (answer == NULL)
        return 1;
    if (!ctl_print_json(c, answer)) {
        fprintf(stderr, "%s%s\nSHA-256 %s\nmade %s, expires %s\n\n%s",
                rotate ? "A new CA; what was trusted before is of no use any more, and wants to be removed.\n" : "",
                text_of(answer, "subject"), text_of(answer, "sha256"), text_of(answer, "made"),
                text_of(answer, "expires"), advice);
        fputs(text_of(answer, "certificate"), stdout);
    }
    json_decref(answer);
    return 0;
}

const struct command command_ca = { "ca", "[rotate]", "the certificate of weir's own CA; make a new one", 0, 1, run,
                                    0,    NULL };
