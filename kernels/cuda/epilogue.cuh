// What is done to the output of a convolution on its way to memory: batch norm with known moments
// and ReLU behind it, or the sums for moments that are not known yet.
//
// Kernels take the vectors `scale` and `shift`, which count where `scaled` is set, and `partial`
// (.., channels) for the moments of what each block makes, which counts where `with_moments` is.

#ifndef MINISPIRAL_EPILOGUE_CUH
#define MINISPIRAL_EPILOGUE_CUH

#include "moments.cuh"

// max(scale * x + shift, 0) with vectors of the channels, where `scaled` is set; nothing otherwise.
// What is not a number stays so.
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

#endif  // MINISPIRAL_EPILOGUE_CUH
