/* Layers that work value by value or pixel by pixel: activation, softmax, add. Sizes are arguments, so that one kernel
 * serves every layer. An item is VW values in a row (activation, add), or a pixel (softmax). */

#ifdef KERNEL_activation
/* y = f(x), count values a sample. */
ITEMS_KERNEL(activation)(in_t x, out_t y, int count, int n)
{
    int total = count * n;
    FOR_ITEMS(item, (total + VW - 1) / VW) {
        floatv v = LOAD(x + item * VW), out = ACTIVATE(v);
        STORE_FIRST(out, y + item * VW, total - item * VW)
    }
}
#endif

#ifdef KERNEL_add
/* y = f(a + b); a and b may be the same. */
ITEMS_KERNEL(add)(__global const float *a, __global const float *b, out_t y, int count, int n)
{
    int total = count * n;
    FOR_ITEMS(item, (total + VW - 1) / VW) {
        floatv v = LOAD(a + item * VW) + LOAD(b + item * VW), out = ACTIVATE(v);
        STORE_FIRST(out, y + item * VW, total - item * VW)
    }
}
#endif

#ifdef KERNEL_softmax
/* y[c] = exp(x[c] - max) / sum exp(x[k] - max) over the channels of a pixel. */
ITEMS_KERNEL(softmax)(in_t x, out_t y, int pixels, int channels, int n)
{
    FOR_ITEMS(pixel, pixels * n) {
        __global const float *from = x + (long)pixel * channels;
        __global float *to = y + (long)pixel * channels;
        float top = from[0], sum = 0.0f;
        for (int c = 1; c < channels; c++)
            top = from[c] > top ? from[c] : top;
        int c = 0;
        for (; c + VW <= channels; c += VW)
            STORE(EXP(LOAD(from + c) - top), to + c);
        for (; c < channels; c++)
            to[c] = SETTLE(EXP(from[c] - top));
        for (c = 0; c < channels; c++)
            sum += to[c];
        for (c = 0; c < channels; c++)
            to[c] = SETTLE(DIV(to[c], sum));
    }
}
#endif

#ifdef KERNEL_softmax_backward_data
/* dx[c] = y[c] * (dy[c] - sum over k of dy[k] y[k]), all of one pixel. */
ITEMS_KERNEL(softmax_backward_data)(in_t dy, in_t y, DX_ARGUMENTS, int pixels, int channels, int n)
{
    FOR_ITEMS(pixel, pixels * n) {
        long at = (long)pixel * channels;
        float sum = 0.0f;
        for (int c = 0; c < channels; c++)
            sum = fma(dy[at + c], y[at + c], sum);
        for (int c = 0; c < channels; c++)
            STORE_DX1(y[at + c] * (dy[at + c] - sum), at + c);
    }
}
#endif
