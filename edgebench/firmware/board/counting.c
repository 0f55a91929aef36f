/* Called by the emulator for each block of instructions: counts them by the stage they run in. */
#include <stdint.h>

typedef struct {
    uint64_t base, bytes;      /* of the code */
    const uint16_t *code;
    const uint16_t *stages;    /* by half word of code: 1 + the stage that begins there, or 0 */
    uint64_t *counts;          /* by stage; the first one is what runs outside of all */
    uint64_t current;
} state_t;

void block(void *emulator, uint64_t address, uint32_t size, state_t *state)
{
    const uint64_t first = (address - state->base) / 2, count = size / 2;
    uint64_t instructions = 0;
    (void)emulator;
    if (address < state->base || address + size > state->base + state->bytes) {
        return;
    }
    if (state->stages[first]) {
        state->current = state->stages[first];
    }
    for (uint64_t i = 0; i < count; ++instructions) {
        i += state->code[first + i] >> 11 >= 0x1d ? 2 : 1; /* Thumb-2: two half words */
    }
    state->counts[state->current] += instructions;
}
