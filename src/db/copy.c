/*
 * A copy of a database that another process may be writing.
 *
 * It is opened a second time, for reading: the table of readers (lock.mdb) tells the writer which pages stay.  Where
 * there is none nobody writes, and none is made, since it would be of the user who copies.
 */
#include "db/db.h"

#include <lmdb.h>

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

static bool is_there(const char *directory, const char *name)
{
    char path[PATH_BYTES];

    snprintf(path, sizeof path, "%s/%s", directory, name);
    return access(path, F_OK) == 0;
}

/* A file shorter than its own list of pages would end the process by SIGBUS. */
static bool size_is_right(MDB_env *env)
{
    MDB_envinfo      info;
    MDB_stat         stat;
    struct stat      st;
    mdb_filehandle_t fd;

    mdb_env_info(env, &info);
    mdb_env_stat(env, &stat);
    return mdb_env_get_fd(env, &fd) == 0 && fstat(fd, &st) == 0 && stat.ms_psize >= 256 &&
           info.me_last_pgno < (uint64_t)st.st_size / stat.ms_psize;
}

int db_copy(const char *directory, int to_fd, struct fault *why)
{
    unsigned flags = MDB_RDONLY | MDB_NOTLS | (is_there(directory, "lock.mdb") ? 0 : MDB_NOLOCK);
    MDB_env *env;
    int      code;

    if (!is_there(directory, "data.mdb"))
        return fault_set(why, "there is no database in %s", directory);
    code = mdb_env_create(&env);
    if (code != 0)
        return fault_set(why, "%s", mdb_strerror(code));
    code = mdb_env_set_mapsize(env, 0); /* as the database itself says */
    if (code == 0)
        code = mdb_env_open(env, directory, flags, 0600);
    if (code == 0 && !size_is_right(env))
        code = MDB_CORRUPTED;
    if (code == 0)
        code = mdb_env_copyfd2(env, to_fd, MDB_CP_COMPACT);
    mdb_env_close(env);
    if (code > 0)
        return fault_set_errno(why, code, "cannot copy the database in %s", directory);
    if (code != 0)
        return fault_set(why, "the database in %s is damaged: %s", directory, mdb_strerror(code));
    return 0;
}
