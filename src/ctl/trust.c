/*
 * Writing of the files: each under another name first, so that a program that
 * reads one at this moment sees it whole.
 */
#include "ctl/trust.h"

#include "base/arena.h"
#include "base/files.h"
#include "base/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 64 << 20 };

const struct roots_variable trust_variables[] = {
    { "SSL_CERT_FILE", true }, /* OpenSSL: Python, Ruby; Go */
    { "REQUESTS_CA_BUNDLE", true },
    { "CURL_CA_BUNDLE", true },
    { "GIT_SSL_CAINFO", true },
    { "AWS_CA_BUNDLE", true }, /* boto3, the AWS command */
    { "HTTPLIB2_CA_CERTS", true },
    { "PERL_LWP_SSL_CA_FILE", true },
    { "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", true },
    { "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", true },
    { "DENO_CERT", true },
    { "PIP_CERT", false },
    { "CARGO_HTTP_CAINFO", false },
    { "NIX_SSL_CERT_FILE", false },
    { "npm_config_cafile", false },
    { "NPM_CONFIG_CAFILE", false },
    { "JULIA_SSL_CA_ROOTS_PATH", false },
    { "BUNDLE_SSL_CA_CERT", false }, /* Ruby's bundler */
    { "WEBSOCKET_CLIENT_CA_BUNDLE", false },
    { "HEX_CACERTS_PATH", false }, /* Elixir */
    { "HTTPS_CA_FILE", false },    /* Perl's Crypt::SSLeay */
    { NULL, false },
};

/* Where the systems keep the roots that OpenSSL, curl and the others trust. */
static const char *const root_files[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
};

/* The module that is found first, and becomes the real one with another answer to "where are the roots?". */
static const char shim[] =
    "# Written by weirctl: certifi's own module, whose roots are those of weirctl run.\n"
    "import importlib.machinery\n"
    "import importlib.util\n"
    "import os\n"
    "import sys\n"
    "\n"
    "_here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))\n"
    "_bundle = os.path.join(os.path.dirname(_here), 'bundle.pem')\n"
    "_elsewhere = [p for p in sys.path if os.path.abspath(p or os.curdir) != _here]\n"
    "_spec = importlib.machinery.PathFinder.find_spec('certifi', _elsewhere)\n"
    "if _spec is None:\n"
    "    del sys.modules['certifi']\n"
    "    raise ModuleNotFoundError(\"No module named 'certifi'\", name='certifi')\n"
    "_real = importlib.util.module_from_spec(_spec)\n"
    "sys.modules['certifi'] = _real\n"
    "_spec.loader.exec_module(_real)\n"
    "\n"
    "\n"
    "def where():\n"
    "    return _bundle\n"
    "\n"
    "\n"
    "def contents():\n"
    "    with open(_bundle, encoding='ascii', errors='replace') as file:\n"
    "        return file.read()\n"
    "\n"
    "\n"
    "_real.where, _real.contents = where, contents\n"
    "if 'certifi.core' in sys.modules:\n"
    "    sys.modules['certifi.core'].where, sys.modules['certifi.core'].contents = where, contents\n";

static bool complain(const char *path)
{
    fprintf(stderr, "weirctl: cannot write %s: %s\n", path, strerror(errno));
    return false;
}

static bool make_directory(const char *path)
{
    struct stat st;

    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return complain(path);
    if (lstat(path, &st) != 0)
        return complain(path);
    if (S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 022) == 0)
        return true;
    fprintf(stderr, "weirctl: %s is not a directory that only you can write to\n", path);
    return false;
}

/* Each missing one on the way. */
static bool make_directories(const char *path)
{
    char part[600];

    snprintf(part, sizeof part, "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return complain(part);
        *slash = '/';
    }
    return make_directory(path);
}

static bool write_file(const char *path, const void *bytes, size_t count)
{
    char  fresh[700];
    FILE *file;
    bool  ok;

    snprintf(fresh, sizeof fresh, "%s.%d", path, (int)getpid());
    file = fopen(fresh, "we");
    if (file == NULL)
        return complain(path);
    ok = fwrite(bytes, 1, count, file) == count;
    ok = fclose(file) == 0 && ok && rename(fresh, path) == 0;
    if (ok)
        return true;
    complain(path);
    unlink(fresh);
    return false;
}

/* A whole file, malloc'd and terminated; "" where it cannot be read. */
static char *read_file(const char *path)
{
    size_t bytes;
    int    fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    char  *text = fd >= 0 ? file_read_all(fd, FILE_BYTES_MAX, &bytes) : NULL;

    if (fd >= 0)
        close(fd);
    return text != NULL ? text : mem_alloc(1);
}

/* The variable leads here already: in a shell that weirctl env has set up, or below another weirctl run. Then the file
 * holds what the variable led to before, and stays. */
static bool is_set_up(const char *variable, const char *file)
{
    const char *value = getenv(variable);

    return value != NULL && strcmp(value, file) == 0 && access(file, R_OK) == 0;
}

