/* Times as HTTP writes them (RFC 9110 §5.6.7): read in all three forms, written in one. No locale, no time zone. */
#ifndef SWHTTP_HTTPDATE_H
#define SWHTTP_HTTPDATE_H

#include <stdint.h>
#include <string.h>

#define SW_NO_DATE INT64_MIN
#define SW_DATE_BYTES 29

static const char SW_DAYS[7][10] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
static const char SW_MONTHS[37] = "JanFebMarAprMayJunJulAugSepOctNovDec";

/* Days from 1970-01-01 to a date of the Gregorian calendar. Years begin in March here, so that leap days are last. */
static inline int64_t sw_days(int64_t year, int month, int day)
{
    int64_t era;
    int of_era, of_year;
    year -= month <= 2;
    era = (year >= 0 ? year : year - 399) / 400;
    of_era = (int)(year - era * 400);
    of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static inline void sw_put_two(char *at, int number)
{
    at[0] = (char)('0' + number / 10);
    at[1] = (char)('0' + number % 10);
}

/* SW_DATE_BYTES and a NUL, for the years 0 to 9999. */
static inline void sw_date_write(int64_t at_s, char *text)
{
    int64_t days = at_s >= 0 ? at_s / 86400 : -((86399 - at_s) / 86400);
    int second = (int)(at_s - days * 86400);
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int of_era = (int)(z - era * 146097);
    int year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int of_year = of_era - (365 * year + year / 4 - year / 100);
    int shifted = (5 * of_year + 2) / 153;
    int day = of_year - (153 * shifted + 2) / 5 + 1;
    int month = shifted < 10 ? shifted + 3 : shifted - 9;
    int64_t full = era * 400 + year + (month <= 2);
    memcpy(text, "Xxx, 00 Xxx 0000 00:00:00 GMT", SW_DATE_BYTES + 1);
    memcpy(text, SW_DAYS[((days + 4) % 7 + 7) % 7], 3);
    memcpy(text + 8, SW_MONTHS + 3 * (month - 1), 3);
    sw_put_two(text + 5, day);
    sw_put_two(text + 12, (int)(full / 100 % 100));
    sw_put_two(text + 14, (int)(full % 100));
    sw_put_two(text + 17, second / 3600);
    sw_put_two(text + 20, second / 60 % 60);
    sw_put_two(text + 23, second % 60);
}

static inline int sw_two(const char *at)
{
    if (at[0] < '0' || at[0] > '9' || at[1] < '0' || at[1] > '9')
        return -1;
    return (at[0] - '0') * 10 + at[1] - '0';
}

static inline int sw_month(const char *at)
{
    for (int i = 0; i < 12; i++)
        if (memcmp(at, SW_MONTHS + 3 * i, 3) == 0)
            return i + 1;
    return -1;
}

static inline int64_t sw_moment(int year, int month, int day, const char *time)
{
    static const unsigned char lengths[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int hour = sw_two(time), minute = sw_two(time + 3), second = sw_two(time + 6);
    int leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (year < 0 || month < 1 || day < 1 || day > lengths[month - 1] + (leap && month == 2) || time[2] != ':'
        || time[5] != ':' || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
        return SW_NO_DATE;
    return sw_days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
}

/* Seconds since the epoch; SW_NO_DATE when this is none of the forms. `now_s`: for years of two digits, which are at
 * most 50 years ahead. */
static inline int64_t sw_date_read(const char *text, uint32_t length, int64_t now_s)
{
    int year, high, low, this_year = (int)(1970 + now_s / 31556952);
    if (length == 29 && text[3] == ',' && text[4] == ' ') { /* Sun, 06 Nov 1994 08:49:37 GMT */
        if (text[7] != ' ' || text[11] != ' ' || text[16] != ' ' || memcmp(text + 25, " GMT", 4) != 0)
            return SW_NO_DATE;
        high = sw_two(text + 12);
        low = sw_two(text + 14);
        return high < 0 || low < 0 ? SW_NO_DATE
                                   : sw_moment(high * 100 + low, sw_month(text + 8), sw_two(text + 5), text + 17);
    }
    if (length == 24 && text[3] == ' ' && text[7] == ' ' && text[10] == ' ' && text[19] == ' ') {
        char day[2] = {text[8] == ' ' ? '0' : text[8], text[9]}; /* Sun Nov  6 08:49:37 1994 */
        high = sw_two(text + 20);
        low = sw_two(text + 22);
        return high < 0 || low < 0 ? SW_NO_DATE
                                   : sw_moment(high * 100 + low, sw_month(text + 4), sw_two(day), text + 11);
    }
    for (int i = 0; i < 7; i++) { /* Sunday, 06-Nov-94 08:49:37 GMT */
        uint32_t name = (uint32_t)strlen(SW_DAYS[i]);
        const char *at = text + name + 2;
        if (length != name + 24 || memcmp(text, SW_DAYS[i], name) != 0 || text[name] != ',' || text[name + 1] != ' ')
            continue;
        if (at[2] != '-' || at[6] != '-' || at[9] != ' ' || memcmp(at + 18, " GMT", 4) != 0 || sw_two(at + 7) < 0)
            return SW_NO_DATE;
        year = this_year / 100 * 100 + sw_two(at + 7);
        if (year > this_year + 50)
            year -= 100;
        return sw_moment(year, sw_month(at + 3), sw_two(at), at + 10);
    }
    return SW_NO_DATE;
}

#endif
