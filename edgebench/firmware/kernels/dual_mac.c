/* Whether the processor multiplies two pairs of 16 bits at once (Armv7E-M). The loops that do are
   whole functions in assembly: r0 to r3 are their parameters, and every register has a part. */
#if defined(__ARM_FEATURE_DSP) && defined(__GNUC__) && !defined(PLAIN_LOOPS)
#define DUAL_MAC 1
#if defined(__clang__)
#define ASSEMBLY static __attribute__((naked, noinline)) void
#else
#define ASSEMBLY static __attribute__((naked, noipa)) void
#endif
#define PARAMETER __attribute__((unused))
#else
#define DUAL_MAC 0
#endif
