// The smallest console program: what `nten run hello.exe` costs from start to exit is measured with it.
//
// x86_64-w64-mingw32-gcc -O2 -o hello.exe hello.c
#include <stdio.h>

int main(void)
{
    printf("Hello from NT\n");
    return 0;
}
