/* A quotient as it is held in integers: rounded, shifted by the zero point, saturated. */
static int limited_f32(float v, int zero, int low, int high)
{
    const float least = (float)(low - zero), most = (float)(high - zero);
    v = v < least ? least : v;
    v = v > most ? most : v;
    return nearest_f32(v) + zero;
}
