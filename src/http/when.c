/*
 * Reading times of all forms.
 *
 * Numbers first, since every other form has something after its first number: a unit, a hyphen, a name.  The
 * readers of single elements take them off the front of a slice.
 */
#include "http/when.h"

#include "base/clock.h"
#include "http/date.h"

#define EPOCH_FROM_S  1e9 /* September 2001 in seconds; nobody waits for 31 years */
#define EPOCH_FROM_MS 1e11
#define EPOCH_FROM_US 1e14
#define EPOCH_FROM_NS 1e17
#define BEYOND_S      9e9 /* 285 years: what fits in nanoseconds */
#define BEYOND_NS     ((int64_t)BEYOND_S * NS_PER_SEC)

static const struct http_when nothing = { false, false, 0 };
static const struct http_when odd = { false, true, 0 };

/* -- elements -- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static char peek(struct slice s)
{
    return s.len > 0 ? s.ptr[0] : '\0';
}

static bool take(struct slice *s, char c)
{
    if (peek(*s) != c || s->len == 0)
        return false;
    *s = slice_sub(*s, 1, s->len);
    return true;
}

/* Exactly `digits` digits. */
static bool take_digits(struct slice *s, size_t digits, int *out)
{
    int n = 0;

    if (s->len < digits)
        return false;
    for (size_t i = 0; i < digits; i++) {
        if (!is_digit(s->ptr[i]))
            return false;
        n = n * 10 + (s->ptr[i] - '0');
    }
    *s = slice_sub(*s, digits, s->len);
    *out = n;
    return true;
}

static size_t count_digits(struct slice s)
{
    size_t n = 0;

    while (n < s.len && is_digit(s.ptr[n]))
        n++;
    return n;
}

/* "e+09", as some languages print large numbers. */
static bool take_exponent(struct slice *s, double *value)
{
    struct slice rest = *s;
    bool         minus = false;
    size_t       digits;
    int          exponent;

    if (!take(&rest, 'e') && !take(&rest, 'E'))
        return true;
    if (!take(&rest, '+'))
        minus = take(&rest, '-');
    digits = count_digits(rest);
    if (digits == 0 || digits > 2 || !take_digits(&rest, digits, &exponent))
        return false;
    for (int i = 0; i < exponent; i++)
        *value = minus ? *value / 10 : *value * 10;
    *s = rest;
    return true;
}

/* "30" "1.5" ".5" "1.7e+09"; no sign. */
static bool take_number(struct slice *s, double *out)
{
    struct slice rest = *s;
    double       value = 0, part = 1;
    size_t       digits = count_digits(rest), fraction = 0;

    for (size_t i = 0; i < digits; i++)
        value = value * 10 + (rest.ptr[i] - '0');
    rest = slice_sub(rest, digits, rest.len);
    if (peek(rest) == '.') {
        rest = slice_sub(rest, 1, rest.len);
        fraction = count_digits(rest);
        for (size_t i = 0; i < fraction; i++)
            value += (rest.ptr[i] - '0') * (part /= 10);
        rest = slice_sub(rest, fraction, rest.len);
    }
    if (digits + fraction == 0 || !take_exponent(&rest, &value))
        return false;
    *s = rest;
    *out = value;
    return true;
}

static struct slice without_spaces(struct slice s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = slice_sub(s, 1, s.len);
    return s;
}

/* "Z" "UTC" "GMT" "+02:00" "+0200" "+02", or nothing, all of the rest; seconds east of Greenwich. */
static bool take_zone(struct slice s, int *east_s)
{
    static const struct slice names[] = { SLICE(""), SLICE("Z"), SLICE("GMT"), SLICE("UTC"), SLICE("UT") };
    int                       hours, minutes = 0;
    bool                      minus;

    s = slice_trim(s);
    *east_s = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (slice_eq_nocase(s, names[i]))
            return true;
    minus = peek(s) == '-';
    if ((!take(&s, '+') && !take(&s, '-')) || !take_digits(&s, 2, &hours))
        return false;
    take(&s, ':');
    if (s.len > 0 && !take_digits(&s, 2, &minutes))
        return false;
    *east_s = (minus ? -1 : 1) * (hours * 3600 + minutes * 60);
    return s.len == 0 && hours <= 23 && minutes <= 59;
}

