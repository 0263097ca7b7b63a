/* Loops over octets that are too hot for anything but C: checks of field names and values (RFC 9110 §5.1, §5.5),
 * a hash for small caches, percent-decoding. No Python here, no allocation, nothing past the lengths given.
 */
#ifndef SWHTTP_OCTETS_H
#define SWHTTP_OCTETS_H

#include <stdint.h>
#include <string.h>

/* tchar = "!#$%&'*+-.^_`|~" / DIGIT / ALPHA. The value is the character in lower case, 0 for what is no tchar. */
static const unsigned char sw_tchar[256] = {
    ['!'] = '!', ['#'] = '#', ['$'] = '$', ['%'] = '%', ['&'] = '&', ['\''] = '\'', ['*'] = '*', ['+'] = '+',
    ['-'] = '-', ['.'] = '.', ['^'] = '^', ['_'] = '_', ['`'] = '`', ['|'] = '|', ['~'] = '~',
    ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5', ['6'] = '6', ['7'] = '7',
    ['8'] = '8', ['9'] = '9',
    ['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g', ['H'] = 'h',
    ['I'] = 'i', ['J'] = 'j', ['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p',
    ['Q'] = 'q', ['R'] = 'r', ['S'] = 's', ['T'] = 't', ['U'] = 'u', ['V'] = 'v', ['W'] = 'w', ['X'] = 'x',
    ['Y'] = 'y', ['Z'] = 'z',
    ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd', ['e'] = 'e', ['f'] = 'f', ['g'] = 'g', ['h'] = 'h',
    ['i'] = 'i', ['j'] = 'j', ['k'] = 'k', ['l'] = 'l', ['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p',
    ['q'] = 'q', ['r'] = 'r', ['s'] = 's', ['t'] = 't', ['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x',
    ['y'] = 'y', ['z'] = 'z',
};

/* token = 1*tchar */
static inline int sw_is_token(const unsigned char *text, size_t length)
{
    size_t i;
    for (i = 0; i < length; i++)
        if (sw_tchar[text[i]] == 0)
            return 0;
    return length != 0;
}

/* Equal when letters are compared without case; `lower` is lower case already. */
static inline int sw_equals_lower(const unsigned char *text, const char *lower, size_t length)
{
    size_t i;
    for (i = 0; i < length; i++)
        if (sw_tchar[text[i]] != (unsigned char)lower[i])
            return 0;
    return 1;
}

/* field-value: no control character but HTAB. Eight octets at a time; the exact look only where one was found. */
static inline int sw_is_field_value(const unsigned char *text, size_t length)
{
    const uint64_t ones = ~(uint64_t)0 / 255, highs = ones * 128;
    size_t i = 0, j;
    for (; i + 8 <= length; i += 8) {
        uint64_t word, below_space, delete;
        memcpy(&word, text + i, 8);
        below_space = (word - ones * 0x20) & ~word & highs;
        delete = word ^ ones * 0x7f;
        delete = (delete - ones) & ~delete & highs;
        if (below_space | delete)
            for (j = i; j < i + 8; j++)
                if ((text[j] < 0x20 && text[j] != '\t') || text[j] == 0x7f)
                    return 0;
    }
    for (; i < length; i++)
        if ((text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f)
            return 0;
    return 1;
}

/* Decimal digits only, at most 18 of them: the value, or -1. */
static inline int64_t sw_parse_length(const unsigned char *text, size_t length)
{
    int64_t value = 0;
    size_t i;
    if (length == 0 || length > 18)
        return -1;
    for (i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

/* Good enough to spread keys over a small cache, where a collision only costs a miss. */
static inline uint64_t sw_hash(const unsigned char *text, size_t length, uint64_t seed)
{
    const uint64_t k = 0x9e3779b97f4a7c15u;
    uint64_t h = (seed ^ length) * k, word;
    for (; length >= 8; text += 8, length -= 8) {
        memcpy(&word, text, 8);
        h = (h ^ word) * k;
        h ^= h >> 29;
    }
    word = 0;
    memcpy(&word, text, length);
    h = (h ^ word) * k;
    return h ^ h >> 32;
}

static inline int sw_hex_digit(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decode (RFC 3986 §2.1) `source` into `target`, which has room for `length`: the decoded length. A '%'
 * without two hexadecimal digits stays as it is. */
static inline size_t sw_percent_decode(unsigned char *target, const unsigned char *source, size_t length)
{
    size_t i = 0, n = 0;
    while (i < length) {
        if (source[i] == '%' && i + 2 < length) {
            int high = sw_hex_digit(source[i + 1]), low = sw_hex_digit(source[i + 2]);
            if (high >= 0 && low >= 0) {
                target[n++] = (unsigned char)(high << 4 | low);
                i += 3;
                continue;
            }
        }
        target[n++] = source[i++];
    }
    return n;
}

/* 'content-type' as a key of a WSGI environ: 'HTTP_CONTENT_TYPE'; `target` has room for length + 5. */
static inline void sw_environ_key(unsigned char *target, const unsigned char *name, size_t length)
{
    size_t i;
    memcpy(target, "HTTP_", 5);
    for (i = 0; i < length; i++) {
        unsigned char c = name[i];
        target[5 + i] = c == '-' ? '_' : c >= 'a' && c <= 'z' ? c - 32 : c;
    }
}

#endif
