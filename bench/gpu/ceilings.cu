// What this GPU can do at best, to hold the kernels' figures against: memory and plain arithmetic.

// y = x, for n groups of four.
__global__ void __launch_bounds__(256) ceiling_copy(const float4 *x, int n, float4 *y) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    y[i] = x[i];
}

// Eight numbers of each thread, each times x[0] plus x[1], rounds times; y[thread] is their sum.
__global__ void __launch_bounds__(256) ceiling_fma(const float *x, int rounds, float *y) {
  const float factor = x[0], addend = x[1];
  float numbers[8];
  for (int i = 0; i < 8; i++) numbers[i] = i;
  for (int round = 0; round < rounds; round++)
#pragma unroll
    for (int i = 0; i < 8; i++) numbers[i] = fma(numbers[i], factor, addend);
  float sum = 0;
  for (int i = 0; i < 8; i++) sum += numbers[i];
  y[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}
