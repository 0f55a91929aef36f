/* From sums in 32 bits to the signed bytes of a result. Uses dual_mac. */
typedef struct {
    int zero, low, high;
    const float *scales; /* by channel */
} rescale_t;

#if DUAL_MAC && defined(__ARM_FP)
/* Rescales sums two at a time, `step` bytes from two to two, up to an end of the result. */
ASSEMBLY rescaled_s8_pairs(const int32_t *sums PARAMETER, const float *scales PARAMETER,
                           int8_t *y PARAMETER, const int8_t *end PARAMETER, int zero PARAMETER,
                           int step PARAMETER)
{
    __asm__("push {r4-r7}\n\t"
            "ldrd r6, r7, [sp, #16]\n\t"
            "pkhbt r6, r6, r6, lsl #16\n"
            "1:\n\t" /* 20 instructions for 2 results */
            "vldr d0, [r0]\n\t"
            "add r0, r0, r7\n\t"
            "vldm r1!, {d1}\n\t"
            "vcvt.f32.s32 s0, s0\n\t"
            "vcvt.f32.s32 s1, s1\n\t"
            "vmul.f32 s0, s0, s2\n\t"
            "vmul.f32 s1, s1, s3\n\t"
            "vcvtr.s32.f32 s0, s0\n\t"
            "vcvtr.s32.f32 s1, s1\n\t"
            "vmov r4, r5, d0\n\t"
            "ssat r4, #16, r4\n\t"
            "ssat r5, #16, r5\n\t"
            "pkhbt r4, r4, r5, lsl #16\n\t"
            "qadd16 r4, r4, r6\n\t"
            "ssat16 r4, #8, r4\n\t"
            "lsr r5, r4, #16\n\t"
            "strb r4, [r2], #1\n\t"
            "strb r5, [r2], #1\n\t"
            "cmp r2, r3\n\t"
            "bne 1b\n\t"
            "pop {r4-r7}\n\t"
            "bx lr");
}
#endif

static int rescaled_s8_one(const rescale_t *r, int32_t sum, int channel)
{
    return limited_f32((float)sum * r->scales[channel], r->zero, r->low, r->high);
}

/* Writes `count` channels from `first` on; between two and two sums lie `apart` others. */
KERNEL rescaled_s8(const rescale_t *r, const int32_t *sums, int apart, int first, int count,
                   int8_t *y)
{
    int i = 0;
#if DUAL_MAC && defined(__ARM_FP)
    if (r->low == -128 && r->high == 127 && count > 1) {
        i = count & ~1;
        rescaled_s8_pairs(sums, r->scales + first, y, y + i, r->zero, 4 * (2 + apart));
    }
#endif
    for (; i < count; ++i) {
        y[i] = (int8_t)rescaled_s8_one(r, sums[i + i / 2 * apart], first + i);
    }
}
