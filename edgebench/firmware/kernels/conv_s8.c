/* A convolution of signed bytes over rows of channels-last pixels, with a maximum pool on its
   result. The zero point of the input is part of the bias; what lies beside the image holds it.
   Where there is dual_mac, four inputs
   of two pixels and two channels are multiplied at once. */
typedef struct {
    int height, width, channels; /* of the input */
    int in_rows;                 /* rows of the input that exist at once */
    int groups, group_in, group_out;
    int kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
    int out_width, out_channels, out_rows; /* of the result, after the pool */
    int pool_h, pool_w;
    int patch; /* inputs of a pixel that are gathered, a multiple of 4, or 0 */
    int zero, low, high; /* of the result */
    const int8_t *beside;
    const int8_t *weights; /* blocks of 2 channels, by tap; 4 inputs of each at a time */
    const int32_t *bias;
    const float *scales; /* from sums to the result */
} conv_s8_t;

static const int8_t *conv_s8_pixel(const conv_s8_t *c, const int8_t *row, int column)
{
    return row != 0 && column >= 0 && column < c->width ? row + column * c->channels : c->beside;
}

/* The inputs of one pixel one after the other, where a tap has too few to be read four at once. */
static void conv_s8_patch(const conv_s8_t *c, const int8_t *const *rows, int left, int8_t *to)
{
    for (int ky = 0; ky < c->kernel_h; ++ky) {
        for (int kx = 0; kx < c->kernel_w; ++kx) {
            const int8_t *from = conv_s8_pixel(c, rows[ky], left + kx * c->dilation_w);
            for (int i = 0; i < c->group_in; ++i) {
                *to++ = from[i];
            }
        }
    }
}

/* Two neighbouring pixels of two channels: sums[pixel][channel]. */
KERNEL conv_s8_tile(const conv_s8_t *c, const int8_t *const *rows, int left, int ahead,
                         const int8_t *patch, const int8_t *w, const int32_t *bias, int32_t sums[4])
{
    const int inside = left >= 0 && left + ahead + (c->kernel_w - 1) * c->dilation_w < c->width;
    const int joined = inside && c->dilation_w == 1 && c->groups == 1 && c->group_in % 4 == 0;
    int32_t a00 = bias[0], a01 = bias[1], a10 = a00, a11 = a01;
    for (int ky = 0; ky < (c->patch ? 1 : c->kernel_h); ++ky) {
        const int8_t *row = rows[ky];
        const int together = c->patch || (joined && row != 0);
        const int taps = together ? 1 : c->kernel_w;
        const int length = c->patch ? c->patch : together ? c->kernel_w * c->group_in : c->group_in;
        for (int kx = 0; kx < taps; ++kx) {
            const int8_t *p0 = patch, *p1 = patch + CONV_PATCH, *end;
            if (!c->patch) {
                p0 = conv_s8_pixel(c, row, left + kx * c->dilation_w);
                p1 = conv_s8_pixel(c, row, left + ahead + kx * c->dilation_w);
            }
            end = w + 8 * (length / 4);
#if DUAL_MAC && defined(__OPTIMIZE__) && !defined(PLAIN_LOOPS)
            if (w != end) {
                uint32_t x, y, e, f, u, v; /* 23 instructions for 16 products */
                __asm__ volatile(
                    "1:\n\t"
                    "ldr %[x], [%[p0]], #4\n\t"
                    "ldr %[y], [%[p1]], #4\n\t"
                    "ldr %[u], [%[w]], #4\n\t"
                    "sxtb16 %[e], %[x]\n\t"
                    "sxtb16 %[x], %[x], ror #8\n\t"
                    "sxtb16 %[f], %[y]\n\t"
                    "sxtb16 %[y], %[y], ror #8\n\t"
                    "sxtb16 %[v], %[u]\n\t"
                    "sxtb16 %[u], %[u], ror #8\n\t"
                    "smlad %[a00], %[e], %[v], %[a00]\n\t"
                    "smlad %[a10], %[f], %[v], %[a10]\n\t"
                    "smlad %[a00], %[x], %[u], %[a00]\n\t"
                    "smlad %[a10], %[y], %[u], %[a10]\n\t"
                    "ldr %[u], [%[w]], #4\n\t"
                    "sxtb16 %[v], %[u]\n\t"
                    "sxtb16 %[u], %[u], ror #8\n\t"
                    "smlad %[a01], %[e], %[v], %[a01]\n\t"
                    "smlad %[a11], %[f], %[v], %[a11]\n\t"
                    "smlad %[a01], %[x], %[u], %[a01]\n\t"
                    "smlad %[a11], %[y], %[u], %[a11]\n\t"
                    "ldr %[u], %[end]\n\t" /* no register is left for it */
                    "cmp %[w], %[u]\n\t"
                    "bne 1b"
                    : [a00] "+r"(a00), [a01] "+r"(a01), [a10] "+r"(a10), [a11] "+r"(a11),
                      [p0] "+r"(p0), [p1] "+r"(p1), [w] "+r"(w), [x] "=&r"(x), [y] "=&r"(y),
                      [e] "=&r"(e), [f] "=&r"(f), [u] "=&r"(u), [v] "=&r"(v)
                    : [end] "m"(end)
                    : "cc", "memory");
            }
#else
            for (; w != end; w += 8, p0 += 4, p1 += 4) {
                for (int i = 0; i < 4; ++i) {
                    a00 += p0[i] * w[i];
                    a01 += p0[i] * w[4 + i];
                    a10 += p1[i] * w[i];
                    a11 += p1[i] * w[4 + i];
                }
            }
#endif
            for (end = w + 2 * (length % 4); w != end; w += 2, ++p0, ++p1) {
                a00 += *p0 * w[0];
                a01 += *p0 * w[1];
                a10 += *p1 * w[0];
                a11 += *p1 * w[1];
            }
        }
    }
    sums[0] = a00;
    sums[1] = a01;
    sums[2] = a10;
    sums[3] = a11;
}

