/* A dense layer of signed bytes on each row of its input: blocks of 4 outputs, 4 inputs of each
   at a time. The zero point of the input is part of the bias. Uses dual_mac. */
typedef struct {
    int rows, inputs, outputs;
    int zero, low, high; /* of the result */
    const int8_t *weights;
    const int32_t *bias;
    const float *scales; /* from sums to the result */
} dense_s8_t;

static void dense_s8(const dense_s8_t *d, const int8_t *x, int8_t *y)
{
    for (int row = 0; row < d->rows; ++row, x += d->inputs, y += d->outputs) {
        const int8_t *w = d->weights;
        for (int first = 0; first < d->outputs; first += 4) {
            const int8_t *p = x, *end;
            int32_t sums[4];
            int32_t a0 = d->bias[first], a1 = d->bias[first + 1];
            int32_t a2 = d->bias[first + 2], a3 = d->bias[first + 3];
            for (end = w + 16 * (d->inputs / 4); w != end; w += 16, p += 4) {
#if DUAL_MAC
                const uint32_t v = dual_word(p), e = dual_even(v), o = dual_odd(v);
                uint32_t u = dual_word(w);
                a0 = dual_mac(o, dual_odd(u), dual_mac(e, dual_even(u), a0));
                u = dual_word(w + 4);
                a1 = dual_mac(o, dual_odd(u), dual_mac(e, dual_even(u), a1));
                u = dual_word(w + 8);
                a2 = dual_mac(o, dual_odd(u), dual_mac(e, dual_even(u), a2));
                u = dual_word(w + 12);
                a3 = dual_mac(o, dual_odd(u), dual_mac(e, dual_even(u), a3));
#else
                for (int i = 0; i < 4; ++i) {
                    a0 += p[i] * w[i];
                    a1 += p[i] * w[4 + i];
                    a2 += p[i] * w[8 + i];
                    a3 += p[i] * w[12 + i];
                }
#endif
            }
            for (end = w + 4 * (d->inputs % 4); w != end; w += 4, ++p) {
                a0 += *p * w[0];
                a1 += *p * w[1];
                a2 += *p * w[2];
                a3 += *p * w[3];
            }
            sums[0] = a0;
            sums[1] = a1;
            sums[2] = a2;
            sums[3] = a3;
            for (int i = 0; i < 4 && first + i < d->outputs; ++i) {
                const float v = (float)sums[i] * d->scales[first + i];
                y[first + i] = (int8_t)limited_f32(v, d->zero, d->low, d->high);
            }
        }
    }
}
