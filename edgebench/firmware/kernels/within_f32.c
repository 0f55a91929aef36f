/* What is left of v between 0 and 1. */
static float within_f32(float v)
{
    return v < 0.0f ? 0.0f : v > 1.0f ? 1.0f : v;
}
