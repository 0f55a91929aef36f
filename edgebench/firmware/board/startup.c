/* What a bare Cortex-M needs before the model runs: vectors, the FPU, cleared memory. */
#include "model.h"

extern uint32_t stack_top, data_from, data_begin, data_end, bss_begin, bss_end;
void start(void);
int main(void);

int main(void)
{
    model_run(MODEL_INPUT, MODEL_OUTPUT);
    for (;;) {
    }
}

void start(void)
{
    const uint32_t *from = &data_from;
#if defined(__ARM_FP)
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* the coprocessor access control register */
    __asm__ volatile("dsb\nisb");
#endif
    for (uint32_t *to = &data_begin; to < &data_end; ++to, ++from) {
        *to = *from;
    }
    for (uint32_t *to = &bss_begin; to < &bss_end; ++to) {
        *to = 0;
    }
    (void)main();
}

static void fault(void)
{
    for (;;) {
    }
}

typedef void (*vector_t)(void);
__attribute__((section(".vectors"), used)) static const union {
    uint32_t *stack;
    vector_t handler;
} vectors[] = {{&stack_top}, {.handler = start}, {.handler = fault}, {.handler = fault}};
