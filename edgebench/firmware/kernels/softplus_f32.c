static float softplus_f32(float v)
{
    return v > 20.0f ? v : log_f32(1.0f + exp_f32(v));
}
