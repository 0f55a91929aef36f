/* A convolution over rows of channels-last pixels, with limits and a maximum pool on its result.
   Uses window_rows. */
typedef struct {
    window_t window;
    int groups, group_in, group_out;
    int out_width, out_channels, out_rows; /* of the result, after the pool */
    int pool_h, pool_w;
    float low, high;
    const float *weights; /* blocks of 4 channels, each [kernel_h][kernel_w][group_in][4] */
    const float *bias;
} conv_f32_t;

#define CONV_F32_MAC(i) \
    do { \
        const float w0 = w[4 * (i)], w1 = w[4 * (i) + 1], w2 = w[4 * (i) + 2], w3 = w[4 * (i) + 3]; \
        a00 += p0[i] * w0; a01 += p0[i] * w1; a02 += p0[i] * w2; a03 += p0[i] * w3; \
        a10 += p1[i] * w0; a11 += p1[i] * w1; a12 += p1[i] * w2; a13 += p1[i] * w3; \
        a20 += p2[i] * w0; a21 += p2[i] * w1; a22 += p2[i] * w2; a23 += p2[i] * w3; \
        a30 += p3[i] * w0; a31 += p3[i] * w1; a32 += p3[i] * w2; a33 += p3[i] * w3; \
    } while (0)

static const float *conv_f32_pixel(const conv_f32_t *c, const float *row, int column, int ahead)
{
    const int at = column * c->window.channels + ahead;
    return at >= 0 && at < c->window.width * c->window.channels ? row + at : zeros_f32;
}

/* Four neighbouring pixels of four channels: sums[pixel][channel]. */
static void conv_f32_tile(const conv_f32_t *c, const float *x, const int rows[WINDOW_ROWS],
                          int column, int last, const float *w, const float *bias, float sums[16])
{
    const window_t *const window = &c->window;
    const int step = window->channels * window->stride_w;
    const int left = column * window->stride_w - window->pad_left;
    const int reach = (last - column) * window->stride_w; /* of the last pixel that is there */
    const int end_at = left + reach + (window->kernel_w - 1) * window->dilation_w;
    const int inside = left >= 0 && end_at < window->width;
    const int together = inside && window->dilation_w == 1 && c->groups == 1;
    const int taps = together ? 1 : window->kernel_w;
    const int length = together ? window->kernel_w * c->group_in : c->group_in;
    const int d1 = last > column ? step : 0, d2 = last > column + 1 ? 2 * step : d1;
    const int d3 = last > column + 2 ? 3 * step : d2;
    float a00 = bias[0], a01 = bias[1], a02 = bias[2], a03 = bias[3];
    float a10 = a00, a11 = a01, a12 = a02, a13 = a03;
    float a20 = a00, a21 = a01, a22 = a02, a23 = a03;
    float a30 = a00, a31 = a01, a32 = a02, a33 = a03;
    for (int ky = 0; ky < window->kernel_h; ++ky) {
        const float *const row = x + rows[ky];
        if (rows[ky] < 0) {
            w += 4 * window->kernel_w * c->group_in;
            continue;
        }
        for (int kx = 0; kx < taps; ++kx) {
            const float *p0, *p1, *p2, *p3, *end;
            if (inside) {
                p0 = row + (left + kx * window->dilation_w) * window->channels;
                p1 = p0 + d1;
                p2 = p0 + d2;
                p3 = p0 + d3;
            } else { /* what lies beside the image is zero */
                const int at = left + kx * window->dilation_w;
                p0 = conv_f32_pixel(c, row, at, 0);
                p1 = conv_f32_pixel(c, row, at, d1);
                p2 = conv_f32_pixel(c, row, at, d2);
                p3 = conv_f32_pixel(c, row, at, d3);
            }
            for (end = w + 4 * (length & ~3); w != end; w += 16, p0 += 4, p1 += 4, p2 += 4, p3 += 4) {
                CONV_F32_MAC(0);
                CONV_F32_MAC(1);
                CONV_F32_MAC(2);
                CONV_F32_MAC(3);
            }
            for (end = w + 4 * (length & 3); w != end; w += 4, ++p0, ++p1, ++p2, ++p3) {
                CONV_F32_MAC(0);
            }
        }
    }
    sums[0] = a00; sums[1] = a01; sums[2] = a02; sums[3] = a03;
    sums[4] = a10; sums[5] = a11; sums[6] = a12; sums[7] = a13;
    sums[8] = a20; sums[9] = a21; sums[10] = a22; sums[11] = a23;
    sums[12] = a30; sums[13] = a31; sums[14] = a32; sums[15] = a33;
}

KERNEL conv_f32(const conv_f32_t *c, const float *x, float *y, int step)
{
    int rows[WINDOW_ROWS];
    const int used = c->out_width * c->pool_w;
    const int size = c->window.kernel_h * c->window.kernel_w * c->group_in;
    y += step / c->pool_h % c->out_rows * c->out_width * c->out_channels;
    window_rows(&c->window, step, rows);
    for (int group = 0; group < c->groups; ++group, x += c->group_in) {
        const int blocks = (c->group_out + 3) / 4;
        const float *const weights = c->weights + 4 * group * blocks * size;
        for (int column = 0; column < used; column += 4) {
            const int last = column + 3 < used ? column + 3 : used - 1;
            const float *w = weights, *bias = c->bias + 4 * group * blocks;
            for (int first = 0; first < c->group_out; first += 4) {
                const int count = c->group_out - first < 4 ? c->group_out - first : 4;
                float sums[16];
                conv_f32_tile(c, x, rows, column, last, w, bias, sums);
                for (int pixel = column; pixel <= last; ++pixel) {
                    const float *from = sums + 4 * (pixel - column);
                    const int place = pixel / c->pool_w;
                    float *to = y + place * c->out_channels + group * c->group_out + first;
                    const int fresh = step % c->pool_h == 0 && pixel == place * c->pool_w;
                    for (int i = 0; i < count; ++i) {
                        float v = from[i] < c->low ? c->low : from[i];
                        v = v > c->high ? c->high : v;
                        to[i] = fresh || v > to[i] ? v : to[i];
                    }
                }
                w += 4 * size;
                bias += 4;
            }
        }
    }
}
