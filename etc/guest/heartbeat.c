/*
 * heartbeat MILLISECONDS: prints "HB <count> <monotonic> <wall clock>" on its standard output, for ever.
 *
 * The gaps between two lines on the serial console are how long the guest stood still: that is how a pause of a
 * live migration is measured from outside. It is C without a library because a shell loop forks a `sleep` a beat,
 * which under software emulation costs more than the beat itself.
 */
typedef long word;
struct timespec { word seconds, nanoseconds; };

enum { SYS_write = 1, SYS_clock_gettime = 228, SYS_clock_nanosleep = 230, SYS_exit = 60 };
enum { REALTIME = 0, MONOTONIC = 1, ABSOLUTE = 1 };

static word call(word number, word a, word b, word c, word d) {
    word result;
    register word fourth __asm__("r10") = d;
    __asm__ volatile("syscall" : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth) : "rcx", "r11", "memory");
    return result;
}

static char *digits(char *to, unsigned long value, int width) {
    char reversed[24];
    int count = 0;
    do { reversed[count++] = '0' + value % 10; value /= 10; } while (value);
    while (count < width) reversed[count++] = '0';
    while (count) *to++ = reversed[--count];
    return to;
}

static char *time_of(char *to, const struct timespec *at) {
    to = digits(to, at->seconds, 1);
    *to++ = '.';
    return digits(to, at->nanoseconds / 1000000, 3);
}

__attribute__((used)) static void beat(word *stack) {
    word milliseconds = 0;
    if (stack[0] > 1)
        for (const char *text = (const char *)stack[2]; *text >= '0' && *text <= '9'; text++)
            milliseconds = milliseconds * 10 + (*text - '0');
    if (milliseconds <= 0) call(SYS_exit, 0, 0, 0, 0);

    struct timespec due, now, wall;
    char line[96];
    call(SYS_clock_gettime, MONOTONIC, (word)&due, 0, 0);
    for (unsigned long count = 0;; count++) {
        call(SYS_clock_gettime, MONOTONIC, (word)&now, 0, 0);
        call(SYS_clock_gettime, REALTIME, (word)&wall, 0, 0);
        char *end = line;
        *end++ = 'H'; *end++ = 'B'; *end++ = ' ';
        end = digits(end, count, 1); *end++ = ' ';
        end = time_of(end, &now); *end++ = ' ';
        end = time_of(end, &wall); *end++ = '\n';
        call(SYS_write, 1, (word)line, end - line, 0);

        due.nanoseconds += milliseconds % 1000 * 1000000;
        due.seconds += milliseconds / 1000 + due.nanoseconds / 1000000000;
        due.nanoseconds %= 1000000000;
        /* After a stall the beats missed are gone: catching up would hide the gap. */
        if (now.seconds > due.seconds || (now.seconds == due.seconds && now.nanoseconds > due.nanoseconds)) due = now;
        call(SYS_clock_nanosleep, MONOTONIC, ABSOLUTE, (word)&due, 0);
    }
}

__asm__(".globl _start\n_start: mov %rsp, %rdi\n and $-16, %rsp\n call beat\n");
