/* An image whose pixels lie channels last, and the window that moves over it. */
typedef struct {
    int height, width, channels;
    int in_rows; /* rows of the image that exist at once */
    int kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
} window_t;

/* Where each row of the window lies at a step, or -1 above and below the image. */
static void window_rows(const window_t *w, int step, int rows[WINDOW_ROWS])
{
    for (int ky = 0; ky < w->kernel_h; ++ky) {
        const int row = step * w->stride_h - w->pad_top + ky * w->dilation_h;
        const int inside = row >= 0 && row < w->height;
        rows[ky] = inside ? row % w->in_rows * w->width * w->channels : -1;
    }
}