struct clock_time {
    int     hour, minute, second;
    int64_t part_ns;
};

/* "12:30" "12:30:05" "12:30:05.5" */
static bool take_time(struct slice *s, struct clock_time *t)
{
    int64_t part = NS_PER_SEC;

    *t = (struct clock_time){ 0, 0, 0, 0 };
    if (!take_digits(s, count_digits(*s) == 1 ? 1 : 2, &t->hour) || !take(s, ':') || !take_digits(s, 2, &t->minute))
        return false;
    if (!take(s, ':'))
        return true;
    if (!take_digits(s, 2, &t->second))
        return false;
    if (s->len > 1 && (s->ptr[0] == '.' || s->ptr[0] == ',') && is_digit(s->ptr[1])) {
        *s = slice_sub(*s, 1, s->len);
        for (; is_digit(peek(*s)); *s = slice_sub(*s, 1, s->len))
            t->part_ns += (s->ptr[0] - '0') * (part /= 10);
    }
    return true;
}

static bool to_ns(int64_t year, int month, int day, const struct clock_time *t, int east_s, int64_t *out_ns)
{
    int64_t seconds;

    if (!http_date_seconds(year, month, day, t->hour, t->minute, t->second, &seconds))
        return false;
    seconds -= east_s;
    if (seconds < 0)
        seconds = 0;
    *out_ns = seconds > INT64_MAX / NS_PER_SEC - 1 ? INT64_MAX : seconds * NS_PER_SEC + t->part_ns;
    return true;
}

/* -- dates -- */

/* "2026-01-31T12:00:00.5+02:00", with a blank for the T, without the seconds, without a time. */
static bool read_iso(struct slice s, int64_t *out_ns)
{
    struct clock_time t = { 0, 0, 0, 0 };
    int               year, month, day, east_s = 0;

    if (!take_digits(&s, 4, &year) || !take(&s, '-') || !take_digits(&s, 2, &month) || !take(&s, '-') ||
        !take_digits(&s, 2, &day))
        return false;
    if (s.len > 0) {
        if (!take(&s, 'T') && !take(&s, 't') && !take(&s, ' '))
            return false;
        if (!take_time(&s, &t) || !take_zone(s, &east_s))
            return false;
    }
    return to_ns(year, month, day, &t, east_s, out_ns);
}

static int month_of(struct slice word)
{
    static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdec";

    for (int i = 0; i < 12 && word.len >= 3; i++)
        if (slice_eq_nocase(slice_sub(word, 0, 3), (struct slice){ names + 3 * i, 3 }))
            return i + 1;
    return 0;
}

static bool is_weekday(struct slice word)
{
    static const struct slice names[] = { SLICE("mon"), SLICE("tue"), SLICE("wed"), SLICE("thu"),
                                          SLICE("fri"), SLICE("sat"), SLICE("sun") };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (slice_eq_nocase(slice_sub(word, 0, 3), names[i]))
            return true;
    return false;
}

/* RFC 9110 5.6.7: the latest year with these two digits that is not over 50 years ahead. */
static int64_t place_year(int two_digits, int64_t now_s)
{
    int64_t last = 1970 + now_s / 31556952 + 50;

    return (last - two_digits) / 100 * 100 + two_digits;
}

struct loose {
    int64_t           year;
    int               month, day, east_s;
    struct clock_time time;
    bool              has_year, has_time;
};

/* A weekday, a month, or the zone with whatever is after it. */
static bool take_word(struct slice *s, struct loose *d)
{
    struct slice word;
    size_t       n = 0;

    while (n < s->len && is_letter(s->ptr[n]))
        n++;
    word = slice_sub(*s, 0, n);
    if (d->month == 0 && (d->month = month_of(word)) != 0) {
        *s = slice_sub(*s, n, s->len);
        return true;
    }
    if (is_weekday(word)) {
        *s = slice_sub(*s, n, s->len);
        return true;
    }
    if (!d->has_time || !take_zone(word, &d->east_s))
        return false;
    *s = slice_sub(*s, n, s->len);
    return true;
}