static char *read_roots(void)
{
    char *roots = read_file(getenv("SSL_CERT_FILE"));

    for (size_t i = 0; roots[0] == '\0' && i < sizeof root_files / sizeof *root_files; i++) {
        free(roots);
        roots = read_file(root_files[i]);
    }
    if (roots[0] == '\0')
        fprintf(stderr, "weirctl: this system's root certificates were not found: what Weir only tunnels cannot be "
                        "verified (name them in SSL_CERT_FILE)\n");
    return roots;
}

static bool write_joined(const char *path, const char *first, const char *second)
{
    struct arena a = { 0 };
    struct slice text = arena_printf(&a, "%s%s%s", first, first[0] != '\0' ? "\n" : "", second);
    bool         ok = write_file(path, text.ptr, text.len);

    arena_free(&a);
    return ok;
}

/* What the user trusts by another variable is trusted still; a file that several name stands there once. */
static char *add_other_roots(const struct trust *t, char *roots)
{
    const char *first = getenv(trust_variables[0].name);

    for (size_t i = 1; trust_variables[i].name != NULL; i++) {
        const char *file = getenv(trust_variables[i].name);
        char       *more;
        bool        seen = file == NULL || strcmp(file, t->bundle) == 0 || (first != NULL && strcmp(file, first) == 0);

        for (size_t k = 1; !seen && k < i; k++) {
            const char *before = getenv(trust_variables[k].name);

            seen = before != NULL && strcmp(before, file) == 0;
        }
        if (seen)
            continue;
        more = read_file(file);
        roots = mem_resize(roots, strlen(roots) + strlen(more) + 2);
        strcat(strcat(roots, "\n"), more);
        free(more);
    }
    return roots;
}

static bool write_bundle(const struct trust *t, const char *certificate)
{
    char          *roots, *all;
    unsigned char *keystore;
    size_t         bytes = 0;
    bool           ok;

    if (is_set_up("SSL_CERT_FILE", t->bundle))
        return true;
    roots = add_other_roots(t, read_roots());
    ok = write_joined(t->bundle, roots, certificate);
    all = read_file(t->bundle);
    keystore = keystore_make(all, &bytes);
    ok = ok && keystore != NULL && write_file(t->keystore, keystore, bytes);
    free(keystore);
    free(all);
    free(roots);
    return ok;
}

static bool write_node_ca(const struct trust *t, const char *certificate)
{
    char *more;
    bool  ok;

    if (is_set_up("NODE_EXTRA_CA_CERTS", t->ca))
        return true;
    more = read_file(getenv("NODE_EXTRA_CA_CERTS"));
    ok = write_joined(t->ca, more, certificate);
    free(more);
    return ok;
}

static bool write_wgetrc(const struct trust *t)
{
    const char *home = getenv("HOME"), *named = getenv("WGETRC");
    char        own[600], line[700], *text;
    bool        ok;

    if (is_set_up("WGETRC", t->wgetrc))
        return true;
    snprintf(own, sizeof own, "%s/.wgetrc", home != NULL ? home : "");
    text = read_file(named != NULL && named[0] != '\0' ? named : own);
    snprintf(line, sizeof line, "ca_certificate = %s\n", t->bundle);
    ok = write_joined(t->wgetrc, text, line);
    free(text);
    return ok;
}

static bool write_php(const struct trust *t)
{
    char path[700], text[1400];
    int n = snprintf(text, sizeof text, "; Written by weirctl.\nopenssl.cafile=\"%s\"\ncurl.cainfo=\"%s\"\n", t->bundle,
                     t->bundle);

    snprintf(path, sizeof path, "%s/weir.ini", t->php);
    return make_directory(t->php) && write_file(path, text, (size_t)n);
}

static bool write_shim(const struct trust *t)
{
    char folder[650], path[700];

    snprintf(folder, sizeof folder, "%s/certifi", t->python);
    snprintf(path, sizeof path, "%s/__init__.py", folder);
    return make_directory(t->python) && make_directory(folder) && write_file(path, shim, sizeof shim - 1);
}

bool trust_write(struct trust *t, const char *certificate, const char *fingerprint)
{
    char runtime[400];

    if (paths_user_runtime(runtime, sizeof runtime) != 0) {
        fprintf(stderr, "weirctl: there is no place for files: set XDG_RUNTIME_DIR or HOME\n");
        return false;
    }
    snprintf(t->directory, sizeof t->directory, "%s/trust-%.2s%.2s%.2s%.2s", runtime, fingerprint, fingerprint + 3,
             fingerprint + 6, fingerprint + 9);
    snprintf(t->ca, sizeof t->ca, "%s/ca.pem", t->directory);
    snprintf(t->bundle, sizeof t->bundle, "%s/bundle.pem", t->directory);
    snprintf(t->keystore, sizeof t->keystore, "%s/java.jks", t->directory);
    snprintf(t->wgetrc, sizeof t->wgetrc, "%s/wgetrc", t->directory);
    snprintf(t->python, sizeof t->python, "%s/python", t->directory);
    snprintf(t->php, sizeof t->php, "%s/php", t->directory);
    return make_directories(t->directory) && write_bundle(t, certificate) && write_node_ca(t, certificate) &&
           write_wgetrc(t) && write_shim(t) && write_php(t);
}
