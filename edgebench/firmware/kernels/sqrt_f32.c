/* The square root by Newton's iteration, from half the exponent on. */
static float sqrt_f32(float v)
{
    bits_f32_t root;
    if (!(v > 0.0f)) {
        return 0.0f;
    }
    root.f = v;
    root.i = root.i / 2 + 532676608;
    for (int i = 0; i < 4; ++i) {
        root.f = 0.5f * (root.f + v / root.f);
    }
    return root.f;
}
