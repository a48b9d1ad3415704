/*
 * The address, the connection, and chunks in both directions (RFC 9112 7.1).
 */
#include "ctl/exchange.h"
#include "ctl/text.h"

#include "http/url.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_LINE_BYTES = 8192 };

/* -- the address -- */

static int connect_tcp(struct slice host, unsigned port)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
    struct addrinfo      *found = NULL;
    char                  name[256], service[8];
    int                   fd = -1;

    if (host.len > 1 && host.ptr[0] == '[')
        host = slice_sub(host, 1, host.len - 1);
    if (slice_eq(host, SLICE("0.0.0.0")))
        host = SLICE("127.0.0.1");
    else if (slice_eq(host, SLICE("::")))
        host = SLICE("::1");
    snprintf(name, sizeof name, SLICE_FMT, SLICE_ARG(host));
    snprintf(service, sizeof service, "%u", port);
    if (getaddrinfo(name, service, &hints, &found) != 0) {
        errno = EHOSTUNREACH;
        return -1;
    }
    for (struct addrinfo *a = found; a != NULL && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
            int err = errno;

            close(fd);
            errno = err;
            fd = -1;
        }
    }
    freeaddrinfo(found);
    return fd;
}

/* "unix:/path", "127.0.0.1:8080", "http://127.0.0.1:8080" */
static int connect_to(const char *address)
{
    struct slice    text = slice_of(address), host;
    struct http_url url;
    unsigned        port;

    if (strncmp(address, "unix:", 5) == 0)
        return ctl_connect(address + 5);
    if (http_url_parse(text, &url) && slice_eq_nocase(url.scheme, SLICE("http")))
        return connect_tcp(url.host, url.port);
    if (http_authority_parse(text, &host, &port) && port != 0)
        return connect_tcp(host, port);
    errno = EINVAL;
    return -1;
}

const char *exchange_address(const struct ctl *c, struct arena *a)
{
    const char *named = getenv("WEIR_URL"), *address;
    json_t     *status;

    if (named != NULL && *named != '\0')
        return named;
    status = ctl_ask(c, "GET", "/status", NULL);
    if (status == NULL)
        return NULL;
    address = json_string_value(json_object_get(status, "data"));
    address = address != NULL ? arena_copy(a, slice_of(address)).ptr : NULL;
    json_decref(status);
    if (address == NULL)
        fputs("weirctl: the daemon listens at no data port\n", stderr);
    return address;
}

/* -- the request -- */

static bool write_all(int fd, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t n = send(fd, bytes, count, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        bytes += n;
        count -= (size_t)n;
    }
    return true;
}

bool exchange_open_post(const struct ctl *c, const char *target, const char *content_type, struct exchange_with *x)
{
    struct arena a = { 0 };
    const char  *address = exchange_address(c, &a);
    struct slice head;
    bool         ok;

    *x = (struct exchange_with){ .fd = -1 };
    if (address == NULL)
        return false;
    x->fd = connect_to(address);
    if (x->fd < 0)
        fprintf(stderr, "weirctl: no weir answers at %s: %s\n", address, strerror(errno));
    head = arena_printf(&a,
                        "POST %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: weirctl/" PACKAGE_VERSION
                        "\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
                        target, content_type);
    ok = x->fd >= 0 && write_all(x->fd, head.ptr, head.len);
    arena_free(&a);
    if (!ok)
        exchange_end(x);
    return ok;
}

bool exchange_send(struct exchange_with *x, const char *bytes, size_t count)
{
    char size[24];

    if (count == 0)
        return true;
    snprintf(size, sizeof size, "%zx\r\n", count);
    return write_all(x->fd, size, strlen(size)) && write_all(x->fd, bytes, count) && write_all(x->fd, "\r\n", 2);
}

/* -- the answer -- */

static bool read_head_line(struct exchange_with *x, char line[HEAD_LINE_BYTES])
{
    if (fgets(line, HEAD_LINE_BYTES, x->in) == NULL)
        return false;
    line[strcspn(line, "\r\n")] = '\0';
    return true;
}

static bool read_head(struct exchange_with *x)
{
    char line[HEAD_LINE_BYTES];

    x->in = fdopen(x->fd, "r");
    x->left = -1;
    if (x->in == NULL || !read_head_line(x, line) || sscanf(line, "HTTP/1.%*d %u", &x->status) != 1)
        return false;
    while (read_head_line(x, line) && line[0] != '\0') {
        if (strncasecmp(line, "Transfer-Encoding:", 18) == 0)
            x->is_chunked = true;
        if (strncasecmp(line, "Content-Length:", 15) == 0)
            x->left = strtoll(line + 15, NULL, 10);
    }
    if (x->is_chunked)
        x->left = 0;
    return true;
}

