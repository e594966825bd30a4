/* How many of a pool's threads are worth having while other processes take cores.
 *
 * Threads wait for each other, so one that is not on a core while it has work in hand holds up all of them, however
 * much the others take over: without it they are faster. What a thread loses to other processes says when; after a
 * while one more thread is tried again. */
#ifndef FFAI_BASE_TEAM_H
#define FFAI_BASE_TEAM_H

#include <stdbool.h>
#include <stdint.h>

/* All times in nanoseconds. */
typedef struct ffai__team {
    int size;
    int active;   /* threads to use, from 1 to size */
    bool trying;  /* the last of them, again */
    int64_t time; /* of runs since the last decision */
    int64_t lost;
    int64_t rested; /* time of runs since a thread was given up */
    int64_t rest;   /* how long until one more is tried */
} ffai__team;

ffai__team ffai__team_of(int size);
/* A run of the active threads took so long, and the one that lost most to other processes lost so much of it. */
void ffai__team_note(ffai__team *team, int64_t time, int64_t lost);

#endif
