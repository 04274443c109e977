/* A program of somebody else's, in C99: it sees the installed tree and nothing of ours. */
#include <mote/mote.h>

#include <stdio.h>
#include <string.h>

int main(void) {
    char expected[32];
    uint32_t count = 0;
    mote_status status;
    snprintf(expected, sizeof expected, "%d.%d.%d", MOTE_VERSION_MAJOR, MOTE_VERSION_MINOR,
             MOTE_VERSION_PATCH);
    if (mote_version() != MOTE_VERSION || strcmp(mote_version_string(), expected) != 0) {
        printf("library says %s, header says %s\n", mote_version_string(), expected);
        return 1;
    }
    status = mote_enumerate_devices(NULL, &count);
    printf("Mote %s in C: %s, %u devices\n", expected, mote_status_name(status), (unsigned)count);
    if (status != MOTE_OK && strlen(mote_last_message()) == 0) {
        puts("a failure without a message");
        return 1;
    }
    return 0;
}
