/* The payload of WebSocket frames: taking the mask off (RFC 6455 §5.3), and whether it is UTF-8 (§8.1, RFC 3629).
 *
 * Both work on pieces of any length and keep no more between two of them than their caller holds: the mask a position
 * modulo 4, UTF-8 one word. Neither reads or writes a byte outside of what it is given. Nothing here allocates or waits.
 */
#ifndef SWHTTP_WSBYTES_H
#define SWHTTP_WSBYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Spelt as a vector: the compiler's own would be left for single bytes where `to` is `from`, the usual case. */
typedef uint64_t sw_vector __attribute__((vector_size(16)));

/* Copy `n` bytes and take their mask off. `to` is `from`, or they do not overlap. `key`: its four bytes as they lie on
 * the wire; `phase`: how many bytes of the frame's payload came before, modulo 4. */
static inline void sw_ws_unmask(unsigned char *to, const unsigned char *from, size_t n, uint32_t key, unsigned phase)
{
    unsigned char bytes[8], turned[4];
    uint32_t mask;
    uint64_t wide;
    size_t i = 0;
    memcpy(bytes, &key, 4);
    memcpy(bytes + 4, &key, 4);
    memcpy(turned, bytes + (phase & 3), 4);
    memcpy(&mask, turned, 4);
    wide = (uint64_t)mask << 32 | mask;
    if (n >= 16) {
        const sw_vector masks = {wide, wide};
        sw_vector a, b;
        for (; i + 32 <= n; i += 32) {
            memcpy(&a, from + i, 16);
            memcpy(&b, from + i + 16, 16);
            a ^= masks;
            b ^= masks;
            memcpy(to + i, &a, 16);
            memcpy(to + i + 16, &b, 16);
        }
        if (i + 16 <= n) {
            memcpy(&a, from + i, 16);
            a ^= masks;
            memcpy(to + i, &a, 16);
            i += 16;
        }
    }
    if (i + 8 <= n) {
        uint64_t word;
        memcpy(&word, from + i, 8);
        word ^= wide;
        memcpy(to + i, &word, 8);
        i += 8;
    }
    for (; i < n; i++)
        to[i] = from[i] ^ turned[i & 3];
}

/* What has been read of a character: how many bytes it still needs, and the least and the greatest that the next one may
 * be. Only a second byte has bounds other than 80..BF: they refuse overlong forms, surrogates and what is beyond
 * U+10FFFF at the first byte that makes them so. */
#define SW_UTF8_WHOLE 0u                /* the state at the start, and after each whole character */
#define SW_UTF8_BAD 0xffffffffu         /* it is not UTF-8, whatever follows */
#define SW_UTF8_NEEDS(count, least, most) ((uint32_t)(count) | (uint32_t)(least) << 8 | (uint32_t)(most) << 16)

/* What the first byte of a character of more than one byte asks for. */
static inline uint32_t sw_utf8_first(unsigned char c)
{
    if (c < 0xc2)
        return SW_UTF8_BAD;
    if (c < 0xe0)
        return SW_UTF8_NEEDS(1, 0x80, 0xbf);
    if (c < 0xf0)
        return SW_UTF8_NEEDS(2, c == 0xe0 ? 0xa0 : 0x80, c == 0xed ? 0x9f : 0xbf);
    if (c < 0xf5)
        return SW_UTF8_NEEDS(3, c == 0xf0 ? 0x90 : 0x80, c == 0xf4 ? 0x8f : 0xbf);
    return SW_UTF8_BAD;
}

/* Read a text's next `n` bytes; the new state. It is SW_UTF8_BAD as soon as no text can begin so; at the end of a text
 * it must be SW_UTF8_WHOLE. */
static inline uint32_t sw_utf8(uint32_t state, const unsigned char *at, size_t n)
{
    const unsigned char *const end = at + n;
    while (at < end) {
        unsigned char c;
        uint32_t count;
        int ascii;
        if (state == SW_UTF8_WHOLE) {
            while (end - at >= 16) {
                uint64_t a, b;
                memcpy(&a, at, 8);
                memcpy(&b, at + 8, 8);
                if ((a | b) & 0x8080808080808080u)
                    break;
                at += 16;
            }
            if (end - at >= 8) {
                uint64_t a;
                memcpy(&a, at, 8);
                if ((a & 0x8080808080808080u) == 0)
                    at += 8;
            }
            /* Whole characters one after another, as in texts of other alphabets, until there is a run of ASCII. */
            for (ascii = 0; ascii < 8 && end - at >= 3;) {
                if (*at < 0x80) {
                    at++;
                    ascii++;
                    continue;
                }
                ascii = 0;
                if (*at < 0xe0) {
                    if (*at < 0xc2 || (at[1] & 0xc0) != 0x80)
                        return SW_UTF8_BAD;
                    at += 2;
                } else if (*at < 0xf0) {
                    if ((at[1] & 0xc0) != 0x80 || (at[2] & 0xc0) != 0x80 || (*at == 0xe0 && at[1] < 0xa0)
                        || (*at == 0xed && at[1] > 0x9f))
                        return SW_UTF8_BAD;
                    at += 3;
                } else {
                    break;
                }
            }
            if (ascii == 8)
                continue;
            while (at < end && *at < 0x80)
                at++;
            if (at == end)
                return SW_UTF8_WHOLE;
            state = sw_utf8_first(*at++);
            if (state == SW_UTF8_BAD)
                return SW_UTF8_BAD;
            continue;
        }
        if (state == SW_UTF8_BAD)
            return SW_UTF8_BAD;
        c = *at++;
        if (c < (state >> 8 & 0xff) || c > (state >> 16 & 0xff))
            return SW_UTF8_BAD;
        count = (state & 0xff) - 1;
        state = count == 0 ? SW_UTF8_WHOLE : SW_UTF8_NEEDS(count, 0x80, 0xbf);
    }
    return state;
}

#endif
