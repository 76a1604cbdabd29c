// Gradient clipping; the formula is in kernels/clip.py. All gradients of a network are worked
// through in one launch: a table says where each lies, and which blocks work on it. No number is
// read back: the factor stays in the GPU's memory.

#include "rows.cuh"

// One gradient and its clipped copy; `size` elements each, from block `first_block` on.
template <class T>
struct Gradient {
  const T *g;
  T *clipped;
  long long size, first_block;
};

struct Sum {
  double value;
};

__device__ Sum merge(Sum a, Sum b) { return {a.value + b.value}; }

// The sum over each block's `share` of elements: partial (gridDim.x,). `owner` (gridDim.x,) gives
// each block its gradient.
template <class T>
__global__ void __launch_bounds__(256)
    square_sums(const Gradient<T> *gradients, const int *owner, int share, Sum *partial) {
  const Gradient<T> own = gradients[owner[blockIdx.x]];
  const long long start = (blockIdx.x - own.first_block) * share;
  const long long stop = min(start + share, own.size);
  Sum sum = {};
  for (long long i = start + threadIdx.y; i < stop; i += blockDim.y) {
    const double g = own.g[i];
    sum.value += g * g;
  }
  const Sum all = merge_rows(sum);
  if (threadIdx.y == 0) partial[blockIdx.x] = all;
}

// most / max(norm, most) from the blocks' sums. One block.
__global__ void __launch_bounds__(256)
    clip_factor(const Sum *partial, int blocks, double most, double *factor) {
  const double norm = sqrt(merge_blocks(partial, blocks, 1).value);
  if (threadIdx.y == 0) *factor = most / (norm > most ? norm : most);
}

// The clipped copies.
template <class T>
__global__ void __launch_bounds__(256)
    scaled(const Gradient<T> *gradients, const int *owner, int share, const double *factor) {
  const Gradient<T> own = gradients[owner[blockIdx.x]];
  const long long start = (blockIdx.x - own.first_block) * share;
  const long long stop = min(start + share, own.size);
  const T by = *factor;
  for (long long i = start + threadIdx.x; i < stop; i += blockDim.x) own.clipped[i] = own.g[i] * by;
}
