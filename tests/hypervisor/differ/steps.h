/* What a step does to both hypervisors, by its kind; all of it that may differ is noted. */
#ifndef STEPS_H
#define STEPS_H

struct step;

/* A granter's: granter.c. */
void step_grant(const struct step *s);
void step_revoke(const struct step *s);
void step_version(const struct step *s);
void step_grow(const struct step *s);
void step_swap(const struct step *s);
void step_hold(const struct step *s);
/* Of what it holds, it lets go. */
void drop_held(unsigned int domain);
/* Nobody holds anything. */
void forget_held(void);

/* A mapper's: mapper.c. */
void step_map(const struct step *s);
void step_copy(const struct step *s);

/* Of its mappings: unmapper.c. */
void step_unmap(const struct step *s);
void step_replace(const struct step *s);
void step_bad_handle(const struct step *s);

/* Ends: ending.c. */
void step_end(const struct step *s);
void end_domain(unsigned int domain);

#endif
