/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 3339 times to UTC and back, without the C library's time zones. */
#include "message.h"

#include <stdio.h>

#define MS_A_DAY  86400000
#define YEAR_1_MS (-62135596800000)
#define YEAR_9999_END_MS 253402300799999

/* Days from 1970-01-01 of the proleptic Gregorian calendar, by Howard Hinnant's days_from_civil. */
static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
    int64_t y = year - (month <= 2), era = y / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + (int64_t)day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void civil_of(int64_t days, int *ret_year, unsigned *ret_month, unsigned *ret_day)
{
    int64_t z = days + 719468, era = z / 146097, of_era = z - era * 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * of_year + 2) / 153;

    *ret_day = (unsigned)(of_year - (153 * shifted + 2) / 5 + 1);
    *ret_month = (unsigned)(shifted < 10 ? shifted + 3 : shifted - 9);
    *ret_year = (int)(year_of_era + era * 400 + (*ret_month <= 2));
}

static unsigned days_in(int64_t year, unsigned month)
{
    static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return month == 2 && leap ? 29 : days[month - 1];
}

/* n digits at *pos; -1: there are none. */
static int take_digits(struct fg_slice s, size_t *pos, unsigned n)
{
    int value = 0;

    for (unsigned i = 0; i < n; i++, (*pos)++) {
        if (*pos >= s.len || s.ptr[*pos] < '0' || s.ptr[*pos] > '9')
            return -1;
        value = value * 10 + (s.ptr[*pos] - '0');
    }
    return value;
}

static bool take(struct fg_slice s, size_t *pos, char c)
{
    if (*pos >= s.len || s.ptr[*pos] != c)
        return false;
    (*pos)++;
    return true;
}

/* Six numbers with what stands between them: 2026-03-07T08:12:01 */
static bool take_fields(struct fg_slice s, size_t *pos, int field[6])
{
    static const char between[] = "--T::";

    for (size_t i = 0; i < 6; i++) {
        field[i] = take_digits(s, pos, i == 0 ? 4 : 2);
        if (field[i] < 0)
            return false;
        if (i < 5 && !take(s, pos, between[i]) && !(i == 2 && (take(s, pos, 't') || take(s, pos, ' '))))
            return false;
    }
    return field[0] >= 1 && field[1] >= 1 && field[1] <= 12 && field[2] >= 1 &&
           field[2] <= (int)days_in(field[0], (unsigned)field[1]) && field[3] <= 23 && field[4] <= 59 && field[5] <= 60;
}

/* Milliseconds; digits behind them are dropped. false: a point without digits. */
static bool take_fraction(struct fg_slice s, size_t *pos, int64_t *ret_ms)
{
    int64_t scale = 100;
    size_t from;

    *ret_ms = 0;
    if (!take(s, pos, '.'))
        return true;
    for (from = *pos; *pos < s.len && s.ptr[*pos] >= '0' && s.ptr[*pos] <= '9'; (*pos)++, scale /= 10)
        *ret_ms += (s.ptr[*pos] - '0') * scale;
    return *pos > from;
}

static bool take_offset(struct fg_slice s, size_t *pos, int64_t *ret_ms)
{
    bool minus = false;
    int hours, minutes;

    *ret_ms = 0;
    if (take(s, pos, 'Z') || take(s, pos, 'z'))
        return true;
    if (take(s, pos, '-'))
        minus = true;
    else if (!take(s, pos, '+'))
        return false;
    hours = take_digits(s, pos, 2);
    if (!take(s, pos, ':'))
        return false;
    minutes = take_digits(s, pos, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
        return false;
    *ret_ms = (minus ? -1 : 1) * (hours * 60 + minutes) * INT64_C(60000);
    return true;
}

bool message_time_parse(struct fg_slice text, struct message_time *ret)
{
    int64_t ms = 0, fraction, offset;
    size_t pos = 0;
    int f[6];

    if (!take_fields(text, &pos, f) || !take_fraction(text, &pos, &fraction) || !take_offset(text, &pos, &offset) ||
        pos != text.len)
        return false;
    ms = days_of(f[0], (unsigned)f[1], (unsigned)f[2]) * MS_A_DAY;
    ms += ((f[3] * 60 + f[4]) * INT64_C(60) + f[5]) * 1000 + fraction - offset;
    return message_time_format(ms, ret);
}

bool message_time_format(int64_t ms, struct message_time *ret)
{
    int64_t days, rest;
    unsigned month, day;
    int year, written;

    if (ms < YEAR_1_MS || ms > YEAR_9999_END_MS)
        return false;
    days = (ms - YEAR_1_MS) / MS_A_DAY + YEAR_1_MS / MS_A_DAY;
    rest = (ms - YEAR_1_MS) % MS_A_DAY;
    civil_of(days, &year, &month, &day);
    written = snprintf(ret->text, sizeof(ret->text), "%04d-%02u-%02uT%02d:%02d:%02d", year, month, day,
                       (int)(rest / 3600000), (int)(rest / 60000 % 60), (int)(rest / 1000 % 60));
    if (rest % 1000)
        written += snprintf(ret->text + written, sizeof(ret->text) - (size_t)written, ".%03d", (int)(rest % 1000));
    (void)snprintf(ret->text + written, sizeof(ret->text) - (size_t)written, "Z");
    ret->ms = ms;
    return true;
}
