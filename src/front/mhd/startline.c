/*
 * By RFC 9112 3: method, one space, target, one space, "HTTP/" digit "." digit.
 */
#include "front/mhd/startline.h"

#include "base/arena.h"

#include <stdlib.h>

enum { METHOD_BYTES = 64, VERSION_BYTES = sizeof "HTTP/1.1" - 1, NAME_BYTES = sizeof "HTTP/" - 1 };

static const struct refusal
    is_tls = { PROBLEM_TLS_ON_PLAIN_PORT,
               "This port speaks plain HTTP: use http://, or send CONNECT to proxy.listen and TLS inside." },
    is_no_request = { PROBLEM_MALFORMED_REQUEST, "This is no HTTP request: it begins with no method." },
    has_nul = { PROBLEM_MALFORMED_REQUEST, "A NUL stands in the request line." },
    is_no_method = { PROBLEM_UNKNOWN_METHOD, "No method has more than 64 characters." },
    has_no_target = { PROBLEM_MALFORMED_REQUEST, "A request line reads \"METHOD TARGET HTTP/1.1\"." },
    has_no_version = { PROBLEM_MALFORMED_REQUEST,
                       "A request line ends with its version: HTTP/0.9, which has none, is not spoken here." },
    is_http2 = { PROBLEM_HTTP2_UNSPOKEN,
                 "This is HTTP/2 with prior knowledge; this port speaks HTTP/1.1 and HTTP/1.0." },
    is_other_version = { PROBLEM_VERSION_UNSUPPORTED, "This port speaks HTTP/1.1 and HTTP/1.0." },
    is_no_version = { PROBLEM_MALFORMED_REQUEST, "A request line ends with \"HTTP/1.1\" or \"HTTP/1.0\"." },
    is_too_long = { PROBLEM_REQUEST_LINE_TOO_LONG, "The request line and the fields together may have 32 KiB." };

static enum startline_verdict bad(struct refusal *no, const struct refusal *what)
{
    *no = *what;
    return STARTLINE_BAD;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_token_char(char c)
{
    return http_is_token((struct slice){ &c, 1 });
}

/* "HTTP/2", "HTTP/11.1": a version, though RFC 9112 2.3 writes it otherwise. */
static bool reads_like_a_version(struct slice v)
{
    size_t i = NAME_BYTES;

    while (i < v.len && (is_digit(v.ptr[i]) || v.ptr[i] == '.'))
        i++;
    return i == v.len && i > NAME_BYTES;
}

static enum startline_verdict judge_version(struct slice v, struct refusal *no)
{
    if (!slice_starts_with(v, SLICE("HTTP/")) || !reads_like_a_version(v))
        return bad(no, &is_no_version);
    if (v.len == VERSION_BYTES && v.ptr[5] == '1' && v.ptr[6] == '.' && is_digit(v.ptr[7]))
        return STARTLINE_FINE;
    return bad(no, &is_other_version);
}

static enum startline_verdict judge_line(struct slice line, struct refusal *no)
{
    size_t method = slice_find(line, ' ', 0), last = line.len;

    if (memchr(line.ptr, '\0', line.len) != NULL)
        return bad(no, &has_nul);
    if (slice_eq(line, SLICE("PRI * HTTP/2.0")))
        return bad(no, &is_http2);
    if (method == line.len)
        return bad(no, &has_no_target);
    if (method > METHOD_BYTES)
        return bad(no, &is_no_method);
    while (line.ptr[last - 1] != ' ')
        last--;
    if (last == method + 1)
        return bad(no, slice_starts_with(slice_sub(line, last, line.len), SLICE("HTTP/")) ? &has_no_target
                                                                                          : &has_no_version);
    return judge_version(slice_sub(line, last, line.len), no);
}

/* A part of a line: is it worth waiting for the rest? */
static enum startline_verdict judge_part(struct slice part, struct refusal *no)
{
    size_t method = slice_find(part, ' ', 0);

    if (part.len > GUARD_HEAD_BYTES)
        return bad(no, &is_too_long);
    return method > METHOD_BYTES ? bad(no, &is_no_method) : STARTLINE_MORE;
}

enum startline_verdict startline_judge(struct slice bytes, struct refusal *no)
{
    const char *end;

    if (bytes.len == 0)
        return STARTLINE_MORE;
    if (bytes.ptr[0] == 0x16 && (bytes.len == 1 || bytes.ptr[1] == 0x03))
        return bytes.len == 1 ? STARTLINE_MORE : bad(no, &is_tls);
    if (!is_token_char(bytes.ptr[0]))
        return bad(no, &is_no_request);
    end = memchr(bytes.ptr, '\n', bytes.len);
    if (end == NULL)
        return judge_part(bytes, no);
    if (end > bytes.ptr && end[-1] == '\r')
        end--;
    return judge_line((struct slice){ bytes.ptr, (size_t)(end - bytes.ptr) }, no);
}

/* "GET\0/x\0HTTP/2.0\0\0" */
bool startline_judge_again(struct slice bytes, struct refusal *no)
{
    char  *line = mem_alloc_raw(bytes.len + 1);
    size_t n = 0;
    bool   is_bad;

    for (; n < bytes.len && bytes.ptr[n] != '\r' && bytes.ptr[n] != '\n'; n++) {
        if (bytes.ptr[n] == '\0' && n + 1 < bytes.len && bytes.ptr[n + 1] == '\0')
            break;
        line[n] = bytes.ptr[n] == '\0' ? ' ' : bytes.ptr[n];
    }
    line[n] = '\n';
    is_bad = startline_judge((struct slice){ line, n + 1 }, no) == STARTLINE_BAD;
    free(line);
    return is_bad;
}

bool startline_is_head(struct slice bytes)
{
    return bytes.len > 4 && memcmp(bytes.ptr, "HEAD", 4) == 0 && (bytes.ptr[4] == ' ' || bytes.ptr[4] == '\0');
}

struct refusal startline_refusal(unsigned status)
{
    switch (status) {
    case 413:
        return (struct refusal){ PROBLEM_CONTENT_TOO_LARGE, "No content is as long as this request says." };
    case 414:
        return is_too_long;
    case 431:
        return (struct refusal){ PROBLEM_HEAD_TOO_LARGE,
                                 "The request line and the fields together may have 32 KiB, some hundred fields, and "
                                 "some hundred cookies." };
    case 505:
        return is_other_version;
    default:
        break;
    }
    if (status >= 500)
        return (struct refusal){ PROBLEM_ANSWER_UNFIT,
                                 "The head of the request and that of the answer are too large to be held together." };
    return (struct refusal){ PROBLEM_MALFORMED_REQUEST, "A line of the head or of the content is none (RFC 9112)." };
}
