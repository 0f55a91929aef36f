/* Runs the model on this machine: inputs one after the other on stdin, outputs on stdout. */
#include <stdio.h>

#include "model.h"

int main(void)
{
    static model_input_t input[MODEL_INPUT_ELEMENTS];
    static model_output_t output[MODEL_OUTPUT_ELEMENTS];
    while (fread(input, sizeof input, 1, stdin) == 1) {
        model_run(input, output);
        if (fwrite(output, sizeof output, 1, stdout) != 1) {
            return 1;
        }
    }
    return 0;
}
