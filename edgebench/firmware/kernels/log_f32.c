/* The logarithm of a positive number: its exponent, and a series in (m - 1) / (m + 1). */
static float log_f32(float v)
{
    bits_f32_t m;
    int32_t exponent;
    float s, q;
    m.f = v;
    exponent = m.i / 8388608 - 127;
    m.i = m.i % 8388608 + 1065353216;
    if (m.f > 1.41421356f) {
        m.f *= 0.5f;
        ++exponent;
    }
    s = (m.f - 1.0f) / (m.f + 1.0f);
    q = s * s;
    q = s * (2.0f + q * (0.666666667f + q * (0.4f + q * (0.285714286f + q * 0.222222222f))));
    return (float)exponent * 0.693147181f + q;
}
