/* A convolution of signed bytes over rows of channels-last pixels, with a maximum pool on its
   result. Inputs of two pixels are widened to 16 bits, CONV_PIECE at a time, and multiplied by the
   weights of CONV_RESULTS channels, two at a time. The zero point of the input is part of the
   bias; what lies beside the image holds it. Uses dual_mac. */
typedef struct {
    int height, width, channels; /* of the input */
    int in_rows;                 /* rows of the input that exist at once */
    int groups, group_in, group_out;
    int kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
    int out_width, out_channels, out_rows; /* of the result, after the pool */
    int pool_h, pool_w;
    int inputs; /* of a pixel, a multiple of 8 */
    int zero, low, high; /* of the result */
    const int8_t *beside;
    const int8_t *weights; /* by CONV_RESULTS channels, CONV_PIECE inputs, 2 channels, 4 inputs */
    const int32_t *bias;
    const float *scales; /* from sums to the result */
} conv_s8_t;

static const int8_t *conv_s8_pixel(const conv_s8_t *c, const int8_t *row, int column)
{
    return row != 0 && column >= 0 && column < c->width ? row + column * c->channels : c->beside;
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
   numbered 0, 2, 1, 3 of the first pixel, then those of the second. */
static void conv_s8_gather(const conv_s8_t *c, const int8_t *const *rows, int left, int ahead,
                           int first, int count, int16_t *to)
{
    const int share = c->group_in, tap = first / share;
    int ky = tap / c->kernel_w, kx = tap % c->kernel_w, from = first % share, i = 0;
    for (; i < count && ky < c->kernel_h; from = 0) {
        const int column = left + kx * c->dilation_w;
        const int length = share - from < count - i ? share - from : count - i;
        const int8_t *p0 = conv_s8_pixel(c, rows[ky], column) + from;
        const int8_t *p1 = conv_s8_pixel(c, rows[ky], column + ahead) + from;
        const int end = i + length;
#if DUAL_MAC
        if (share % 4 == 0) {
            conv_s8_widen(p0, p1, p0 + length, to + 2 * i);
            i = end;
        }
#endif
        for (; i < end; ++i) {
            int16_t *place = to + i / 4 * 8 + i % 2 * 2 + i / 2 % 2;
            place[0] = *p0++;
            place[4] = *p1++;
        }
        if (++kx == c->kernel_w) {
            kx = 0;
            ++ky;
        }
    }
    for (; i < count; ++i) {
        int16_t *place = to + i / 4 * 8 + i % 2 * 2 + i / 2 % 2;
        place[0] = place[4] = 0;
    }
}

/* Rescales the sums of `pixels` pixels from `column` on, and writes `count` channels of each; the
   larger of two sums that go to one place is the larger result. */
static void conv_s8_write(const conv_s8_t *c, const int32_t *sums, int at, int8_t *y, int count,
                          int column, int pixels, int fresh)
{
    const float *const scales = c->scales + at;
    const int zero = c->zero, low = c->low, high = c->high;
    const int place = column / c->pool_w, begins = column == place * c->pool_w;
    const int met = pixels == 2 && (column + 1) / c->pool_w == place;
    for (int pixel = 0; pixel < (met ? 1 : pixels); ++pixel, sums += 2) {
        int8_t *const to = y + (place + pixel) * c->out_channels;
        const int first = fresh && (begins || pixel);
        for (int i = 0; i < count; ++i) {
            const int32_t *const each = sums + i + (i & ~1);
            const int32_t sum = met && each[2] > each[0] ? each[2] : each[0];
            const int held = limited_f32((float)sum * scales[i], zero, low, high);
            if (first || held > to[i]) {
                to[i] = (int8_t)held;
            }
        }
    }
}

static void conv_s8(const conv_s8_t *c, const int8_t *x, int8_t *y, int step)
{
    const int8_t *rows[CONV_MOST_ROWS];
    int16_t piece[2 * CONV_PIECE] ALIGNED;
    int32_t sums[2 * CONV_RESULTS];
    const int used = c->out_width * c->pool_w, even = (c->group_out + 1) / 2 * 2;
    y += step / c->pool_h % c->out_rows * c->out_width * c->out_channels;
    for (int ky = 0; ky < c->kernel_h; ++ky) {
        const int row = step * c->stride_h - c->pad_top + ky * c->dilation_h;
        rows[ky] = row < 0 || row >= c->height ? 0 : x + row % c->in_rows * c->width * c->channels;
    }
    for (int group = 0; group < c->groups; ++group) {
        for (int column = 0; column < used; column += 2) {
            const int left = column * c->stride_w - c->pad_left, pixels = used - column < 2 ? 1 : 2;
            const int8_t *w = c->weights + group * even * c->inputs;
            for (int first = 0; first < c->group_out; first += CONV_RESULTS) {
                const int results = even - first < CONV_RESULTS ? even - first : CONV_RESULTS;
                const int at = group * even + first;
                for (int i = 0; i < results; ++i) {
                    int32_t *sum = sums + i / 2 * 4 + i % 2;
                    sum[0] = sum[2] = c->bias[at + i];
                }
                for (int k = 0; k < c->inputs; k += CONV_PIECE) {
                    const int rest = c->inputs - k, count = rest < CONV_PIECE ? rest : CONV_PIECE;
                    if (first == 0 || c->inputs > CONV_PIECE) {
                        conv_s8_gather(c, rows, left, pixels == 2 ? c->stride_w : 0, k, count,
                                       piece);
                    }
                    conv_s8_piece(piece, piece + 2 * count, w, sums, sums + 2 * results);
                    w += results * count;
                }
                conv_s8_write(c, sums, at, y + group * c->group_out + first,
                              c->group_out - first < results ? c->group_out - first : results,
                              column, pixels, step % c->pool_h == 0);
            }
        }
        for (int ky = 0; ky < c->kernel_h; ++ky) {
            rows[ky] = rows[ky] == 0 ? 0 : rows[ky] + c->group_in;
        }
    }
}
