// Kernels that show what the CPU does in the place of a GPU, rightly and wrongly used; see
// test_cuda_on_cpu.py.

#include "primitives.cuh"

__global__ void numbers(int *threads, int *blocks) {
  const int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  const int size = blockDim.x * blockDim.y * blockDim.z;
  threads[block * size + thread] = thread;
  blocks[block * size + thread] = block;
}

// y is x turned around within each block, by way of shared memory.
template <bool barrier>
__global__ void turn(const float *x, float *y) {
  float *shared = dynamic_shared<float>();
  const int start = blockIdx.x * blockDim.x;
  shared[threadIdx.x] = x[start + threadIdx.x];
  if (barrier) __syncthreads();
  y[start + threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
}

__global__ void barrier_for_some(int n) {
  if (int(threadIdx.x) < n) __syncthreads();
}

// The same as `turn` for a single warp, without shared memory.
__global__ void turn_by_shuffles(const double *x, double *y) {
  double value = x[threadIdx.x];
  for (int bits = 16; bits > 0; bits /= 2) value = __shfl_xor_sync(~0u, value, bits);
  y[threadIdx.x] = value;
}

__global__ void shuffles(const int *x, int *down, int *from3) {
  down[threadIdx.x] = __shfl_down_sync(~0u, x[threadIdx.x], 5);
  from3[threadIdx.x] = __shfl_sync(~0u, x[threadIdx.x], 3);
}

__global__ void shuffle_for_some(int n, int *y) {
  if (int(threadIdx.x) < n) y[threadIdx.x] = __shfl_sync(~0u, 1, 0);
}

__global__ void different_operations(int n) {
  if (int(threadIdx.x) < n)
    __syncwarp();
  else
    __shfl_sync(~0u, 1, 0);
}

__global__ void half_a_mask() { __syncwarp(0xFFFF); }

// Three groups of one copy each; what has arrived when all but `pending` groups are waited for.
template <int pending>
__global__ void copies(const float *x, float *y, bool last_one) {
  float *shared = dynamic_shared<float>();
  for (int i = 0; i < 3; i++) {
    cp_async16(shared + 4 * i, x + 4 * i, i < 2 || last_one);
    cp_async_commit();
  }
  cp_async_wait<pending>();
  for (int i = 0; i < 12; i++) y[i] = shared[i];
}

__global__ void copy4(const float *x, float *y, int from, int to) {
  float *shared = dynamic_shared<float>();
  cp_async4(shared + to, x + from, true);
  cp_async_commit();
  cp_async_wait<0>();
  y[0] = shared[to];
}

__global__ void copy16(const float *x, int from, int to) {
  cp_async16(dynamic_shared<float>() + to, x + from, true);
}

__global__ void round_to_tf32(const float *x, float *y) {
  y[threadIdx.x] = float_of(to_tf32(x[threadIdx.x]));
}

// d (16, 8) += a (16, 8) b (8, 8), as a warp does it.
__global__ void matrix_product(const float *a, const float *b, float *d) {
  const int g = threadIdx.x / 4, q = threadIdx.x % 4;
  const unsigned a_part[4] = {bits_of(a[g * 8 + q]), bits_of(a[(g + 8) * 8 + q]),
                              bits_of(a[g * 8 + q + 4]), bits_of(a[(g + 8) * 8 + q + 4])};
  const unsigned b_part[2] = {bits_of(b[q * 8 + g]), bits_of(b[(q + 4) * 8 + g])};
  float *upper = d + g * 8 + 2 * q, *lower = upper + 64;
  float d_part[4] = {upper[0], upper[1], lower[0], lower[1]};
  mma_tf32(d_part, a_part, b_part);
  upper[0] = d_part[0];
  upper[1] = d_part[1];
  lower[0] = d_part[2];
  lower[1] = d_part[3];
}

__global__ void touch(float *x, int at) { x[at] = 1; }
__global__ void touch_shared(int at) { dynamic_shared<float>()[at] = 1; }
__global__ void divide(int *x, int by) { x[0] /= by; }

__device__ int deeper(volatile int *x) {
  volatile int here = x[0];
  return here < 0 ? 0 : deeper(&here) + here;
}
__global__ void bottomless(int *x) { x[0] = deeper(x); }
