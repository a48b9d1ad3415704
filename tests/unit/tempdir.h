/* A directory of a test's own, removed with all below it.  Any thread. */
#ifndef WEIR_TEST_TEMPDIR_H
#define WEIR_TEST_TEMPDIR_H

/* Its path, to be freed by tempdir_remove(). Under $TMPDIR or /tmp. Never NULL. */
char *tempdir_make(void);
void  tempdir_remove(char *path);

#endif
