/* The nearest integer, ties to even, of a number of any size: it saturates. */
static int nearest_f32(float v)
{
    union {
        float f;
        int32_t i;
    } bits;
#if defined(__ARM_FP) && defined(__GNUC__)
    __asm__("vcvtr.s32.f32 %0, %1" : "=t"(bits.f) : "t"(v));
    return (int)bits.i;
#else
    v = v < -4194304.0f ? -4194304.0f : v;
    v = v > 4194303.0f ? 4194303.0f : v;
    bits.f = v + 12582912.0f; /* 1.5 * 2^23 leaves no place for a fraction */
    return (int)(bits.i - 1262485504);
#endif
}
