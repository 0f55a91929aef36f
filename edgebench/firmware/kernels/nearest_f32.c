/* The nearest integer, ties to even: adding 1.5 * 2^23 leaves no place for a fraction. */
static int nearest_f32(float v)
{
    union {
        float f;
        int32_t i;
    } bits;
    bits.f = v + 12582912.0f;
    return (int)(bits.i - 1262485504);
}
