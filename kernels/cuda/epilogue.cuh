// What a convolution does to its output in registers, on the way to memory: scale, shift and ReLU,
// or sums over its pixels.
//
// Kernels take the vectors `scale` and `shift`, which count where `scaled` is set, and `partial`
// (blocks, channels) for the moments of what each block computes, where `with_moments` is set.
//
// Where `with_grad_sums` is set, the output is the gradient behind a batch norm and a ReLU, which
// made max(scale * x + shift, 0) of `x`, an image of the output's shape, whose moments give `mean`:
// the sums of each block go to `grad_sums` (blocks, channels).

#ifndef MINISPIRAL_EPILOGUE_CUH
#define MINISPIRAL_EPILOGUE_CUH

#include "grad_sums.cuh"
#include "moments.cuh"

// max(scale * x + shift, 0) with a scale and a shift for each channel, or x where `scaled` is not
// set. NaN stays NaN.
template <class T>
struct ScaledReLU {
  bool scaled;
  const T *scale, *shift;

  __device__ T operator()(T x, int channel) const {
    if (!scaled) return x;
    const T y = fma(scale[channel], x, shift[channel]);
    return y < 0 ? T(0) : y;
  }
};

// What a kernel takes for its epilogue, see above.
struct Epilogue {
  bool scaled;
  const float *scale, *shift;
  bool with_moments;
  Moments *partial;
  bool with_grad_sums;
  const float *x, *mean;
  GradSums *grad_sums;

  __device__ ScaledReLU<float> scaled_relu() const { return {scaled, scale, shift}; }

  // Whether the ReLU behind the batch norm lets a gradient pass.
  __device__ bool passes(float x, int channel) const {
    return fma(scale[channel], x, shift[channel]) > 0;
  }
};

#endif  // MINISPIRAL_EPILOGUE_CUH
