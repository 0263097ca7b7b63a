/* Groups of sessions: a hash table of names, each with an array of members. One reactor's, in its private memory.
 *
 * A member knows its place in each of its groups (`sw_ws_membership.at`), and a place knows which membership of its
 * member it is, so that leaving costs nothing but a move of the group's last member into the hole. A group without members
 * is freed. Only this reactor's sessions are in here: a broadcast goes to every reactor.
 */
#ifndef SWHTTP_WSGROUPS_H
#define SWHTTP_WSGROUPS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    void *member;   /* who; with its own array of memberships */
    uint16_t nth;   /* which of these this is */
} sw_ws_place;

typedef struct sw_ws_group {
    struct sw_ws_group *next;
    sw_ws_place *places;
    uint32_t count;
    uint32_t room;
    uint32_t hash;
    uint16_t name_len;
    unsigned char name[];
} sw_ws_group;

typedef struct {
    sw_ws_group *group;
    uint32_t at;
} sw_ws_membership;

typedef struct {
    sw_ws_group **buckets;
    uint32_t size;   /* a power of two, or 0 */
    uint32_t count;
    uint32_t seed;   /* nobody's guess: clients may choose names */
} sw_ws_groups;

static inline uint32_t sw_ws_hash(const sw_ws_groups *groups, const unsigned char *name, uint32_t length)
{
    uint32_t hash = 2166136261u ^ groups->seed; /* FNV-1a */
    for (uint32_t i = 0; i < length; i++)
        hash = (hash ^ name[i]) * 16777619u;
    return hash;
}

/* The group of this name, or NULL. */
static inline sw_ws_group *sw_ws_group_find(const sw_ws_groups *groups, const unsigned char *name, uint32_t length)
{
    uint32_t hash = sw_ws_hash(groups, name, length);
    sw_ws_group *group = groups->size ? groups->buckets[hash & (groups->size - 1)] : NULL;
    while (group != NULL
           && (group->hash != hash || group->name_len != length || memcmp(group->name, name, length) != 0))
        group = group->next;
    return group;
}

static inline int sw_ws_groups_grow(sw_ws_groups *groups)
{
    uint32_t size = groups->size ? groups->size * 2 : 64;
    sw_ws_group **buckets = (sw_ws_group **)calloc(size, sizeof *buckets);
    if (buckets == NULL)
        return groups->size != 0;
    for (uint32_t i = 0; i < groups->size; i++)
        while (groups->buckets[i] != NULL) {
            sw_ws_group *group = groups->buckets[i];
            groups->buckets[i] = group->next;
            group->next = buckets[group->hash & (size - 1)];
            buckets[group->hash & (size - 1)] = group;
        }
    free(groups->buckets);
    groups->buckets = buckets;
    groups->size = size;
    return 1;
}

/* The same, made if there is none. NULL: no memory. */
static inline sw_ws_group *sw_ws_group_get(sw_ws_groups *groups, const unsigned char *name, uint32_t length)
{
    sw_ws_group *group = sw_ws_group_find(groups, name, length);
    if (group != NULL)
        return group;
    if (groups->count >= groups->size && !sw_ws_groups_grow(groups))
        return NULL;
    group = (sw_ws_group *)calloc(1, sizeof *group + length);
    if (group == NULL)
        return NULL;
    group->hash = sw_ws_hash(groups, name, length);
    group->name_len = (uint16_t)length;
    memcpy(group->name, name, length);
    group->next = groups->buckets[group->hash & (groups->size - 1)];
    groups->buckets[group->hash & (groups->size - 1)] = group;
    groups->count++;
    return group;
}

static inline void sw_ws_group_drop(sw_ws_groups *groups, sw_ws_group *group)
{
    sw_ws_group **link = &groups->buckets[group->hash & (groups->size - 1)];
    if (group->count > 0)
        return;
    while (*link != group)
        link = &(*link)->next;
    *link = group->next;
    groups->count--;
    free(group->places);
    free(group);
}

/* Put `member` there, as its `nth` membership, which is written. 0: no memory. */
static inline int sw_ws_group_add(sw_ws_group *group, void *member, uint16_t nth, sw_ws_membership *membership)
{
    if (group->count == group->room) {
        uint32_t room = group->room ? group->room * 2 : 4;
        sw_ws_place *places = (sw_ws_place *)realloc(group->places, room * sizeof *places);
        if (places == NULL)
            return 0;
        group->places = places;
        group->room = room;
    }
    group->places[group->count].member = member;
    group->places[group->count].nth = nth;
    membership->group = group;
    membership->at = group->count++;
    return 1;
}

#endif
