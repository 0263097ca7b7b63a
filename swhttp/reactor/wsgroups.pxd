from libc.stdint cimport uint16_t, uint32_t


cdef extern from "swhttp/reactor/wsgroups.h" nogil:
    ctypedef struct sw_ws_place:
        void *member
        uint16_t nth
    ctypedef struct sw_ws_group:
        sw_ws_place *places
        uint32_t count
    ctypedef struct sw_ws_membership:
        sw_ws_group *group
        uint32_t at
    ctypedef struct sw_ws_groups:
        sw_ws_group **buckets
        uint32_t size
        uint32_t count
        uint32_t seed
    sw_ws_group *sw_ws_group_find(const sw_ws_groups *groups, const unsigned char *name, uint32_t length)
    sw_ws_group *sw_ws_group_get(sw_ws_groups *groups, const unsigned char *name, uint32_t length)
    void sw_ws_group_drop(sw_ws_groups *groups, sw_ws_group *group)
    bint sw_ws_group_add(sw_ws_group *group, void *member, uint16_t nth, sw_ws_membership *membership)