static bool take_figure(struct slice *s, struct loose *d, int64_t now_s)
{
    size_t n = count_digits(*s);
    int    value;

    if (!d->has_time && n <= 2 && s->len > n && s->ptr[n] == ':')
        return d->has_time = take_time(s, &d->time);
    if ((n != 1 && n != 2 && n != 4) || !take_digits(s, n, &value))
        return false;
    if (d->day == 0 && n <= 2) {
        d->day = value;
        return value != 0;
    }
    if (d->has_year || n == 1)
        return false;
    d->year = n == 4 ? value : place_year(value, now_s);
    return d->has_year = true;
}

/* The three forms of RFC 9110 5.6.7 and their kin: what tells the elements apart is what they are, not where. */
static bool read_loose(struct slice s, int64_t now_s, int64_t *out_ns)
{
    struct loose d = { 0 };

    while (s.len > 0) {
        char c = s.ptr[0];

        if (d.has_time && d.has_year && (c == '+' || c == '-')) {
            if (!take_zone(s, &d.east_s))
                return false;
            break;
        }
        if (c == ' ' || c == '\t' || c == ',' || c == '-')
            s = slice_sub(s, 1, s.len);
        else if (is_letter(c) ? !take_word(&s, &d) : !is_digit(c) || !take_figure(&s, &d, now_s))
            return false;
    }
    return d.month != 0 && d.day != 0 && d.has_year && d.has_time &&
           to_ns(d.year, d.month, d.day, &d.time, d.east_s, out_ns);
}

bool http_when_date(struct slice text, int64_t now_s, int64_t *out_ns)
{
    int64_t seconds;

    text = slice_trim(text);
    if (http_date_parse(text, now_s, &seconds) && seconds >= 0 && seconds < INT64_MAX / NS_PER_SEC) {
        *out_ns = seconds * NS_PER_SEC; /* as it ought to be, and mostly is */
        return true;
    }
    return read_iso(text, out_ns) || read_loose(text, now_s, out_ns);
}

/* -- durations -- */

static bool take_unit(struct slice *s, double *seconds)
{
    static const struct {
        struct slice text;
        double       seconds;
    } units[] = {
        // clang-format off
        { SLICE("ns"), 1e-9 },     { SLICE("us"), 1e-6 },         { SLICE("\xc2\xb5s"), 1e-6 },
        { SLICE("\xce\xbcs"), 1e-6 }, { SLICE("ms"), 1e-3 },      { SLICE("msec"), 1e-3 },
        { SLICE("milliseconds"), 1e-3 }, { SLICE("s"), 1 },       { SLICE("sec"), 1 },
        { SLICE("secs"), 1 },      { SLICE("second"), 1 },        { SLICE("seconds"), 1 },
        { SLICE("m"), 60 },        { SLICE("min"), 60 },          { SLICE("mins"), 60 },
        { SLICE("minute"), 60 },   { SLICE("minutes"), 60 },      { SLICE("h"), 3600 },
        { SLICE("hour"), 3600 },   { SLICE("hours"), 3600 },      { SLICE("d"), 86400 },
        { SLICE("day"), 86400 },   { SLICE("days"), 86400 },
        // clang-format on
    };
    size_t n = 0;

    while (n < s->len && (is_letter(s->ptr[n]) || (unsigned char)s->ptr[n] >= 0x80))
        n++;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (!slice_eq_nocase(slice_sub(*s, 0, n), units[i].text))
            continue;
        *seconds = units[i].seconds;
        *s = slice_sub(*s, n, s->len);
        return true;
    }
    return false;
}

