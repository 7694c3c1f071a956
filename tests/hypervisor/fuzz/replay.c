/* Runs inputs of the fuzzer, without libFuzzer: replay FILE... */
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
    for ( int i = 1; i < argc; i++ )
    {
        static uint8_t data[1 << 16];
        FILE *file = fopen(argv[i], "rb");

        if ( !file )
        {
            perror(argv[i]);
            return 2;
        }
        LLVMFuzzerTestOneInput(data, fread(data, 1, sizeof(data), file));
        fclose(file);
    }
    return 0;
}
