/* team.h - threads that stand ready, for work of microseconds.
 *
 *     kr_team_each(n_threads, n_items, work, arg);     work(arg, i, who) for each i
 *
 * A step of decoding is some hundred pieces of work that each last for less than a thread
 * takes to wake.  So the others of a team watch for the next piece for a moment before they
 * sleep, and nobody is waited for who has not begun: if another program holds a thread's
 * core, the rest do its items.  On Linux helpers keep off the caller's core, and a helper that lost
 * its core in the midst of an item gets the caller's for it.  The items are cut into a range a thread, so that each reads
 * memory in order; who is done with his own takes from the others'.
 *
 * Who does an item, and when, says nothing: results must not depend on it. */
#ifndef KR_BASE_TEAM_H
#define KR_BASE_TEAM_H
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* who, below n_threads, is the caller (0) or another: it names scratch that no two share. */
typedef void kr_team_work(void *arg, int64_t item, int who);

/* Returns when all items are done.  There is one team: within it, or while another thread
 * has it, the caller does everything itself. */
void kr_team_each(int n_threads, int64_t n_items, kr_team_work *work, void *arg);

#ifdef __cplusplus
}
#endif
#endif
