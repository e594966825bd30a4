#include "team.h"

#define MILLISECOND INT64_C(1000000)

/* Several of the kernel's turns of a few milliseconds, so that what one thread loses is more than bad luck. A trial
 * is over sooner: it costs more than its time, as the kernel moves the other threads for it. */
#define DECISION   (25 * MILLISECOND)
#define TRIAL      (10 * MILLISECOND)
#define LEAST_REST (100 * MILLISECOND)
#define MOST_REST  (8000 * MILLISECOND)

ffai__team ffai__team_of(int size)
{
    return (ffai__team){.size = size, .active = size};
}

/* n threads at the pace of the slowest do (1 - lost) n, without it n - 1. Three quarters, as memory feeds n - 1
 * threads better. */
static bool one_too_many(const ffai__team *team)
{
    return team->active > 1 && 4 * team->lost * team->active > 3 * team->time;
}

static void give_one_up(ffai__team *team)
{
    const int64_t longer = 2 * team->rest < MOST_REST ? 2 * team->rest : MOST_REST;
    team->rest = team->trying ? longer : LEAST_REST;
    team->rested = 0;
    team->trying = false;
    team->active--;
}

static void decide(ffai__team *team)
{
    if (one_too_many(team)) {
        give_one_up(team);
        return;
    }
    team->trying = team->active < team->size && team->rested >= team->rest;
    team->active += team->trying;
}

void ffai__team_note(ffai__team *team, int64_t time, int64_t lost)
{
    team->time += time;
    team->lost += lost;
    team->rested += time;
    if (team->time < (team->trying ? TRIAL : DECISION))
        return;
    decide(team);
    team->time = 0;
    team->lost = 0;
}
