/* A convolution of each channel of signed bytes by itself. */
typedef struct {
    int height, width, channels, in_rows;
    int kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
    int out_width, out_rows;
    int in_zero, zero, low, high;
    const int8_t *weights; /* [kernel_h][kernel_w][channels] */
    const int32_t *bias;
    const float *scales; /* from sums to the result */
} depthwise_s8_t;

static void depthwise_s8(const depthwise_s8_t *d, const int8_t *x, int8_t *y, int step)
{
    const int top = step * d->stride_h - d->pad_top;
    y += step % d->out_rows * d->out_width * d->channels;
    for (int column = 0; column < d->out_width; ++column, y += d->channels) {
        const int left = column * d->stride_w - d->pad_left;
        for (int channel = 0; channel < d->channels; channel += 4) {
            const int count = d->channels - channel < 4 ? d->channels - channel : 4;
            int32_t sums[4] = {0, 0, 0, 0};
            for (int ky = 0; ky < d->kernel_h; ++ky) {
                const int row = top + ky * d->dilation_h;
                const int8_t *line;
                if (row < 0 || row >= d->height) {
                    continue;
                }
                line = x + row % d->in_rows * d->width * d->channels + channel;
                for (int kx = 0; kx < d->kernel_w; ++kx) {
                    const int at = left + kx * d->dilation_w;
                    const int8_t *w = d->weights + (ky * d->kernel_w + kx) * d->channels + channel;
                    const int8_t *p;
                    if (at < 0 || at >= d->width) {
                        continue;
                    }
                    p = line + at * d->channels;
                    if (count == 4) {
                        sums[0] += (p[0] - d->in_zero) * w[0];
                        sums[1] += (p[1] - d->in_zero) * w[1];
                        sums[2] += (p[2] - d->in_zero) * w[2];
                        sums[3] += (p[3] - d->in_zero) * w[3];
                    } else {
                        for (int i = 0; i < count; ++i) {
                            sums[i] += (p[i] - d->in_zero) * w[i];
                        }
                    }
                }
            }
            for (int i = 0; i < count; ++i) {
                const float v = (float)(sums[i] + d->bias[channel + i]) * d->scales[channel + i];
                y[channel + i] = (int8_t)limited_f32(v, d->zero, d->low, d->high);
            }
        }
    }
}