static void conv_s8(const conv_s8_t *c, const int8_t *x, int8_t *y, int step)
{
    const int8_t *rows[CONV_MOST_ROWS];
    const int used = c->out_width * c->pool_w, blocks = (c->group_out + 1) / 2;
    const int size = 2 * (c->patch ? c->patch : c->kernel_h * c->kernel_w * c->group_in);
    int8_t patch[2 * CONV_PATCH] = {0};
    y += step / c->pool_h % c->out_rows * c->out_width * c->out_channels;
    for (int ky = 0; ky < c->kernel_h; ++ky) {
        const int row = step * c->stride_h - c->pad_top + ky * c->dilation_h;
        rows[ky] = row < 0 || row >= c->height ? 0 : x + row % c->in_rows * c->width * c->channels;
    }
    for (int group = 0; group < c->groups; ++group) {
        for (int column = 0; column < used; column += 2) {
            const int count = used - column < 2 ? 1 : 2;
            const int left = column * c->stride_w - c->pad_left;
            const int8_t *w = c->weights + group * blocks * size;
            if (c->patch) {
                conv_s8_patch(c, rows, left, patch);
                conv_s8_patch(c, rows, left + (count == 2 ? c->stride_w : 0), patch + CONV_PATCH);
            }
            for (int block = 0; block < blocks; ++block, w += size) {
                const int first = 2 * block, at = group * blocks * 2 + first;
                int32_t sums[4];
                conv_s8_tile(c, rows, left, count == 2 ? c->stride_w : 0, patch, w, c->bias + at,
                             sums);
                for (int pixel = 0; pixel < count; ++pixel) {
                    const int place = (column + pixel) / c->pool_w;
                    const int fresh =
                        step % c->pool_h == 0 && column + pixel == place * c->pool_w;
                    int8_t *to = y + place * c->out_channels + group * c->group_out + first;
                    for (int i = 0; i < 2 && first + i < c->group_out; ++i) {
                        const float v = (float)sums[2 * pixel + i] * c->scales[at + i];
                        const int held = limited_f32(v, c->zero, c->low, c->high);
                        to[i] = (int8_t)(fresh || held > to[i] ? held : to[i]);
                    }
                }
            }
        }
        for (int ky = 0; ky < c->kernel_h; ++ky) {
            rows[ky] = rows[ky] == 0 ? 0 : rows[ky] + c->group_in;
        }
    }
}