/* "6m0s" "1h2m3.5s" "12ms" "30 seconds" "PT30S" */
static bool read_duration(struct slice s, double *seconds)
{
    double number, unit;

    if (slice_eq_nocase(slice_sub(s, 0, 2), SLICE("PT")))
        s = slice_sub(s, 2, s.len);
    *seconds = 0;
    if (s.len == 0)
        return false;
    while (s.len > 0) {
        if (!take_number(&s, &number))
            return false;
        s = without_spaces(s);
        if (!take_unit(&s, &unit))
            return false;
        *seconds += number * unit;
        s = without_spaces(s);
    }
    return true;
}

/* -- all of it -- */

static struct http_when in_seconds(double s)
{
    if (s >= BEYOND_S)
        return (struct http_when){ true, true, INT64_MAX };
    return (struct http_when){ true, false, (int64_t)(s * 1e9 + 0.5) };
}

static struct http_when at_moment(double epoch_s, int64_t api_ns)
{
    double in_s = epoch_s - (double)api_ns / 1e9;

    return in_seconds(in_s > 0 ? in_s : 0);
}

static struct http_when of_number(double n, int64_t unit_ns, int64_t api_ns)
{
    double unit_s = (double)unit_ns / 1e9;

    if (n >= EPOCH_FROM_NS)
        return n < EPOCH_FROM_NS * 1e3 ? at_moment(n / 1e9, api_ns) : in_seconds(n);
    if (n >= EPOCH_FROM_US)
        return at_moment(n / 1e6, api_ns);
    if (n >= EPOCH_FROM_MS)
        return at_moment(n / 1e3, api_ns);
    if (n >= EPOCH_FROM_S && unit_ns == NS_PER_SEC)
        return at_moment(n, api_ns);
    return in_seconds(n * unit_s);
}

static struct slice unwrap(struct slice s)
{
    s = slice_trim(s);
    s = slice_trim(slice_sub(s, 0, slice_find(s, ';', 0)));
    if (s.len >= 2 && (s.ptr[0] == '"' || s.ptr[0] == '\'') && s.ptr[s.len - 1] == s.ptr[0])
        s = slice_trim(slice_sub(s, 1, s.len - 1));
    return s;
}

struct http_when http_when_read(struct slice value, int64_t unit_ns, int64_t api_ns)
{
    struct slice rest = value = unwrap(value);
    double       number, seconds;
    int64_t      moment_ns;
    bool         minus = take(&rest, '-'), is_number;

    if (!minus)
        take(&rest, '+');
    value = rest;
    is_number = take_number(&rest, &number) && rest.len == 0;
    if (is_number && minus)
        return number > 0 && number != 1 ? odd : number > 0 ? nothing : in_seconds(0);
    if (is_number)
        return of_number(number, unit_ns, api_ns);
    if (read_duration(value, &seconds))
        return minus && seconds > 0 ? odd : in_seconds(seconds);
    if (!minus && http_when_date(value, api_ns / NS_PER_SEC, &moment_ns))
        return (struct http_when){ true, moment_ns - api_ns >= BEYOND_NS, moment_ns > api_ns ? moment_ns - api_ns : 0 };
    return nothing;
}

static bool is_name_of_a_day(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_letter(s.ptr[i]))
            return false;
    return s.len >= 3 && is_weekday(s);
}

struct http_when http_when_read_list(struct slice text, int64_t unit_ns, int64_t api_ns)
{
    struct http_when longest = http_when_read(text, unit_ns, api_ns);

    if (longest.told)
        return longest;
    while (text.len > 0) {
        size_t           comma = slice_find(text, ',', 0);
        struct http_when w;

        if (comma < text.len && is_name_of_a_day(slice_trim(slice_sub(text, 0, comma))))
            comma = slice_find(text, ',', comma + 1); /* the comma of a date */
        w = http_when_read(slice_sub(text, 0, comma), unit_ns, api_ns);
        longest.odd = longest.odd || w.odd;
        if (w.told && (!longest.told || w.in_ns > longest.in_ns)) {
            longest.told = true;
            longest.in_ns = w.in_ns;
        }
        text = slice_sub(text, comma + 1, text.len);
    }
    return longest;
}
