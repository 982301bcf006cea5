/* What stands around a library's matrix product so that it is a convolution or a dense layer: patches of an image as rows
 * of a matrix, the way back, and bias and activation.
 *
 *             k: tap, channel of the group
 *            +---------------------------+
 *   p:       | x at the pixel that       |     P = samples of a chunk * OH * OW,   K = KH * KW * SRC_G
 *   sample,  | output pixel p sees       |
 *   pixel    | through the tap, or 0     |     columns[P][K] * weights[K][filters] = y[P][filters]
 *            +---------------------------+
 *
 * IH, IW, SRC_C, SRC_G  the layer's input and its channels of a group      KH, KW, STRIDE_*, DILATION_*, PAD_*  the filter
 * OH, OW, DST_C         its output                                         SAMPLES  of a chunk; first: the first of one
 * BIAS_AT               floats before the bias in the parameters; BIAS: there is one
 */
#define K (KH * KW * SRC_G)

#ifdef KERNEL_im2col
/* Items: elements of columns. */
ITEMS_KERNEL(im2col)(in_t x, out_t columns, int group, int first, int n)
{
    FOR_ITEMS(i, min(n - first, SAMPLES) * (OH * OW * K)) {
        int k = i % K, p = i / K, tap = k / SRC_G, pixel = p % (OH * OW);
        int h = pixel / OW * STRIDE_H + tap / KW * DILATION_H - PAD_H, w = pixel % OW * STRIDE_W + tap % KW * DILATION_W - PAD_W;
        float value = 0.0f;
        if (h >= 0 && h < IH && w >= 0 && w < IW)
            value = x[((uint)(first + p / (OH * OW)) * (IH * IW) + h * IW + w) * SRC_C + group * SRC_G + k % SRC_G];
        columns[i] = value;
    }
}
#endif

#ifdef KERNEL_col2im
/* dx from the gradient of columns: each value of dx gathers from the rows that took it. Items: values of dx of the group. */
ITEMS_KERNEL(col2im)(in_t columns, DX_ARGUMENTS, int group, int first, int n)
{
    FOR_ITEMS(i, min(n - first, SAMPLES) * (IH * IW * SRC_G)) {
        int c = i % SRC_G, pixel = i / SRC_G, s = pixel / (IH * IW), h = pixel / IW % IH, w = pixel % IW;
        float sum = 0.0f;
        for (int kh = 0; kh < KH; kh++) {
            int a = h + PAD_H - kh * DILATION_H;
            if (a < 0 || a % STRIDE_H || a / STRIDE_H >= OH)
                continue;
            for (int kw = 0; kw < KW; kw++) {
                int b = w + PAD_W - kw * DILATION_W;
                if (b >= 0 && b % STRIDE_W == 0 && b / STRIDE_W < OW)
                    sum += columns[((s * OH + a / STRIDE_H) * OW + b / STRIDE_W) * K + (kh * KW + kw) * SRC_G + c];
            }
        }
        STORE_DX1(sum, (uint)(first * (IH * IW) + pixel) * SRC_C + group * SRC_G + c);
    }
}
#endif

#ifdef KERNEL_finish
/* y = f(y + bias). Items: values of y. */
ITEMS_KERNEL(finish)(__global float *y, in_t parameters, int n)
{
    FOR_ITEMS(i, n * (OH * OW * DST_C)) {
        float sum = y[i] + (BIAS ? parameters[BIAS_AT + i % DST_C] : 0.0f);
        y[i] = ACTIVATE_AS(float, sum);
    }
}
#endif

#ifdef KERNEL_bias_sums
/* partial[s][filter] = the sum of dy over the pixels of sample s. Items: sums. */
ITEMS_KERNEL(bias_sums)(in_t dy, out_t partial, int n)
{
    FOR_ITEMS(i, n * DST_C) {
        __global const float *from = dy + (uint)(i / DST_C) * (OH * OW * DST_C) + i % DST_C;
        float sum = 0.0f;
        for (int p = 0; p < OH * OW; p++)
            sum += from[p * DST_C];
        partial[i] = sum;
    }
}
#endif

#ifdef KERNEL_bias_gradient
/* The gradient of the bias: the sum of partial over samples. Items: filters. */
ITEMS_KERNEL(bias_gradient)(in_t partial, out_t gradients, int n)
{
    FOR_ITEMS(i, DST_C) {
        float sum = 0.0f;
        for (int s = 0; s < n; s++)
            sum += partial[s * DST_C + i];
        gradients[BIAS_AT + i] = sum;
    }
}
#endif
#undef K
