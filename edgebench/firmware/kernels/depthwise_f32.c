/* A convolution of each channel by itself. */
typedef struct {
    int height, width, channels, in_rows;
    int kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
    int out_width, out_rows;
    float low, high;
    const float *weights; /* [kernel_h][kernel_w][channels] */
    const float *bias;
} depthwise_f32_t;

static void depthwise_f32(const depthwise_f32_t *d, const float *x, float *y, int step)
{
    const int top = step * d->stride_h - d->pad_top;
    y += step % d->out_rows * d->out_width * d->channels;
    for (int column = 0; column < d->out_width; ++column, y += d->channels) {
        const int left = column * d->stride_w - d->pad_left;
        for (int channel = 0; channel < d->channels; channel += 4) {
            const int count = d->channels - channel < 4 ? d->channels - channel : 4;
            float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
            for (int i = 0; i < count; ++i) {
                sums[i] = d->bias[channel + i];
            }
            for (int ky = 0; ky < d->kernel_h; ++ky) {
                const int row = top + ky * d->dilation_h;
                const float *line;
                if (row < 0 || row >= d->height) {
                    continue;
                }
                line = x + row % d->in_rows * d->width * d->channels + channel;
                for (int kx = 0; kx < d->kernel_w; ++kx) {
                    const int at = left + kx * d->dilation_w;
                    const float *w = d->weights + (ky * d->kernel_w + kx) * d->channels + channel;
                    const float *p;
                    if (at < 0 || at >= d->width) {
                        continue;
                    }
                    p = line + at * d->channels;
                    if (count == 4) {
                        sums[0] += p[0] * w[0];
                        sums[1] += p[1] * w[1];
                        sums[2] += p[2] * w[2];
                        sums[3] += p[3] * w[3];
                    } else {
                        for (int i = 0; i < count; ++i) {
                            sums[i] += p[i] * w[i];
                        }
                    }
                }
            }
            for (int i = 0; i < count; ++i) {
                const float v = sums[i] < d->low ? d->low : sums[i];
                y[channel + i] = v > d->high ? d->high : v;
            }
        }
    }
}
