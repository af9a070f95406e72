/* fuzz_props.c - libFuzzer: the Java properties parser, on any bytes. */
#include <stdint.h>
#include <stdlib.h>

#include "livy-ha/props.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int line;
    struct props *props = props_parse((const char *)data, size);

    if (props != NULL && props_get(props, "livy.server.port", &line) != NULL && line < 1)
        abort();
    props_free(props);
    return 0;
}
