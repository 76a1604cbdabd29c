// Adds up the parts of several long sums in one launch; see sum_parts.py.

constexpr int most = 8;      // sums of a launch
constexpr int share = 1024;  // numbers of a block

// Of each sum: how many parts it has, numbers of a part, and the first block that works on it. Those
// that are left over begin beyond the last block.
struct PartSums {
  int parts[most], size[most], first_block[most];
};

// y (size,) of each: the sum of x (parts, size) over its rows, in their order.
template <class T>
__global__ void __launch_bounds__(256)
    sum_parts(PartSums sums, const T *x0, const T *x1, const T *x2, const T *x3, const T *x4,
              const T *x5, const T *x6, const T *x7, T *y0, T *y1, T *y2, T *y3, T *y4, T *y5,
              T *y6, T *y7) {
  const T *const xs[] = {x0, x1, x2, x3, x4, x5, x6, x7};
  T *const ys[] = {y0, y1, y2, y3, y4, y5, y6, y7};
  const T *x = x0;
  T *y = y0;
  int parts = sums.parts[0], size = sums.size[0], block = blockIdx.x;
#pragma unroll
  for (int i = 1; i < most; i++)
    if (int(blockIdx.x) >= sums.first_block[i]) {
      x = xs[i];
      y = ys[i];
      parts = sums.parts[i];
      size = sums.size[i];
      block = blockIdx.x - sums.first_block[i];
    }
  const int first = block * share + threadIdx.x;
  double total[share / 256] = {};
  for (int part = 0; part < parts; part++)
#pragma unroll
    for (int j = 0; j < share / 256; j++)
      if (first + 256 * j < size) total[j] += x[part * size + first + 256 * j];
#pragma unroll
  for (int j = 0; j < share / 256; j++)
    if (first + 256 * j < size) y[first + 256 * j] = total[j];
}
