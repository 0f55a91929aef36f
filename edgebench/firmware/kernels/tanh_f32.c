static float tanh_f32(float v)
{
    const float size = v < 0.0f ? -v : v;
    float t;
    if (size < 0.15f) { /* its series: the quotient below would lose digits */
        const float q = v * v;
        return v * (1.0f + q * (-0.333333333f + q * (0.133333333f + q * -0.0539682540f)));
    }
    t = exp_f32(-2.0f * size);
    t = (1.0f - t) / (1.0f + t);
    return v < 0.0f ? -t : t;
}
