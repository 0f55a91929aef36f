static float sigmoid_f32(float v)
{
    return 1.0f / (1.0f + exp_f32(-v));
}
