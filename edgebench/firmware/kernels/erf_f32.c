/* The error function: its series near 0; beyond it the approximation of
   Abramowitz and Stegun (1964), 7.1.26, whose error is below 1.5e-7. */
static float erf_f32(float v)
{
    const float size = v < 0.0f ? -v : v;
    float t, p;
    if (size < 0.5f) {
        const float q = v * v;
        p = 1.12837917f + q * (-0.376126389f + q * (0.112837917f + q * (-0.0268661706f
            + q * (0.00522397762f + q * -0.000854832701f))));
        return v * p;
    }
    t = 1.0f / (1.0f + 0.3275911f * size);
    p = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f
        + t * 1.061405429f))));
    p = 1.0f - p * exp_f32(-size * size);
    return v < 0.0f ? -p : p;
}
