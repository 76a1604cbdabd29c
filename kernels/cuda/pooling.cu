// Max pooling without padding; see pooling.py. Images are (n, h, w, c), T is float or double.

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
  const int channel = at % c, b = at / c % ow, a = at / c / ow % oh, image = at / c / ow / oh;
  T best{};
  int where = 0;
  for (int i = 0; i < size; i++)
    for (int j = 0; j < size; j++) {
      const T value = x[((image * h + stride * a + i) * w + stride * b + j) * c + channel];
      const bool first = i == 0 && j == 0;
      if (!first && value > best) where = i * size + j;
      best = first ? value : larger(best, value);
    }
  y[at] = best;
  argmax[at] = where;
}

// gx (n, h, w, c), `count` elements: each gathers the gy of the windows whose maximum it was, in
// the order of its place in them. A thread makes one element.
template <class T>
__global__ void __launch_bounds__(256)
    max_pool2d_grad(const T *gy, const int *argmax, int h, int w, int c, int oh, int ow, int size,
                    int stride, int count, T *gx) {
  const int at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= count) return;
  const int channel = at % c, v = at / c % w, u = at / c / w % h, image = at / c / w / h;
  T sum = 0;
  for (int a = u / stride; a >= 0 && u - stride * a < size; a--)
    for (int b = v / stride; b >= 0 && v - stride * b < size; b--) {
      if (a >= oh || b >= ow) continue;
      const int window = ((image * oh + a) * ow + b) * c + channel;
      if (argmax[window] == (u - stride * a) * size + v - stride * b) sum += gy[window];
    }
  gx[at] = sum;
}
