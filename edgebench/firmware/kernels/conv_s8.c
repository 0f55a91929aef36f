/* A convolution of signed bytes over rows of channels-last pixels, with a maximum pool on its
   result. Inputs of two pixels are widened to 16 bits, CONV_PIECE at a time, and multiplied by the
   weights of CONV_RESULTS channels, two at a time. The zero point of the input is part of the
   bias; what lies beside the image holds it. Uses window_rows, rescaled_s8
   and dual_mac. */
typedef struct {
    window_t window;
    int groups, group_in, group_out;
    int out_width, out_channels, out_rows; /* of the result, after the pool */
    int pool_h, pool_w;
    int inputs; /* of a pixel, a multiple of 8 */
    const int8_t *beside;
    const int8_t *weights; /* by CONV_RESULTS channels, CONV_PIECE inputs, 2 channels, 4 inputs */
    const int32_t *bias;
    rescale_t result;
} conv_s8_t;

static const int8_t *conv_s8_pixel(const conv_s8_t *c, const int8_t *x, int row, int column)
{
    const int inside = row >= 0 && column >= 0 && column < c->window.width;
    return inside ? x + row + column * c->window.channels : c->beside;
}

#if DUAL_MAC
/* Widens the inputs of two pixels up to an end of the first, 4 at a time. */
ASSEMBLY conv_s8_widen(const int8_t *p0 PARAMETER, const int8_t *p1 PARAMETER,
                       const int8_t *end PARAMETER, int16_t *to PARAMETER)
{
    __asm__("push {r4-r7}\n"
            "1:\n\t"
            "ldr r5, [r0], #4\n\t"
            "ldr r7, [r1], #4\n\t"
            "sxtb16 r4, r5\n\t"
            "sxtb16 r5, r5, ror #8\n\t"
            "sxtb16 r6, r7\n\t"
            "sxtb16 r7, r7, ror #8\n\t"
            "stm r3!, {r4-r7}\n\t"
            "cmp r0, r2\n\t"
            "bne 1b\n\t"
            "pop {r4-r7}\n\t"
            "bx lr");
}

/* Adds the products of a piece to sums[channel / 2][pixel][channel % 2]. */
ASSEMBLY conv_s8_piece(const int16_t *piece PARAMETER, const int16_t *end PARAMETER,
                       const int8_t *w PARAMETER, int32_t *sums PARAMETER,
                       const int32_t *last PARAMETER)
{
#define CONV_S8_FOUR \
            "ldm r0!, {r8-r11}\n\t" \
            "ldrd r12, lr, [r2], #8\n\t" \
            "sxtb16 r3, r12\n\t" \
            "sxtb16 r12, r12, ror #8\n\t" \
            "smlad r4, r8, r3, r4\n\t" \
            "smlad r6, r10, r3, r6\n\t" \
            "sxtb16 r3, lr\n\t" \
            "sxtb16 lr, lr, ror #8\n\t" \
            "smlad r5, r8, r3, r5\n\t" \
            "smlad r7, r10, r3, r7\n\t" \
            "smlad r4, r9, r12, r4\n\t" \
            "smlad r6, r11, r12, r6\n\t" \
            "smlad r5, r9, lr, r5\n\t" \
            "smlad r7, r11, lr, r7\n\t"
    __asm__("push {r0, r3-r11, lr}\n" /* the piece and the sums lie at sp */
            "1:\n\t"
            "ldm r3, {r4-r7}\n"
            "2:\n\t" /* 30 instructions for 32 products */
            CONV_S8_FOUR
            CONV_S8_FOUR
            "cmp r0, r1\n\t"
            "bne 2b\n\t"
            "ldrd r0, r3, [sp]\n\t"
            "ldr r12, [sp, #44]\n\t" /* last */
            "stm r3!, {r4-r7}\n\t"
            "str r3, [sp, #4]\n\t"
            "cmp r3, r12\n\t"
            "bne 1b\n\t"
            "pop {r0, r3-r11, pc}");
}
#else
static void conv_s8_piece(const int16_t *piece, const int16_t *end, const int8_t *w, int32_t *sums,
                          const int32_t *last)
{
    for (; sums != last; sums += 4) {
        for (const int16_t *p = piece; p != end; p += 8, w += 8) {
            for (int i = 0; i < 4; ++i) {
                const int place = i % 2 * 2 + i / 2;
                sums[0] += p[place] * w[i];
                sums[1] += p[place] * w[4 + i];
                sums[2] += p[4 + place] * w[i];
                sums[3] += p[4 + place] * w[4 + i];
            }
        }
    }
}
#endif

/* Widens `count` inputs of two pixels from the one numbered `first` on: of each four inputs those
   of the first pixel, then those of the second. Four that one word holds lie as it is widened,
   numbers 0, 2, 1, 3; where a pixel has other numbers of inputs, their weights lie so instead. */
