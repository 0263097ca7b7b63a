/* IP addresses as 16 bytes, and sets of networks: whom we believe. An IPv4 address is kept as its IPv4-mapped IPv6
 * address (RFC 4291 §2.5.5.2), so a client is the same whichever kind of socket it came through, and there is one
 * comparison. Text is checked before inet_pton sees it: no scope ids, no blanks, nothing that is longer than an address.
 */
#ifndef SWHTTP_NETWORKS_H
#define SWHTTP_NETWORKS_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#define SW_IP_TEXT 46 /* INET6_ADDRSTRLEN */
#define SW_MAPPED_BITS 96

static const unsigned char SW_MAPPED_PREFIX[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

typedef struct {
    unsigned char bytes[16];
} sw_ip;

typedef struct {
    sw_ip prefix;
    uint8_t bits; /* of `prefix`; that of an IPv4 network is 96 longer than it was written */
} sw_network;

static inline int sw_ip_is_v4(const sw_ip *ip)
{
    return memcmp(ip->bytes, SW_MAPPED_PREFIX, sizeof SW_MAPPED_PREFIX) == 0;
}

static inline void sw_ip_set_v4(sw_ip *ip, const unsigned char *four)
{
    memcpy(ip->bytes, SW_MAPPED_PREFIX, sizeof SW_MAPPED_PREFIX);
    memcpy(ip->bytes + sizeof SW_MAPPED_PREFIX, four, 4);
}

static inline void sw_ip_set_v6(sw_ip *ip, const unsigned char *sixteen)
{
    memcpy(ip->bytes, sixteen, 16);
}

/* An address as text, of the kind that `family` says (AF_INET, AF_INET6): 0 when it is not that. */
static inline int sw_ip_read(sw_ip *ip, int family, const unsigned char *text, uint32_t length)
{
    char copy[SW_IP_TEXT];
    unsigned char four[4];
    if (length == 0 || length >= sizeof copy)
        return 0;
    for (uint32_t i = 0; i < length; i++) {
        unsigned char c = text[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' || c == '.'))
            return 0;
        copy[i] = (char)c;
    }
    copy[length] = 0;
    if (family == AF_INET) {
        if (inet_pton(AF_INET, copy, four) != 1)
            return 0;
        sw_ip_set_v4(ip, four);
        return 1;
    }
    return inet_pton(AF_INET6, copy, ip->bytes) == 1;
}

/* Either kind. */
static inline int sw_ip_read_any(sw_ip *ip, const unsigned char *text, uint32_t length)
{
    return sw_ip_read(ip, memchr(text, ':', length) != NULL ? AF_INET6 : AF_INET, text, length);
}

/* The text of an address, at most SW_IP_TEXT - 1 bytes and a NUL; its length. */
static inline uint32_t sw_ip_text(const sw_ip *ip, char *text)
{
    int v4 = sw_ip_is_v4(ip);
    if (inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? ip->bytes + 12 : ip->bytes, text, SW_IP_TEXT) == NULL)
        return 0; /* it has room for every address */
    return (uint32_t)strlen(text);
}

/* A network that is wider than all of IPv4 holds no IPv4 address: who writes ::/0 has said nothing about 0.0.0.0/0. */
static inline int sw_network_holds(const sw_network *network, const sw_ip *ip)
{
    uint32_t whole = network->bits / 8, rest = network->bits % 8;
    if (network->bits < SW_MAPPED_BITS && sw_ip_is_v4(ip))
        return 0;
    if (memcmp(network->prefix.bytes, ip->bytes, whole) != 0)
        return 0;
    return rest == 0 || (network->prefix.bytes[whole] ^ ip->bytes[whole]) >> (8 - rest) == 0;
}

static inline int sw_networks_hold(const sw_network *networks, uint32_t count, const sw_ip *ip)
{
    for (uint32_t i = 0; i < count; i++)
        if (sw_network_holds(&networks[i], ip))
            return 1;
    return 0;
}

#endif
