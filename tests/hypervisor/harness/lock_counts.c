/* Counts of acquired locks, per thread and kind; only in builds with COUNT. */

#ifdef COUNT
static __thread unsigned long locks_taken[NR_LOCK_KINDS];

static enum lock_kind lock_kind(const char *name, const void *lock)
{
    bool is_mapper = lock == &current->domain->grant_table->lock;

    if ( !strcmp(name, "&act->lock") )
        return LOCK_ENTRY;
    if ( !strcmp(name, "read &gt->lock") )
        return is_mapper ? LOCK_MAPPER_READ : LOCK_GRANTER_READ;
    if ( !strcmp(name, "write &gt->lock") )
        return is_mapper ? LOCK_MAPPER_WRITE : LOCK_GRANTER_WRITE;
    if ( strstr(name, "->maptrack_freelist_lock") )
        return LOCK_FREE_LIST;
    return strstr(name, "->maptrack_lock") ? LOCK_MAPTRACK : LOCK_OTHER;
}

static void count_lock_kind(const char *name, const void *lock)
{
    /* Creating a domain is not counted. */
    if ( current )
        locks_taken[lock_kind(name, lock)]++;
}
#endif

static bool take_lock_counts(unsigned long taken[NR_LOCK_KINDS])
{
#ifdef COUNT
    memcpy(taken, locks_taken, sizeof(locks_taken));
    memset(locks_taken, 0, sizeof(locks_taken));
    return true;
#else
    memset(taken, 0, NR_LOCK_KINDS * sizeof(*taken));
    return false;
#endif
}
