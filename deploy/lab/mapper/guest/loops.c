/* Repeated operations: mappings that are kept, and races. */
#include "guest.h"

#define BATCH 128

static unsigned int fewer(uint64_t left, unsigned int most)
{
    return left < most ? left : most;
}

static int stopped(const struct mailbox *mailbox, uint64_t rounds)
{
    return *(const volatile uint32_t *)&mailbox->stop ||
           (rounds && (uint64_t)mailbox->counter[ROUNDS] >= rounds);
}

static void fill(gnttab_map_grant_ref_t *op, const uint64_t *arg, uint64_t index)
{
    *op = (gnttab_map_grant_ref_t){
        .dom = arg[0],
        .ref = arg[1] + index,
        .flags = arg[3],
        .host_addr = arg[4] ? arg[4] + index * PAGE : 0,
        .status = 1, /* no GNTST_* value: Xen did not reach the operation */
    };
}

/* domid, first, count, flags, address, times: maps and keeps; returns the number of mappings. */
int64_t hold(struct mailbox *mailbox, const uint64_t *arg)
{
    static gnttab_map_grant_ref_t ops[BATCH];
    int64_t held = 0;

    for (uint64_t time = 0; time < arg[5]; time++)
        for (uint64_t done = 0; done < arg[2]; done += BATCH) {
            unsigned int count = fewer(arg[2] - done, BATCH);

            for (unsigned int i = 0; i < count; i++)
                fill(&ops[i], arg, done + i);
            if (arg[4]) /* different addresses every time */
                for (unsigned int i = 0; i < count; i++)
                    ops[i].host_addr += time * arg[2] * PAGE;
            grant_op(GNTTABOP_map_grant_ref, ops, count);
            for (unsigned int i = 0; i < count; i++) {
                if (ops[i].status == GNTST_okay)
                    held++;
                else
                    mailbox->counter[MAP_STATUS] = ops[i].status;
            }
        }
    return held;
}

/* domid, first, count, flags, address, rounds: maps up to BATCH references, checks, unmaps. */
int64_t map_loop(struct mailbox *mailbox, const uint64_t *arg)
{
    static gnttab_map_grant_ref_t maps[BATCH];
    static gnttab_unmap_grant_ref_t unmaps[BATCH];
    unsigned int count = fewer(arg[2], BATCH), live;
    int64_t *counter = mailbox->counter;

    while (!stopped(mailbox, arg[5])) {
        live = 0;
        for (unsigned int i = 0; i < count; i++)
            fill(&maps[i], arg, i);
        grant_op(GNTTABOP_map_grant_ref, maps, count);
        for (unsigned int i = 0; i < count; i++) {
            uint64_t content;

            if (maps[i].status != GNTST_okay) {
                counter[MAP_REFUSED]++;
                counter[MAP_STATUS] = maps[i].status;
                continue;
            }
            counter[MAPPED]++;
            if (arg[4] &&
                (probe_read(maps[i].host_addr, &content) || content != STAMP(arg[0], maps[i].ref)))
                counter[WRONG_PAGE]++;
            unmaps[live++] = (gnttab_unmap_grant_ref_t){
                .host_addr = maps[i].host_addr,
                .dev_bus_addr = arg[3] & GNTMAP_device_map ? maps[i].dev_bus_addr : 0,
                .handle = maps[i].handle,
                .status = 1,
            };
        }
        if (live)
            grant_op(GNTTABOP_unmap_grant_ref, unmaps, live);
        for (unsigned int i = 0; i < live; i++) {
            if (unmaps[i].status == GNTST_okay) {
                counter[UNMAPPED]++;
            } else {
                counter[UNMAP_REFUSED]++;
                counter[UNMAP_STATUS] = unmaps[i].status;
            }
        }
        counter[ROUNDS]++;
    }
    return counter[ROUNDS];
}

/*
 * Version 1 has entries of 8 bytes and version 2 of 16, both with flags and
 * domid first. Xen clears the entries from 8 on when the version changes.
 */
static void permit(uint64_t table, unsigned int version, unsigned int gref, domid_t domid,
                   uint64_t frame)
{
    if (version == 1) {
        grant_entry_v1_t *entry = (grant_entry_v1_t *)table + gref;

        entry->domid = domid;
        entry->frame = frame;
        __asm__ volatile("" ::: "memory");
        *(volatile uint16_t *)&entry->flags = GTF_permit_access;
    } else {
        grant_entry_v2_t *entry = (grant_entry_v2_t *)table + gref;

        entry->full_page.hdr.domid = domid;
        entry->full_page.frame = frame;
        __asm__ volatile("" ::: "memory");
        *(volatile uint16_t *)&entry->hdr.flags = GTF_permit_access;
    }
}

/* Returns whether Xen changed the version; it refuses while references from 8 on are mapped. */
static int set_version(struct mailbox *mailbox, unsigned int version)
{
    gnttab_set_version_t set = { .version = version };

    if (grant_op(GNTTABOP_set_version, &set, 1) || set.version != version) {
        mailbox->counter[SWITCH_REFUSED]++;
        return 0;
    }
    mailbox->counter[SWITCHED]++;
    return 1;
}

/*
 * address of the own table, rounds, first, count, two domids (one << 32), address of the frames:
 * grants `count` frames in turn to the two domids, yields, changes the version, and repeats. Finally
 * sets version 2 and then 1; returns 0 if Xen permits this, which it does unless a reference is
 * mapped.
 */
int64_t version_loop(struct mailbox *mailbox, const uint64_t *arg)
{
    const uint64_t *frames = (const uint64_t *)arg[5];
    unsigned int version = 1, fresh = 1;

    for (; !stopped(mailbox, arg[1]); mailbox->counter[ROUNDS]++) {
        for (unsigned int i = 0; i < arg[3] && fresh; i++) {
            unsigned int gref = arg[2] + i;

            /* Xen keeps the first 8 entries and their marks when the version changes. */
            if (gref >= 8 || !mailbox->counter[SWITCHED])
                permit(arg[0], version, gref, arg[4] >> (i & 1 ? 32 : 0), frames[i]);
        }
        hypercall(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0, 0, 0);
        fresh = set_version(mailbox, 3 - version);
        version = fresh ? 3 - version : version;
    }
    return (version == 2 || set_version(mailbox, 2)) && set_version(mailbox, 1) ? 0 : -1;
}

/* first handle, count, address, stride: unmaps handles; returns how many Xen accepted. */
int64_t sweep(struct mailbox *mailbox, const uint64_t *arg)
{
    static gnttab_unmap_grant_ref_t ops[BATCH];
    int64_t accepted = 0;

    for (uint64_t done = 0; done < arg[1]; done += BATCH) {
        unsigned int count = fewer(arg[1] - done, BATCH);

        for (unsigned int i = 0; i < count; i++)
            ops[i] = (gnttab_unmap_grant_ref_t){
                .handle = arg[0] + done + i,
                .host_addr = arg[2] ? arg[2] + (done + i) * arg[3] : 0,
                .status = 1,
            };
        grant_op(GNTTABOP_unmap_grant_ref, ops, count);
        for (unsigned int i = 0; i < count; i++) {
            if (ops[i].status == GNTST_okay) {
                accepted++;
            } else {
                mailbox->counter[UNMAP_REFUSED]++;
                mailbox->counter[UNMAP_STATUS] = ops[i].status;
            }
        }
    }
    return accepted;
}
