static float minimum_f32(float a, float b)
{
    return a < b ? a : b;
}
