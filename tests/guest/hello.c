// Arguments, environment, standard input, a file, and the exit code: what every console program does first.
//
// hello.exe EXIT-CODE [ARGS]...
#include "guest.h"

int main(int argc, char **argv)
{
    printf("hello from %s\n", strrchr(argv[0], '\\') ? strrchr(argv[0], '\\') + 1 : argv[0]);
    for (int i = 1; i < argc; i++)
        printf("argument %d: [%s]\n", i, argv[i]);

    const char *value = getenv("NTEN_TEST");
    printf("NTEN_TEST: %s\n", value ? value : "(not set)");

    char line[256];
    int lines = 0;
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\r\n")] = 0;
        printf("line %d: %s\n", ++lines, line);
    }

    FILE *file = fopen("hello.txt", "w");
    if (!file) {
        perror("hello.txt");
        return 99;
    }
    fprintf(file, "%d lines\n", lines);
    fclose(file);
    file = fopen("hello.txt", "rb");
    size_t size = fread(line, 1, sizeof line, file);
    fclose(file);
    printf("hello.txt has %u bytes\n", (unsigned)size);
    fprintf(stderr, "to standard error\n");
    return argc > 1 ? atoi(argv[1]) : 0;
}
