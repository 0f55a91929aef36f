/* A quotient as it is held in integers: rounded, shifted by the zero point, saturated. */
static int limited_f32(float v, int zero, int low, int high)
{
    const int held = nearest_f32(v), least = low - zero, most = high - zero;
    return (held < least ? least : held > most ? most : held) + zero;
}
