#ifndef MINISPIRAL_CONVOLUTION_CUH
#define MINISPIRAL_CONVOLUTION_CUH

// The sizes of a convolution: x (n, h, w, big), weights (kh, kw, big, small), y (n, oh, ow, small).
struct Convolution {
  int n, h, w, big, small, kh, kw, oh, ow, stride, pad;
};

#endif  // MINISPIRAL_CONVOLUTION_CUH