bool exchange_read_head(struct exchange_with *x)
{
    write_all(x->fd, "0\r\n\r\n", 5); /* where that fails, the answer was there before */
    return read_head(x);
}

bool exchange_ask(const char *address, const char *method, const char *target, const char *fields, bool quiet,
                  struct exchange_with *x)
{
    struct arena a = { 0 };
    struct slice head = arena_printf(&a,
                                     "%s %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: weirctl/" PACKAGE_VERSION
                                     "\r\nConnection: close\r\n%s\r\n",
                                     method, target, fields);
    bool         ok;

    *x = (struct exchange_with){ .fd = connect_to(address) };
    if (x->fd < 0 && !quiet)
        fprintf(stderr, "weirctl: no weir answers at %s: %s\n", address, strerror(errno));
    ok = x->fd >= 0 && write_all(x->fd, head.ptr, head.len) && read_head(x);
    if (!ok && x->fd >= 0 && !quiet)
        fputs("weirctl: the connection ended before the answer\n", stderr);
    arena_free(&a);
    if (ok && x->status == 204)
        x->left = 0;
    return ok;
}

static bool next_chunk(struct exchange_with *x)
{
    char line[HEAD_LINE_BYTES], *end;

    if (x->within && (fgetc(x->in) != '\r' || fgetc(x->in) != '\n'))
        return false;
    x->within = read_head_line(x, line);
    x->left = x->within ? strtoll(line, &end, 16) : 0;
    if (!x->within || end == line || x->left < 0)
        return false;
    x->has_ended = x->left == 0;
    return !x->has_ended;
}

/* -1: no more. */
static int next_byte(struct exchange_with *x)
{
    int c;

    if (x->left == 0 && (!x->is_chunked || !next_chunk(x))) {
        x->has_ended = x->has_ended || !x->is_chunked;
        return -1;
    }
    c = getc_unlocked(x->in);
    if (c == EOF) {
        x->has_ended = x->left < 0 && feof(x->in);
        return -1;
    }
    x->left -= x->left > 0;
    return c;
}

const char *exchange_read_line(struct exchange_with *x, size_t *bytes)
{
    size_t used = 0;
    int    c;

    while ((c = next_byte(x)) >= 0 && c != '\n') {
        MEM_ROOM(x->line, x->capacity, used + 2);
        x->line[used++] = (char)c;
    }
    if (c < 0 && (used == 0 || !x->has_ended))
        return NULL;
    MEM_ROOM(x->line, x->capacity, used + 1);
    x->line[used] = '\0';
    *bytes = used;
    return x->line;
}

size_t exchange_read_some(struct exchange_with *x, char *bytes, size_t most)
{
    size_t count = 0;
    int    c;

    while (count < most && (c = next_byte(x)) >= 0)
        bytes[count++] = (char)c;
    return count;
}

char *exchange_read_all(struct exchange_with *x, size_t *bytes)
{
    char  *text = NULL;
    size_t room = 0, n;

    *bytes = 0;
    do {
        MEM_ROOM(text, room, *bytes + EXCHANGE_PIECE_BYTES);
        n = exchange_read_some(x, text + *bytes, EXCHANGE_PIECE_BYTES);
        *bytes += n;
    } while (n > 0);
    if (x->has_ended)
        return text;
    free(text);
    return NULL;
}

void exchange_print_problem(struct exchange_with *x)
{
    size_t      bytes = 0;
    char       *text = exchange_read_all(x, &bytes);
    json_t     *problem = text != NULL ? json_loadb(text, bytes, 0, NULL) : NULL;
    const char *detail = json_string_value(json_object_get(problem, "detail"));

    fputs("weirctl: ", stderr);
    if (detail != NULL)
        text_print(stderr, detail, strlen(detail), 0);
    else
        fprintf(stderr, "the data port answered with status %u", x->status);
    fputc('\n', stderr);
    json_decref(problem);
    free(text);
}

void exchange_end(struct exchange_with *x)
{
    if (x->in != NULL)
        fclose(x->in);
    else if (x->fd >= 0)
        close(x->fd);
    free(x->line);
    *x = (struct exchange_with){ .fd = -1 };
}
