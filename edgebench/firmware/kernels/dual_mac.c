/* Four signed bytes at once, where the processor multiplies two pairs of 16 bits (Armv7E-M). */
#if defined(__ARM_FEATURE_DSP) && defined(__GNUC__)
#define DUAL_MAC 1
static inline uint32_t dual_word(const int8_t *from)
{
    uint32_t word;
    __builtin_memcpy(&word, from, 4);
    return word;
}

static inline uint32_t dual_even(uint32_t word) /* bytes 0 and 2, with their signs */
{
    uint32_t pair;
    __asm__("sxtb16 %0, %1" : "=r"(pair) : "r"(word));
    return pair;
}

static inline uint32_t dual_odd(uint32_t word) /* bytes 1 and 3 */
{
    uint32_t pair;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
    return pair;
}

static inline int32_t dual_mac(uint32_t a, uint32_t b, int32_t sum)
{
    __asm__("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
}
#else
#define DUAL_MAC 0
#endif
