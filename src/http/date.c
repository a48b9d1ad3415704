/*
 * HTTP dates.
 *
 * The forms are templates walked byte by byte.  Names of days and months and
 * "GMT" are taken in any case, as RFC 9111 4.2 asks of a cache; for the rest
 * the grammar is held to strictly: a date that is not one makes Expires stale.
 */
#include "http/date.h"

#include <stdio.h>

enum { DAY_SECONDS = 24 * 60 * 60 };

static const int64_t LATEST = INT64_C(253402300799); /* 9999-12-31 23:59:59 */

static const char *const days[7] = { "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday" };
static const char        months[12][4] = {
           "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
};

struct civil {
    int64_t year;
    int     month, day, hour, minute, second; /* month 1 to 12 */
};

/* w short weekday, W long one, d day, _ day with a blank for its zero, b month, Y and y year
 * of four and of two digits, H M S time, Z "GMT"; anything else stands for itself. */
static const char *const forms[] = {
    "w, d b Y H:M:S Z", /* IMF-fixdate */
    "W, d-b-y H:M:S Z", /* RFC 850 */
    "w b _ H:M:S Y",    /* asctime */
};

static bool take_text(struct slice *s, const char *text, size_t length)
{
    if (!slice_eq_nocase(slice_sub(*s, 0, length), (struct slice){ text, length }))
        return false;
    *s = slice_sub(*s, length, s->len);
    return true;
}

static bool take_number(struct slice *s, size_t digits, int64_t lowest, int64_t highest, int64_t *out)
{
    int64_t n = 0;

    if (s->len < digits)
        return false;
    for (size_t i = 0; i < digits; i++) {
        int digit = s->ptr[i] - '0';

        if (digit < 0 || digit > 9)
            return false;
        n = n * 10 + digit;
    }
    *s = (struct slice){ s->ptr + digits, s->len - digits };
    *out = n;
    return n >= lowest && n <= highest;
}

static bool take_int(struct slice *s, int lowest, int highest, int *out)
{
    int64_t n;

    if (!take_number(s, 2, lowest, highest, &n))
        return false;
    *out = (int)n;
    return true;
}

/* Three letters as a number, whatever their case: nothing but the two cases of a letter becomes that letter. */
static uint32_t three(const char *p)
{
    return ((uint32_t)(unsigned char)p[0] << 16 | (uint32_t)(unsigned char)p[1] << 8 | (unsigned char)p[2]) | 0x202020;
}

static bool take_weekday(struct slice *s, bool is_long)
{
    uint32_t begin = s->len >= 3 ? three(s->ptr) : 0;

    for (int i = 0; i < 7; i++)
        if (three(days[i]) == begin)
            return take_text(s, days[i], is_long ? strlen(days[i]) : 3);
    return false;
}

static bool take_month(struct slice *s, int *out)
{
    uint32_t begin = s->len >= 3 ? three(s->ptr) : 0;

    for (int i = 0; i < 12; i++)
        if (three(months[i]) == begin) {
            *s = (struct slice){ s->ptr + 3, s->len - 3 };
            *out = i + 1;
            return true;
        }
    return false;
}

static bool take_byte(struct slice *s, char byte)
{
    if (s->len == 0 || s->ptr[0] != byte)
        return false;
    *s = (struct slice){ s->ptr + 1, s->len - 1 };
    return true;
}

static bool take_blank_day(struct slice *s, int *out)
{
    int64_t n;

    if (!take_byte(s, ' '))
        return take_int(s, 1, 31, out);
    if (!take_number(s, 1, 1, 9, &n))
        return false;
    *out = (int)n;
    return true;
}

static bool take_element(struct slice *s, char element, struct civil *t)
{
    switch (element) {
    case 'w':
        return take_weekday(s, false);
    case 'W':
        return take_weekday(s, true);
    case 'd':
        return take_int(s, 1, 31, &t->day);
    case '_':
        return take_blank_day(s, &t->day);
    case 'b':
        return take_month(s, &t->month);
    case 'Y':
        return take_number(s, 4, 0, 9999, &t->year);
    case 'y':
        return take_number(s, 2, 0, 99, &t->year);
    case 'H':
        return take_int(s, 0, 23, &t->hour);
    case 'M':
        return take_int(s, 0, 59, &t->minute);
    case 'S':
        return take_int(s, 0, 60, &t->second); /* 60: a leap second */
    case 'Z':
        return take_text(s, "GMT", 3);
    default:
        return take_byte(s, element);
    }
}

