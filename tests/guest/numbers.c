// Numbers in and out of text: integer, SSE and x87 arithmetic through the C library.
#include "guest.h"
#include <math.h>

static unsigned long long mix(unsigned long long x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdull;
    x ^= x << 29 | x >> 35;
    return x + 0x9e3779b97f4a7c15ull;
}

int main(void)
{
    unsigned long long x = 1;
    for (int i = 0; i < 1000; i++)
        x = mix(x);
    say("mixed %016llx", x);

    volatile long long dividend = -7, divisor = 2;
    say("division %lld %lld", dividend / divisor, dividend % divisor);
    volatile unsigned long long big = 0xfedcba9876543210ull;
    unsigned __int128 wide = (unsigned __int128)big * big;
    say("product %016llx%016llx", (unsigned long long)(wide >> 64), (unsigned long long)wide);
    say("bits %d %d %d", __builtin_clzll(big), __builtin_ctzll(big), __builtin_popcountll(big));

    volatile double third = 1.0 / 3.0, zero = 0.0;
    say("third %.17g %a", third, third);
    say("roots %.15g %.15g", sqrt(2.0 + zero), cbrt(27.0 + zero));
    say("functions %.12g %.12g %.12g", sin(1.0 + zero), exp(1.0 + zero), log(10.0 + zero));
    say("power %.12g %.12g", pow(2.0 + zero, 0.5), fmod(10.5 + zero, 3.0));
    say("special %d %d %d", isnan(zero / zero) != 0, isinf(1.0 / zero) != 0, signbit(-zero) != 0);
    say("rounded %.0f %.0f %.0f", floor(-1.5 + zero), rint(2.5 + zero), rint(3.5 + zero));
    say("converted %d %lld %u", (int)(-2.9 + zero), (long long)(1e15 + zero), (unsigned)(3e9 + zero));

    volatile long double tenth = 1.0L, ten = 10.0L;
    tenth /= ten;
    long double sum = 0;
    for (int i = 0; i < 10; i++)
        sum += tenth;
    say("extended %d %.15g", sum == 1.0L, (double)((sum - 1.0L) * 0x1p60L));

    say("read %.17g %.17g %d", strtod("0.1", 0), strtod("-1.7976931348623157e308", 0), atoi("-42"));
    float single = 16777216.0f;
    volatile float one = 1.0f;
    say("single %.9g %.9g", single + one, (double)single + one);
    return 0;
}
