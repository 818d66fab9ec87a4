/* SPDX-License-Identifier: Apache-2.0 */
/* The system's clocks, and the two date formats that HTTP APIs use. */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

#include "base/assert.h"
#include "base/str.h"

#define MS_PER_DAY  (INT64_C(24) * 60 * 60 * 1000)
#define LAST_MS     INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

static uint64_t system_mono_ns(void *arg)
{
    struct timespec ts;
    int r = clock_gettime(CLOCK_MONOTONIC, &ts);

    fg_assert(r == 0);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int64_t system_wall_ms(void *arg)
{
    struct timespec ts;
    int r = clock_gettime(CLOCK_REALTIME, &ts);

    fg_assert(r == 0);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

const struct fg_clock fg_clock_system = { .mono_ns = system_mono_ns, .wall_ms = system_wall_ms };

struct date {
    int64_t year, month, day; /* month 1..12, day 1..31 */
};

/*
 * Days since 1970-01-01 of the proleptic Gregorian calendar and back, with years that begin in March.
 * Source: https://howardhinnant.github.io/date_algorithms.html
 */
static int64_t days_from_date(struct date d)
{
    int64_t y = d.month <= 2 ? d.year - 1 : d.year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (d.month > 2 ? d.month - 3 : d.month + 9) + 2) / 5 + d.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

static struct date date_from_days(int64_t days)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t day_of_era = z - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t mp = (5 * day_of_year + 2) / 153;
    int64_t month = mp < 10 ? mp + 3 : mp - 9;

    return (struct date){
        .year = year_of_era + era * 400 + (month <= 2 ? 1 : 0),
        .month = month,
        .day = day_of_year - (153 * mp + 2) / 5 + 1,
    };
}

static int64_t days_in_month(int64_t year, int64_t month)
{
    static const int64_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month == 2 && leap ? 29 : days[month - 1];
}

static bool is_date(struct date d)
{
    return d.month >= 1 && d.month <= 12 && d.day >= 1 && d.day <= days_in_month(d.year, d.month);
}

void fg_rfc3339(int64_t unix_ms, char ret[FG_RFC3339_MAX])
{
    int64_t ms = unix_ms < 0 ? 0 : unix_ms > LAST_MS ? LAST_MS : unix_ms;
    struct date d = date_from_days(ms / MS_PER_DAY);
    int rest = (int)(ms % MS_PER_DAY);
    int seconds = rest / 1000;
    char fraction[8] = "";

    if (rest % 1000 != 0)
        (void)snprintf(fraction, sizeof(fraction), ".%03d", rest % 1000);
    (void)snprintf(ret, FG_RFC3339_MAX, "%04d-%02d-%02dT%02d:%02d:%02d%sZ", (int)d.year % 10000, (int)d.month % 100,
                   (int)d.day % 100, seconds / 3600, seconds / 60 % 60, seconds % 60, fraction);
}

/* Exactly `n` digits at *pos. */
static bool take_number(struct fg_slice s, size_t *pos, size_t n, int64_t *ret)
{
    int64_t value;
    struct fg_slice digits = fg_slice_sub(s, *pos, *pos + n);

    if (digits.len != n || digits.ptr[0] == '-' || !fg_parse_int(digits, &value))
        return false;
    *pos += n;
    *ret = value;
    return true;
}

static bool take_char(struct fg_slice s, size_t *pos, char c)
{
    if (*pos >= s.len || s.ptr[*pos] != c)
        return false;
    *pos += 1;
    return true;
}

/* HH:MM:SS as milliseconds. Second 60 is a leap second and counts as the next minute's first. */
static bool take_time(struct fg_slice s, size_t *pos, int64_t *ret_ms)
{
    int64_t hour, minute, second;

    if (!take_number(s, pos, 2, &hour) || !take_char(s, pos, ':') || !take_number(s, pos, 2, &minute) ||
        !take_char(s, pos, ':') || !take_number(s, pos, 2, &second))
        return false;
    if (hour > 23 || minute > 59 || second > 60)
        return false;
    *ret_ms = ((hour * 60 + minute) * 60 + second) * 1000;
    return true;
}

/* Nothing, or a point and digits; what is finer than a millisecond is cut off. */
static bool take_fraction(struct fg_slice s, size_t *pos, int64_t *ret_ms)
{
    int64_t ms = 0, weight = 100;
    size_t from;

    *ret_ms = 0;
    if (!take_char(s, pos, '.'))
        return true;
    for (from = *pos; *pos < s.len && s.ptr[*pos] >= '0' && s.ptr[*pos] <= '9'; *pos += 1) {
        ms += (s.ptr[*pos] - '0') * weight;
        weight /= 10;
    }
    *ret_ms = ms;
    return *pos > from;
}

static bool take_offset(struct fg_slice s, size_t *pos, int64_t *ret_ms)
{
    int64_t hour, minute, sign;

    if (take_char(s, pos, 'Z') || take_char(s, pos, 'z')) {
        *ret_ms = 0;
        return true;
    }
    if (take_char(s, pos, '+'))
        sign = 1;
    else if (take_char(s, pos, '-'))
        sign = -1;
    else
        return false;
    if (!take_number(s, pos, 2, &hour) || !take_char(s, pos, ':') || !take_number(s, pos, 2, &minute))
        return false;
    if (hour > 23 || minute > 59)
        return false;
    *ret_ms = sign * (hour * 60 + minute) * 60 * 1000;
    return true;
}

bool fg_rfc3339_parse(struct fg_slice s, int64_t *ret_unix_ms)
{
    struct date d;
    int64_t time_ms, fraction_ms, offset_ms;
    size_t pos = 0;

    if (!take_number(s, &pos, 4, &d.year) || !take_char(s, &pos, '-') || !take_number(s, &pos, 2, &d.month) ||
        !take_char(s, &pos, '-') || !take_number(s, &pos, 2, &d.day) || !is_date(d))
        return false;
    if (!take_char(s, &pos, 'T') && !take_char(s, &pos, 't'))
        return false;
    if (!take_time(s, &pos, &time_ms) || !take_fraction(s, &pos, &fraction_ms) || !take_offset(s, &pos, &offset_ms))
        return false;
    if (pos != s.len)
        return false;
    *ret_unix_ms = days_from_date(d) * MS_PER_DAY + time_ms + fraction_ms - offset_ms;
    return true;
}

/* One of n names of three letters, as its number from 0. */
static bool take_name(struct fg_slice s, size_t *pos, const char *names, size_t n, int64_t *ret)
{
    struct fg_slice name = fg_slice_sub(s, *pos, *pos + 3);

    for (size_t i = 0; i < n && name.len == 3; i++) {
        if (memcmp(name.ptr, names + 3 * i, 3) == 0) {
            *pos += 3;
            *ret = (int64_t)i;
            return true;
        }
    }
    return false;
}

bool fg_http_date_parse(struct fg_slice s, int64_t *ret_unix_ms)
{
    struct date d;
    int64_t weekday, month, time_ms;
    size_t pos = 0;

    if (!take_name(s, &pos, "SunMonTueWedThuFriSat", 7, &weekday) || !take_char(s, &pos, ',') ||
        !take_char(s, &pos, ' ') || !take_number(s, &pos, 2, &d.day) || !take_char(s, &pos, ' ') ||
        !take_name(s, &pos, "JanFebMarAprMayJunJulAugSepOctNovDec", 12, &month) || !take_char(s, &pos, ' ') ||
        !take_number(s, &pos, 4, &d.year) || !take_char(s, &pos, ' '))
        return false;
    d.month = month + 1;
    if (!is_date(d) || !take_time(s, &pos, &time_ms) || !fg_slice_is(fg_slice_sub(s, pos, s.len), " GMT"))
        return false;
    *ret_unix_ms = days_from_date(d) * MS_PER_DAY + time_ms;
    return true;
}