static bool matches_form(struct slice text, const char *form, struct civil *t)
{
    for (; *form != '\0'; form++)
        if (!take_element(&text, *form, t))
            return false;
    return text.len == 0;
}

/* Days since 1970-01-01 in the Gregorian calendar, for years from 0. */
static int64_t days_from_civil(int64_t year, int month, int day)
{
    /* Years begin in March here, so that the leap day is the last of its year. */
    int64_t y = year + 400 - (month <= 2); /* shifted by one era: never negative */
    int64_t era = y / 400;
    int64_t year_of_era = y % 400;
    int64_t day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;

    return (era - 1) * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static struct civil civil_from_seconds(int64_t seconds)
{
    int64_t      day_count = seconds / DAY_SECONDS;
    int          rest = (int)(seconds % DAY_SECONDS);
    int64_t      z, day_of_era, year_of_era, day_of_year, month;
    struct civil t;

    if (rest < 0) {
        rest += DAY_SECONDS;
        day_count--;
    }
    z = day_count + 719468;
    day_of_era = z % 146097;
    year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    month = (5 * day_of_year + 2) / 153;
    t.day = (int)(day_of_year - (153 * month + 2) / 5 + 1);
    t.month = (int)(month < 10 ? month + 3 : month - 9);
    t.year = year_of_era + z / 146097 * 400 + (t.month <= 2);
    t.hour = rest / 3600;
    t.minute = rest / 60 % 60;
    t.second = rest % 60;
    return t;
}

static int days_in_month(int64_t year, int month)
{
    static const int lengths[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool             leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return lengths[month - 1] + (month == 2 && leap);
}

static int64_t seconds_from_civil(const struct civil *t)
{
    return days_from_civil(t->year, t->month, t->day) * DAY_SECONDS + (int64_t)t->hour * 3600 + t->minute * 60 +
           t->second;
}

bool http_date_seconds(int64_t year, int month, int day, int hour, int minute, int second, int64_t *out)
{
    struct civil t = { year, month, day, hour, minute, second };

    if (year < 0 || year > 9999 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour < 0 ||
        hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
        return false;
    *out = seconds_from_civil(&t);
    return true;
}

static int64_t clamp(int64_t seconds)
{
    return seconds < 0 ? 0 : seconds > LATEST ? LATEST : seconds;
}

/* RFC 9110 5.6.7: the latest year with these two digits that is not over 50 years ahead. */
static int64_t place_year(struct civil t, int64_t now_s)
{
    struct civil limit = civil_from_seconds(clamp(now_s));
    int64_t      two_digits = t.year;

    limit.year += 50;
    t.year = (limit.year - two_digits) / 100 * 100 + two_digits;
    return seconds_from_civil(&t) > seconds_from_civil(&limit) ? t.year - 100 : t.year;
}

bool http_date_parse(struct slice text, int64_t now_s, int64_t *out)
{
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct civil t = { 0 };

        if (!matches_form(text, forms[i], &t))
            continue;
        if (strchr(forms[i], 'y') != NULL)
            t.year = place_year(t, now_s);
        if (t.day > days_in_month(t.year, t.month))
            return false;
        *out = seconds_from_civil(&t);
        return true;
    }
    return false;
}

void http_date_format(int64_t seconds, char out[HTTP_DATE_BYTES])
{
    struct civil t;
    char         made[64];

    seconds = clamp(seconds);
    t = civil_from_seconds(seconds);
    /* 1970-01-01 was a Thursday, the fourth of days[]. */
    snprintf(made, sizeof made, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days[(seconds / DAY_SECONDS + 3) % 7], t.day,
             months[t.month - 1], (int)t.year, t.hour, t.minute, t.second);
    memcpy(out, made, HTTP_DATE_BYTES);
}
