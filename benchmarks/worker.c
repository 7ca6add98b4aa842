/* What the supervisors run, and what the benchmark checks their work with.

   worker sleep STAMPS NAME                      stamp the start, then wait for ever
   worker flood STAMPS NAME                      the same; SIGUSR1 begins a flood of lines, SIGUSR2
                                                 ends it
   worker spew STAMPS NAME LINES LENGTH BATCH    stamp, wait for SIGUSR1, write LINES numbered lines of
                                                 LENGTH bytes, BATCH lines per write, stamp, wait
   worker check LENGTH                           read such lines from stdin; print how many, and fail
                                                 at the first that is not the next one
   worker spin                                   a fixed piece of work; print its nanoseconds

   STAMPS is a FIFO; each stamp is one struct stamp, written at once. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum kind { STARTED = 0, WRITTEN = 1 };

struct stamp {
    uint64_t nanoseconds; /* CLOCK_MONOTONIC */
    int32_t pid;
    int32_t kind;
    char name[48];
};

static volatile sig_atomic_t flooding;

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void stamp(const char *path, const char *name, enum kind kind)
{
    struct stamp stamp = {.nanoseconds = now(), .pid = getpid(), .kind = kind};
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    strncpy(stamp.name, name, sizeof stamp.name - 1);
    if (fd < 0 || write(fd, &stamp, sizeof stamp) != sizeof stamp)
        exit(3);
    close(fd);
}

static void put(const char *data, size_t size)
{
    while (size) {
        ssize_t written = write(1, data, size);
        if (written < 0)
            continue; /* interrupted */
        data += written;
        size -= (size_t)written;
    }
}

/* Number the lines of a batch: ten digits at the start of each. */
static void number(char *line, uint64_t value)
{
    for (int digit = 9; digit >= 0; digit--, value /= 10)
        line[digit] = (char)('0' + value % 10);
}

static void spew(uint64_t lines, size_t length, uint64_t batch)
{
    char *data = malloc(length * batch);
    memset(data, 'x', length * batch);
    for (uint64_t at = 0; at < batch; at++)
        data[(at + 1) * length - 1] = '\n';
    for (uint64_t done = 0; done < lines && flooding; done += batch) {
        uint64_t many = lines - done < batch ? lines - done : batch;
        for (uint64_t at = 0; at < many; at++)
            number(data + at * length, done + at);
        put(data, many * length);
    }
    free(data);
}

static int check(size_t length)
{
    char *line = malloc(length), wanted[10];
    uint64_t count = 0;
    while (fread(line, 1, length, stdin) == length) {
        number(wanted, count);
        if (memcmp(line, wanted, sizeof wanted) || line[length - 1] != '\n') {
            printf("%llu lines, then: %.40s\n", (unsigned long long)count, line);
            return 1;
        }
        count++;
    }
    printf("%llu\n", (unsigned long long)count);
    return 0;
}

static int spin(void)
{
    uint64_t begun = now();
    volatile uint64_t value = 1;
    for (int i = 0; i < 5000000; i++)
        value = value * 6364136223846793005u + 1442695040888963407u;
    printf("%llu\n", (unsigned long long)(now() - begun));
    return 0;
}

static void on_signal(int number)
{
    flooding = number == SIGUSR1;
}

static void wait_for_flood(void)
{
    sigset_t none, both;
    sigemptyset(&none);
    sigemptyset(&both);
    sigaddset(&both, SIGUSR1);
    sigprocmask(SIG_BLOCK, &both, NULL);
    while (!flooding)
        sigsuspend(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

int main(int count, char **words)
{
    const char *what = count > 1 ? words[1] : "";
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGUSR2, &action, NULL);
    if (!strcmp(what, "spin"))
        return spin();
    if (!strcmp(what, "check") && count == 3)
        return check(strtoul(words[2], NULL, 10));
    if (count < 4)
        return 2;
    stamp(words[2], words[3], STARTED);
    if (!strcmp(what, "flood"))
        for (;;) {
            wait_for_flood();
            spew(UINT64_MAX, 128, 1);
        }
    if (!strcmp(what, "spew") && count == 7) {
        wait_for_flood();
        spew(strtoull(words[4], NULL, 10), strtoul(words[5], NULL, 10),
             strtoull(words[6], NULL, 10));
        stamp(words[2], words[3], WRITTEN);
    }
    for (;;)
        pause();
}
