/* A convolution of each channel by itself. Uses window_rows and window_taps. */
typedef struct {
    window_t window;
    int out_width, out_rows;
    float low, high;
    const float *weights; /* [kernel_h][kernel_w][channels] */
    const float *bias;
} depthwise_f32_t;

KERNEL depthwise_f32(const depthwise_f32_t *d, const float *x, float *y, int step)
{
    const window_t *const window = &d->window;
    const int channels = window->channels, count = window->kernel_h * window->kernel_w;
    int rows[WINDOW_ROWS], taps[WINDOW_TAPS];
    window_rows(window, step, rows);
    y += step % d->out_rows * d->out_width * channels;
    for (int column = 0; column < d->out_width; ++column, y += channels) {
        int channel = 0;
        window_taps(window, rows, column * window->stride_w - window->pad_left, taps);
        for (; channel + 4 <= channels; channel += 4) {
            const float *w = d->weights + channel, *const bias = d->bias + channel;
            float sums[4] = {bias[0], bias[1], bias[2], bias[3]};
            for (int tap = 0; tap < count; ++tap, w += channels) {
                const float *const p = x + taps[tap] + channel;
                if (taps[tap] < 0) {
                    continue;
                }
                sums[0] += p[0] * w[0];
                sums[1] += p[1] * w[1];
                sums[2] += p[2] * w[2];
                sums[3] += p[3] * w[3];
            }
            for (int i = 0; i < 4; ++i) {
                const float v = sums[i] < d->low ? d->low : sums[i];
                y[channel + i] = v > d->high ? d->high : v;
            }
        }
        for (; channel < channels; ++channel) {
            float v = d->bias[channel];
            for (int tap = 0; tap < count; ++tap) {
                if (taps[tap] >= 0) {
                    v += x[taps[tap] + channel] * d->weights[tap * channels + channel];
                }
            }
            v = v < d->low ? d->low : v;
            y[channel] = v > d->high ? d->high : v;
        }
    }
}
