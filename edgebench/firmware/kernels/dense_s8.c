/* A dense layer of signed bytes on each row of its input: blocks of 4 outputs, 4 inputs of each
   at a time. The zero point of the input is part of the bias. Uses rescaled_s8 and
   dual_mac. */
typedef struct {
    int rows, inputs, outputs;
    const int8_t *weights;
    const int32_t *bias;
    rescale_t result;
} dense_s8_t;

#if DUAL_MAC
/* Adds the products of a block's weights and the inputs from x on to 4 sums. */
ASSEMBLY dense_s8_block(const int8_t *x PARAMETER, const int8_t *end PARAMETER,
                        const int8_t *w PARAMETER, int32_t *sums PARAMETER)
{
    __asm__("push {r3-r11, lr}\n\t"
            "ldm r3, {r4-r7}\n"
            "1:\n\t" /* 22 instructions for 16 products */
            "ldr r9, [r0], #4\n\t"
            "ldm r2!, {r10-r12, lr}\n\t"
            "sxtb16 r8, r9\n\t"
            "sxtb16 r9, r9, ror #8\n\t"
            "sxtb16 r3, r10\n\t"
            "sxtb16 r10, r10, ror #8\n\t"
            "smlad r4, r8, r3, r4\n\t"
            "smlad r4, r9, r10, r4\n\t"
            "sxtb16 r3, r11\n\t"
            "sxtb16 r11, r11, ror #8\n\t"
            "smlad r5, r8, r3, r5\n\t"
            "smlad r5, r9, r11, r5\n\t"
            "sxtb16 r3, r12\n\t"
            "sxtb16 r12, r12, ror #8\n\t"
            "smlad r6, r8, r3, r6\n\t"
            "smlad r6, r9, r12, r6\n\t"
            "sxtb16 r3, lr\n\t"
            "sxtb16 lr, lr, ror #8\n\t"
            "smlad r7, r8, r3, r7\n\t"
            "smlad r7, r9, lr, r7\n\t"
            "cmp r0, r1\n\t"
            "bne 1b\n\t"
            "pop {r3}\n\t"
            "stm r3, {r4-r7}\n\t"
            "pop {r4-r11, pc}");
}
#else
static void dense_s8_block(const int8_t *x, const int8_t *end, const int8_t *w, int32_t *sums)
{
    for (; x != end; x += 4, w += 16) {
        for (int i = 0; i < 4; ++i) {
            sums[0] += x[i] * w[i];
            sums[1] += x[i] * w[4 + i];
            sums[2] += x[i] * w[8 + i];
            sums[3] += x[i] * w[12 + i];
        }
    }
}
#endif

KERNEL dense_s8(const dense_s8_t *d, const int8_t *x, int8_t *y)
{
    const int fours = d->inputs / 4 * 4;
    for (int row = 0; row < d->rows; ++row, x += d->inputs, y += d->outputs) {
        const int8_t *w = d->weights;
        for (int first = 0; first < d->outputs; first += 4) {
            int32_t sums[4];
            for (int i = 0; i < 4; ++i) {
                sums[i] = d->bias[first + i];
            }
            if (fours) {
                dense_s8_block(x, x + fours, w, sums);
                w += 4 * fours;
            }
            for (int k = fours; k < d->inputs; ++k, w += 4) {
                for (int i = 0; i < 4; ++i) {
                    sums[i] += x[k] * w[i];
                }
            }
            rescaled_s8(&d->result, sums, 0, first, d->outputs - first < 4 ? d->outputs - first : 4,
                        y + first);
        }
    }
}
