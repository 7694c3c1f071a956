/* Implementation of each kind of step; differences are reported with report_difference(). */
#ifndef STEPS_H
#define STEPS_H

struct step;

/* granter.c */
void step_grant(const struct step *s);
void step_revoke(const struct step *s);
void step_version(const struct step *s);
void step_grow(const struct step *s);
void step_swap(const struct step *s);
void step_hold(const struct step *s);
/* Drop the status frame that step_hold() holds for a domain. */
void drop_held_frame(unsigned int domain);
/* In a new world no frame is held. */
void reset_held_frames(void);

/* mapper.c */
void step_map(const struct step *s);
void step_copy(const struct step *s);

/* unmapper.c */
void step_unmap(const struct step *s);
void step_replace(const struct step *s);
void step_bad_handle(const struct step *s);

/* destroy.c */
void step_destroy(const struct step *s);
void destroy_domain(unsigned int domain);

#endif
