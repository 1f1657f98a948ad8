/* A file system that knows no permissions, for a program that is started with LD_PRELOAD: below
   the folder $WITHOUT_PERMISSIONS, everybody may read and write whatever is made. Changes of
   permissions do nothing, as with many network file systems, or with $REFUSES_CHMOD are refused, as
   with FAT. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int is_below(const char *path)
{
    const char *top = getenv("WITHOUT_PERMISSIONS");
    return top != NULL && strncmp(path, top, strlen(top)) == 0;
}

static int is_below_fd(int fd)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0)
        return 0;
    path[size] = 0;
    return is_below(path);
}

static int opened(int fd)
{
    struct stat state;
    int before = errno;
    if (fd >= 0 && is_below_fd(fd) && fstat(fd, &state) == 0 && S_ISREG(state.st_mode))
        REAL(fchmod)(fd, 0777);
    errno = before;
    return fd;
}

static int changed(void)
{
    if (getenv("REFUSES_CHMOD") == NULL)
        return 0;
    errno = EPERM;
    return -1;
}

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list more;                                                                              \
        va_start(more, flags);                                                                     \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;                    \
        va_end(more);                                                                              \
        return opened(REAL(name)(path, flags, mode));                                              \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                               \
    int name(int folder, const char *path, int flags, ...)                                         \
    {                                                                                              \
        va_list more;                                                                              \
        va_start(more, flags);                                                                     \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;                    \
        va_end(more);                                                                              \
        return opened(REAL(name)(folder, path, flags, mode));                                      \
    }
OPENAT(openat)
OPENAT(openat64)

int mkdir(const char *path, mode_t mode)
{
    int result = REAL(mkdir)(path, mode);
    if (result == 0 && is_below(path))
        REAL(chmod)(path, 0777);
    return result;
}

int chmod(const char *path, mode_t mode)
{
    return is_below(path) ? changed() : REAL(chmod)(path, mode);
}

int fchmod(int fd, mode_t mode)
{
    return is_below_fd(fd) ? changed() : REAL(fchmod)(fd, mode);
}

int fchmodat(int folder, const char *path, mode_t mode, int flags)
{
    return is_below(path) ? changed() : REAL(fchmodat)(folder, path, mode, flags);
}
