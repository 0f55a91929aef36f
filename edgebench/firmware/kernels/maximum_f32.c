static float maximum_f32(float a, float b)
{
    return a > b ? a : b;
}
