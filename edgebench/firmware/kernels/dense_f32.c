/* A dense layer on each row of its input: blocks of 8 outputs, then those left over by themselves.
   Weights are [outputs / 8][inputs][8], then [outputs left over][inputs]. */
KERNEL dense_f32(const float *x, float *y, int rows, int inputs, int outputs,
                 const float *weights, const float *bias, float low, float high)
{
    for (int row = 0; row < rows; ++row, x += inputs, y += outputs) {
        const float *w = weights;
        int k = 0;
        for (; k + 8 <= outputs; k += 8) {
            float a0 = bias[k], a1 = bias[k + 1], a2 = bias[k + 2], a3 = bias[k + 3];
            float a4 = bias[k + 4], a5 = bias[k + 5], a6 = bias[k + 6], a7 = bias[k + 7];
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
            y[k] = a0; y[k + 1] = a1; y[k + 2] = a2; y[k + 3] = a3;
            y[k + 4] = a4; y[k + 5] = a5; y[k + 6] = a6; y[k + 7] = a7;
        }
        for (; k < outputs; ++k, w += inputs) {
            float sum = bias[k];
            for (int i = 0; i < inputs; ++i) {
                sum += x[i] * w[i];
            }
            y[k] = sum;
        }
        for (k = 0; k < outputs; ++k) {
            const float v = y[k] < low ? low : y[k];
            y[k] = v > high ? high : v;
        }
    }
}
