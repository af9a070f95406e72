/* fuzz_control.c - libFuzzer: the control socket's request heads, on any bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct control_head head;
    char *text = malloc(size + 1);

    if (text == NULL || size == 0 || size > CONTROL_HEAD_MAX) {
        free(text);
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    int status = control_http_parse(text, size, &head);
    if (status == 0 && (head.path == NULL || head.path[0] != '/' || head.content_length > CONTROL_BODY_MAX))
        abort();
    free(text);
    return 0;
}
