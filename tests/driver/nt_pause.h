/* nt_pause.h - the parts of nt_pause: each runs to its end, and says what was bad. */
#ifndef TESTS_DRIVER_NT_PAUSE_H
#define TESTS_DRIVER_NT_PAUSE_H

/* More than any thread has within one request. */
#define PAUSE_POINTS_MAX 400u

/* Who reads an image, and who copies for it, is stopped while the other works. */
unsigned pause_readers(void);
unsigned pause_copiers(void);
/* Cancelling is stopped while the handle is cleaned up, and the other way round. */
unsigned pause_cancels(void);

#endif /* TESTS_DRIVER_NT_PAUSE_H */
