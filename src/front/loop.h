/*
 * What a worker's thread does, from its first round to its last.
 */
#ifndef WEIR_FRONT_LOOP_H
#define WEIR_FRONT_LOOP_H

/* A thread's function: a struct worker, until it is told to stop; then its `done_fd` hears. */
void *loop_run(void *worker);

#endif
