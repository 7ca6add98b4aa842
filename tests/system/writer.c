/* Write numbered lines, until told to end or for so many lines.
 *
 *     writer NAME PAUSE BURST PAD [COUNT]
 *
 * PAUSE microseconds lie between bursts of BURST lines; the filling of a line is up to PAD bytes and
 * follows from its number, so that a damaged line is recognised. Every fifth line goes to stderr,
 * numbered by itself, where the name ends in "+". Some lines are written in two pieces. The last line
 * says how many there were.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t told;

static void tell(int number)
{
    (void)number;
    told = 1;
}

static void put(int fd, const char *text, size_t length)
{
    while (length) {
        ssize_t written = write(fd, text, length);
        if (written < 0 && errno != EINTR)
            exit(1);
        if (written > 0) {
            text += written;
            length -= (size_t)written;
        }
    }
}

static void line(int fd, const char *name, const char *stream, long number, long pad)
{
    static char text[65536];
    int length = snprintf(text, 256, "%s%s %d %ld ", name, stream, (int)getpid(), number);
    long filling = pad ? number * 7919 % (pad + 1) : 0;
    memset(text + length, 'a' + (int)(number % 26), (size_t)filling);
    length += (int)filling;
    text[length++] = '\n';
    if (number % 13 == 5) {
        put(fd, text, (size_t)length / 2);
        usleep(1000);
        put(fd, text + length / 2, (size_t)(length - length / 2));
    } else {
        put(fd, text, (size_t)length);
    }
}

int main(int count, char **words)
{
    struct sigaction action = {.sa_handler = tell};
    const char *name = words[1];
    long pause = atol(words[2]), burst = atol(words[3]), pad = atol(words[4]);
    long most = count > 5 ? atol(words[5]) : -1, numbers[2] = {0, 0}, total = 0;
    int both = name[strlen(name) - 1] == '+';
    char last[256];

    sigaction(SIGTERM, &action, NULL);
    while (!told && total != most) {
        for (long each = 0; each < burst && !told && total != most; each++, total++) {
            int error = both && total % 5 == 4;
            line(error ? 2 : 1, name, error ? "err" : "", numbers[error]++, pad);
        }
        if (!told && total != most)
            usleep((useconds_t)pause);
    }
    for (int error = 0; error <= both; error++) {
        int length = snprintf(last, sizeof last, "%s%s %d end %ld\n", name, error ? "err" : "",
                              (int)getpid(), numbers[error]);
        put(error ? 2 : 1, last, (size_t)length);
    }
    return 0;
}
