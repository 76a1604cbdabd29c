// Max pooling; the formula is in kernels/pooling.py. Images are (n, h, w, c), T is float or double.

// Like NumPy's maximum: not a number, once met, is the result.
template <class T>
__device__ T larger(T a, T b) {
  return a >= b || a != a ? a : b;
}

// y and argmax (n, oh, ow, c), `count` elements: the largest value of each window, and which it was
// in reading order, the first of several. A thread makes one element.
template <class T>
__global__ void __launch_bounds__(256)
    max_pool2d(const T *x, int h, int w, int c, int oh, int ow, int size, int stride, int count,
               T *y, int *argmax) {
  const int at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= count) return;
  const int channel = at % c, j = at / c % ow, i = at / c / ow % oh, b = at / c / ow / oh;
  T best{};
  int where = 0;
  for (int p = 0; p < size; p++)
    for (int q = 0; q < size; q++) {
      const T value = x[((b * h + stride * i + p) * w + stride * j + q) * c + channel];
      const bool first = p == 0 && q == 0;
      if (!first && value > best) where = p * size + q;
      best = first ? value : larger(best, value);
    }
  y[at] = best;
  argmax[at] = where;
}

// gx (n, h, w, c), `count` elements: each sums the gy of the windows whose maximum it was, in the
// order of its place in the window, as the NumPy twin does. A thread makes one element.
template <class T>
__global__ void __launch_bounds__(256)
    max_pool2d_grad(const T *gy, const int *argmax, int h, int w, int c, int oh, int ow, int size,
                    int stride, int count, T *gx) {
  const int at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= count) return;
  const int channel = at % c, col = at / c % w, row = at / c / w % h, b = at / c / w / h;
  T sum = 0;
  for (int i = row / stride; i >= 0 && row - stride * i < size; i--)
    for (int j = col / stride; j >= 0 && col - stride * j < size; j--) {
      if (i >= oh || j >= ow) continue;
      const int window = ((b * oh + i) * ow + j) * c + channel;
      if (argmax[window] == (row - stride * i) * size + col - stride * j) sum += gy[window];
    }
  gx[at] = sum;
}
