/* A convolution of each channel of signed bytes by itself, of four channels at a time. The zero
   point of the input is part of the bias; what lies beside the image holds it. Uses window_rows,
   window_taps, rescaled_s8 and dual_mac. */
typedef struct {
    window_t window;
    int out_width, out_rows;
    const int8_t *beside;
    const int8_t *weights; /* [channels / 4][kernel_h][kernel_w][4] */
    const int32_t *bias;
    rescale_t result;
} depthwise_s8_t;

#if DUAL_MAC
/* Adds the products of four channels, from `channel` on of each tap, to their sums. */
ASSEMBLY depthwise_s8_four(const int8_t *const *taps PARAMETER, const int8_t *const *end PARAMETER,
                           const int8_t *w PARAMETER, int32_t *sums PARAMETER,
                           int channel PARAMETER)
{
    __asm__("push {r4-r12, lr}\n\t"
            "ldr r12, [sp, #40]\n\t" /* channel */
            "ldm r3, {r4-r7}\n"
            "1:\n\t" /* 13 instructions for 4 products */
            "ldr r8, [r0], #4\n\t"
            "ldr r9, [r2], #4\n\t"
            "ldr r8, [r8, r12]\n\t"
            "sxtb16 r11, r9\n\t"
            "sxtb16 r9, r9, ror #8\n\t"
            "sxtb16 r10, r8\n\t"
            "sxtb16 r8, r8, ror #8\n\t"
            "smlabb r4, r10, r11, r4\n\t"
            "smlabb r5, r8, r9, r5\n\t"
            "smlatt r6, r10, r11, r6\n\t"
            "smlatt r7, r8, r9, r7\n\t"
            "cmp r0, r1\n\t"
            "bne 1b\n\t"
            "stm r3, {r4-r7}\n\t"
            "pop {r4-r12, pc}");
}
#endif

/* Adds the products of up to four channels to their sums. */
static void depthwise_s8_some(const int8_t *const *taps, const int8_t *const *end, const int8_t *w,
                              int32_t *sums, int channel, int some)
{
#if DUAL_MAC
    if (some == 4) {
        depthwise_s8_four(taps, end, w, sums, channel);
        return;
    }
#endif
    for (; taps != end; ++taps, w += 4) {
        for (int i = 0; i < some; ++i) {
            sums[i] += (*taps)[channel + i] * w[i];
        }
    }
}

KERNEL depthwise_s8(const depthwise_s8_t *d, const int8_t *x, int8_t *y, int step)
{
    const window_t *const window = &d->window;
    const int channels = window->channels, count = window->kernel_h * window->kernel_w;
    const int reach = (window->kernel_w - 1) * window->dilation_w;
    int rows[WINDOW_ROWS], taps[WINDOW_TAPS], listed = -1; /* the column of the pixels in the list */
    const int8_t *pixels[WINDOW_TAPS];
    window_rows(window, step, rows);
    y += step % d->out_rows * d->out_width * channels;
    for (int column = 0; column < d->out_width; ++column, y += channels) {
        const int8_t *w = d->weights;
        const int left = column * window->stride_w - window->pad_left;
        int ahead = 0;
        if (listed >= 0 && left + reach < window->width) {
            ahead = (column - listed) * window->stride_w * channels;
        } else {
            window_taps(window, rows, left, taps);
            for (int tap = 0; tap < count; ++tap) {
                pixels[tap] = taps[tap] < 0 ? d->beside : x + taps[tap];
            }
            listed = left >= 0 && rows[0] >= 0 && rows[window->kernel_h - 1] >= 0 ? column : -1;
        }
        for (int first = 0; first < channels; first += 32) {
            const int share = channels - first < 32 ? channels - first : 32;
            int32_t sums[32];
            for (int i = 0; i < share; ++i) {
                sums[i] = d->bias[first + i];
            }
            for (int i = 0; i < share; i += 4, w += 4 * count) {
                depthwise_s8_some(pixels, pixels + count, w, sums + i, ahead + first + i,
                                  share - i < 4 ? share - i : 4);
            }
            rescaled_s8(&d->result, sums, 0, first, share, y + first);
        }
    }
}
