// Asks a server a question: address and port on the command line.
#include "sockets.h"

int main(int count, char **arguments)
{
    WSADATA data;
    if (count != 3 || WSAStartup(MAKEWORD(2, 2), &data))
        return 2;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(arguments[2]))};
    address.sin_addr.s_addr = inet_addr(arguments[1]);
    SOCKET client = socket(AF_INET, SOCK_STREAM, 0);
    int status = connect(client, (struct sockaddr *)&address, sizeof address);
    say("connect: %s", result(status));
    if (status)
        return 1;
    say("sent %s", result(send(client, "question", 8, 0)));
    char buffer[64] = {0};
    int received = recv(client, buffer, sizeof buffer - 1, MSG_WAITALL);
    say("received %s [%s]", result(received), buffer);
    say("then %s", result(recv(client, buffer, 1, 0)));
    return 0;
}