KERNEL conv_s8_gather(const conv_s8_t *c, const int8_t *x, const int rows[WINDOW_ROWS], int left,
                      int ahead, int first, int count, int16_t *to)
{
    const window_t *const window = &c->window;
    const int share = c->group_in, tap = first / share, words = share % 4 == 0;
    const int end_at = left + ahead + (window->kernel_w - 1) * window->dilation_w;
    const int joined = c->groups == 1 && window->dilation_w == 1 && left >= 0
        && end_at < window->width; /* the inputs of a row are one run */
    int ky = tap / window->kernel_w, kx = tap % window->kernel_w, from = first % share, i = 0;
    for (; i < count && ky < window->kernel_h; from = 0) {
        const int column = left + kx * window->dilation_w;
        const int taps = joined && rows[ky] >= 0 ? window->kernel_w - kx : 1;
        const int rest = taps * share - from, end = i + (rest < count - i ? rest : count - i);
        const int8_t *p0 = conv_s8_pixel(c, x, rows[ky], column) + from;
        const int8_t *p1 = conv_s8_pixel(c, x, rows[ky], column + ahead) + from;
        if (words) {
#if DUAL_MAC
            conv_s8_widen(p0, p1, p0 + (end - i), to + 2 * i);
            i = end;
#else
            for (; i < end; ++i) {
                int16_t *place = to + i / 4 * 8 + i % 2 * 2 + i / 2 % 2;
                place[0] = *p0++;
                place[4] = *p1++;
            }
#endif
        } else {
            for (; i < end; ++i) {
                int16_t *place = to + i + (i & ~3);
                place[0] = *p0++;
                place[4] = *p1++;
            }
        }
        kx += taps;
        if (kx == window->kernel_w) {
            kx = 0;
            ++ky;
        }
    }
    for (; i < count; ++i) { /* their weights are zero */
        int16_t *place = to + i + (i & ~3);
        place[0] = place[4] = 0;
    }
}

/* Writes `count` channels from `first` on of `pixels` pixels. What a pool takes the larger of is
   compared: two sums that go to one place, the result with what is there. */
KERNEL conv_s8_write(const conv_s8_t *c, const int32_t *sums, int first, int count, int column,
                     int pixels, int fresh, int8_t *y)
{
    const rescale_t result = c->result;
    const int place = column / c->pool_w, meet = pixels == 2 && (column + 1) / c->pool_w == place;
    for (int pixel = 0; pixel < (meet ? 1 : pixels); ++pixel, sums += 2) {
        int8_t *const to = y + (place + pixel) * c->out_channels;
        const int begins = fresh && (pixel || column == place * c->pool_w);
        if (begins && !meet) {
            rescaled_s8(&result, sums, 2, first, count, to);
            continue;
        }
        for (int i = 0; i < count; ++i) {
            const int32_t *const each = sums + i + i / 2 * 2;
            const int32_t sum = meet && each[2] > each[0] ? each[2] : each[0];
            const int held = rescaled_s8_one(&result, sum, first + i);
            if (begins || held > to[i]) {
                to[i] = (int8_t)held;
            }
        }
    }
}

KERNEL conv_s8(const conv_s8_t *c, const int8_t *x, int8_t *y, int step)
{
    const window_t *const window = &c->window;
    int rows[WINDOW_ROWS];
    int16_t piece[2 * CONV_PIECE] ALIGNED;
    int32_t sums[2 * CONV_RESULTS];
    const int used = c->out_width * c->pool_w, even = (c->group_out + 1) / 2 * 2;
    y += step / c->pool_h % c->out_rows * c->out_width * c->out_channels;
    window_rows(window, step, rows);
    for (int group = 0; group < c->groups; ++group, x += c->group_in) {
        for (int column = 0; column < used; column += 2) {
            const int pixels = used - column < 2 ? 1 : 2;
            const int left = column * window->stride_w - window->pad_left;
            const int8_t *w = c->weights + group * even * c->inputs;
            for (int first = 0; first < c->group_out; first += CONV_RESULTS) {
                const int results = even - first < CONV_RESULTS ? even - first : CONV_RESULTS;
                const int at = group * even + first;
                for (int i = 0; i < results; i += 2) {
                    sums[2 * i] = sums[2 * i + 2] = c->bias[at + i];
                    sums[2 * i + 1] = sums[2 * i + 3] = c->bias[at + i + 1];
                }
                for (int k = 0; k < c->inputs; k += CONV_PIECE) {
                    const int rest = c->inputs - k, count = rest < CONV_PIECE ? rest : CONV_PIECE;
                    if (first == 0 || c->inputs > CONV_PIECE) {
                        conv_s8_gather(c, x, rows, left, pixels == 2 ? window->stride_w : 0, k,
                                       count, piece);
                    }
                    conv_s8_piece(piece, piece + 2 * count, w, sums, sums + 2 * results);
                    w += results * count;
                }
                conv_s8_write(c, sums, at,
                              c->group_out - first < results ? c->group_out - first : results,
                              column, pixels, step % c->pool_h == 0,
                              y + group * c->group_out + first);
            }
        }
    }
}
