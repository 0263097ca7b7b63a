from libc.stdint cimport uint8_t, uint32_t


cdef extern from "swhttp/reactor/networks.h" nogil:
    enum:
        SW_IP_TEXT
    ctypedef struct sw_ip:
        unsigned char bytes[16]
    ctypedef struct sw_network:
        sw_ip prefix
        uint8_t bits
    void sw_ip_set_v4(sw_ip *ip, const unsigned char *four)
    void sw_ip_set_v6(sw_ip *ip, const unsigned char *sixteen)
    bint sw_ip_read(sw_ip *ip, int family, const unsigned char *text, uint32_t length)
    bint sw_ip_read_any(sw_ip *ip, const unsigned char *text, uint32_t length)
    uint32_t sw_ip_text(const sw_ip *ip, char *text)
    bint sw_networks_hold(const sw_network *networks, uint32_t count, const sw_ip *ip)
