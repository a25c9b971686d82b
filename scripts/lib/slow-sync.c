/* A disk whose syncs take their time, by LD_PRELOAD: every call takes at least
 * BERTH_SYNC_MICROSECONDS (default 2000), whatever the real disk does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long long limit(void)
{
	static long long nanoseconds;

	if (!nanoseconds) {
		const char *text = getenv("BERTH_SYNC_MICROSECONDS");

		nanoseconds = (text ? atoll(text) : 2000) * 1000;
	}
	return nanoseconds;
}

static long long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void pad(long long start)
{
	int saved = errno;
	long long end = start + limit();
	struct timespec until = { end / 1000000000LL, end % 1000000000LL };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
	errno = saved;
}

#define PADDED(name)                                              \
	int name(int fd)                                          \
	{                                                         \
		static int (*real)(int);                          \
		long long start = now();                          \
		int result;                                       \
                                                                  \
		if (!real)                                        \
			real = (int (*)(int))dlsym(RTLD_NEXT, #name); \
		result = real(fd);                                \
		pad(start);                                       \
		return result;                                    \
	}

PADDED(fsync)
PADDED(fdatasync)
PADDED(syncfs)
