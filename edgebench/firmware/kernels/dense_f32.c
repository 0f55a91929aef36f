/* A dense layer on each row of its input: blocks of 8 outputs, the last one smaller. */
static void dense_f32(const float *x, float *y, int rows, int inputs, int outputs,
                      const float *weights, const float *bias, float low, float high)
{
    for (int row = 0; row < rows; ++row, x += inputs, y += outputs) {
        const float *w = weights;
        for (int first = 0; first < outputs; first += 8) {
            const int count = outputs - first < 8 ? outputs - first : 8;
            float sums[8] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
            if (count == 8) {
                float a0 = 0.0f, a1 = 0.0f, a2 = 0.0f, a3 = 0.0f;
                float a4 = 0.0f, a5 = 0.0f, a6 = 0.0f, a7 = 0.0f;
                for (int i = 0; i < inputs; ++i, w += 8) {
                    const float v = x[i];
                    a0 += v * w[0];
                    a1 += v * w[1];
                    a2 += v * w[2];
                    a3 += v * w[3];
                    a4 += v * w[4];
                    a5 += v * w[5];
                    a6 += v * w[6];
                    a7 += v * w[7];
                }
                sums[0] = a0; sums[1] = a1; sums[2] = a2; sums[3] = a3;
                sums[4] = a4; sums[5] = a5; sums[6] = a6; sums[7] = a7;
            } else {
                for (int i = 0; i < inputs; ++i, w += count) {
                    for (int k = 0; k < count; ++k) {
                        sums[k] += x[i] * w[k];
                    }
                }
            }
            for (int k = 0; k < count; ++k) {
                float v = sums[k] + bias[first + k];
                v = v < low ? low : v;
                y[first + k] = v > high ? high : v;
            }
        }
    }
}
