/* Byte classes and small validators of RFC 3986, 9110 and 9112, for the checks that httptools leaves to us. They
 * look at wire bytes as bytes: no locale, no Unicode, no conversion that would accept more than the grammar does.
 */
#ifndef SWHTTP_GRAMMAR_H
#define SWHTTP_GRAMMAR_H

#include <stdint.h>
#include <string.h>

/* token = 1*tchar   (RFC 9110 §5.6.2) */
static inline int sw_is_tchar(unsigned char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return 1;
    return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static inline int sw_is_hex(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static inline int sw_hex_value(unsigned char c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* Copy a field name in lower case. */
static inline void sw_copy_lower(unsigned char *to, const unsigned char *from, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
        unsigned char c = from[i];
        to[i] = c | ((unsigned char)((unsigned char)(c - 'A') < 26) << 5);
    }
}

/* Copy a field value; 0 when it holds a control other than HTAB (RFC 9110 §5.5: CTLs are invalid). */
static inline int sw_copy_value(unsigned char *to, const unsigned char *from, uint32_t length)
{
    unsigned char bad = 0;
    for (uint32_t i = 0; i < length; i++) {
        unsigned char c = from[i];
        to[i] = c;
        bad |= (unsigned char)(((c < 0x20) & (c != '\t')) | (c == 0x7F));
    }
    return !bad;
}

/* Case-insensitive comparison with a lower-case literal. */
static inline int sw_is_word(const unsigned char *text, uint32_t length, const char *word)
{
    if (length != strlen(word))
        return 0;
    for (uint32_t i = 0; i < length; i++) {
        unsigned char c = text[i];
        if (c >= 'A' && c <= 'Z')
            c |= 0x20;
        if (c != (unsigned char)word[i])
            return 0;
    }
    return 1;
}

/* Content-Length = 1*DIGIT (RFC 9110 §8.6), at most 18 digits here: -1 when it is not that. */
static inline int64_t sw_content_length(const unsigned char *text, uint32_t length)
{
    int64_t value = 0;
    if (length == 0 || length > 18)
        return -1;
    for (uint32_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

/* port = 1*5DIGIT, at most 65535: 1, or 0 when it is not that. */
static inline int sw_port(const unsigned char *text, uint32_t length, uint16_t *port)
{
    int64_t value = length <= 5 ? sw_content_length(text, length) : -1;
    if (value < 0 || value > 65535)
        return 0;
    *port = (uint16_t)value;
    return 1;
}

/* The next element of a comma-separated list (RFC 9110 §5.6.1), without blanks around it: text[from, to). It may be
 * empty. `at` is where to look, 0 at first; 0 when the list is at its end. */
static inline int sw_list_next(const unsigned char *text, uint32_t length, uint32_t *at, uint32_t *from, uint32_t *to)
{
    uint32_t end = *at;
    if (end > length)
        return 0;
    *from = end;
    while (end < length && text[end] != ',')
        end++;
    *at = end + 1;
    while (*from < end && (text[*from] == ' ' || text[*from] == '\t'))
        ++*from;
    while (end > *from && (text[end - 1] == ' ' || text[end - 1] == '\t'))
        end--;
    *to = end;
    return 1;
}

/* uri-host [ ":" port ]   (RFC 9112 §3.2, RFC 3986 §3.2.2), not empty. Without the comma that a reg-name may have: no
 * host's name has one, and "a,b" is what a proxy that joins equal fields makes of two Hosts. */
static inline int sw_is_host(const unsigned char *text, uint32_t length)
{
    uint32_t i = 0;
    if (length == 0)
        return 0;
    if (text[0] == '[') { /* IP-literal: the characters of IPv6address and IPvFuture */
        for (i = 1; i < length && text[i] != ']'; i++)
            if (!sw_is_hex(text[i]) && text[i] != ':' && text[i] != '.')
                return 0;
        if (i == length || i < 3)
            return 0;
        i++;
    } else {
        for (; i < length && text[i] != ':'; i++) {
            unsigned char c = text[i];
            if (c == '%') {
                if (i + 2 >= length || !sw_is_hex(text[i + 1]) || !sw_is_hex(text[i + 2]))
                    return 0;
                i += 2;
            } else if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
                         || (c != 0 && strchr("-._~!$&'()*+;=", c) != NULL))) {
                return 0;
            }
        }
        if (i == 0)
            return 0;
    }
    if (i == length)
        return 1;
    if (text[i++] != ':' || length - i > 5)
        return 0;
    {
        uint32_t port = 0;
        for (; i < length; i++) {
            if (text[i] < '0' || text[i] > '9')
                return 0;
            port = port * 10 + (text[i] - '0');
        }
        return port <= 65535;
    }
}

/* The characters that a request target may have (RFC 3986: printable ASCII; no fragment), and in its path, which may
 * become a file's, neither a backslash nor an encoded NUL. Browsers send a backslash in a query as it is (URL Standard),
 * and NUL is a byte of data there. A '%' without two hex digits is passed on as it is, as nginx and gunicorn do. */
static inline int sw_is_target(const unsigned char *text, uint32_t length)
{
    unsigned char bad = 0, odd = 0;
    for (uint32_t i = 0; i < length; i++) {
        unsigned char c = text[i];
        bad |= (unsigned char)((c <= 0x20) | (c >= 0x7F) | (c == '#'));
        odd |= (unsigned char)((c == '%') | (c == '\\'));
    }
    if (bad)
        return 0;
    if (odd) {
        for (uint32_t i = 0; i < length && text[i] != '?'; i++)
            if (text[i] == '\\' || (i + 2 < length && text[i] == '%' && text[i + 1] == '0' && text[i + 2] == '0'))
                return 0;
    }
    return 1;
}

#endif
