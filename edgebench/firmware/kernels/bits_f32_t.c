typedef union {
    float f;
    int32_t i;
} bits_f32_t;
