#ifndef MINISPIRAL_CONVOLUTION_CUH
#define MINISPIRAL_CONVOLUTION_CUH

// The sizes of a convolution: x (n, h, w, big), weights (kh, kw, big, small), y (n, oh, ow, small).
struct Convolution {
  int n, h, w, big, small, kh, kw, oh, ow, stride, pad;
};

__device__ inline bool within(int index, int size) { return unsigned(index) < unsigned(size); }

// A pixel of a batch of images of `rows` by `columns` pixels, or a distance of so many pixels.
struct Pixel {
  int b, i, j;

  __device__ Pixel(int number, int rows, int columns)
      : b(number / columns / rows), i(number / columns % rows), j(number % columns) {}

  __device__ void advance(const Pixel &by, int rows, int columns) {
    j += by.j;
    i += by.i;
    b += by.b;
    if (j >= columns) j -= columns, i++;
    if (i >= rows) i -= rows, b++;
  }
};

#endif  // MINISPIRAL_CONVOLUTION_CUH
