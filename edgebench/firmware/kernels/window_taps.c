/* Where each pixel of the window that begins at column `left` lies, or -1 beside the image. */
static void window_taps(const window_t *w, const int rows[WINDOW_ROWS], int left,
                        int taps[WINDOW_TAPS])
{
    for (int ky = 0; ky < w->kernel_h; ++ky) {
        for (int kx = 0; kx < w->kernel_w; ++kx) {
            const int at = left + kx * w->dilation_w;
            const int inside = rows[ky] >= 0 && at >= 0 && at < w->width;
            *taps++ = inside ? rows[ky] + at * w->channels : -1;
        }
    }
}
