/*
 * Files and variables that an upstream's settings name: those that are not there, and a
 * certificate without its key.  Called by review.c; reads no secret.
 *
 * Whoever asks `weir --check` may not be who runs the daemon: what may not be looked at is
 * passed over, and a variable that is not set here may be set there.
 */
#include "config/snapshot.h"

#include "base/arena.h"
#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PEM_BYTES = 1024 * 1024 };

/* False where it cannot be what is wanted, which has been said. */
static bool review_file(struct reader *r, const config_setting_t *group, const char *setting, const char *path)
{
    struct stat s;

    if (stat(path, &s) != 0) {
        if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
            reader_error(r, group, setting, "\"%s\" is not there: %s", path, strerror(errno));
        return false;
    }
    if (S_ISDIR(s.st_mode))
        reader_error(r, group, setting, "\"%s\" is a directory; a file is wanted", path);
    return !S_ISDIR(s.st_mode);
}

/* -1: it may not be read here, or is no regular file. */
static int pem_holds(const char *path, const char *what)
{
    int     fd = file_open_named(path), found = -1;
    char   *text = mem_alloc_raw(PEM_BYTES);
    ssize_t n = fd >= 0 ? file_read(fd, text, PEM_BYTES) : -1;

    if (n >= 0)
        found = memmem(text, (size_t)n, what, strlen(what)) != NULL;
    explicit_bzero(text, PEM_BYTES); /* may have been a key */
    free(text);
    if (fd >= 0)
        close(fd);
    return found;
}

static void review_ca(struct reader *r, const config_setting_t *group, const char *path)
{
    if (path != NULL && review_file(r, group, "ca_file", path) && pem_holds(path, "CERTIFICATE-----") == 0)
        reader_error(r, group, "ca_file", "\"%s\" holds no certificate; PEM is wanted", path);
}

static void review_tls(struct reader *r, const config_setting_t *tls, const struct tls_options *files)
{
    review_ca(r, tls, files->ca_file);
    if (files->key_file != NULL)
        review_file(r, tls, "key_file", files->key_file);
    if (files->cert_file == NULL || !review_file(r, tls, "cert_file", files->cert_file))
        return;
    if (pem_holds(files->cert_file, "CERTIFICATE-----") == 0)
        reader_error(r, tls, "cert_file", "\"%s\" holds no certificate; PEM is wanted", files->cert_file);
    else if (files->key_file == NULL && pem_holds(files->cert_file, "PRIVATE KEY-----") == 0)
        reader_error(r, tls, "key_file", "is missing; a certificate goes with its key, here or in cert_file");
}

static void review_value(struct reader *r, const config_setting_t *group, const char *setting, const char *source)
{
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    char        path[4096];

    if (source[0] == '/')
        review_file(r, group, setting, source);
    else if (strncmp(source, "env:", 4) == 0 && getenv(source + 4) == NULL)
        reader_warning(r, group, setting, "%s is not set in this environment; the daemon's needs it", source + 4);
    else if (strncmp(source, "credential:", 11) == 0 && directory != NULL &&
             (size_t)snprintf(path, sizeof path, "%s/%s", directory, source + 11) < sizeof path)
        review_file(r, group, setting, path);
}

/* The program of a command, where it is named by its path. */
static void review_command(struct reader *r, const config_setting_t *auth, const char *command)
{
    size_t length = strcspn(command, " \t;|&<>\"'$`\\");
    char   path[4096];

    if (command[0] != '/' || length >= sizeof path || (command[length] != '\0' && command[length] != ' '))
        return;
    memcpy(path, command, length);
    path[length] = '\0';
    if (review_file(r, auth, "command", path) && access(path, X_OK) != 0 && geteuid() == 0)
        reader_error(r, auth, "command", "\"%s\" may not be executed; chmod +x", path);
}

void review_files(struct reader *r, const struct set_upstream *u)
{
    const config_setting_t    *auth = reader_member(u->from, "auth");
    const struct set_identity *who = u->identities.items;

    if (u->to.mode == MODE_REPLAY && u->to.snapshot.miss == TAPE_MISS_ERROR)
        return; /* nobody is asked: what that would need may be missing where it is replayed */
    review_tls(r, reader_member(u->from, "tls"), &u->to.fetch.origin.tls);
    review_ca(r, reader_member(u->from, "via"), u->to.fetch.origin.via.ca_file);
    if (u->to.via_value_file != NULL)
        review_value(r, reader_member(u->from, "via"), "value_file", u->to.via_value_file);
    if (u->to.auth_value_file != NULL)
        review_value(r, auth, "value_file", u->to.auth_value_file);
    if (u->to.auth_command != NULL)
        review_command(r, auth, u->to.auth_command);
    for (unsigned i = 0; i < u->identities.count; i++)
        for (const char *const *f = who[i].to.value_files; f != NULL && *f != NULL; f++)
            review_value(r, who[i].from, "value_files", *f);
}
