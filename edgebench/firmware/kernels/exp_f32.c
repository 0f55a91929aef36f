/* e to the v: 2^n times a polynomial of the rest, which lies within half a binary digit of 0. */
static float exp_f32(float v)
{
    bits_f32_t power;
    float n, r, p;
    v = v < -87.0f ? -87.0f : v > 88.0f ? 88.0f : v;
    n = v * 1.44269504f;
    n = (float)(int)(n < 0.0f ? n - 0.5f : n + 0.5f);
    r = (v - n * 0.693359375f) + n * 2.12194440e-4f;
    p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = (p * r) * r + r + 1.0f;
    power.i = ((int32_t)n + 127) * 8388608;
    return p * power.f;
}
